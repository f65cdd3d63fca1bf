"""Pictures of dead units against closed forms: how far they coast over time, and the loss around a dead start. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from suite.report.labels import axis_label
from suite.report.styles import class_of
from suite.report.svg import Axis, Reading, axis_over, frame, picture, short, tag
from suite.vocabulary import Study, Trace

#: Conditions drawn at most.
PATHS, LINES = 6, 8
SHIFTED, WAKES = "shifted_loss.", "wake_shift"


def coasting(study: Study, order: Sequence[str]) -> dict[str, Any] | None:
    """A small picture for each of the first conditions whose dead units moved by themselves, and how many did not move at all."""
    shown: list[dict[str, Any]] = []
    still, worst = 0, 0.0
    for name in order:
        units = study.traces[name].units
        measured, predicted = (units.get(f"{column}.layer1") for column in ("coast_distance", "coast_predicted"))
        if measured is None or predicted is None:
            continue
        both = np.isfinite(measured) & np.isfinite(predicted)
        if not both.any():
            continue
        if not measured[both].any() and not predicted[both].any():
            still += 1
            continue
        if len(shown) < PATHS:
            shown.append({"name": name, "picture": coasting_picture(name, study.traces[name])})
        last = np.where(both, predicted, 0.0).max(axis=1, keepdims=True)
        worst = max(worst, float((np.abs(measured - predicted) / np.where(last > 0, last, np.nan))[both].max()))
    return {"shown": shown, "still": still, "worst": "less than 0.001 %" if worst < 1e-5 else f"{100 * worst:.2g} %"} if shown else None


def coasting_picture(name: str, trace: Trace) -> Markup:
    """Measured distances as dots with their range over replicates, the closed form as a line: medians over followed replicates."""
    measured, predicted = trace.units["coast_distance.layer1"], trace.units["coast_predicted.layer1"]
    rows = np.isfinite(measured).all(axis=1) & np.isfinite(predicted).all(axis=1)
    low, middle, high = np.quantile(measured[rows], [0.1, 0.5, 0.9], axis=0)
    theory = np.median(predicted[rows], axis=0)
    x = Axis(float(trace.steps[0]), float(trace.steps[-1]), 48.0, 300.0)
    y = axis_over([0.0, *high.tolist(), *theory.tolist()], 150.0, 28.0, log=False)
    at = [x.at(float(step)) for step in trace.steps]
    whiskers = "".join(f"M{a:.1f} {y.at(float(b)):.1f}V{y.at(float(t)):.1f}" for a, b, t in zip(at, low, high, strict=True))
    dots = "".join(f"M{a:.1f} {y.at(float(v)):.1f}h0" for a, v in zip(at, middle, strict=True))
    line = "M" + "L".join(f"{a:.1f} {y.at(float(v)):.1f}" for a, v in zip(at, theory, strict=True))
    parts = [
        *frame(x, y, "training step", "distance from the start (weight units)"),
        tag("path", d=line, class_="theory"),
        tag("g", tag("path", d=whiskers, class_="whisker"), tag("path", d=dots, class_="dots"), class_="c0"),
    ]
    end = f"{short(float(middle[-1]))} measured, {short(float(theory[-1]))} predicted at step {trace.steps[-1]}"
    says = [
        f"step {step}; measured {m:.4g} [{b:.4g}, {t:.4g}]; closed form {p:.4g}"
        for step, m, b, t, p in zip(trace.steps, middle, low, high, theory, strict=True)
    ]
    words = f"{name}: distance coasted by units that stayed dead, {end}"
    return picture(310.0, 192.0, words, *parts, class_="plot small", reading=Reading(at, says, (y.end, y.start)))


def dead_start(study: Study, order: Sequence[str]) -> dict[str, Any] | None:
    """The loss over the training set against a shift of all dead units' biases, a line per condition that starts with dead units in
    every replicate; dashed where the closed form says that the first unit wakes.
    """
    lines: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]] = {}
    for name in order:
        finals = study.traces[name].finals
        columns = sorted((key for key in finals if key.startswith(SHIFTED)), key=_shift)
        if not columns or WAKES not in finals or len(lines) == LINES:
            continue
        values = np.stack([finals[key] for key in columns], axis=1)
        values = values[study.traces[name].diverged_at < 0]
        if len(values) and np.isfinite(values).all():
            shifts = np.array([_shift(key) for key in columns])
            lines[name] = shifts, np.quantile(values, [0.1, 0.5, 0.9], axis=0), float(np.nanmedian(finals[WAKES]))
    if not lines:
        return None
    styles = {name: class_of(order.index(name)) for name in lines}
    return {"picture": _loss_picture(lines, styles), "conditions": list(styles.items())}


def _shift(column: str) -> float:
    return float(column.removeprefix(SHIFTED))


def _loss_picture(lines: dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]], styles: dict[str, str]) -> Markup:
    every = np.concatenate([shifts for shifts, _, _ in lines.values()])
    x = Axis(float(every.min()), float(every.max()), 56.0, 506.0)
    y = axis_over([float(v) for _, band, _ in lines.values() for v in band.ravel()], 248.0, 44.0, log=False)
    parts = frame(x, y, "shift of the dead units' biases (dimensionless)", axis_label("train_loss") + " before the first step")
    thresholds = sorted({round(wakes, 3) for _, _, wakes in lines.values()})
    for wakes in thresholds:
        parts.append(tag("line", x1=x.at(wakes), x2=x.at(wakes), y1=y.start, y2=y.end, class_="threshold"))
    if len(thresholds) == 1:
        parts.append(tag("text", f"closed form: first unit wakes at {short(thresholds[0])}", x=x.at(thresholds[0]) + 5, y=y.end + 10))
    for name, (shifts, (low, middle, high), _) in reversed(lines.items()):
        at = [f"{x.at(float(shift)):.1f}" for shift in shifts]

        def points(values: NDArray[np.float64], at: list[str] = at) -> list[str]:
            return [f"{a} {y.at(float(v)):.1f}" for a, v in zip(at, values, strict=True)]

        outline = "M" + "L".join([*points(high), *reversed(points(low))]) + "Z"
        line = tag("path", d="M" + "L".join(points(middle)), class_="line")
        parts.append(tag("g", tag("title", name), tag("path", d=outline, class_="band"), line, class_=styles[name]))
    ends = "; ".join(
        f"{name} {short(float(band[1][0]))} at the lowest shift, {short(float(band[1][-1]))} at the highest"
        for name, (_, band, _) in lines.items()
    )
    places = sorted(set(every.tolist()))
    says = [
        f"shift {short(place)}; "
        + "; ".join(
            f"{name} {middle[k]:.4g} [{low[k]:.4g}, {high[k]:.4g}]"
            for name, (shifts, (low, middle, high), _) in lines.items()
            for k in np.flatnonzero(shifts == place)
        )
        for place in places
    ]
    reading = Reading([x.at(place) for place in places], says, (y.end, y.start))
    return picture(
        520.0, 292.0, f"Training loss against the shift of all dead units' biases: {ends}", *parts, class_="plot", reading=reading
    )
