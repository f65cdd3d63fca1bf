"""The one JSON form of a plan, its hash, and the way back. Knows no folder layout."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from suite.vocabulary import Condition, Event, Hypothesis, Plan, Reference, Versus


def to_json(value: Any, sort_keys: bool = True) -> str:
    """Sorted keys (or the order given), two-space indent, shortest exact floats, one newline at the end; NaN and infinities
    become null.
    """
    return json.dumps(_plain(value), sort_keys=sort_keys, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def plan_json(plan: Plan) -> str:
    """Everything decided before the run, in canonical form.

    A hypothesis without ``versus``, ``over`` or ``best`` has no such key, nor has a plan without ``block_size``: plans sealed
    before there were such keys keep their hash.
    """
    body = asdict(plan)
    for part, keys in ((body, ("block_size",)), *((hypothesis, ("versus", "over", "best")) for hypothesis in body["hypotheses"])):
        for key in keys:
            if part[key] is None:
                del part[key]
    return to_json(body)


def plan_sha256(plan: Plan) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(plan_json(plan).encode("utf-8")).hexdigest()


def study_id(plan: Plan) -> str:
    """The first twelve hexadecimal digits of the plan's hash."""
    return plan_sha256(plan)[:12]


def plan_from_json(text: str) -> Plan:
    """The plan back from its JSON. Raises ValueError or KeyError or TypeError where it is not one."""
    body = json.loads(text)
    hypotheses = tuple(
        Hypothesis(
            **{
                **item,
                "event": Event(**item["event"]) if item["event"] else None,
                "reference": Reference(**item["reference"]) if item["reference"] else None,
                "versus": Versus(**item["versus"]) if item.get("versus") else None,
            }
        )
        for item in body["hypotheses"]
    )
    return Plan(
        **{
            **body,
            "factors": tuple(body["factors"]),
            "conditions": tuple(Condition(**item) for item in body["conditions"]),
            "hypotheses": hypotheses,
            "deviations": tuple(body["deviations"]),
            "references": tuple(body["references"]),
        }
    )
