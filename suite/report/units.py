"""Pictures of single replicates: dead units over time as a heat map, and prediction against measurement. Decides nothing."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from suite.report.labels import axis_label, name_and_unit
from suite.report.styles import class_of
from suite.report.svg import Axis, axis_over, frame, picture, short, tag
from suite.vocabulary import Study

MAPS, ROWS, COLUMNS = 4, 64, 48
SHADES = 8
#: Finals that have a prediction of their own for every replicate: (predicted, measured).
PAIRS = (
    ("coast_predicted", "coast_distance"),
    ("predicted_revival_step", "revival_step"),
    ("predicted_revived_fraction", "revived_fraction"),
    ("zero_depth_predicted", "zero_depth"),
)


def heat_maps(study: Study, order: Sequence[str]) -> list[dict[str, Any]]:
    """Dead units of every replicate over time, for the first conditions in which that changes or differs."""
    found = []
    for name in order:
        trace = study.traces[name]
        curve = trace.curves.get("dead_fraction")
        if curve is None or len(trace.steps) < 4 or not np.isfinite(curve).any() or np.nanmax(curve) == np.nanmin(curve):
            continue
        rows = np.unique(np.linspace(0, trace.count - 1, min(trace.count, ROWS)).round().astype(int))
        columns = np.unique(np.linspace(0, len(trace.steps) - 1, min(len(trace.steps), COLUMNS)).round().astype(int))
        found.append({"name": name, "picture": heat_map(name, curve[np.ix_(rows, columns)], trace.steps[columns])})
        if len(found) == MAPS:
            break
    return found


def layer_maps(study: Study, order: Sequence[str]) -> list[dict[str, Any]]:
    """Dead units layer by layer over time, the mean over replicates, for the first conditions with several layers."""
    found = []
    for name in order:
        trace = study.traces[name]
        layers = sorted((k for k in trace.curves if k.startswith("dead_fraction.layer")), key=lambda k: int(k.rsplit("layer", 1)[1]))
        layers = [k for k in layers if np.isfinite(trace.curves[k]).any()]
        if len(layers) < 2 or len(trace.steps) < 4:
            continue
        columns = np.unique(np.linspace(0, len(trace.steps) - 1, min(len(trace.steps), COLUMNS)).round().astype(int))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where every replicate has diverged there is no mean
            means = np.stack([np.nanmean(trace.curves[k][:, columns], axis=0) for k in layers])
        if np.nanmax(means) > 0:
            found.append({"name": name, "picture": heat_map(name, means, trace.steps[columns], "layers")})
        if len(found) == MAPS:
            break
    return found


def heat_map(name: str, values: NDArray[np.float64], steps: NDArray[np.int64], rows_are: str = "replicates") -> Markup:
    """[replicate or layer, time]: nothing where none is dead, darker the more are, full ink where all are, another tint where the
    replicate has diverged. One path per shade, runs of equal shade joined.
    """
    rows, columns = values.shape
    left, top, cell, height = 30.0, 6.0, 240.0 / columns, max(2.0, 128.0 / rows)
    level = np.where(values <= 0, 0, np.where(values >= 1, SHADES + 1, np.clip(np.ceil(values * SHADES), 1, SHADES)))
    level = np.where(np.isfinite(values), level, -1).astype(int)
    runs: dict[int, list[str]] = {}
    for row in range(rows):
        ends = [0, *(np.flatnonzero(np.diff(level[row])) + 1).tolist(), columns]
        for first, last in pairwise(ends):
            if level[row, first] != 0:
                width = (last - first) * cell
                text = f"M{left + first * cell:.1f} {top + row * height:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z"
                runs.setdefault(int(level[row, first]), []).append(text)
    parts = [tag("path", d="".join(text), class_=_shade(shade)) for shade, text in sorted(runs.items())]
    bottom = top + rows * height
    parts.append(tag("rect", x=left, y=top, width=240.0, height=rows * height, class_="edge"))
    parts.append(tag("text", short(float(steps[0])), x=left, y=bottom + 14, class_="tick"))
    parts.append(tag("text", short(float(steps[-1])), x=left + 240, y=bottom + 14, class_="tick", text_anchor="end"))
    parts.append(tag("text", "training step", x=left + 120, y=bottom + 14, class_="tick", text_anchor="middle"))
    middle = top + rows * height / 2
    parts.append(
        tag("text", rows_are, x=0.0, y=0.0, class_="tick", text_anchor="middle", transform=f"translate(20 {middle:.0f}) rotate(-90)")
    )
    course = f"from {_mean(values[:, 0])} to {_mean(values[:, -1])}"
    words = f"{name}: share of dead units in {rows} {rows_are} (rows) over {columns} evaluations, {course}"
    return picture(280.0, bottom + 20.0, words, *parts, class_="heat")


def _mean(values: NDArray[np.float64]) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.0%} on average" if len(finite) else "diverged"


def _shade(level: int) -> str:
    return "gone" if level < 0 else "full" if level > SHADES else f"shade s{level}"


def predictions(study: Study, order: Sequence[str]) -> list[dict[str, Any]]:
    """A scatter of measured against predicted for each pair that the study has."""
    found = []
    for predicted, measured in PAIRS:
        points: dict[str, NDArray[np.float64]] = {}
        nothing = 0
        for name in order:
            finals = study.traces[name].finals
            if predicted in finals and measured in finals:
                both = np.stack([finals[predicted], finals[measured]])
                both = both[:, np.isfinite(both).all(axis=0)]
                if both.any():
                    points[name] = both
                nothing += bool(both.size) and not both.any()
        if points and any(np.ptp(both) > 0 for both in points.values()):
            found.append({**scatter(points, predicted, measured, order), "nothing": nothing})
    return found


def scatter(points: dict[str, NDArray[np.float64]], predicted: str, measured: str, order: Sequence[str]) -> dict[str, Any]:
    """[2, replicate] per condition over the line on which both agree; ``worst`` is the largest difference."""
    every = np.concatenate(list(points.values()), axis=1)
    x = axis_over(every.ravel().tolist(), 62.0, 380.0)
    y = Axis(x.low, x.high, 300.0, 34.0, x.log)
    parts = frame(x, y, axis_label(predicted), axis_label(measured) + (", logarithmic" if x.log else ""))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.end, class_="threshold"))
    for name, both in points.items():
        position = list(order).index(name)
        dots = "".join(dict.fromkeys(f"M{x.at(float(a)):.1f} {y.at(float(b)):.1f}h0" for a, b in both.T))
        # every condition is drawn here: the line they are held against is the same for all
        parts.append(tag("g", tag("path", d=dots, class_="dots"), class_=class_of(position)))
    worst = float(np.max(np.abs(every[1] - every[0])))
    words = f"{name_and_unit(measured)[0]} against {name_and_unit(predicted)[0]}, {every.shape[1]} replicates"
    return {
        "picture": picture(396.0, 344.0, words, *parts, class_="plot square"),
        "measured": measured,
        "words": words,
        "worst": worst,
        "unit": name_and_unit(measured)[1],
        "conditions": [(name, class_of(list(order).index(name))) for name in points],
    }
