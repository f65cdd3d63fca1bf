"""What the block's clocks say, and the same without clocks: steps, parameters, operations, bytes. Every metric that a clock made is
named ``time.<what>``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from suite.probes.operations import parameters_of, step_flops
from suite.probes.views import Evaluation, Layout, Quiet
from suite.vocabulary import TIMED


class Timing(Quiet):
    """``reached_target``: 1 once the training loss has been at or below ``probes.escape_loss`` at an evaluation, else 0. At the end
    ``steps_to_target``, the step of the first such evaluation (the run's length where there was none, a lower bound);
    ``steps``; ``parameters`` of a network; ``step_flops``, floating-point operations of one update by formula
    (``suite/probes/operations.py``); ``held_bytes``, bytes of curvature that the optimizer held for a network (0 for a first-order one).

    Of the clocks (suite/training/clock.py: on the CPU the thread's processor time), all for the block's whole stack, so alike for all its
    replicates but for the first: ``time.seconds_to_target``, what training took up to the target; ``time.train_seconds``, all of training.
    The others are the least over the stretches between evaluations, which all do the same work: whatever else the machine does can only
    add to it. ``time.step_seconds``, training per step, what probes have gathered on the way included, drawing batches not;
    ``time.watched_step_seconds``, with what probes then make of the steps; ``time.observed_step_seconds``, with the whole-set pass
    that ends the stretch and what probes make of it as well; ``time.evaluate_share`` and ``time.probe_share``, the pass and all of the
    probes' work as shares of training. What probes make of an evaluation is counted in the next stretch.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.at: Tensor | None = None
        self.steps = 0
        self.worked: Mapping[str, float] = {}
        self.marks: dict[str, float] = {}
        #: Seconds per step of each stretch, by part of the work.
        self.rates: list[dict[str, float]] = []

    def columns(self) -> tuple[str, ...]:
        """There yet."""
        return ("reached_target",)

    def summaries(self) -> tuple[str, ...]:
        """Counts, then clocks."""
        clocks = (
            "seconds_to_target",
            "train_seconds",
            "step_seconds",
            "watched_step_seconds",
            "observed_step_seconds",
            "evaluate_share",
            "probe_share",
        )
        return ("steps_to_target", "steps", "parameters", "step_flops", "held_bytes", *(TIMED + name for name in clocks))

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Reads the training clock, and keeps it for those that are there for the first time."""
        if self.at is None:
            self.at = torch.full_like(view.train_loss, -1, dtype=torch.float64)
            self.seconds = torch.zeros_like(self.at)
        new = (view.train_loss <= self.layout.escape_loss) & (self.at < 0)
        self.at = torch.where(new, float(view.step), self.at)
        self.seconds = torch.where(new, view.worked["train"], self.seconds)
        if self.marks and view.step > self.steps:
            taken = view.step - self.steps
            self.rates.append({part: (seconds - self.marks[part]) / taken for part, seconds in view.worked.items()})
        self.steps, self.worked, self.marks = view.step, view.worked, dict(view.worked)
        held = view.optimizer_state.get("held")
        self.held = 0.0 if held is None else float(held) / len(view.train_loss)
        return {"reached_target": (self.at >= 0).to(torch.float64)}

    def finish(self) -> dict[str, Tensor]:
        """The clocks as they stand at the end."""
        assert self.at is not None
        there = self.at >= 0
        train = self.worked["train"]
        facts = {
            "steps": self.steps,
            "parameters": parameters_of((self.layout.inputs, *self.layout.widths, self.layout.outputs)),
            "step_flops": step_flops(self.layout),
            "held_bytes": self.held,
            "time.train_seconds": train,
            "time.step_seconds": self._least("train"),
            "time.watched_step_seconds": self._least("train", "watch"),
            "time.observed_step_seconds": self._least("train", "watch", "evaluate", "probe"),
            "time.evaluate_share": self._least("evaluate") / self._least("train"),
            "time.probe_share": self._least("watch", "probe") / self._least("train"),
        }
        return {
            "steps_to_target": torch.where(there, self.at, float(self.steps)),
            "time.seconds_to_target": torch.where(there, self.seconds, train),
            **{name: torch.full_like(self.at, float(value)) for name, value in facts.items()},
        }

    def _least(self, *parts: str) -> float:
        """Seconds per step of these parts together, in the stretch where that was least."""
        return min(sum(rate[part] for part in parts) for rate in self.rates)
