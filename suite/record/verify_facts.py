"""What a record says of how it was made: against itself, and against the machine that repeats it. Knows facts, not numbers of a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from suite.record.canonical import plan_sha256
from suite.record.verify_files import Parts
from suite.vocabulary import MOST_RANKS, Plan

#: Facts whose change lets numbers be rounded differently (the device's own are added where it is a GPU).
ROUNDING = (
    "device",
    "precision",
    "engine",
    "native",
    "data_parallel.ranks",
    "data_parallel.backend",
    "packages.torch",
    "packages.numpy",
    "platform.machine",
    "cpu.model",
)
GPU = ("torch.gpus", "torch.cuda_version")
#: Facts of one run, which no repetition shares.
OWN = (
    "started",
    "finished",
    "seconds",
    "plan_sha256",
    "sealed",
    "environment",
    "timing.load",
    "git.changed",
    "git.dirty",
    "git.diff_sha256",
)


@dataclass(frozen=True)
class Difference:
    """A fact that is not the record's here. ``kind`` is rounding, code, data or other."""

    fact: str
    recorded: Any
    here: Any
    kind: str


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any], device: str) -> list[Difference]:
    """Every fact that differs, those that can change numbers first."""
    then, now = dict(_flat(recorded)), dict(_flat(here))
    found = [
        Difference(key, then.get(key), now.get(key), _kind(key, device))
        for key in dict.fromkeys([*then, *now])
        if then.get(key) != now.get(key)
    ]
    rank = {"data": 0, "code": 1, "rounding": 2, "other": 3}
    return sorted(found, key=lambda difference: rank[difference.kind])


def _kind(key: str, device: str) -> str:
    if key.startswith("data."):
        return "data"
    if key == "code_sha256":
        return "code"
    return "rounding" if key in ROUNDING or (device == "cuda" and key in GPU) else "other"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if prefix + key in OWN:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def check_facts(parts: Parts) -> None:
    """Provenance and timings must agree with the plan and with themselves; what does not is noted as a fault."""
    if parts.plan is not None and parts.provenance is not None:
        for what in _provenance(parts.plan, parts.provenance):
            parts.fault("provenance.json", what)
    if parts.plan is not None and parts.timings is not None:
        for what in _timings(parts.plan, parts.timings):
            parts.fault("timings.json", what)
    _ends(parts)


def _ends(parts: Parts) -> None:
    """A final metric that is also a curve is that curve's last value; where it is not, one of the tables was changed."""
    for trace in (parts.traces or {}).values():
        for name in trace.finals.keys() & trace.curves.keys():
            ends = trace.curves[name][:, -1]
            for replicate in np.flatnonzero((ends != trace.finals[name]) & ~(np.isnan(ends) & np.isnan(trace.finals[name])))[:1]:
                parts.fault(
                    "replicates.parquet",
                    f"condition {trace.condition!r}, replicate {replicate}, column {name}: {trace.finals[name][replicate]!s}, "
                    f"where its curve in curves.parquet ends at {ends[replicate]!s}",
                )


def _provenance(plan: Plan, facts: Mapping[str, Any]) -> Iterator[str]:
    if facts.get("plan_sha256") != plan_sha256(plan):
        yield "plan_sha256 is not the hash of plan.json"
    if facts.get("data") != {name: dict(sums) for name, sums in plan.data.items()}:
        yield "data: the checksums are not those of the plan"
    native = any((condition.config.get("engine") or {}).get("path") in ("native", "compiled") for condition in plan.conditions)
    if native != ("native" in facts):
        yield "native: there is " + (
            "no fingerprint of the compiled step, which the plan uses" if native else "one, and the plan uses none"
        )
    if "data_parallel" in facts and ranks_in(facts) == 1:
        yield "data_parallel: its ranks are no number of processes above 1"
    git = facts.get("git")
    if isinstance(git, Mapping) and not (bool(git.get("dirty")) == bool(git.get("changed")) == (git.get("diff_sha256") is not None)):
        yield "git: dirty, changed and diff_sha256 do not fit each other"
    try:
        started, finished = datetime.fromisoformat(facts["started"]), datetime.fromisoformat(facts["finished"])
        spent = (finished - started).total_seconds()
        # both times are cut to whole seconds
        if spent < 0 or abs(spent - facts["seconds"]) > 1.5:
            yield f"started, finished and seconds do not fit each other ({facts['started']}, {facts['finished']}, {facts['seconds']})"
        sealed = facts.get("sealed")
        if sealed is not None and datetime.fromisoformat(sealed["at"]) > finished:
            yield "sealed.at is later than the end of the study"
    except (KeyError, TypeError, ValueError):
        yield "started, finished, seconds or sealed: missing or not times"


def ranks_in(facts: Mapping[str, Any]) -> int:
    """How many processes shared every batch, by a record's provenance; 1 where it says nothing that could be."""
    found = facts.get("data_parallel")
    ranks = found.get("ranks") if isinstance(found, Mapping) else None
    return ranks if type(ranks) is int and 1 < ranks <= MOST_RANKS else 1


def _timings(plan: Plan, timings: Mapping[str, Any]) -> Iterator[str]:
    """Rates are work over time, so that no single figure can be changed unseen."""
    if list(timings) != sorted(condition.name for condition in plan.conditions):
        yield "its conditions are not the plan's"
        return
    for condition in plan.conditions:
        clock = timings[condition.name]
        where = f"condition {condition.name!r}"
        if not isinstance(clock, Mapping) or not all(_time(value) for value in clock.values()):
            yield f"{where}: not all are times or rates"
            continue
        yield from (f"{where}: {what}" for what in _clock(clock, _steps(condition.config), plan.replicates))


def _steps(config: Mapping[str, Any]) -> int:
    steps = config["train"].get("steps")
    return steps if isinstance(steps, int) else 0


def _clock(clock: Mapping[str, float], steps: int, replicates: int) -> Iterator[str]:
    needed = ("train_seconds", "evaluate_seconds", "probe_seconds", "replicate_steps_per_second", "samples_per_second", "step_seconds")
    for key in needed:
        if key not in clock:
            yield f"{key} is missing"
            return
    spent, rate = clock["train_seconds"], clock["replicate_steps_per_second"]
    if not spent:
        return
    if not math.isclose(rate * spent, steps * replicates, rel_tol=1e-9):
        yield f"replicate_steps_per_second {rate:.6g} is not {steps} steps of {replicates} replicates over train_seconds {spent:.6g}"
    for key, ratio, what in (
        ("samples_per_second", clock["samples_per_second"] / rate if rate else 0.0, "times a whole batch size"),
        (
            "step_seconds",
            spent / (steps * clock["step_seconds"]) if clock["step_seconds"] and steps else 0.0,
            "train_seconds over steps and whole blocks",
        ),
    ):
        if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6 * max(ratio, 1.0):
            yield f"{key} {clock[key]:.6g} is not {what}"


def _time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def compared(expected: Any, found: Any, place: str = "", slack: float = 0.0) -> Iterator[str]:
    """Where two JSON values differ, one line for each place. ``slack`` is the relative deviation that numbers may have."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*expected, *found]):
            where = f"{place}.{key}" if place else str(key)
            if key not in found:
                yield f"{where}: missing"
            elif key not in expected:
                yield f"{where}: does not belong here"
            else:
                yield from compared(expected[key], found[key], where, slack)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (a, b) in enumerate(zip(expected, found, strict=True)):
            yield from compared(a, b, f"{place}[{number}]", slack)
    elif expected != found or type(expected) is not type(found):
        if (
            slack
            and isinstance(expected, float)
            and isinstance(found, float)
            and math.isclose(expected, found, rel_tol=slack, abs_tol=1e-12)
        ):
            return
        yield f"{place}: {found!r}, where the recorded plan and numbers give {expected!r}"
