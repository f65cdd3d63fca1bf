"""How well each task of a sequence has been learned when it ends, the first beside the last."""

from __future__ import annotations

from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class Plasticity(Quiet):
    """Of the test accuracies on each task at that task's end: ``task_accuracy_first`` and ``task_accuracy_last`` (the first and
    the last task), ``task_accuracy_mean`` (over all), and ``plasticity_change``, last less first: below zero where the ability
    to learn was lost. With one task first and last are the same. Nothing without classes.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.ends: list[Tensor] = []

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """The first task, the last, all."""
        names = ("task_accuracy_first", "task_accuracy_last", "task_accuracy_mean", "plasticity_change")
        return names if self.layout.classification else ()

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Keeps the accuracy where a task ends."""
        if view.step and view.step % (self.layout.steps // self.layout.tasks) == 0 and view.test_accuracy is not None:
            self.ends.append(view.test_accuracy)
        return {}

    def finish(self) -> dict[str, Tensor]:
        """Nothing where no task has ended."""
        if not self.ends:
            return {}
        first, last = self.ends[0], self.ends[-1]
        mean = sum(self.ends[1:], first) / len(self.ends)
        return dict(zip(self.summaries(), (first, last, mean, last - first), strict=True))
