"""What changes along a run: the task of the moment and the remedies that are due. Knows no probe and trains nothing."""

from __future__ import annotations

from dataclasses import replace

from suite.config.numeric import Numeric
from suite.training.eager import EveryStep, State
from suite.training.evaluate import Task
from suite.training.remedies import EachStep, Remedies
from suite.training.shifts import shift_of


class Course:
    """The plan of one run: ``cuts`` are the numbers of updates after which something changes."""

    def __init__(self, numeric: Numeric, seed: int, replicates: range) -> None:
        self.numeric, self.seed, self.replicates = numeric, seed, replicates
        self.task_steps = numeric.train.steps // numeric.train.tasks
        self.remedies = Remedies(numeric, seed, replicates)
        shifts = frozenset(self.task_steps * task for task in range(1, numeric.train.tasks))
        self.cuts = self.remedies.times() | shifts

    def every_step(self, task: Task, state: State) -> EveryStep | None:
        """What is done after every single update, if anything."""
        if self.numeric.remedy.name != "continual_backprop":
            return None
        return EachStep(self.remedies, task.net, state.parameters["output.weight"])

    def turn(self, step: int, state: State, task: Task) -> Task:
        """After ``step`` updates: the remedy that is due, on the task that has just ended, and then the next task. Returns the
        task to go on with, the same object where it does not change.
        """
        if step in self.remedies.times():
            task = self.remedies.timed(state, task, step)
        number, within = divmod(step, self.task_steps)
        if within == 0 and 0 < number < self.numeric.train.tasks:
            features, classes = task.data.train_x.shape[1], task.net.outputs
            device = task.data.train_x.device
            shift = shift_of(self.numeric.data.shift, self.seed, self.replicates, number, features, classes, device)
            task = task if shift is None else replace(task, shift=shift)
        return task
