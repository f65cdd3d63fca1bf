"""What an optimizer alone does to a dead unit, predicted in float64 and set beside what training did.

A dead unit of the first hidden layer receives an exactly zero gradient, so its path is settled by the optimizer's
memory and decay until it revives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from suite.config.schema import Optimizer
from suite.probes.coasting import Path, coasting_factor, coefficients, is_linear
from suite.probes.units import REVIVED_ABOVE
from suite.probes.views import Evaluation, Layout, Quiet

NAMES = ("layer1.weight", "layer1.bias")

Values = Mapping[str, Tensor]


class Straight:
    """Units whose parameters are a(t) · start + c(t) · velocity. So is their pre-activation on every example, and the inputs
    are multiplied once, not at every mark.
    """

    def __init__(self, optimizer: Optimizer, start: Values, memory: Mapping[str, Values], taken: int, marks: Sequence[int], inputs: Tensor):
        self.start = start
        self.velocity = {name: kept["velocity"] for name, kept in memory.items() if "velocity" in kept}
        self.factors = {name: coefficients(optimizer, name.split(".")[1], taken, marks) for name in NAMES}
        self.at_start = start[NAMES[0]].T @ inputs.T  # [unit, example]
        moving = bool(self.velocity) and bool(self.velocity[NAMES[0]].any())
        self.per_velocity = self.velocity[NAMES[0]].T @ inputs.T if moving else None
        self.top, self.bottom = self.at_start.amax(dim=1), self.at_start.amin(dim=1)

    def largest(self, mark: int, units: Tensor) -> Tensor:
        """Largest pre-activation of these units over the inputs."""
        a, c = self.factors[NAMES[0]][mark]
        if self.per_velocity is None:
            top = a * (self.top if a >= 0 else self.bottom)[units]
        else:
            top = torch.add(self.at_start[units] * a, self.per_velocity[units], alpha=c).amax(dim=1)
        return top + self._value(NAMES[1], mark)[units]

    def _value(self, name: str, mark: int) -> Tensor:
        a, c = self.factors[name][mark]
        return a * self.start[name] + c * self.velocity[name] if self.velocity else a * self.start[name]

    def displacements(self, marks: int) -> list[dict[str, Tensor]]:
        """From the start to each mark."""
        return [{name: self._value(name, mark) - self.start[name] for name in NAMES} for mark in range(marks)]

    def displacement(self) -> dict[str, Tensor]:
        """From the start to the last mark."""
        return {name: self._value(name, -1) - self.start[name] for name in NAMES}


class Stepwise:
    """Units whose elements each go their own way (Adam with something in its memory): stepped and multiplied out."""

    def __init__(self, optimizer: Optimizer, start: Values, memory: Mapping[str, Values], taken: int, marks: Sequence[int], inputs: Tensor):
        self.start, self.inputs = start, inputs
        self.paths = {name: Path(optimizer, name.split(".")[1], start[name], memory[name], taken) for name in NAMES}
        self.until = [taken + mark for mark in marks]

    def _advance(self, mark: int) -> None:
        for path in self.paths.values():
            while path.taken < self.until[mark]:
                path.advance()

    def largest(self, mark: int, units: Tensor) -> Tensor:
        """As ``Straight.largest``; marks must rise from call to call."""
        self._advance(mark)
        weight, bias = (path.value for path in self.paths.values())
        return (weight[:, units].T @ self.inputs.T).amax(dim=1) + bias[units]

    def displacement(self) -> dict[str, Tensor]:
        """As ``Straight.displacement``."""
        self._advance(-1)
        return {name: path.value - self.start[name] for name, path in self.paths.items()}


def first_alive(course: Straight | Stepwise, units: int, marks: int, device: torch.device) -> Tensor:
    """[unit] index of the first mark at which a unit's largest pre-activation exceeds REVIVED_ABOVE, -1 where none does. A unit
    that is alive once is not looked at again.
    """
    found = torch.full((units,), -1, dtype=torch.int64, device=device)
    waiting = torch.arange(units, device=device)
    for mark in range(marks):
        if not len(waiting):
            break
        alive = course.largest(mark, waiting) > REVIVED_ABOVE
        found[waiting[alive]] = mark
        waiting = waiting[~alive]
    return found


def _squares(change: Values) -> Tensor:
    """[replicate, unit] squared length of each unit's change in weights and bias."""
    return (change[NAMES[0]] ** 2).sum(dim=1) + change[NAMES[1]] ** 2


class Rollout(Quiet):
    """Over the units of layer1 that are dead at the start. ``revival_agreement``: share whose first evaluation alive is the
    predicted one or a neighbour of it (never counts as a value); ``predicted_revived_fraction``; ``revival_step`` and
    ``predicted_revival_step``: mean step of the first evaluation alive, over the units that revived (NaN where none did);
    ``coast_distance``: L2 distance from the start of the weights and biases of the units that stayed dead, ``coast_predicted``
    the same by the closed form (SGD without decay) or by the recursion, and ``coast_ratio`` their quotient (NaN where
    nothing was to coast). The prediction is made at the end, from a copy of the start, one replicate at a time.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.marks: list[int] = []
        #: Of followed replicates [replicate, unit]: squared distance from the start at each mark.
        self.gone: list[Tensor] = []

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Prediction beside measurement."""
        return (
            "revival_agreement",
            "predicted_revived_fraction",
            "revival_step",
            "predicted_revival_step",
            "coast_distance",
            "coast_predicted",
            "coast_ratio",
        )

    def _begin(self, view: Evaluation) -> None:
        self.origin = {name: view.parameters[name].detach().clone() for name in NAMES}
        self.memory = {
            name: {key.removeprefix(f"{name}."): t.clone() for key, t in view.optimizer_state.items() if key.startswith(f"{name}.")}
            for name in NAMES
        }
        self.taken = int(view.optimizer_state["taken"])
        self.inputs = view.inputs
        self.dead = view.units[0].max_pre <= 0
        self.measured = torch.full(self.dead.shape, -1, device=self.dead.device)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Notes who is alive at this step."""
        if not self.marks:
            self._begin(view)
        alive = view.units[0].max_pre > REVIVED_ABOVE
        self.measured = torch.where((self.measured < 0) & alive & self.dead, len(self.marks), self.measured)
        self.marks.append(view.step)
        self.last = {name: view.parameters[name].detach().clone() for name in NAMES}
        if view.followed:
            gone = {name: self.last[name][: view.followed].double() - self.origin[name][: view.followed].double() for name in NAMES}
            self.gone.append(_squares(gone))
        return {}

    def _predict(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Index of the predicted first evaluation alive [replicate, unit], -1 where it never comes or the unit was not dead, and
        the predicted displacement of every dead unit over the run.
        """
        o = self.layout.optimizer
        predicted = torch.full_like(self.measured, -1)
        moved = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in self.origin.items()}
        inputs = self.inputs.double()
        for replicate, dead in enumerate(self.dead):
            units = dead.nonzero()[:, 0]
            if not len(units):
                continue
            start, memory = self._of(replicate, units)
            straight = is_linear(o, [tensor for kept in memory.values() for tensor in kept.values()])
            course = (Straight if straight else Stepwise)(o, start, memory, self.taken, self.marks, inputs)
            predicted[replicate, units] = first_alive(course, len(units), len(self.marks), dead.device)
            for name, change in self._closed_form(memory, start).items() if self._has_closed_form else course.displacement().items():
                moved[name][replicate][..., units] = change
        return predicted, moved

    def _of(self, replicate: int, units: Tensor) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
        """Start and memory of some units, in float64."""
        start = {name: value[replicate][..., units].double() for name, value in self.origin.items()}
        memory = {name: {key: t[replicate][..., units].double() for key, t in kept.items()} for name, kept in self.memory.items()}
        return start, memory

    @property
    def _has_closed_form(self) -> bool:
        return self.layout.optimizer.name == "sgd" and not self.layout.optimizer.weight_decay

    def _closed_form(self, memory: Mapping[str, Values], start: Values) -> dict[str, Tensor]:
        reach = self.layout.optimizer.lr * coasting_factor(self.layout.optimizer, self.marks[-1])
        return {name: -reach * memory[name]["velocity"] if "velocity" in memory[name] else torch.zeros_like(start[name]) for name in NAMES}

    def _mean_step(self, marks: Tensor) -> Tensor:
        steps = torch.tensor(self.marks, dtype=torch.float64, device=marks.device)[marks.clamp(min=0)]
        found = marks >= 0
        return torch.where(found, steps, 0.0).sum(dim=1) / found.sum(dim=1, dtype=torch.float64)

    def _distance(self, change: Values, units: Tensor) -> Tensor:
        return torch.sqrt(torch.where(units, _squares(change), 0.0).sum(dim=1))

    def units(self) -> dict[str, Tensor]:
        """``coast_distance`` and ``coast_predicted`` at every evaluation, over the units that stayed dead to the end: the closed form, or
        with decay the recursion; not under Adam with something in its memory. Missing where no unit stayed dead.
        """
        stayed = (self.dead & (self.measured < 0))[: len(self.gone[0])]
        measured = torch.stack([torch.where(stayed, squares, 0.0).sum(dim=1).sqrt() for squares in self.gone], dim=1)
        predicted = torch.stack([self._course(replicate, units.nonzero()[:, 0]) for replicate, units in enumerate(stayed)])
        found = {"coast_distance.layer1": measured, "coast_predicted.layer1": predicted}
        return {name: torch.where(stayed.any(dim=1, keepdim=True), values, math.nan) for name, values in found.items()}

    def _course(self, replicate: int, units: Tensor) -> Tensor:
        """[mark] predicted distance of these units from their start."""
        o, device = self.layout.optimizer, units.device
        start, memory = self._of(replicate, units)
        if self._has_closed_form:
            velocity = {name: memory[name].get("velocity", torch.zeros_like(start[name])) for name in NAMES}
            speed = float(_squares({name: value[None] for name, value in velocity.items()}).sum().sqrt())
            return torch.tensor([o.lr * coasting_factor(o, mark) * speed for mark in self.marks], dtype=torch.float64, device=device)
        if not is_linear(o, [tensor for kept in memory.values() for tensor in kept.values()]):
            return torch.full((len(self.marks),), math.nan, dtype=torch.float64, device=device)
        course = Straight(o, start, memory, self.taken, self.marks, self.inputs[:1].double())
        moved = course.displacements(len(self.marks))
        return torch.stack([_squares({name: value[None] for name, value in change.items()}).sum().sqrt() for change in moved])

    def finish(self) -> dict[str, Tensor]:
        """Agreement, steps and distances."""
        predicted, moved = self._predict()
        among = self.dead.sum(dim=1, dtype=torch.float64)
        both = (self.measured >= 0) & (predicted >= 0)
        agree = ((self.measured - predicted).abs() <= 1) & both | (self.measured < 0) & (predicted < 0)
        stayed = self.dead & (self.measured < 0)
        distance = self._distance({name: self.last[name].double() - self.origin[name].double() for name in NAMES}, stayed)
        foretold = self._distance(moved, stayed)
        return {
            "revival_agreement": (agree & self.dead).sum(dim=1, dtype=torch.float64) / among,
            "predicted_revived_fraction": (predicted >= 0).sum(dim=1, dtype=torch.float64) / among,
            "revival_step": self._mean_step(self.measured),
            "predicted_revival_step": self._mean_step(predicted),
            "coast_distance": distance,
            "coast_predicted": foretold,
            "coast_ratio": torch.where(foretold > 0, distance / foretold, math.nan),
        }
