"""Figures of a study, as SVG and PNG bytes. The same study gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from suite.percentiles import percentiles
from suite.report.words import SYMBOLS, in_order, number
from suite.vocabulary import Study, Trace

#: Okabe and Ito's palette, told apart with every common colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
COLOURS = {"supported": "#009E73", "refuted": "#D55E00", "inconclusive": "#7F7F7F"}
LABELS = {
    "dead_fraction": "dead units (share of all hidden units)",
    "train_loss": "training loss",
    "test_accuracy": "test accuracy (share correct)",
}
PER_PANEL = 4
DPI = 110
STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "deadzone-suite",
    "svg.fonttype": "path",
    # a name is a name, whatever dollars it holds
    "text.parse_math": False,
    "figure.facecolor": "white",
}


def rendered(figure: Figure) -> dict[str, bytes]:
    """The figure as ``svg`` and ``png``, without dates. Laid out once, for both: ``savefig`` would lay out and draw twice for each."""
    svg, png = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.set_dpi(DPI)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(png, metadata={"Software": None})
        figure.set_layout_engine("none")
        canvas = FigureCanvasSVG(figure)
        canvas.print_svg(svg, metadata={"Date": None})
    return {"svg": svg.getvalue(), "png": png.getvalue()}


def curve_figure(study: Study, metric: str) -> Figure:
    """Median over replicates, with the band from the 10th to the 90th percentile, per condition; four conditions to a panel so that
    every line can be followed.
    """
    traces = [trace for trace in study.traces.values() if metric in trace.curves and np.isfinite(trace.curves[metric]).any()]
    panels = [traces[first : first + PER_PANEL] for first in range(0, len(traces), PER_PANEL)] or [[]]
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * columns + 0.4, 2.9 * rows + 0.3), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, axis in enumerate(axes):
            if index >= len(panels):
                axis.set_visible(False)
                continue
            for colour, trace in zip(PALETTE, panels[index], strict=False):
                _draw(axis, trace, metric, colour)
            if metric.endswith(("fraction", "accuracy")):
                axis.set_ylim(-0.03, 1.03)
            axis.legend(fontsize=7.5, frameon=False)
            axis.grid(alpha=0.25, linewidth=0.5)
        figure.supxlabel("training step")
        figure.supylabel(LABELS.get(metric, metric))
    return figure


def _draw(axis: Axes, trace: Trace, metric: str, colour: str) -> None:
    values = trace.curves[metric]
    seen = np.isfinite(values).any(axis=0)
    low, middle, high = percentiles(values[:, seen], [10, 50, 90])
    axis.plot(trace.steps[seen], middle, color=colour, linewidth=1.5, label=trace.condition)
    axis.fill_between(trace.steps[seen], low, high, color=colour, alpha=0.18, linewidth=0)


def verdict_figure(study: Study) -> Figure:
    """Every hypothesis with its interval against its threshold, controls first. Each row has its own scale: the threshold
    lies in the middle, and the row spans what is needed to show the interval. Exact hypotheses show the share of
    replicates in which they hold, as a diamond.
    """
    verdicts = in_order(study.outcome.verdicts)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 0.36 * len(verdicts) + 0.9), layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        for row, v in enumerate(reversed(verdicts)):
            colour, h = COLOURS[v.verdict], v.hypothesis
            threshold = 1.0 if h.test == "exact" else h.value
            spread = _spread(v.estimate, v.low, v.high, threshold, h.margin)
            x = [(value - threshold) / spread for value in (v.low, v.estimate, v.high)]
            if h.test == "exact":  # a statement about every run has no interval to compare
                axis.plot((v.estimate - threshold) / spread, row, "D", color=colour, markersize=5)
            elif np.isfinite(x).all():
                axis.plot([x[0], x[2]], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
                axis.plot(x[1], row, "o", color=colour, markersize=5)
            if h.margin:
                axis.plot([-h.margin / spread, h.margin / spread], [row - 0.3] * 2, color="black", linewidth=1)
            axis.text(1.12, row, f"{SYMBOLS[v.verdict]} {v.verdict}", color=colour, va="center")
            axis.text(-1.12, row, number(threshold), va="center", ha="right", fontsize=7.5, color="#555555")
        axis.axvline(0, color="black", linewidth=0.8, linestyle="--")
        axis.set_xlim(-1.35, 1.7)
        axis.set_ylim(-0.7, len(verdicts) - 0.3)
        axis.set_yticks(range(len(verdicts)), [v.hypothesis.name for v in reversed(verdicts)])
        axis.set_xticks([])
        axis.set_xlabel("estimate and interval, relative to each threshold (dashed; its value at the left); ◆ exact: share of replicates")
    return figure


def _spread(estimate: float, low: float, high: float, threshold: float, margin: float) -> float:
    reach = [abs(value - threshold) for value in (estimate, low, high) if np.isfinite(value)]
    return max([*reach, 1.5 * margin, 1e-12])


def figures_of(study: Study, metrics: Sequence[str] = ("dead_fraction", "train_loss", "test_accuracy")) -> dict[str, Figure]:
    """The figures a report shows, by file name."""
    found = {"verdicts": verdict_figure(study)}
    for metric in metrics:
        if any(metric in trace.curves and np.isfinite(trace.curves[metric]).any() for trace in study.traces.values()):
            found[metric] = curve_figure(study, metric)
    return found
