"""Followed units as a Parquet table and back, without losing a bit. Knows rows and columns, not what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from suite.record.arrow import numbers, table, texts
from suite.vocabulary import Plan, Trace

UNITS = "units.parquet"
KEYS = ("condition", "replicate", "step", "layer")
Array = NDArray[np.float64]


def units_table(plan: Plan, traces: Mapping[str, Trace]) -> pa.Table | None:
    """One row per condition, followed replicate, evaluation and hidden layer: ``condition``, ``replicate``, ``step``, ``layer``, then what
    probes follow there: a number, in float32 where that loses nothing, or a list with a whole number per unit (null after
    divergence and where not followed). None where nothing is followed.
    """
    names = {name for trace in traces.values() for name in trace.units}
    columns = sorted({name.rpartition(".")[0] for name in names})
    keys: dict[str, list[Any]] = {"condition": [], "replicate": [], "step": [], "layer": []}
    cells: dict[str, list[pa.Array]] = {column: [] for column in columns}
    for condition in plan.conditions:
        trace = traces[condition.name]
        if not trace.units:
            continue
        layers = list(dict.fromkeys(name.rpartition(".")[2] for name in trace.units))
        followed = len(next(iter(trace.units.values())))
        for layer in layers:
            rows = followed * len(trace.steps)
            keys["condition"] += [condition.name] * rows
            keys["replicate"] += np.repeat(np.arange(followed), len(trace.steps)).tolist()
            keys["step"] += np.tile(trace.steps, followed).tolist()
            keys["layer"] += [layer] * rows
            for column in columns:
                cells[column].append(_followed(trace.units.get(f"{column}.{layer}"), rows))
    if not columns:
        return None
    places = {name: texts(keys[name]) if name in ("condition", "layer") else numbers(np.array(keys[name], dtype=np.int64)) for name in keys}
    return table(places | {column: _one_type(parts) for column, parts in cells.items()})


def _followed(values: Array | None, rows: int) -> pa.Array:
    """[followed, time] as numbers, [followed, time, unit] as lists, nothing as nulls."""
    if values is None:
        return pa.nulls(rows)
    if values.ndim == 2:
        return numbers(values.ravel(), np.isnan(values.ravel()))
    flat = values.reshape(rows, -1)
    missing = np.isnan(flat).any(axis=1)
    lengths = np.where(missing, 0, flat.shape[1])
    offsets = numbers(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), np.append(missing, False))
    return pa.ListArray.from_arrays(offsets, numbers(flat[~missing].ravel().astype(np.int8)))


def _one_type(parts: list[pa.Array]) -> pa.ChunkedArray:
    """The pieces of a column as one; pieces of nulls take the others' type."""
    lists = any(pa.types.is_list(part.type) for part in parts)
    # NaN still stands where a value is null
    floats = [np.frombuffer(part.buffers()[1], dtype=np.float64, count=len(part)) for part in parts if pa.types.is_floating(part.type)]
    with np.errstate(over="ignore"):
        exact = all(np.array_equal(values.astype(np.float32), values, equal_nan=True) for values in floats)
    kind = pa.list_(pa.int8()) if lists else pa.float32() if exact else pa.float64()
    return pa.concat_arrays([part.cast(kind) for part in parts])


def with_units(traces: Mapping[str, Trace], followed: pa.Table) -> dict[str, Trace]:
    """The traces with their followed units. Raises ValueError where rows do not add up, KeyError where a condition has no trace."""
    found = _by_condition(followed, {name: len(trace.steps) for name, trace in traces.items()})
    for name, courses in found.items():
        if any(len(course) > traces[name].count for course in courses.values()):
            raise ValueError(f"condition {name!r}: more replicates followed than there are")
    return {name: replace(trace, units=found.get(name, {})) for name, trace in traces.items()}


def _by_condition(followed: pa.Table, steps: Mapping[str, int]) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    places = [tuple(row) for row in zip(followed.column("condition").to_pylist(), followed.column("layer").to_pylist(), strict=True)]
    columns = [name for name in followed.column_names if name not in KEYS]
    starts = [row for row, place in enumerate(places) if row == 0 or place != places[row - 1]]
    for first, last in zip(starts, [*starts[1:], len(places)], strict=True):
        condition, layer = places[first]
        part, mine = followed.slice(first, last - first), found.setdefault(condition, {})
        if any(f"{column}.{layer}" in mine for column in columns):
            raise ValueError(f"condition {condition!r}, {layer}: its rows do not stand together")
        for column in columns:
            values = part.column(column).combine_chunks()
            if pa.types.is_list(values.type):
                if values.null_count == len(values):
                    continue
                flat = np.full((len(values), max(len(row) for row in values.to_pylist() if row is not None)), np.nan)
                seen = ~values.is_null().to_numpy(zero_copy_only=False)
                flat[seen] = values.flatten().to_numpy().reshape(int(seen.sum()), -1)
                mine[f"{column}.{layer}"] = flat.reshape(-1, steps[condition], flat.shape[1])
            else:
                course = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
                mine[f"{column}.{layer}"] = course.reshape(-1, steps[condition])
    return found
