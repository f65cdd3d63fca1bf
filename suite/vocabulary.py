"""The nouns of a study as frozen data. Every room may know them; none may change them.

Nothing here computes, reads a disk or imports more than NumPy, so that a record can be
read and a verdict decided without torch, Hydra or MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: One level of a factor: a group choice, a number, a flag, or a list such as ``[64, 64]``.
Level = str | int | float | bool | None | Sequence[Any]

Part = Literal["as_stated", "boundary"]
Role = Literal["treatment", "positive_control", "negative_control"]
Test = Literal["exact", "proportion", "mean", "auc", "ratio", "exponent"]
Direction = Literal["greater", "less", "equal"]
Divergence = Literal["forbid", "exclude", "failure"]
Decision = Literal["supported", "refuted", "inconclusive"]
Best = Literal["least", "greatest"]

#: Processes of one machine that may share a batch.
MOST_RANKS = 1024
#: What every metric that a clock made begins with.
TIMED = "time."
#: The probe that reads the block's clocks; a condition that asks for it is timed.
TIMING = "timing"


def is_timed(metric: str) -> bool:
    """Whether a metric was made by a clock: measured, so that another run gives another number, and shared by the replicates of
    a block, which were trained together.

    >>> is_timed("time.step_seconds"), is_timed("steps_to_target")
    (True, False)
    """
    return metric.startswith(TIMED)


class RunFailed(RuntimeError):
    """The run failed: one line per cause, exit code 1. What was finished is kept."""


class RequestError(ValueError):
    """The request was wrong: one clear line for the user, exit code 2, nothing was run."""


@dataclass(frozen=True)
class Event:
    """Turns a metric into yes or no: ``metric <op> value``."""

    op: Literal[">", ">=", "<", "<=", "==", "!="]
    value: float


@dataclass(frozen=True)
class Reference:
    """A closed form or published figure to set beside the estimate."""

    value: float
    source: str


@dataclass(frozen=True)
class Versus:
    """The pair of selections whose difference an interaction sets against that of its own pair."""

    treatment: Mapping[str, Level]
    contrast: Mapping[str, Level]


@dataclass(frozen=True)
class Hypothesis:
    """One statement that the data can support or refute, sealed before training.

    ``treatment`` and ``contrast`` select conditions by factor level (the reserved key
    ``condition`` selects by name, or by a list of names). Where a selection holds several conditions, a replicate's value is
    its mean over them (tests ``mean`` and ``auc``), and every one of them must hold (tests ``exact`` and ``proportion``).

    - ``exact``: the event holds for every replicate of every selected condition; one counterexample refutes it.
    - ``proportion``: the share of replicates in which the event holds, compared with ``value``; with a
      contrast, the paired difference of shares.
    - ``mean``: the mean over replicates (with a contrast: of paired differences; with ``versus`` too: of differences of these
      differences, (treatment - contrast) - (versus.treatment - versus.contrast), an interaction), compared with ``value``.
    - ``auc``: the probability that a replicate of the treatment has a larger value than a replicate of the contrast, ties
      by half (area under the ROC curve), compared with ``value``.
    - ``ratio``: the geometric mean of treatment / contrast over paired values above zero, compared with ``value``.
    - ``exponent``: the slope of the metric's logarithm over that of the metric ``over``, by least squares over the treatment's
      conditions (with a contrast: the difference of slopes), averaged, compared with ``value``.

    The unit is the replicate, for a metric that a clock made (``is_timed``) the block of replicates.
    ``best`` takes the least or the greatest value over a selection's conditions in place of their mean: each unit at the
    setting that served it best, where conditions are a grid of settings. A diverged run is never the best.

    ``greater`` and ``less`` compare the interval with ``value``, the smallest effect of interest;
    ``equal`` asks for the whole interval within ``value`` ± ``margin``.
    """

    name: str
    claim: str
    part: Part
    role: Role
    statement: str
    metric: str
    test: Test
    treatment: Mapping[str, Level]
    contrast: Mapping[str, Level] | None = None
    event: Event | None = None
    direction: Direction = "greater"
    value: float = 0.0
    margin: float = 0.0
    diverged: Divergence = "forbid"
    reference: Reference | None = None
    versus: Versus | None = None
    over: str | None = None
    best: Best | None = None

    @property
    def selections(self) -> Mapping[str, Mapping[str, Level]]:
        """The selections it speaks of, by the key that holds each: one, two or four."""
        found = {"treatment": self.treatment}
        if self.contrast is not None:
            found["contrast"] = self.contrast
        if self.versus is not None:
            found |= {"versus.treatment": self.versus.treatment, "versus.contrast": self.versus.contrast}
        return found


@dataclass(frozen=True)
class Condition:
    """One cell of the design: its levels, and the fully composed numeric configuration.

    ``config`` holds the keys that can change a number (``data``, ``model``, ``start``, ``optimizer``,
    ``train``, ``probes``, ``precision``) as a plain nested dictionary.
    """

    name: str
    factors: Mapping[str, Level]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """Everything decided before the run. The hash of its canonical JSON is the study id.

    ``data`` maps each dataset to {array name: SHA-256}. ``deviations`` lists the overrides that changed the
    registered design; a plan with any is exploratory. ``factors`` names the config keys that vary.
    ``block_size`` is the number of replicates that are timed together, None in a study without clocks: there it cannot
    change a number and is no part of the plan.
    """

    scenario: str
    title: str
    claims: Mapping[str, str]
    question: str
    method: str
    factors: tuple[str, ...]
    conditions: tuple[Condition, ...]
    hypotheses: tuple[Hypothesis, ...]
    confidence: float
    seed: int
    replicates: int
    device: str
    data: Mapping[str, Mapping[str, str]]
    deviations: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    block_size: int | None = None

    @property
    def timed(self) -> bool:
        """Whether some condition reads clocks, so that the whole study is run as one sequence of blocks."""
        return any(TIMING in condition.config["probes"]["extra"] for condition in self.conditions)

    @property
    def exploratory(self) -> bool:
        """Whether the command line changed the registered design."""
        return bool(self.deviations)


@dataclass(frozen=True)
class Block:
    """The unit of work: replicates ``first … first + count - 1`` of one condition; ``ranks`` processes share every batch."""

    condition: Condition
    first: int
    count: int
    seed: int
    device: str
    ranks: int = 1


@dataclass(frozen=True)
class Trace:
    """What a block yields. Curves and finals of a diverged replicate are NaN from its divergence on.

    Shapes: ``steps`` [time]; each curve [replicate, time]; each final [replicate]; ``diverged_at``
    [replicate], the step of the first non-finite loss or weight, -1 where there was none.
    ``timings`` (seconds and rates of this block, never part of the reproducible numbers) has
    ``train_seconds``, ``evaluate_seconds`` (whole-set passes), ``probe_seconds`` (what probes make of steps and passes),
    ``replicate_steps_per_second``, ``samples_per_second``, ``step_seconds``.
    ``units`` follows single layers and units of the condition's first few replicates (those of them that the block holds):
    ``column.layer`` → [followed, time] or [followed, time, unit], NaN from divergence on; empty where no probe does.
    """

    condition: str
    first: int
    steps: NDArray[np.int64]
    curves: Mapping[str, NDArray[np.float64]]
    finals: Mapping[str, NDArray[np.float64]]
    diverged_at: NDArray[np.int64]
    timings: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many replicates the trace holds."""
        return int(self.diverged_at.shape[0])


@dataclass(frozen=True)
class Verdict:
    """A decided hypothesis. ``estimate``, ``low``, ``high`` are NaN where no interval could be formed.

    ``confidence`` is the level after correction over the scenario's hypotheses; ``n`` counts the
    replicates the interval rests on, ``diverged`` those that diverged; ``note`` names the counterexample, the
    interval's method, or why there is none.
    """

    hypothesis: Hypothesis
    verdict: Decision
    estimate: float
    low: float
    high: float
    confidence: float
    n: int
    diverged: int
    note: str


@dataclass(frozen=True)
class Outcome:
    """The verdicts of one study. ``status`` is invalid when any control is not supported."""

    status: Literal["valid", "invalid", "exploratory"]
    verdicts: tuple[Verdict, ...]
    failed_controls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """A finished study: what the record holds, what MLflow mirrors and what the report shows.

    ``traces`` maps a condition's name to one trace over all its replicates, in order. ``provenance`` is plain
    JSON: commit, versions, hardware, data checksums, times.
    """

    study_id: str
    plan: Plan
    outcome: Outcome
    traces: Mapping[str, Trace]
    provenance: Mapping[str, Any]
