"""A recorded study against a repetition of it, number by number. Knows arrays and tolerances; trains and decides nothing.

On the machine, code and versions of the record every bit must be the same. Elsewhere numbers may be rounded differently, and training
multiplies such differences, so a number that is not identical is held against a tolerance by precision:
``|recorded - repeated| <= relative * max(|recorded|, |repeated|) + absolute``. Counts and shares fall under the same rule; a
tolerance of one percent is then about three test images of the digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.vocabulary import Trace, is_timed

Array = NDArray[np.float64]

#: How many of a column's differing numbers are named one by one.
NAMED = 5


@dataclass(frozen=True)
class Tolerance:
    """What a number may deviate by and still count as the same."""

    relative: float
    absolute: float


EXACT = Tolerance(0.0, 0.0)
#: Rounding of float64 stays small over the hundreds of steps of a study; that of float32 and of the halves grows visible.
TOLERANCES = {
    "float64": Tolerance(1e-6, 1e-9),
    "float32": Tolerance(1e-2, 1e-4),
    "bfloat16": Tolerance(1e-1, 1e-2),
    "float16": Tolerance(1e-1, 1e-2),
}


def tolerance_for(*precisions: str) -> Tolerance:
    """The widest tolerance of the precisions that a pair of numbers was made in."""
    return max((TOLERANCES[name] for name in precisions), key=lambda tolerance: tolerance.relative)


@dataclass
class Column:
    """One column of one table, compared. ``worst`` is the largest deviation with its place; ``named`` the first differing numbers."""

    table: str
    name: str
    identical: int = 0
    within: int = 0
    different: int = 0
    measured: int = 0  # made by a clock: not comparable
    worst: dict[str, Any] | None = None
    named: list[dict[str, Any]] = field(default_factory=list)

    @property
    def numbers(self) -> int:
        """How many numbers were compared."""
        return self.identical + self.within + self.different + self.measured


class Comparison:
    """Collects the columns of all repeated blocks."""

    def __init__(self, other_code: bool = False) -> None:
        """With ``other_code`` a column that the record has nowhere is new, not missing: it is named in ``unrecorded``."""
        self.columns: dict[tuple[str, str], Column] = {}
        self.shape: list[str] = []
        self.other_code = other_code
        self.unrecorded: set[str] = set()

    def add(self, recorded: Trace, block: Trace, tolerance: Tolerance) -> None:
        """Compare a repeated block with its replicates in the recorded trace of the whole condition."""
        rows = slice(block.first, block.first + block.count)
        self._column("replicates.parquet", "diverged_at").take(
            recorded, block, None, _missing(recorded.diverged_at[rows]), _missing(block.diverged_at), tolerance
        )
        for name in self._names(recorded.finals, block.finals):
            old, new = _pair(recorded.finals.get(name), block.finals.get(name), rows, (block.count,))
            self._column("replicates.parquet", name).take(recorded, block, None, old, new, tolerance)
        if not np.array_equal(recorded.steps, block.steps):
            line = f"condition {recorded.condition!r}: evaluated at steps {_span(recorded.steps)}, the repetition at {_span(block.steps)}"
            if line not in self.shape:
                self.shape.append(line)
            return
        shape = (block.count, len(block.steps))
        for name in self._names(recorded.curves, block.curves):
            old, new = _pair(recorded.curves.get(name), block.curves.get(name), rows, shape)
            self._column("curves.parquet", name).take(recorded, block, block.steps, old, new, tolerance)
        for name in self._names(recorded.units, block.units):
            kept, made = recorded.units.get(name, np.empty(0))[rows], block.units.get(name, np.empty(0))
            like = made if len(made) else kept
            old, new = (
                np.ascontiguousarray(values) if values.shape == like.shape else np.full(like.shape, np.nan) for values in (kept, made)
            )
            if like.size:
                self._column("units.parquet", name).take(recorded, block, block.steps, old, new, tolerance)

    def _names(self, old: Mapping[str, Array], new: Mapping[str, Array]) -> list[str]:
        if not self.other_code:
            return list(dict.fromkeys([*old, *new]))
        self.unrecorded |= new.keys() - old.keys()
        return list(old)

    def _column(self, table: str, name: str) -> _Filling:
        return _Filling(self.columns.setdefault((table, name), Column(table, name)))

    @property
    def different(self) -> int:
        """Numbers beyond tolerance."""
        return sum(column.different for column in self.columns.values())

    def total(self, kind: str) -> int:
        """The sum of ``identical``, ``within``, ``different``, ``measured`` or ``numbers`` over the columns."""
        return int(sum(getattr(column, kind) for column in self.columns.values()))


@dataclass(frozen=True)
class _Filling:
    column: Column

    def take(self, recorded: Trace, block: Trace, steps: NDArray[np.int64] | None, old: Array, new: Array, tolerance: Tolerance) -> None:
        """Count numbers as identical, within tolerance or different, and keep the worst."""
        absent = np.isnan(old) & np.isnan(new)
        if is_timed(self.column.name):
            self.column.measured += old.size
            return
        # bit by bit, so that a zero that has changed its sign is seen; NaN stands for null
        identical = (old.view(np.int64) == new.view(np.int64)) | absent
        self.column.identical += int(identical.sum())
        if identical.all():
            return
        gap, limit = deviation(old, new), tolerance.relative * np.fmax(np.abs(old), np.abs(new)) + tolerance.absolute
        within = ~identical & np.isfinite(gap) & (gap <= limit) if tolerance != EXACT else np.zeros_like(identical)
        beyond = ~identical & ~within
        self.column.within += int(within.sum())
        self.column.different += int(beyond.sum())

        def place(index: tuple[int, ...]) -> dict[str, Any]:
            a, b = float(old[index]), float(new[index])
            where: dict[str, Any] = {"condition": recorded.condition, "replicate": block.first + int(index[0])}
            if steps is not None:
                where["step"] = int(steps[index[1]])
            if len(index) > 2:
                where["unit"] = int(index[2])
            return {**where, "recorded": a, "repeated": b, "deviation": float(gap[index])}

        worst = np.unravel_index(int(np.argmax(np.where(identical, -1.0, gap))), gap.shape)
        found = place(tuple(int(i) for i in worst))
        if self.column.worst is None or found["deviation"] > self.column.worst["deviation"]:
            self.column.worst = found
        for index in np.argwhere(beyond)[: NAMED - len(self.column.named)]:
            self.column.named.append(place(tuple(int(i) for i in index)))


def deviation(old: Array, new: Array) -> Array:
    """Absolute differences; infinite where only one is a number, zero where both are the same infinity or both missing."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(old - new)
    gap = np.where(old == new, 0.0, gap)
    gap = np.where(np.isnan(gap), math.inf, gap)
    return np.where(np.isnan(old) & np.isnan(new), 0.0, gap)


def _missing(ended: NDArray[np.int64]) -> Array:
    """Steps of divergence as the table has them: null where there was none."""
    return np.where(ended < 0, np.nan, ended.astype(np.float64))


def _pair(old: Array | None, new: Array | None, rows: slice, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Both as contiguous float64; what one side did not measure is missing throughout."""
    none = np.full(shape, np.nan)
    left = none if old is None else np.ascontiguousarray(old[rows], dtype=np.float64)
    return left, none if new is None else np.ascontiguousarray(new, dtype=np.float64)


def _span(steps: NDArray[np.int64]) -> str:
    return f"{int(steps[0])} to {int(steps[-1])} ({len(steps)} of them)" if len(steps) else "none"
