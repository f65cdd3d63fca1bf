"""Which way through the engine a condition takes: one rule, decided when the plan is made and written into it.

``eager`` is the general path and the reference. Further paths are faster for some networks and round differently.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from suite.config.numeric import Numeric
from suite.probes.views import Stretch, Watch
from suite.training.eager import EagerSteps, State
from suite.training.evaluate import Task


class Steps(Protocol):
    """Runs training steps of a whole stack."""

    def run(self, state: State, indices: NDArray[np.int64], first: int) -> Stretch:
        """Take the steps of ``indices`` [replicate, step, batch], the first of them being step ``first``."""
        ...


def steps_of(numeric: Numeric, task: Task, watched: frozenset[Watch]) -> Steps:
    """The steps of the path the plan chose."""
    return EagerSteps(task, watched)
