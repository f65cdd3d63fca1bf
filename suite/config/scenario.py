"""Reads the ``scenario:`` part of a composed configuration into frozen form. Data only: nothing in it can run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True)
class Reading:
    """A ``scenario:`` section as far as it can be understood, and a line for each thing that cannot. Hypotheses, conditions and
    factors with a fault are left out of ``spec``, which is None where there is no section at all.
    """

    spec: ScenarioSpec | None
    faults: tuple[str, ...]


def parse_scenario(node: Any, origin: str) -> ScenarioSpec:
    """Check and freeze. Raises RequestError, one line naming the key, the file and the nearest valid choice."""
    reading = read_scenario(node)
    for fault in reading.faults:
        raise RequestError(f"{origin}: {fault}")
    assert reading.spec is not None
    return reading.spec


def read_scenario(node: Any) -> Reading:
    """Check all of it, and freeze what is sound."""
    faults: list[str] = []
    say = faults.append
    if not isinstance(node, Mapping):
        return Reading(None, ("there is no 'scenario:' section with the claims, design and hypotheses",))
    _forbid_code(node, "scenario", say)
    _known(node, _KEYS, "scenario", say)
    for key in _REQUIRED:
        if not node.get(key):
            say(f"scenario.{key} is missing")
    name = node.get("name") or "unnamed"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", str(name)) or str(name) in RESERVED:
        say(f"scenario.name={name!r} names a folder: letters, digits, - and _ (not {', '.join(RESERVED)})")
    factors, conditions = node.get("factors") or {}, node.get("conditions") or {}
    if bool(factors) == bool(conditions):
        say("give either scenario.factors (full factorial) or scenario.conditions (listed)")
    factors, conditions = _mapping(factors, "scenario.factors", say), _mapping(conditions, "scenario.conditions", say)
    listed = {str(key): dict(_mapping(body or {}, f"scenario.conditions.{key}", say)) for key, body in conditions.items()}
    claims = {str(key): str(text) for key, text in _mapping(node.get("claims") or {}, "scenario.claims", say).items()}
    bodies = _mapping(node.get("hypotheses") or {}, "scenario.hypotheses", say)
    hypotheses = []
    for key, body in bodies.items():
        before = len(faults)
        hypothesis = _hypothesis(str(key), body, claims, say)
        if hypothesis is not None and len(faults) == before:
            hypotheses.append(hypothesis)
    roles = [body.get("role") for body in bodies.values() if isinstance(body, Mapping)]
    for role in get_args(Role):
        if bodies and role not in roles:
            say(f"no hypothesis has the role {role}; a fair test needs one")
    before = len(faults)
    confidence = _number(node.get("confidence", 0.95), "scenario.confidence", say)
    if len(faults) == before and not 0.5 <= confidence < 1:
        say(f"scenario.confidence={confidence} must lie in [0.5, 1)")
    if len(faults) > before:
        confidence = 0.95
    spec = ScenarioSpec(
        name=str(name),
        title=str(node.get("title", "")),
        question=str(node.get("question", "")).strip(),
        method=str(node.get("method", "")).strip(),
        claims=claims,
        references=tuple(str(text) for text in _listed(node.get("references") or (), "scenario.references", say)),
        confidence=confidence,
        variants={
            str(k): _levels(v, f"scenario.variants.{k}", say)
            for k, v in _mapping(node.get("variants") or {}, "scenario.variants", say).items()
        },
        factors={str(k): _levels(v, f"scenario.factors.{k}", say) for k, v in factors.items()},
        conditions=listed,
        hypotheses=tuple(hypotheses),
        block_size=_count(node.get("block_size"), "scenario.block_size", say),
    )
    return Reading(spec, tuple(faults))


#: Takes the line about one fault.
Say = Callable[[str], None]


def _forbid_code(node: Any, path: str, say: Say) -> None:
    """Anything that could run or look outside the file: ``_target_`` and interpolations."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{path}.{key}"
            if str(key).startswith("_") and str(key).endswith("_"):
                say(f"{here} is not allowed; a scenario is data and cannot name code")
            _forbid_code(value, here, say)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, value in enumerate(node):
            _forbid_code(value, f"{path}[{index}]", say)
    elif isinstance(node, str) and "${" in node:
        say(f"{path} holds an interpolation ({node!r}); a scenario states its values")


_HYPOTHESIS_KEYS = [field.name for field in fields(Hypothesis) if field.name != "name"]


def _hypothesis(name: str, body: Any, claims: Mapping[str, str], say: Say) -> Hypothesis | None:
    """The hypothesis, which is of no use where ``say`` was called; None where it is nothing like one."""
    where = f"scenario.hypotheses.{name}"
    if not isinstance(body, Mapping):
        _mapping(body, where, say)
        return None
    _known(body, _HYPOTHESIS_KEYS, where, say)
    missing = [key for key in ("claim", "part", "role", "statement", "metric", "test", "treatment") if key not in body]
    for key in missing:
        say(f"{where}.{key} is missing")
    for key, kind in (("part", Part), ("role", Role), ("test", Test), ("direction", Direction), ("diverged", Divergence), ("best", Best)):
        if key in body:
            _choice(body[key], get_args(kind), f"{where}.{key}", say)
    if claims and "claim" in body:
        _choice(body["claim"], tuple(claims), f"{where}.claim", say)
    test, contrast = body.get("test"), body.get("contrast")
    event = None
    if body.get("event") is not None:
        raw = _mapping(body["event"], f"{where}.event", say)
        _known(raw, ["op", "value"], f"{where}.event", say)
        _choice(raw.get("op"), OPERATORS, f"{where}.event.op", say)
        event = Event(raw.get("op", "=="), _number(raw.get("value"), f"{where}.event.value", say))
    elif test in ("exact", "proportion"):
        say(f"{where} has test {test} and so needs an event, such as {{op: '==', value: 0}}")
    reference = None
    if body.get("reference") is not None:
        raw = _mapping(body["reference"], f"{where}.reference", say)
        _known(raw, ["value", "source"], f"{where}.reference", say)
        reference = Reference(_number(raw.get("value"), f"{where}.reference.value", say), str(raw.get("source", "")))
    versus = None
    if body.get("versus") is not None:
        raw = _mapping(body["versus"], f"{where}.versus", say)
        _known(raw, ["treatment", "contrast"], f"{where}.versus", say)
        pair = [dict(_mapping(raw.get(key), f"{where}.versus.{key}", say)) for key in ("treatment", "contrast")]
        versus = Versus(*pair)
        if test != "mean" or contrast is None:
            say(f"{where}: versus compares two differences of means and so needs test mean and a contrast")
    direction = body.get("direction", "greater")
    margin = _number(body.get("margin", 0.0), f"{where}.margin", say)
    if (direction == "equal") != (margin > 0) and not math.isnan(margin):
        say(f"{where}: margin must be above zero with direction equal, and absent without it")
    _check_tests(body, where, say)
    treatment = {} if "treatment" in missing else dict(_mapping(body["treatment"], f"{where}.treatment", say))
    hypothesis = Hypothesis(
        name=name,
        claim=body.get("claim", ""),
        part=body.get("part", "as_stated"),
        role=body.get("role", "treatment"),
        statement=str(body.get("statement", "")),
        metric=str(body.get("metric", "")),
        test=body.get("test", "mean"),
        treatment=treatment,
        contrast=None if contrast is None else dict(_mapping(contrast, f"{where}.contrast", say)),
        event=event,
        direction=direction,
        value=_number(body.get("value", 0.0), f"{where}.value", say),
        margin=margin,
        diverged=body.get("diverged", "forbid"),
        reference=reference,
        versus=versus,
        over=None if body.get("over") is None else str(body["over"]),
        best=body.get("best"),
    )
    return None if missing else hypothesis


def _check_tests(body: Mapping[str, Any], where: str, say: Say) -> None:
    """What each test needs, and what it cannot take."""
    test, contrast = body.get("test"), body.get("contrast")
    if test == "exact" and contrast is not None:
        say(f"{where}: an exact test has no contrast; state the event on the treatment")
    if test == "auc" and contrast is None:
        say(f"{where}: test auc compares two populations and so needs a contrast")
    if test == "ratio" and contrast is None:
        say(f"{where}: test ratio divides by a contrast and so needs one")
    if (test == "exponent") != (body.get("over") is not None):
        say(f"{where}: 'over' names the metric that an exponent is fitted over; it goes with test exponent only")
    if test == "exponent" and body.get("best") is not None:
        say(f"{where}: an exponent is fitted over all of the treatment's conditions and takes no 'best'")
    if test not in ("exact", "proportion") and body.get("diverged") == "failure":
        say(f"{where}: a diverged replicate has no mean and no rank; diverged is forbid or exclude here")


def _known(node: Mapping[str, Any], known: Sequence[str], where: str, say: Say) -> None:
    for key in node:
        if key not in known:
            say(f"{where}.{key} is not a key; the nearest is {nearest(str(key), known)!r}")


def _choice(value: Any, known: Sequence[str], where: str, say: Say) -> None:
    if value not in known:
        say(f"{where}={value}: not a choice; the nearest is {nearest(str(value), known)!r} (all: {', '.join(known)})")


def _mapping(node: Any, where: str, say: Say) -> Mapping[str, Any]:
    if isinstance(node, Mapping):
        return node
    say(f"{where} must be a mapping of keys to values, not {node!r}")
    return {}


def _number(node: Any, where: str, say: Say) -> float:
    """NaN where it is none, or no finite or infinite one."""
    try:
        if isinstance(node, bool) or math.isnan(float(node)):
            raise TypeError
        return float(node)
    except (TypeError, ValueError):
        say(f"{where} must be a number, not {node!r}")
        return math.nan


def _count(node: Any, where: str, say: Say) -> int | None:
    if node is None:
        return None
    if isinstance(node, bool) or not isinstance(node, int) or node < 1:
        say(f"{where}={node!r} must be a whole number of at least 1")
        return None
    return node


def _levels(node: Any, where: str, say: Say) -> tuple[Level, ...]:
    if not isinstance(node, Sequence) or isinstance(node, str) or not node:
        say(f"{where} must be a list of levels, not {node!r}")
        return ()
    return tuple(node)


def _listed(node: Any, where: str, say: Say) -> Sequence[Any]:
    if isinstance(node, Sequence) and not isinstance(node, str):
        return node
    say(f"{where} must be a list, not {node!r}")
    return ()
