"""Which conditions a hypothesis speaks of: the one rule that composing, deciding and drawing share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suite.vocabulary import Condition, Level


def same_level(a: Any, b: Any) -> bool:
    """Equality of levels: numbers by value (0 is 0.0), lists element by element, a flag never equal to a number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool) and a == b
    if isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str) and not isinstance(b, str):
        return len(a) == len(b) and all(same_level(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def select(conditions: Sequence[Condition], selection: Mapping[str, Level]) -> tuple[Condition, ...]:
    """The conditions that have every level named; the reserved key ``condition`` names one condition, or several in
    a list. An empty selection is all of them.
    """
    return tuple(condition for condition in conditions if all(_holds(condition, *item) for item in selection.items()))


def _holds(condition: Condition, key: str, level: Level) -> bool:
    if key == "condition":
        return condition.name in (level if isinstance(level, Sequence) and not isinstance(level, str) else [level])
    return key in condition.factors and same_level(condition.factors[key], level)
