"""The story of a verification: is the record whole, what is other here, train it again, compare, say so."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from suite.record.atomic import write_text
from suite.record.canonical import study_id, to_json
from suite.record.verify_facts import Difference, check_facts, differences, ranks_in
from suite.record.verify_files import Fault, Parts, read_parts
from suite.record.verify_numbers import EXACT, Comparison, tolerance_for
from suite.report import terminal, verification
from suite.report.progress import Progress
from suite.study.commands import records_of
from suite.study.outcome import outcome_of
from suite.study.repeat import Repetition, prepare, substituted, train_again
from suite.study.run import facts_of
from suite.study.verify_offline import BROKEN, check_derived, recorded_outcome
from suite.study.verify_request import VerifyRequest
from suite.vocabulary import Outcome, Plan, RequestError, RunFailed, Trace, is_timed

REPRODUCED, NOT_REPRODUCED, WRONG = 0, 1, 2


def verify(request: VerifyRequest) -> int:
    """Check and repeat one record, or every record of a results folder. Returns 0 where all reproduce, 1 where one does not, 2 where
    one could not be repeated here (its data are missing, say).
    """
    console = terminal.console()
    torch.set_num_threads(1)
    target = _target(request)
    if not request.every:
        body = verify_record(request.folder, request, console)
        verification.print_verification(body, console)
        _write(target, body, console)
        return REPRODUCED if body["reproduced"] else NOT_REPRODUCED
    records = records_of(request.folder)
    if not records:
        raise RequestError(f"{request.folder}: no record (a folder with a verdict.json) is here; run a study first")
    bodies: list[dict[str, Any]] = []
    for record in records:
        try:
            body = verify_record(record, request, console)
            verification.print_verification(body, console)
        except RequestError as error:
            body = {"record": str(record), "reproduced": None, "result": f"cannot be repeated here: {error}"}
            console.print(f"{record}: {body['result']}\n", highlight=False, markup=False, soft_wrap=True)
        except RunFailed as error:
            body = {"record": str(record), "reproduced": False, "result": f"NOT reproduced: {error}"}
            console.print(f"{record}: {body['result']}\n", highlight=False, markup=False, soft_wrap=True)
        bodies.append(body)
    verification.print_summary(bodies, console)
    _write(target, {"records": bodies, "reproduced": all(body["reproduced"] for body in bodies)}, console)
    if any(body["reproduced"] is False for body in bodies):
        return NOT_REPRODUCED
    return REPRODUCED if all(body["reproduced"] for body in bodies) else WRONG


def _target(request: VerifyRequest) -> Path:
    """Where the machine-readable outcome goes: never into the record. Raises RequestError, before anything is trained, where it cannot be
    written.
    """
    folder = request.folder.resolve()
    default = folder / ".verify" / "all.json" if request.every else folder.parent / ".verify" / f"{folder.name}.json"
    target = request.json or default
    if not request.every and folder in (target.resolve().parent, *target.resolve().parents):
        raise RequestError(f"--json {target}: lies inside the record, which it would change; name a place outside")
    if not request.folder.is_dir():
        raise RequestError(f"{request.folder}: there is no such folder; name a record, such as results/born_dead")
    near = next(parent for parent in target.resolve().parents if parent.exists())
    if target.is_dir() or not near.is_dir() or not os.access(near, os.W_OK):
        raise RequestError(f"{target}: cannot be written; name another place with --json PATH")
    return target


def _write(target: Path, body: Mapping[str, Any], console: Console) -> None:
    write_text(target, to_json(body, sort_keys=False))
    console.print(f"written  {_near(target)}", highlight=False, markup=False, soft_wrap=True)


def _near(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def verify_record(folder: Path, request: VerifyRequest, console: Console) -> dict[str, Any]:
    """Everything that was found out about one record, as plain JSON. Raises RequestError where it cannot be repeated here."""
    began = time.monotonic()
    parts = read_parts(folder)
    check_facts(parts)
    notes = check_derived(parts)
    body: dict[str, Any] = {"record": str(folder)}
    if parts.plan is None:
        return body | _finding(parts, notes, [], None, None)
    body |= {"scenario": parts.plan.scenario, "study": study_id(parts.plan), "exploratory": parts.plan.exploratory}
    body |= {"conditions": len(parts.plan.conditions), "replicates": parts.plan.replicates, "data": list(parts.plan.data)}
    if parts.traces is None or parts.provenance is None:
        return body | _finding(parts, notes, [], None, None)
    try:
        repetition = prepare(
            parts.plan,
            request.device,
            request.precision,
            request.executor.block_size,
            request.sample,
            request.seed,
            request.data_dir,
            ranks_in(parts.provenance),
        )
    except RequestError as error:
        if str(error).startswith("plan.json: "):
            parts.fault("plan.json", str(error).removeprefix("plan.json: "))
        elif parts.faults:
            notes.append(f"not trained again: {error}")
        else:
            raise
        return body | _finding(parts, notes, [], None, None)
    found = _differences(parts, repetition)
    verification.print_head(
        body | {"faults": [asdict(fault) for fault in parts.faults], "environment": [asdict(d) for d in found]}, console
    )
    repeated = _repeat(repetition, request, console)
    body |= _finding(parts, notes, found, repetition, repeated)
    return body | {"seconds": round(time.monotonic() - began, 1)}


def _differences(parts: Parts, repetition: Repetition) -> list[Difference]:
    """What is other here than it was for the record: the facts of both, with the data as they are here."""
    assert parts.plan is not None and parts.provenance is not None
    sums = {key: dict(dataset.checksums) for key, dataset in repetition.datasets.items()}
    here = facts_of(replace(repetition.plan, data=sums), datetime.now(UTC), repetition.ranks)
    then = {**parts.provenance, "device": parts.plan.device}
    found = differences(then, {**here, "device": repetition.plan.device}, repetition.plan.device)
    return found + [Difference("repeated", None, change, "rounding") for change in repetition.changes]


def _repeat(repetition: Repetition, request: VerifyRequest, console: Console) -> list[Trace]:
    with Progress(repetition.blocks, console) as progress:
        return list(train_again(repetition, request.executor, request.data_dir, progress))


def _finding(
    parts: Parts, notes: list[str], found: list[Difference], repetition: Repetition | None, repeated: list[Trace] | None
) -> dict[str, Any]:
    """Compare, decide anew, and put everything into the form that is written and printed."""
    comparison = Comparison(other_code=any(difference.kind == "code" for difference in found))
    body: dict[str, Any] = {"environment": [asdict(difference) for difference in found]}
    disagree: list[str] = []
    if repetition is not None and repeated is not None:
        assert parts.plan is not None and parts.traces is not None
        elsewhere = any(difference.kind in ("rounding", "code", "data") for difference in found)
        precision = {c.name: str(c.config["precision"]) for c in parts.plan.conditions}
        for condition, trace in zip(
            [c for c in repetition.plan.conditions for t in repeated if t.condition == c.name], _ordered(repetition, repeated), strict=True
        ):
            tolerance = tolerance_for(precision[condition.name], str(condition.config["precision"])) if elsewhere else EXACT
            comparison.add(parts.traces[condition.name], trace, tolerance)
        body["blocks"] = {
            "repeated": len(repetition.blocks),
            "all": repetition.total,
            "which": [{"condition": b.condition.name, "first": b.first, "count": b.count} for b in repetition.blocks],
        }
        body["verdicts"] = _verdicts(parts, parts.plan, repetition, repeated)
        disagree = [name for name, entry in body["verdicts"].items() if not entry["agrees"]]
        if comparison.unrecorded:
            notes.append(f"measured by this code and not in the record: {', '.join(sorted(comparison.unrecorded))}")
        for line in comparison.shape:
            parts.fault("curves.parquet", line)
        for column in comparison.columns.values():
            if column.different and not _excused(found):
                parts.fault(column.table, _told(column.name, column.different, column.named[0]))
    body["columns"] = [asdict(column) for column in comparison.columns.values()]
    body["numbers"] = {kind: comparison.total(kind) for kind in ("numbers", "identical", "within", "different", "measured")}
    body |= {"faults": [asdict(fault) for fault in parts.faults], "notes": notes, "files": len(parts.files)}
    reproduced = repeated is not None and not parts.faults and not disagree
    return body | {"reproduced": reproduced, "result": _result(body, parts.faults, disagree, reproduced)}


def _ordered(repetition: Repetition, repeated: list[Trace]) -> list[Trace]:
    """In the plan's order, whatever order the workers finished in."""
    names = [condition.name for condition in repetition.plan.conditions]
    return sorted(repeated, key=lambda trace: (names.index(trace.condition), trace.first))


def _excused(found: list[Difference]) -> bool:
    """Whether numbers beyond tolerance may come from rounding: another device or library, but the record's code and data."""
    kinds = {difference.kind for difference in found}
    return "rounding" in kinds and not kinds & {"code", "data"}


def _told(name: str, count: int, first: Mapping[str, Any]) -> str:
    step = "".join(f", {key} {first[key]}" for key in ("step", "unit") if key in first)
    more = f" (and {count - 1} more)" if count > 1 else ""
    return (
        f"condition {first['condition']!r}, replicate {first['replicate']}{step}, column {name}: "
        f"{_shown(first['recorded'])} recorded, {_shown(first['repeated'])} repeated{more}"
    )


def _shown(value: float) -> str:
    return "nothing" if value != value else repr(value)


def _verdicts(parts: Parts, plan: Plan, repetition: Repetition, repeated: list[Trace]) -> dict[str, Any]:
    """Each hypothesis as the record has it and as the repeated numbers decide it; in a sample, these in the place of the recorded ones."""
    assert parts.traces is not None
    recorded = parts.verdict.get("hypotheses", {}) if parts.verdict is not None else {}
    followed = recorded_outcome(parts)
    try:
        again: Outcome | None = outcome_of(plan, substituted(parts.traces, repeated, clocks=len(repetition.blocks) == repetition.total))
        reason = ""
    except BROKEN as error:
        again, reason = None, str(error)
    found: dict[str, Any] = {}
    for number, hypothesis in enumerate(plan.hypotheses):
        entry = recorded.get(hypothesis.name) if isinstance(recorded, Mapping) else None
        word = entry.get("verdict") if isinstance(entry, Mapping) else None
        if word is None and followed is not None:
            word = followed.verdicts[number].verdict
        new = None if again is None else again.verdicts[number]
        found[hypothesis.name] = {
            "recorded": word,
            "repeated": new.verdict if new else None,
            "agrees": new is not None and new.verdict == word,
            "timed": is_timed(hypothesis.metric) or (hypothesis.over is not None and is_timed(hypothesis.over)),
            "estimate": {
                "recorded": entry.get("estimate") if isinstance(entry, Mapping) else None,
                "repeated": new.estimate if new else None,
            },
            **({"reason": reason} if reason else {}),
        }
    return found


def _result(body: Mapping[str, Any], faults: list[Fault], disagree: list[str], reproduced: bool) -> str:
    numbers = body["numbers"]
    if not reproduced:
        reasons = [f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"] if faults else []
        reasons += [f"{len(disagree)} verdict{'' if len(disagree) == 1 else 's'} not confirmed"] if disagree else []
        return f"NOT reproduced: {' and '.join(reasons) or 'nothing could be repeated'}"
    blocks = body["blocks"]
    part = "" if blocks["repeated"] == blocks["all"] else f" in the {blocks['repeated']} of {blocks['all']} blocks that were repeated"
    if numbers["different"]:
        return f"verdicts reproduced{part}; {numbers['different']:,} of {numbers['numbers']:,} numbers deviate beyond tolerance"
    if numbers["within"]:
        return f"reproduced within tolerance{part}: every verdict agrees"
    return f"reproduced{part}: every number identical, every verdict the same"


__all__ = ["verify", "verify_record"]
