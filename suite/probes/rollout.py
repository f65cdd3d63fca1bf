"""What an optimizer alone does to a dead unit, predicted in float64 and set beside what training did.

A dead unit of the first hidden layer receives an exactly zero gradient, so its path is settled by the optimizer's
memory and decay until it revives. The prediction runs that recursion in float64, written out here separately
from ``suite.training`` so that the two can disagree.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from suite.config.schema import Optimizer
from suite.probes.units import REVIVED_ABOVE
from suite.probes.views import Evaluation, Layout, Quiet


def coasting_factor(optimizer: Optimizer, steps: float) -> float:
    """Distance coasted in ``steps`` steps per unit of (lr · velocity), the gradient being zero: heavy ball
    μ(1-μ^T)/(1-μ), Nesterov μ²(1-μ^T)/(1-μ). ``steps`` may be infinite.
    """
    mu = optimizer.momentum
    first = mu * mu if optimizer.nesterov else mu
    return float(first * (1 - mu**steps) / (1 - mu))


class Path:
    """One parameter tensor under the optimizer with a zero loss gradient, in float64."""

    def __init__(self, optimizer: Optimizer, kind: str, value: Tensor, state: dict[str, Tensor], taken: Tensor) -> None:
        self.optimizer = optimizer
        self.value = value.detach().double().clone()
        self.memory = {name: tensor.detach().double().clone() for name, tensor in state.items()}
        self.taken = int(taken)
        applies = optimizer.decay_on == "both" or optimizer.decay_on == ("biases" if kind == "bias" else "weights")
        self.decay = optimizer.weight_decay if applies else 0.0

    def advance(self) -> None:
        """One step."""
        o = self.optimizer
        self.taken += 1
        if self.decay and o.decay == "decoupled":
            self.value = self.value * (1 - o.lr * self.decay)
        gradient = self.value * (self.decay if o.decay == "l2" else 0.0)
        if o.name == "sgd":
            velocity = o.momentum * self.memory["velocity"] + gradient if o.momentum else gradient
            if o.momentum:
                self.memory["velocity"] = velocity
            self.value = self.value - o.lr * (gradient + o.momentum * velocity if o.nesterov else velocity)
            return
        self.memory["first"] = o.beta1 * self.memory["first"] + (1 - o.beta1) * gradient
        self.memory["second"] = o.beta2 * self.memory["second"] + (1 - o.beta2) * gradient**2
        first = self.memory["first"] / (1 - o.beta1**self.taken)
        second = self.memory["second"] / (1 - o.beta2**self.taken)
        self.value = self.value - o.lr * first / (second.sqrt() + o.eps)


class Rollout(Quiet):
    """Over the units of layer1 that are dead at the start. ``revival_agreement``: share whose first evaluation alive is the
    predicted one or a neighbour of it (never counts as a value); ``predicted_revived_fraction``; ``revival_step`` and
    ``predicted_revival_step``: mean step of the first evaluation alive, over the units that revived (NaN where none did);
    ``coast_distance``: L2 distance from the start of the weights and biases of the units that stayed dead, ``coast_predicted``
    the same by the closed form (SGD without decay) or by the recursion, and ``coast_ratio`` their quotient (NaN where
    nothing was to coast).
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.paths: dict[str, Path] | None = None
        self.marks: list[int] = []
        self.taken_at_start = 0

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
        self.names = ("layer1.weight", "layer1.bias")
        self.paths = {
            name: Path(
                self.layout.optimizer,
                name.split(".")[1],
                view.parameters[name],
                {key.removeprefix(f"{name}."): t for key, t in view.optimizer_state.items() if key.startswith(f"{name}.")},
                view.optimizer_state["taken"],
            )
            for name in self.names
        }
        self.origin = {name: path.value.clone() for name, path in self.paths.items()}
        self.velocity = {name: path.memory.get("velocity") for name, path in self.paths.items()}
        self.dead = view.units[0].max_pre <= 0
        never = torch.full(self.dead.shape, -1, device=self.dead.device)
        self.measured, self.predicted = never.clone(), never.clone()

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Advances the prediction to this step and notes who is alive in each."""
        if self.paths is None:
            self._begin(view)
        assert self.paths is not None
        while self.marks and self.paths["layer1.weight"].taken < self.taken_at_start + view.step:
            for path in self.paths.values():
                path.advance()
        if not self.marks:
            self.taken_at_start = self.paths["layer1.weight"].taken
        mark = len(self.marks)
        self.marks.append(view.step)
        alive = view.units[0].max_pre > REVIVED_ABOVE
        foretold = self._largest(view.inputs) > REVIVED_ABOVE
        self.measured = torch.where((self.measured < 0) & alive & self.dead, mark, self.measured)
        self.predicted = torch.where((self.predicted < 0) & foretold & self.dead, mark, self.predicted)
        self.last = {name: view.parameters[name].detach().double().clone() for name in self.names}
        return {}

    def _largest(self, inputs: Tensor) -> Tensor:
        """[replicate, unit] the predicted largest pre-activation over the training set, one replicate at a time
        because the whole set in float64 is the largest thing held here.
        """
        assert self.paths is not None
        weight, bias = self.paths["layer1.weight"].value, self.paths["layer1.bias"].value
        wide = inputs.double()
        return torch.stack([(wide @ w).amax(dim=0) + b for w, b in zip(weight, bias, strict=True)])

    def _mean_step(self, marks: Tensor) -> Tensor:
        steps = torch.tensor(self.marks, dtype=torch.float64, device=marks.device)[marks.clamp(min=0)]
        found = marks >= 0
        return torch.where(found, steps, 0.0).sum(dim=1) / found.sum(dim=1, dtype=torch.float64)

    def _distance(self, change: dict[str, Tensor], units: Tensor) -> Tensor:
        weight = (change["layer1.weight"] ** 2).sum(dim=1) + change["layer1.bias"] ** 2
        return torch.sqrt(torch.where(units, weight, 0.0).sum(dim=1))

    def _closed_form(self) -> dict[str, Tensor]:
        """Predicted displacement of every unit over the run."""
        assert self.paths is not None
        o = self.layout.optimizer
        if o.name != "sgd" or o.weight_decay:
            return {name: path.value - self.origin[name] for name, path in self.paths.items()}
        reach = o.lr * coasting_factor(o, self.marks[-1])
        return {
            name: -reach * velocity if velocity is not None else torch.zeros_like(self.origin[name])
            for name, velocity in self.velocity.items()
        }

    def finish(self) -> dict[str, Tensor]:
        """Agreement, steps and distances."""
        among = self.dead.sum(dim=1, dtype=torch.float64)
        both = (self.measured >= 0) & (self.predicted >= 0)
        agree = ((self.measured - self.predicted).abs() <= 1) & both | (self.measured < 0) & (self.predicted < 0)
        stayed = self.dead & (self.measured < 0)
        distance = self._distance({name: self.last[name] - self.origin[name] for name in self.names}, stayed)
        predicted = self._distance(self._closed_form(), stayed)
        return {
            "revival_agreement": (agree & self.dead).sum(dim=1, dtype=torch.float64) / among,
            "predicted_revived_fraction": (self.predicted >= 0).sum(dim=1, dtype=torch.float64) / among,
            "revival_step": self._mean_step(self.measured),
            "predicted_revival_step": self._mean_step(self.predicted),
            "coast_distance": distance,
            "coast_predicted": predicted,
            "coast_ratio": torch.where(predicted > 0, distance / predicted, math.nan),
        }
