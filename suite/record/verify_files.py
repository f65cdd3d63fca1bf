"""Is a record whole, and is it consistent with itself? Knows files, sums, seals and tables; decides and trains nothing."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from suite.record.canonical import plan_from_json, plan_json, plan_sha256
from suite.record.read import UNFINISHED
from suite.record.tables import curves_table, replicates_table, traces_from
from suite.record.unit_table import UNITS, units_table, with_units
from suite.record.write import MANIFEST, VERDICT
from suite.vocabulary import Plan, RequestError, Trace

#: The tables of a record, and the columns each must have besides ``condition`` and ``replicate``.
TABLES = {"replicates.parquet": ("diverged", "diverged_at"), "curves.parquet": ("step",)}
T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """Something in a record that is not as it must be: the file, and one line that names the place in it."""

    file: str
    what: str


@dataclass
class Parts:
    """What could be read of a record; None where a part is missing or damaged, which ``faults`` then names."""

    folder: Path
    files: dict[str, bytes] = field(default_factory=dict)
    plan: Plan | None = None
    verdict: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] | None = None
    timings: Mapping[str, Mapping[str, float]] | None = None
    traces: dict[str, Trace] | None = None
    faults: list[Fault] = field(default_factory=list)

    def fault(self, file: str, what: str) -> None:
        """Note a fault, once."""
        if Fault(file, what) not in self.faults:
            self.faults.append(Fault(file, what))


def read_parts(folder: Path) -> Parts:
    """Read every file of a record and check sums, seals, and that the tables belong to the plan.

    Raises RequestError where the folder is not a record at all.
    """
    if not (folder / VERDICT).is_file() or not (folder / "plan.json").is_file():
        missing = VERDICT if (folder / "plan.json").is_file() else "plan.json"
        raise RequestError(f"{folder}: this is not a finished record, there is no {missing} in it; {UNFINISHED}")
    parts = Parts(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            parts.fault(name, "is a symbolic link; a record holds plain files only")
        elif path.is_file():
            try:
                parts.files[name] = path.read_bytes()
            except OSError as error:
                parts.fault(name, f"cannot be read ({error.strerror})")
    _manifest(parts)
    _seal(parts)
    for name in ("provenance", "timings"):
        setattr(parts, name, _part(parts, f"{name}.json", _mapping))
    _tables(parts)
    return parts


def _part(parts: Parts, name: str, read: Callable[[bytes], T]) -> T | None:
    if name not in parts.files:
        parts.fault(name, "missing")
        return None
    try:
        return read(parts.files[name])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        parts.fault(name, f"damaged or of another version ({type(error).__name__}: {reason})")
        return None


def _mapping(content: bytes) -> dict[str, Any]:
    found = json.loads(content)
    if not isinstance(found, dict):
        raise TypeError("not a JSON object")
    return found


def _manifest(parts: Parts) -> None:
    sums = _part(parts, MANIFEST, _mapping)
    if sums is None:
        return
    for name, digest in sums.items():
        if name not in parts.files:
            if not any(fault.file == name for fault in parts.faults):
                parts.fault(name, "missing, though manifest.json lists it")
        elif hashlib.sha256(parts.files[name]).hexdigest() != digest:
            parts.fault(name, "its content is not what manifest.json has the checksum of")
    for name in parts.files:
        if name not in sums and name != MANIFEST:
            parts.fault(name, "not listed in manifest.json, so it is not a part of the record")


def _seal(parts: Parts) -> None:
    """The plan is in canonical form, and everything that carries its hash carries this one."""
    parts.plan = _part(parts, "plan.json", _plan)
    parts.verdict = _part(parts, VERDICT, _mapping)
    if parts.plan is None:
        return
    if plan_json(parts.plan).encode() != parts.files["plan.json"]:
        parts.fault("plan.json", "not in the form that plans are sealed in")
    sha = hashlib.sha256(parts.files["plan.json"]).hexdigest()
    if parts.verdict is not None:
        if parts.verdict.get("plan_sha256") != sha:
            parts.fault(
                "plan.json", f"its hash is {sha[:12]}…, verdict.json was decided under plan {str(parts.verdict.get('plan_sha256'))[:12]}…"
            )
        elif parts.verdict.get("study") != sha[:12]:
            parts.fault(VERDICT, f"names study {parts.verdict.get('study')}, but the plan's id is {sha[:12]}")


def _plan(content: bytes) -> Plan:
    plan = plan_from_json(content.decode("utf-8"))
    plan_sha256(plan)
    names = [condition.name for condition in plan.conditions]
    if not names or len(set(names)) < len(names):
        raise ValueError("the conditions' names are not distinct")
    for key, kind in (("replicates", int), ("seed", int), ("device", str), ("confidence", float)):
        if not isinstance(getattr(plan, key), kind) or isinstance(getattr(plan, key), bool):
            raise TypeError(f"{key} is {getattr(plan, key)!r}")
    if plan.replicates < 1 or plan.seed < 0 or not 0 < plan.confidence < 1 or plan.device not in ("cpu", "cuda"):
        raise ValueError("replicates, seed, confidence or device is out of range")
    for condition in plan.conditions:
        if not isinstance(condition.config, Mapping) or not isinstance(condition.config.get("train"), Mapping):
            raise TypeError(f"condition {condition.name!r} has no configuration")
        if not isinstance(condition.factors, Mapping) or any(key not in condition.factors for key in plan.factors):
            raise TypeError(f"condition {condition.name!r} does not have every factor")
    return plan


def _tables(parts: Parts) -> None:
    """Read both tables into traces, and check that they hold the plan's rows and nothing else."""
    tables = {name: _part(parts, name, lambda content: pq.read_table(io.BytesIO(content))) for name in TABLES}
    plan, replicates, curves = parts.plan, tables["replicates.parquet"], tables["curves.parquet"]
    if plan is None or replicates is None or curves is None:
        return
    for (name, needed), table in zip(TABLES.items(), (replicates, curves), strict=True):
        if shape := _shape_fault(plan, table, needed):
            parts.fault(name, shape)
            return
    traces = _part(parts, "replicates.parquet", lambda _: traces_from(plan, replicates, curves, parts.timings or {}))
    if traces is None:
        return
    for name, table, rebuilt in zip(
        TABLES, (replicates, curves), (replicates_table(plan, traces), curves_table(plan, traces)), strict=True
    ):
        for what in _structure(table, rebuilt):
            parts.fault(name, what)
    parts.traces = _followed(parts, plan, traces) if UNITS in parts.files else traces


def _followed(parts: Parts, plan: Plan, traces: dict[str, Trace]) -> dict[str, Trace]:
    """The traces with their followed units, as far as these can be read."""
    table = _part(parts, UNITS, lambda content: pq.read_table(io.BytesIO(content)))
    found = None if table is None else _part(parts, UNITS, lambda _: with_units(traces, table))
    if table is None or found is None:
        return traces
    rebuilt = units_table(plan, found)
    if rebuilt is None:
        parts.fault(UNITS, "holds nothing")
        return found
    for what in _structure(table, rebuilt):
        parts.fault(UNITS, what)
    return found


def _shape_fault(plan: Plan, table: pa.Table, needed: tuple[str, ...]) -> str | None:
    """Why a table cannot be that of the plan: a column, a condition or rows that are missing or too many."""
    for column in ("condition", "replicate", *needed):
        if column not in table.column_names:
            return f"column {column}: missing"
    rows = table.column("condition").to_pylist()
    if list(dict.fromkeys(rows)) != [condition.name for condition in plan.conditions]:
        return "its conditions are not the plan's, or not in the plan's order"
    for name, count in Counter(rows).items():
        if count % plan.replicates or ("diverged" in needed and count != plan.replicates):
            return f"condition {name!r}: {count} rows do not make {plan.replicates} replicates"
    return None


def _structure(table: pa.Table, rebuilt: pa.Table) -> Iterator[str]:
    """Where a table's rows, factors or flags are not those that its own numbers and the plan give."""
    if table.num_rows != rebuilt.num_rows:
        yield f"{table.num_rows} rows, where the plan's conditions and replicates make {rebuilt.num_rows}"
        return
    for name in rebuilt.column_names:
        if name not in table.column_names:
            yield f"column {name}: missing"
    for name in table.column_names:
        if name not in rebuilt.column_names:
            yield f"column {name}: not a column of this study"
        elif not table.column(name).equals(rebuilt.column(name)):
            rows = zip(table.column(name).to_pylist(), rebuilt.column(name).to_pylist(), strict=True)
            row = next((number for number, (a, b) in enumerate(rows) if a != b or type(a) is not type(b)), None)
            if row is None:
                yield f"column {name}: of type {table.column(name).type}, not {rebuilt.column(name).type}"
                continue
            keys = [key for key in ("condition", "replicate", "step", "layer") if key in rebuilt.column_names]
            place = ", ".join(f"{key} {rebuilt.column(key)[row]}" for key in keys)
            old, new = table.column(name)[row], rebuilt.column(name)[row]
            yield f"{place}, column {name}: {old}, where the plan and the other columns give {new}"
