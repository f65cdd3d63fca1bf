"""The one JSON form of things, a plan's hash, and the way back to a plan. Knows no folder layout."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from suite.record.decode import decode
from suite.vocabulary import Plan, RequestError


def to_json(value: Any) -> str:
    """Sorted keys, two-space indent, every float as the shortest text that reads back to the same bits, one newline
    at the end. NaN and infinities become null: for verdicts, provenance and timings, never for a plan."""
    return _dumped(_plain(value, None))


def exact_json(value: Any, name: str) -> str:
    """As ``to_json`` for what must come back unchanged. Raises RequestError, saying where, for NaN or an infinity."""
    return _dumped(_plain(value, name))


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any, where: str | None) -> Any:
    if isinstance(value, Mapping):
        plain = {str(key): _plain(item, where and f"{where}.{key}") for key, item in value.items()}
        if len(plain) < len(value):
            raise ValueError(f"keys that differ only in their type: {sorted(map(repr, value))}")
        return plain
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item, where and f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        if where is not None:
            raise RequestError(f"{where} is {value}; only finite numbers can stand there")
        return None
    return value


def plan_json(plan: Plan) -> str:
    """Everything decided before the run, in canonical form. Raises RequestError where a number is not finite."""
    return exact_json(asdict(plan), "plan")


def plan_sha256(plan: Plan) -> str:
    """SHA-256 of the canonical JSON in UTF-8."""
    return hashlib.sha256(plan_json(plan).encode("utf-8")).hexdigest()


def study_id(plan: Plan) -> str:
    """The first twelve hexadecimal digits of the plan's hash."""
    return plan_sha256(plan)[:12]


def plan_from_json(text: str) -> Plan:
    """The plan back from its JSON. Raises ValueError, naming the place, where the text is not a plan."""
    plan = decode(Plan, json.loads(text, parse_constant=_no_constant), "plan")
    assert isinstance(plan, Plan)
    for kind, names in (("condition", plan.conditions), ("hypothesis", plan.hypotheses)):
        known = [item.name for item in names]
        if len(set(known)) < len(known):
            raise ValueError(f"plan: two of one name among {kind} names {known}")
    if not plan.conditions or plan.replicates < 1:
        raise ValueError(f"plan: {len(plan.conditions)} conditions of {plan.replicates} replicates are no design")
    return plan


def read_plan(path: Path) -> Plan:
    """The plan in a file. Only JSON is read, field by field against the types of the vocabulary; nothing is executed.

    Raises RequestError, naming the file and the place in it.
    """
    try:
        return plan_from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path}: not a plan ({str(error).splitlines()[0]})") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
