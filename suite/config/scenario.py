"""Reads the ``scenario:`` part of a composed configuration into frozen form. Data only: nothing in it can run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

from suite.config.choices import nearest
from suite.vocabulary import (
    Best,
    Direction,
    Divergence,
    Event,
    Hypothesis,
    Level,
    Part,
    Reference,
    RequestError,
    Role,
    Test,
    Versus,
)

#: Names that already mean something in a results folder.
RESERVED = ("archive", "benchmarks")
OPERATORS = (">", ">=", "<", "<=", "==", "!=")


@dataclass(frozen=True)
class ScenarioSpec:
    """A scenario as its author wrote it. Exactly one of ``factors`` (full factorial) and ``conditions`` (listed:
    name -> overrides) is not empty. ``variants`` names overrides under which the study stays registered. ``block_size`` is how many
    replicates are timed together, in a study that reads clocks.
    """

    name: str
    title: str
    question: str
    method: str
    claims: Mapping[str, str]
    references: tuple[str, ...]
    confidence: float
    variants: Mapping[str, tuple[Level, ...]]
    factors: Mapping[str, tuple[Level, ...]]
    conditions: Mapping[str, Mapping[str, Level]]
    hypotheses: tuple[Hypothesis, ...]
    block_size: int | None = None


_KEYS = [field.name for field in fields(ScenarioSpec)]
_REQUIRED = ("name", "title", "question", "method", "claims", "hypotheses")


def forbid_code(node: Any, origin: str, path: str = "") -> None:
    """Raises RequestError for anything that could run or look outside the file: ``_target_`` and interpolations."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            if str(key).startswith("_") and str(key).endswith("_"):
                raise RequestError(f"{origin}: {here} is not allowed; a scenario is data and cannot name code")
            forbid_code(value, origin, here)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, value in enumerate(node):
            forbid_code(value, origin, f"{path}[{index}]")
    elif isinstance(node, str) and "${" in node:
        raise RequestError(f"{origin}: {path} holds an interpolation ({node!r}); a scenario states its values")


def parse_scenario(node: Any, origin: str) -> ScenarioSpec:
    """Check and freeze. Raises RequestError, one line naming the key, the file and the nearest valid choice."""
    if not isinstance(node, Mapping):
        raise RequestError(f"{origin}: there is no 'scenario:' section with the claims, design and hypotheses")
    forbid_code(node, origin, "scenario")
    _known(node, _KEYS, "scenario", origin)
    for key in _REQUIRED:
        if not node.get(key):
            raise RequestError(f"{origin}: scenario.{key} is missing")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", str(node["name"])) or str(node["name"]) in RESERVED:
        raise RequestError(f"{origin}: scenario.name={node['name']!r} names a folder: letters, digits, - and _ (not {', '.join(RESERVED)})")
    factors, conditions = node.get("factors") or {}, node.get("conditions") or {}
    if bool(factors) == bool(conditions):
        raise RequestError(f"{origin}: give either scenario.factors (full factorial) or scenario.conditions (listed)")
    _mapping(factors, "scenario.factors", origin)
    _mapping(conditions, "scenario.conditions", origin)
    for name, overrides in conditions.items():
        _mapping(overrides or {}, f"scenario.conditions.{name}", origin)
    claims = {str(key): str(text) for key, text in _mapping(node["claims"], "scenario.claims", origin).items()}
    hypotheses = tuple(
        _hypothesis(str(name), body, claims, origin) for name, body in _mapping(node["hypotheses"], "scenario.hypotheses", origin).items()
    )
    for role in get_args(Role):
        if not any(hypothesis.role == role for hypothesis in hypotheses):
            raise RequestError(f"{origin}: no hypothesis has the role {role}; a fair test needs one")
    confidence = _number(node.get("confidence", 0.95), "scenario.confidence", origin)
    if not 0.5 <= confidence < 1:
        raise RequestError(f"{origin}: scenario.confidence={confidence} must lie in [0.5, 1)")
    return ScenarioSpec(
        name=str(node["name"]),
        title=str(node["title"]),
        question=str(node["question"]).strip(),
        method=str(node["method"]).strip(),
        claims=claims,
        references=tuple(str(text) for text in node.get("references") or ()),
        confidence=confidence,
        variants={str(k): _levels(v, f"scenario.variants.{k}", origin) for k, v in (node.get("variants") or {}).items()},
        factors={str(k): _levels(v, f"scenario.factors.{k}", origin) for k, v in factors.items()},
        conditions={str(name): dict(overrides or {}) for name, overrides in conditions.items()},
        hypotheses=hypotheses,
        block_size=_count(node.get("block_size"), "scenario.block_size", origin),
    )


_HYPOTHESIS_KEYS = [field.name for field in fields(Hypothesis) if field.name != "name"]


def _hypothesis(name: str, body: Any, claims: Mapping[str, str], origin: str) -> Hypothesis:
    where = f"scenario.hypotheses.{name}"
    _mapping(body, where, origin)
    _known(body, _HYPOTHESIS_KEYS, where, origin)
    for key in ("claim", "part", "role", "statement", "metric", "test", "treatment"):
        if key not in body:
            raise RequestError(f"{origin}: {where}.{key} is missing")
    for key, kind in (("part", Part), ("role", Role), ("test", Test), ("direction", Direction), ("diverged", Divergence), ("best", Best)):
        if key in body:
            _choice(body[key], get_args(kind), f"{where}.{key}", origin)
    _choice(body["claim"], tuple(claims), f"{where}.claim", origin)
    event = None
    if body.get("event") is not None:
        raw = _mapping(body["event"], f"{where}.event", origin)
        _known(raw, ["op", "value"], f"{where}.event", origin)
        _choice(raw.get("op"), OPERATORS, f"{where}.event.op", origin)
        event = Event(raw["op"], _number(raw.get("value"), f"{where}.event.value", origin))
    elif body["test"] in ("exact", "proportion"):
        raise RequestError(f"{origin}: {where} has test {body['test']} and so needs an event, such as {{op: '==', value: 0}}")
    reference = None
    if body.get("reference") is not None:
        raw = _mapping(body["reference"], f"{where}.reference", origin)
        _known(raw, ["value", "source"], f"{where}.reference", origin)
        reference = Reference(_number(raw.get("value"), f"{where}.reference.value", origin), str(raw.get("source", "")))
    versus = None
    if body.get("versus") is not None:
        raw = _mapping(body["versus"], f"{where}.versus", origin)
        _known(raw, ["treatment", "contrast"], f"{where}.versus", origin)
        pair = [dict(_mapping(raw.get(key), f"{where}.versus.{key}", origin)) for key in ("treatment", "contrast")]
        versus = Versus(*pair)
        if body["test"] != "mean" or body.get("contrast") is None:
            raise RequestError(f"{origin}: {where}: versus compares two differences of means and so needs test mean and a contrast")
    direction = body.get("direction", "greater")
    margin = _number(body.get("margin", 0.0), f"{where}.margin", origin)
    if (direction == "equal") != (margin > 0):
        raise RequestError(f"{origin}: {where}: margin must be above zero with direction equal, and absent without it")
    if body["test"] == "exact" and body.get("contrast") is not None:
        raise RequestError(f"{origin}: {where}: an exact test has no contrast; state the event on the treatment")
    if body["test"] == "auc" and body.get("contrast") is None:
        raise RequestError(f"{origin}: {where}: test auc compares two populations and so needs a contrast")
    _check_unit_tests(body, where, origin)
    if body["test"] not in ("exact", "proportion") and body.get("diverged") == "failure":
        raise RequestError(f"{origin}: {where}: a diverged replicate has no mean and no rank; diverged is forbid or exclude here")
    return Hypothesis(
        name=name,
        claim=body["claim"],
        part=body["part"],
        role=body["role"],
        statement=str(body["statement"]),
        metric=str(body["metric"]),
        test=body["test"],
        treatment=dict(_mapping(body["treatment"], f"{where}.treatment", origin)),
        contrast=None if body.get("contrast") is None else dict(_mapping(body["contrast"], f"{where}.contrast", origin)),
        event=event,
        direction=direction,
        value=_number(body.get("value", 0.0), f"{where}.value", origin),
        margin=margin,
        diverged=body.get("diverged", "forbid"),
        reference=reference,
        versus=versus,
        over=None if body.get("over") is None else str(body["over"]),
        best=body.get("best"),
    )


def _check_unit_tests(body: Mapping[str, Any], where: str, origin: str) -> None:
    """What the tests ``ratio`` and ``exponent`` need."""
    if body["test"] == "ratio" and body.get("contrast") is None:
        raise RequestError(f"{origin}: {where}: test ratio divides by a contrast and so needs one")
    if (body["test"] == "exponent") != (body.get("over") is not None):
        raise RequestError(f"{origin}: {where}: 'over' names the metric that an exponent is fitted over; it goes with test exponent only")
    if body["test"] == "exponent" and body.get("best") is not None:
        raise RequestError(f"{origin}: {where}: an exponent is fitted over all of the treatment's conditions and takes no 'best'")


def _known(node: Mapping[str, Any], known: Sequence[str], where: str, origin: str) -> None:
    for key in node:
        if key not in known:
            raise RequestError(f"{origin}: {where}.{key} is not a key; the nearest is {nearest(str(key), known)!r}")


def _choice(value: Any, known: Sequence[str], where: str, origin: str) -> None:
    if value not in known:
        raise RequestError(
            f"{origin}: {where}={value}: not a choice; the nearest is {nearest(str(value), known)!r} (all: {', '.join(known)})"
        )


def _mapping(node: Any, where: str, origin: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping):
        raise RequestError(f"{origin}: {where} must be a mapping of keys to values, not {node!r}")
    return node


def _number(node: Any, where: str, origin: str) -> float:
    try:
        if isinstance(node, bool):
            raise TypeError
        return float(node)
    except (TypeError, ValueError):
        raise RequestError(f"{origin}: {where} must be a number, not {node!r}") from None


def _count(node: Any, where: str, origin: str) -> int | None:
    if node is None:
        return None
    if isinstance(node, bool) or not isinstance(node, int) or node < 1:
        raise RequestError(f"{origin}: {where}={node!r} must be a whole number of at least 1")
    return node


def _levels(node: Any, where: str, origin: str) -> tuple[Level, ...]:
    if not isinstance(node, Sequence) or isinstance(node, str) or not node:
        raise RequestError(f"{origin}: {where} must be a list of levels, not {node!r}")
    return tuple(node)
