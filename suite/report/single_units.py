"""Pictures of single units: which died when and came back, and how a layer's pre-activations slide across zero. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from suite.report.svg import Axis, Reading, axis_over, picture, short, tag
from suite.vocabulary import Study, Trace

#: Conditions drawn at most, and of those in which no unit ever changes; the page opens with the first three.
MOST, UNCHANGING = 9, 2
#: Rows and columns of a raster at most, and panels of layers.
ROWS, COLUMNS, PANELS = 512, 96, 4
LEFT, WIDTH = 40.0, 250.0
#: What a unit is at an evaluation, as the page's style names it.
ALIVE, DEAD, BACK, GONE = 0, 1, 2, 3
LEVELS = ("alive", "dead", "back", "gone")
#: The same in words, with their classes, for the key of a file.
STATES = {"alive": "alive", "dead": "dead", "alive again": "back", "diverged": "gone"}


def unit_pictures(study: Study, order: Sequence[str]) -> list[dict[str, Any]]:
    """For the first conditions in which some followed unit is ever dead, those before all others in which units die or come back: a
    raster of the units, and the spread of their pre-activations.
    """
    changing: list[str] = []
    constant: list[str] = []
    for name in order:
        trace = study.traces[name]
        states = [trace.units[f"state.{layer}"] for layer in layers_of(trace)]
        if len(trace.steps) > 2 and any((state == 0).any() for state in states):
            changes = any(((state[:, :-1] == 0) != (state[:, 1:] == 0)).any() for state in states)
            (changing if changes else constant).append(name)
    found = []
    for name in [*changing, *constant[:UNCHANGING]][:MOST]:
        trace = study.traces[name]
        layers = layers_of(trace)
        found.append({"name": name, "raster": raster(name, trace, layers), "spread": spread_picture(name, trace, layers)})
    return found


def layers_of(trace: Trace) -> list[str]:
    """The layers whose units are followed, in the network's order."""
    names = [column.removeprefix("state.") for column in trace.units if column.startswith("state.")]
    return sorted(names, key=lambda layer: int(layer.removeprefix("layer")))


def _shown(trace: Trace, layers: Sequence[str]) -> int:
    """How many replicates are drawn."""
    units = sum(trace.units[f"state.{layer}"].shape[2] for layer in layers)
    return max(1, min(len(trace.units[f"state.{layers[0]}"]), ROWS // int(units)))


def levels(state: NDArray[np.float64]) -> NDArray[np.int64]:
    """[…, time, unit] states as recorded → ALIVE, DEAD, BACK (alive after having been dead) or GONE (diverged). A unit above zero by
    rounding alone (state 2) stays what it was.

    >>> levels(np.array([[1.0], [0.0], [2.0], [1.0]]))[:, 0].tolist()
    [0, 1, 1, 2]
    """
    found = np.empty(state.shape, dtype=np.int64)
    ever = np.zeros_like(state[..., 0, :], dtype=bool)
    before = np.zeros(ever.shape, dtype=np.int64)
    for time in range(state.shape[-2]):
        now = state[..., time, :]
        ever |= now == 0
        level = np.where(now == 0, DEAD, np.where(now == 1, np.where(ever, BACK, ALIVE), before))
        before = found[..., time, :] = np.where(np.isnan(now), GONE, level)
    return found


def sorted_units(level: NDArray[np.int64]) -> NDArray[np.int64]:
    """[time, unit] → the same with units that were dead longest first, of these the earlier dead first."""
    dead = level == DEAD
    first = np.where(dead.any(axis=0), dead.argmax(axis=0), len(level))
    return level[:, np.lexsort((first, -dead.sum(axis=0)))]


def raster(name: str, trace: Trace, layers: Sequence[str]) -> Markup:
    """Rows: units, by replicate and in it by layer, of very many units a part; columns: evaluations."""
    shown = _shown(trace, layers)
    columns = np.unique(np.linspace(0, len(trace.steps) - 1, min(len(trace.steps), COLUMNS)).round().astype(int))
    every = {layer: levels(trace.units[f"state.{layer}"][:shown]) for layer in layers}
    units = sum(level.shape[2] for level in every.values())
    thinned = min(1.0, ROWS / units)
    height = min(5.0, max(0.7, 300.0 / (units * shown * thinned)))
    parts: list[Markup] = []
    y = 6.0
    for replicate in range(shown):
        top = y
        for layer, level in every.items():
            rows = sorted_units(level[replicate])[columns].T
            inner = [tag("title", _told(replicate, layer, rows))]
            if thinned < 1:  # evenly, in their order, so that shares stay what they are
                rows = rows[np.unique(np.linspace(0, len(rows) - 1, max(1, round(len(rows) * thinned))).round().astype(int))]
            inner += _runs(rows)
            scale = f"translate({LEFT:g} {y:.2f}) scale({WIDTH / len(columns):.4f} {height:.4f})"
            parts.append(tag("g", *inner, transform=scale, class_="raster"))
            y += len(rows) * height
            if layer != layers[-1]:
                parts.append(tag("line", x1=LEFT - 4, x2=LEFT + WIDTH, y1=y, y2=y, class_="between"))
        parts.append(tag("rect", x=LEFT, y=top, width=WIDTH, height=y - top, class_="edge"))
        parts.append(tag("text", str(replicate), x=LEFT - 6, y=(top + y) / 2 + 4, class_="tick", text_anchor="end"))
        y += 5.0
    parts += _below(trace, y - 5.0)
    middle = f"translate(12 {(y + 6) / 2:.0f}) rotate(-90)"
    parts.append(tag("text", "units of replicate", x=0.0, y=0.0, class_="tick", text_anchor="middle", transform=middle))
    last = np.concatenate([level[:, -1].ravel() for level in every.values()])
    counts = f"{(last == DEAD).sum()} dead at the end, {(last == BACK).sum()} that had been dead alive again"
    words = f"{name}: {units} units (rows) in each of {shown} replicates over {len(columns)} evaluations: of {last.size}, {counts}"
    reading = Reading(
        [LEFT + (k + 0.5) * WIDTH / len(columns) for k in range(len(columns))],
        [_at(int(trace.steps[time]), [level[:, time] for level in every.values()]) for time in columns],
        (6.0, y - 5.0),
    )
    return picture(LEFT + WIDTH + 8, y + 15, words, *parts, class_="heat unit", reading=reading)


def _at(step: int, levels_now: Sequence[NDArray[np.int64]]) -> str:
    """How many units are what at one evaluation, over all the layers."""
    now = np.concatenate([level.ravel() for level in levels_now])
    counts = [
        f"{(now == level).sum()} {word}"
        for level, word in ((DEAD, "dead"), (BACK, "came back"), (GONE, "diverged"))
        if (now == level).any()
    ]
    return f"step {step}; " + "; ".join([*(counts or ["none dead"]), f"of {now.size} units"])


def _runs(rows: NDArray[np.int64]) -> list[Markup]:
    """[unit, column] as one path per level, runs of equal level joined; one unit is one high, one column one wide."""
    paths: dict[int, list[str]] = {}
    for row, level in enumerate(rows):
        ends = [0, *(np.flatnonzero(np.diff(level)) + 1).tolist(), len(level)]
        for first, last in pairwise(ends):
            paths.setdefault(int(level[first]), []).append(f"M{first} {row}.5h{last - first}")
    return [tag("path", d="".join(path), class_=LEVELS[level]) for level, path in sorted(paths.items())]


def _told(replicate: int, layer: str, rows: NDArray[np.int64]) -> str:
    """[unit, column] in words."""
    ever, last = (rows == DEAD).any(axis=1), rows[:, -1]
    diverged = ", diverged" if (last == GONE).any() else ""
    return (
        f"replicate {replicate}, {layer}: {ever.sum()} of {len(rows)} units dead at some time, {(last == DEAD).sum()} at the end, "
        f"{(last == BACK).sum()} came back{diverged}"
    )


def _below(trace: Trace, y: float) -> list[Markup]:
    """First and last step under a picture."""
    right = LEFT + WIDTH
    return [
        tag("text", short(float(trace.steps[0])), x=LEFT, y=y + 14, class_="tick"),
        tag("text", "training step", x=LEFT + WIDTH / 2, y=y + 14, class_="tick", text_anchor="middle"),
        tag("text", short(float(trace.steps[-1])), x=right, y=y + 14, class_="tick", text_anchor="end"),
    ]


def spread_picture(name: str, trace: Trace, layers: Sequence[str]) -> Markup | None:
    """The quantiles of pre-activations over time, a panel per layer, each the median over followed replicates; None where they
    were not followed.
    """
    chosen = [layers[k] for k in np.unique(np.linspace(0, len(layers) - 1, min(len(layers), PANELS)).round().astype(int))]
    columns = ("pre_q05", "pre_q25", "pre_q50", "pre_q75", "pre_q95", "pre_max")
    if any(f"{column}.{layer}" not in trace.units for column in columns for layer in chosen):
        return None
    x = Axis(float(trace.steps[0]), float(trace.steps[-1]), LEFT, LEFT + WIDTH)
    tall = {1: 190.0, 2: 110.0}.get(len(chosen), 78.0)
    parts: list[Markup] = []
    top, said = 16.0, []
    told: dict[int, list[str]] = {}
    for layer in chosen:
        values = np.stack([trace.units[f"{column}.{layer}"] for column in columns])
        seen = np.isfinite(values).all(axis=0).any(axis=0)
        if not seen.any():
            continue
        middle = np.nanmedian(values[:, :, seen], axis=1)
        y = axis_over([*middle.ravel().tolist(), 0.0], top + tall, top, log=False)
        parts += _panel(x, y, layer, trace.steps[seen], middle)
        for step, (_, low, half, high, _, most) in zip(trace.steps[seen].tolist(), middle.T.tolist(), strict=True):
            words_now = f"{layer}: median {short(half)}, quartiles [{short(low)}, {short(high)}], largest {short(most)}"
            told.setdefault(step, []).append(words_now)
        said.append(f"{layer}: median from {short(float(middle[2, 0]))} to {short(float(middle[2, -1]))}")
        top += tall + 24
    if not said:
        return None
    words = f"{name}: pre-activations over training, {'; '.join(said)}"
    reading = Reading(
        [x.at(step) for step in told], [f"step {step}; " + "; ".join(lines) for step, lines in told.items()], (16.0, top - 24)
    )
    return picture(LEFT + WIDTH + 8, top + 8, words, *parts, *_below(trace, top - 24), class_="heat unit", reading=reading)


def _panel(x: Axis, y: Axis, layer: str, steps: NDArray[np.int64], middle: NDArray[np.float64]) -> list[Markup]:
    at = [f"{x.at(float(step)):.1f}" for step in steps]

    def points(values: NDArray[np.float64]) -> list[str]:
        return [f"{a} {y.at(float(v)):.1f}" for a, v in zip(at, values, strict=True)]

    parts = []
    for value in y.ticks(3):
        parts.append(tag("line", x1=x.start, x2=x.end, y1=y.at(value), y2=y.at(value), class_="grid"))
        parts.append(tag("text", short(value), x=x.start - 5, y=y.at(value) + 4, class_="tick", text_anchor="end"))
    for low, high in ((0, 4), (1, 3)):
        outline = "M" + "L".join([*points(middle[high]), *reversed(points(middle[low]))]) + "Z"
        parts.append(tag("path", d=outline, class_="band"))
    parts.append(tag("path", d="M" + "L".join(points(middle[2])), class_="line"))
    parts.append(tag("path", d="M" + "L".join(points(middle[5])), class_="top"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.at(0.0), y2=y.at(0.0), class_="threshold"))
    parts.append(tag("text", f"{layer}: pre-activation (dimensionless)", x=x.start, y=y.end - 5, class_="tick"))
    return [tag("g", *parts, class_="c0")]
