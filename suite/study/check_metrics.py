"""What is known of a metric before anything is trained: its range, when it is settled, and where its definition fixes it.

Knows names and configurations, no data. A metric that is not mentioned here may take any value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from suite.config.choices import STARTS_LATER
from suite.inference.bounds import share_bounds
from suite.record.canonical import to_json
from suite.vocabulary import is_timed

#: Zero or one.
FLAGS = frozenset(
    (
        *("dead_layer", "constant_output", "born_dead_network", "born_constant", "became_constant", "escaped", "left_plateau"),
        *("reached_target", "critical", "saddle", "minimum", "maximum", "gradient_flat"),
        *("late_static", "late_periodic", "late_drifting", "late_regular", "late_chaotic"),
    )
)
#: Never below zero: sizes, losses and counts.
NOT_NEGATIVE = frozenset(
    (
        *("moved_norm", "grad_norm", "grad_max_abs", "full_grad_max_abs", "initial_grad_max_abs", "layer_grad_max_abs"),
        *("first_layer_grad_max_abs", "gradient_norm", "train_loss", "test_loss", "output_range", "pruned_units", "zero_gradient_layers"),
        *("bound_alive_broken", "bound_dead_broken", "steps_to_target", "steps_to_escape", "escape_step", "escape_time", "held_bytes"),
    )
)
#: Read at step 0 and never again.
AT_START = frozenset(
    ("dead_at_start", "born_dead_network", "born_constant", "initial_grad_max_abs", "initial_grad_log10", "initial_grad_zero_fraction")
)
#: Of losses that fall to probes.escape_loss.
OF_ESCAPE = frozenset(("escaped", "escape_step", "escape_time", "reached_target", "steps_to_target", "time.seconds_to_target"))
GRADIENTS = frozenset(("grad_max_abs", "grad_norm", "full_grad_max_abs", "initial_grad_max_abs"))


@dataclass(frozen=True)
class Fixed:
    """The value that a metric always has in a condition, and why: by its ``definition`` there, or because it was ``planted`` by the
    start. A value of NaN: it has none, and the study would end without a verdict.
    """

    value: float
    why: str
    kind: Literal["definition", "planted"] = "definition"


def range_of(metric: str) -> tuple[float, float]:
    """The values that a metric can take, infinite where no limit is known.

    >>> range_of("dead_fraction"), range_of("moved_norm.layer1"), range_of("excess_loss")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    family = metric.split(".")[0]
    if family in FLAGS:
        return 0.0, 1.0
    if family in NOT_NEGATIVE or is_timed(metric):
        return 0.0, math.inf
    return share_bounds(metric) or (-math.inf, math.inf)


def fixed(metric: str, config: Mapping[str, Any]) -> Fixed | None:
    """The value that the metric cannot but have in a condition of this configuration, None where training decides it."""
    family, _, part = metric.partition(".")
    model, start, train = config["model"], config["start"], config["train"]
    hidden = part.startswith("hidden_") or (part.removeprefix("layer").isdigit() and int(part[5:]) <= _layers(model))
    planted = start["name"] == "born_dead" and start["layer"] is None and start["units"] is None and start["alive_on"] == 0
    planted = planted and config["precision"] in ("float32", "float64")
    if family in ("moved_fraction", "moved_norm") and hidden and train["trainable"] == "output":
        return Fixed(0.0, "train.trainable=output keeps the hidden layers as they are")
    if family == "plasticity_change" and train["tasks"] == 1:
        return Fixed(0.0, "with train.tasks=1 the first task is the last")
    if family.startswith("bound_") and (model["norm"] != "batch" or model["norm_position"] != "before"):
        return Fixed(math.nan, "without model.norm=batch before the activation there is no bound to check")
    if family in GRADIENTS and hidden and model["activation"] == "step":
        return Fixed(0.0, "the derivative of model.activation=step is zero", "planted")
    if family in ("dead_at_start", "born_dead_network") and planted:
        return Fixed(1.0, "start=born_dead puts every unit below zero", "planted")
    if family == "initial_grad_log10" and hidden and planted and model["activation"] == "relu":
        return Fixed(math.nan, "the gradient of a layer born dead is zero, and zero has no logarithm")
    return None


def _layers(model: Mapping[str, Any]) -> int:
    return len(model["hidden"]) + len(model["channels"])


def numbers(metric: str, config: Mapping[str, Any]) -> str | None:
    """Everything of a configuration that the metric can depend on, as text: where two are equal, so is the metric in every replicate,
    by the pairing. None for a clock, which never gives the same number twice.
    """
    if is_timed(metric):
        return None
    if metric.split(".")[0] in AT_START and config["start"]["name"] not in STARTS_LATER:
        told: dict[str, Any] = {key: config[key] for key in ("precision", "data", "model", "start")}
        told["train"] = {key: config["train"][key] for key in ("loss", "loss_scale", "trainable")}
        return to_json(told)
    # which probes watch changes nothing of what each of them sees
    return to_json({**config, "probes": {key: value for key, value in config["probes"].items() if key not in ("tier", "extra")}})
