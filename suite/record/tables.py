"""Traces as Parquet tables and back, without losing a bit. The same data give the same bytes.

A cell is null where there is no number: after a replicate's divergence, where a metric is undefined, and in conditions
that do not measure it. Which condition measures what, in which order, stands in the schema's metadata.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from suite.vocabulary import Level, Plan, Trace

#: Schema metadata: {condition: [metric, …]}.
MEASURED = b"deadzone.metrics"
_INT64 = np.iinfo(np.int64)


def replicates_table(plan: Plan, traces: Mapping[str, Trace]) -> pa.Table:
    """One row per condition and replicate: ``condition``, ``replicate``, a column per factor (its levels as numbers, flags
    or text; lists, and levels of several types, as JSON text), ``diverged``, ``diverged_at`` (null where it did not), and a
    column per final metric in float64."""
    ordered = [traces[condition.name] for condition in plan.conditions]
    counts = [trace.count for trace in ordered]
    ended = np.concatenate([trace.diverged_at for trace in ordered])
    columns = {
        "condition": pa.array(np.repeat([condition.name for condition in plan.conditions], counts).tolist(), pa.string()),
        "replicate": pa.array(np.concatenate([np.arange(t.first, t.first + t.count) for t in ordered]), pa.int64()),
    }
    for factor in plan.factors:
        levels = [condition.factors.get(factor) for condition in plan.conditions]
        columns |= _new(columns, factor, _levels(levels).take(pa.array(np.repeat(np.arange(len(levels)), counts))))
    columns |= _new(columns, "diverged", pa.array(ended >= 0))
    columns |= _new(columns, "diverged_at", pa.array(ended, pa.int64(), mask=ended < 0))
    return _with_metrics(columns, ordered, lambda trace: trace.finals, lambda trace: (trace.count,))


def curves_table(plan: Plan, traces: Mapping[str, Trace]) -> pa.Table:
    """One row per condition, replicate and evaluation: ``condition``, ``replicate``, ``step``, and a column per metric in
    float64, null from a replicate's divergence on."""
    ordered = [traces[condition.name] for condition in plan.conditions]
    rows = [trace.count * len(trace.steps) for trace in ordered]
    replicates = [np.repeat(np.arange(t.first, t.first + t.count), len(t.steps)) for t in ordered]
    columns = {
        "condition": pa.array(np.repeat([condition.name for condition in plan.conditions], rows).tolist(), pa.string()),
        "replicate": pa.array(np.concatenate(replicates), pa.int64()),
        "step": pa.array(np.concatenate([np.tile(trace.steps, trace.count) for trace in ordered]), pa.int64()),
    }
    return _with_metrics(columns, ordered, lambda trace: trace.curves, lambda trace: (trace.count, len(trace.steps)))


def to_bytes(table: pa.Table) -> bytes:
    """Parquet with zstd and no times in it. A metric of few values is coded by a dictionary, one of many by planes of bytes
    (the low bytes of widened float32 numbers are all zero), whichever is smaller."""
    floating = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    many = [name for name in floating if 8 * pc.count_distinct(table.column(name)).as_py() > table.num_rows]
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=9,
        use_dictionary=[name for name in table.column_names if name not in many],
        column_encoding=dict.fromkeys(many, "BYTE_STREAM_SPLIT"),
    )
    return buffer.getvalue()


def from_bytes(content: bytes) -> pa.Table:
    """The table back, metadata included. Raises pyarrow's errors, most of which are ValueErrors."""
    return pq.read_table(io.BytesIO(content))


def traces_from(
    plan: Plan, replicates: pa.Table, curves: pa.Table, timings: Mapping[str, Mapping[str, float | None]]
) -> dict[str, Trace]:
    """The traces as they were. Raises ValueError where rows or columns are missing or out of order."""
    finals_of, curves_of = _by_condition(replicates), _by_condition(curves)
    names = [condition.name for condition in plan.conditions]
    if list(finals_of) != names or list(curves_of) != names:
        raise ValueError(f"the tables hold the conditions {list(finals_of)} and {list(curves_of)}, the plan {names}")
    return {name: _trace(name, finals_of[name], curves_of[name], timings[name]) for name in names}


def _trace(name: str, finals: pa.Table, curves: pa.Table, timings: Mapping[str, float | None]) -> Trace:
    ids = finals.column("replicate").to_numpy()
    first, count = int(ids[0]), len(ids)
    shape = (count, curves.num_rows // count)
    steps = curves.column("step").to_numpy()[: shape[1]].astype(np.int64)
    in_order = (
        np.array_equal(ids, np.arange(first, first + count))
        and np.array_equal(curves.column("replicate").to_numpy(), np.repeat(ids, shape[1]))
        and np.array_equal(curves.column("step").to_numpy(), np.tile(steps, count))
    )
    if not in_order:
        raise ValueError(f"condition {name!r}: rows are missing, doubled or out of order")
    return Trace(
        name,
        first,
        steps,
        {metric: _numbers(curves, metric).reshape(shape) for metric in _measured(curves, name)},
        {metric: _numbers(finals, metric) for metric in _measured(finals, name)},
        finals.column("diverged_at").fill_null(-1).to_numpy().astype(np.int64),
        {key: np.nan if value is None else float(value) for key, value in timings.items()},
    )


def _by_condition(table: pa.Table) -> dict[str, pa.Table]:
    column = table.column("condition")
    return {name: table.filter(pc.equal(column, name)) for name in pc.unique(column).to_pylist()}


def _measured(table: pa.Table, condition: str) -> list[str]:
    metadata = table.schema.metadata or {}
    if MEASURED not in metadata:
        raise ValueError("the table does not say which metrics it holds")
    return [str(name) for name in json.loads(metadata[MEASURED])[condition]]


def _numbers(table: pa.Table, metric: str) -> NDArray[np.float64]:
    # null becomes NaN; the copy is contiguous and writable, as the trace that was written
    return np.array(table.column(metric).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _with_metrics(
    columns: dict[str, pa.Array],
    ordered: Sequence[Trace],
    metrics: Callable[[Trace], Mapping[str, NDArray[np.float64]]],
    shape: Callable[[Trace], tuple[int, ...]],
) -> pa.Table:
    for name in _union(metrics(trace) for trace in ordered):
        parts = [metrics(trace).get(name, np.full(shape(trace), np.nan)) for trace in ordered]
        for trace, part in zip(ordered, parts, strict=True):
            if part.shape != shape(trace):
                raise ValueError(f"condition {trace.condition!r}: {name} has shape {part.shape}, not {shape(trace)}")
        values = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
        columns |= _new(columns, name, pa.array(values, pa.float64(), mask=np.isnan(values)))
    measured = {trace.condition: list(metrics(trace)) for trace in ordered}
    return pa.table(columns).replace_schema_metadata({MEASURED: json.dumps(measured)})


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in groups for name in names))


def _new(columns: Mapping[str, pa.Array], name: str, values: pa.Array) -> dict[str, pa.Array]:
    if name in columns:
        raise ValueError(f"two columns of the record are named {name!r}; rename the metric")
    return {name: values}


def _levels(levels: Sequence[Level]) -> pa.Array:
    """One entry per condition: flags, whole numbers, numbers or text where all levels are, JSON text otherwise."""
    known = [level for level in levels if level is not None]
    if all(isinstance(level, bool) for level in known) and known:
        return pa.array(levels, pa.bool_())
    if all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in known) and known:
        whole = all(isinstance(level, int) for level in known)
        if not whole:
            return pa.array([None if level is None else float(level) for level in levels], pa.float64())  # type: ignore[arg-type]
        if all(_INT64.min <= level <= _INT64.max for level in known):  # type: ignore[operator]
            return pa.array(levels, pa.int64())
    return pa.array([level if level is None or isinstance(level, str) else json.dumps(level) for level in levels], pa.string())
