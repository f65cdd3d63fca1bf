"""Traces as Parquet tables and back, without losing a bit. The same data give the same bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from suite.record.arrow import flags, numbers, table, texts
from suite.vocabulary import Level, Plan, Trace


def _levels(levels: list[Level]) -> pa.Array:
    """A factor's column: numbers or flags where all are, text otherwise."""
    if all(isinstance(level, bool) for level in levels):
        return flags(np.array(levels, dtype=bool))
    if all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in levels):
        whole = all(isinstance(level, int) for level in levels)
        return numbers(np.array(levels, dtype=np.int64 if whole else np.float64))
    return texts([level if isinstance(level, str) else json.dumps(level) for level in levels])


def _union(traces: Mapping[str, Trace], kind: str) -> list[str]:
    return list(dict.fromkeys(name for trace in traces.values() for name in getattr(trace, kind)))


def replicates_table(plan: Plan, traces: Mapping[str, Trace]) -> pa.Table:
    """One row per condition and replicate: ``condition``, ``replicate``, a column per factor, ``diverged``, ``diverged_at``
    (null where it did not), and a column per final metric (null where undefined or not measured).
    """
    rows = [(condition, replicate) for condition in plan.conditions for replicate in range(traces[condition.name].count)]
    columns: dict[str, Any] = {
        "condition": texts([condition.name for condition, _ in rows]),
        "replicate": numbers(np.array([replicate for _, replicate in rows], dtype=np.int64)),
    }
    for factor in plan.factors:
        columns[factor] = _levels([condition.factors[factor] for condition, _ in rows])
    ended = np.concatenate([traces[condition.name].diverged_at for condition in plan.conditions])
    columns["diverged"] = flags(ended >= 0)
    columns["diverged_at"] = numbers(ended, ended < 0)
    for metric in _union(traces, "finals"):
        columns[metric] = _metric([_or_missing(traces[condition.name], "finals", metric) for condition in plan.conditions])
    return table(columns)


def curves_table(plan: Plan, traces: Mapping[str, Trace]) -> pa.Table:
    """One row per condition, replicate and evaluation: ``condition``, ``replicate``, ``step``, a column per metric (null after
    divergence and where not measured).
    """
    names, replicates, steps = [], [], []
    for condition in plan.conditions:
        trace = traces[condition.name]
        names += [condition.name] * (trace.count * len(trace.steps))
        replicates.append(np.repeat(np.arange(trace.count), len(trace.steps)))
        steps.append(np.tile(trace.steps, trace.count))
    columns: dict[str, Any] = {
        "condition": texts(names),
        "replicate": numbers(np.concatenate(replicates)),
        "step": numbers(np.concatenate(steps)),
    }
    for metric in _union(traces, "curves"):
        columns[metric] = _metric([_or_missing(traces[condition.name], "curves", metric).ravel() for condition in plan.conditions])
    return table(columns)


def _or_missing(trace: Trace, kind: str, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    shape = (trace.count, len(trace.steps)) if kind == "curves" else (trace.count,)
    found = getattr(trace, kind).get(metric)
    return np.full(shape, np.nan) if found is None else found


def _metric(parts: list[np.ndarray[Any, np.dtype[np.float64]]]) -> pa.Array:
    values = np.concatenate(parts)
    return numbers(values, np.isnan(values))


def to_bytes(table: pa.Table) -> bytes:
    """Parquet, zstd, no timestamps."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=9, store_schema=False)
    return buffer.getvalue()


def traces_from(plan: Plan, replicates: pa.Table, curves: pa.Table, timings: Mapping[str, Mapping[str, float]]) -> dict[str, Trace]:
    """The traces back, without followed units. A metric that is null throughout a condition comes back as NaN, as it was."""
    fixed = {"condition", "replicate", "step", "diverged", "diverged_at", *plan.factors}
    finals_of, curves_of = _by_condition(replicates), _by_condition(curves)
    traces = {}
    for condition in plan.conditions:
        final, curve = finals_of[condition.name], curves_of[condition.name]
        count = len(final["replicate"])
        steps = curve["step"].reshape(count, -1)[0].astype(np.int64)
        traces[condition.name] = Trace(
            condition.name,
            0,
            steps,
            {name: values.reshape(count, -1) for name, values in curve.items() if name not in fixed},
            {name: values for name, values in final.items() if name not in fixed},
            np.where(np.isnan(final["diverged_at"]), -1, final["diverged_at"]).astype(np.int64),
            timings.get(condition.name, {}),
        )
    return traces


def _by_condition(table: pa.Table) -> dict[str, dict[str, np.ndarray[Any, np.dtype[np.float64]]]]:
    names = np.asarray(table.column("condition").to_pylist())
    numeric = {
        field.name: table.column(field.name).cast(pa.float64()).to_numpy(zero_copy_only=False)
        for field in table.schema
        if field.name != "condition" and (pa.types.is_floating(field.type) or pa.types.is_integer(field.type))
    }
    return {name: {key: values[names == name] for key, values in numeric.items()} for name in dict.fromkeys(names.tolist())}
