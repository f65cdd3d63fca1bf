"""From timed rounds to figures: minimum, median, rates, ratios, targets. Plain arithmetic; measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: The statistics every comparison is made with. The minimum is the least disturbed round of a shared machine, the median a usual one.
STATISTICS = ("minimum", "median")


def significant(value: float, digits: int = 4) -> float:
    """The value rounded to so many significant digits, as it is written down."""
    return float(f"{value:.{digits}g}")


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Minimum, median and the rounds themselves, in order. Raises ValueError without rounds or for a time that is not positive."""
    if not seconds or min(seconds) <= 0:
        raise ValueError(f"timed rounds must be positive and at least one: {list(seconds)}")
    return {
        "minimum": significant(min(seconds)),
        "median": significant(statistics.median(seconds)),
        "rounds": [significant(value) for value in seconds],
    }


def rates(work: float, timed: Mapping[str, Any]) -> dict[str, float]:
    """Units of work per second, from the minimum and from the median time."""
    return {name: significant(work / timed[name]) for name in STATISTICS}


def ratios(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    """Our rate over theirs: above 1 we are faster. Minimum against minimum, median against median."""
    return {name: significant(ours[name] / theirs[name]) for name in STATISTICS}


def fastest(candidates: Mapping[str, Mapping[str, float]], statistic: str = "minimum") -> str:
    """The name of the candidate with the highest rate."""
    return max(candidates, key=lambda name: candidates[name][statistic])


def processor_share(readings: Mapping[str, Sequence[float]]) -> float:
    """Median over the rounds of processor time over wall time of the same call."""
    wall = readings.get("wall", readings["seconds"])
    return significant(statistics.median(cpu / time for cpu, time in zip(readings["cpu"], wall, strict=True)), 3)


def processor_seconds(readings: Mapping[str, Sequence[float]]) -> float:
    """Least processor time of the timed part, over the rounds. A clock that times a part of the call gets that part's share of
    the call's processor time, as if all of it had been disturbed alike.
    """
    wall = readings.get("wall", readings["seconds"])
    return min(cpu * timed / whole for cpu, timed, whole in zip(readings["cpu"], readings["seconds"], wall, strict=True))


@dataclass(frozen=True)
class Target:
    """A bound set before measuring: ``at_least`` or ``at_most`` ``value``."""

    figure: str
    bound: str
    value: float

    def check(self, measured: float) -> dict[str, Any]:
        """The figure beside its target. Raises ValueError for an unknown bound."""
        if self.bound not in ("at_least", "at_most"):
            raise ValueError(f"a target is at_least or at_most, not {self.bound!r}")
        met = measured >= self.value if self.bound == "at_least" else measured <= self.value
        return {"figure": self.figure, "measured": significant(measured), self.bound: self.value, "met": bool(met)}
