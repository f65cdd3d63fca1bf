"""Which metrics have a known range, by their names. Knows no values."""

from __future__ import annotations

from collections.abc import Callable

Bounds = Callable[[str], tuple[float, float] | None]

#: A metric is a share when a word of its name (before any dot) is one of these …
_WORDS = frozenset({"fraction", "accuracy", "share", "agreement", "sparsity"})
#: … or when it is one of these, which are shares of all units.
_NAMES = frozenset({"deaths", "revivals", "dead_at_start"})


def share_bounds(metric: str) -> tuple[float, float] | None:
    """(0, 1) for a metric that is a share by its name, None for every other.

    >>> share_bounds("moved_fraction.hidden_weight"), share_bounds("moved_norm.hidden_weight")
    ((0.0, 1.0), None)
    """
    family = metric.split(".")[0]
    return (0.0, 1.0) if family in _NAMES or _WORDS & set(family.split("_")) else None
