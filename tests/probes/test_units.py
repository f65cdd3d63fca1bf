"""Unit and gradient probes against counts made by hand on tensors small enough to read."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from suite.config.schema import Optimizer, Probes, Start
from suite.probes import registry
from suite.probes.batches import BatchDead, BatchNormBound
from suite.probes.gradients import Gradients
from suite.probes.movement import Movement
from suite.probes.units import Dead, Dormant
from suite.probes.views import Evaluation, Layout, Stretch, UnitStatistics
from suite.vocabulary import RequestError

LAYOUT = Layout(
    layers=("layer1", "layer2"),
    widths=(3, 2),
    groups={"hidden_weight": ("layer1.weight", "layer2.weight"), "output_bias": ("output.bias",)},
    classification=True,
    norm="none",
    norm_position="before",
    optimizer=Optimizer(),
    start=Start(),
    batch_size=4,
    dormant_tau=0.025,
    constant_loss=2.0,
)


def evaluation(max_pre, post=None, step=0, parameters=None) -> Evaluation:
    units = tuple(UnitStatistics(torch.tensor([pre]), torch.tensor([after])) for pre, after in zip(max_pre, post or max_pre, strict=True))
    zero = torch.zeros(1)
    return Evaluation(
        step,
        parameters or {},
        {},
        units,
        units,
        zero,
        zero,
        zero,
        zero,
        dict,
        lambda: zero,
        torch.zeros(1, 1),
        torch.zeros(1, dtype=torch.bool),
    )


def test_dead_counts_levels_flows_and_histories():
    probe = Dead(LAYOUT)
    # layer1: alive, dead, dead (at exactly zero); layer2: alive, alive
    first = probe.evaluate(evaluation([[1.0, -1.0, 0.0], [2.0, 3.0]]))
    assert first["dead_fraction"].item() == pytest.approx(2 / 5)
    assert first["dead_fraction.layer1"].item() == pytest.approx(2 / 3)
    assert first["dead_fraction.layer2"].item() == 0
    assert first["deaths"].item() == first["revivals"].item() == 0
    # unit 2 of layer1 revives, unit 3 rises to 1e-9 only: not dead by definition, but not revived either
    second = probe.evaluate(evaluation([[1.0, 0.5, 1e-9], [-2.0, 3.0]]))
    assert second["dead_fraction"].item() == pytest.approx(1 / 5)
    assert second["deaths"].item() == pytest.approx(1 / 5)
    assert second["revivals"].item() == pytest.approx(1 / 5)
    probe.evaluate(evaluation([[1.0, -0.5, -1.0], [2.0, 3.0]]))
    end = {name: value.item() for name, value in probe.finish().items()}
    assert end == pytest.approx({"dead_at_start": 0.4, "revived_fraction": 0.5, "died_fraction": 1 / 3, "recovered_fraction": 1.0})


def test_a_network_without_hidden_units_is_asked_nothing_about_them():
    bare = replace(LAYOUT, layers=(), widths=())
    assert registry.names(Probes(), LAYOUT) == ("fit", "dead", "dormant", "batch_dead", "gradients", "movement")
    assert registry.names(Probes(), bare) == ("fit", "gradients", "movement")


def test_dormant_follows_sokar():
    """Scores are the unit's mean |activation| over the layer's mean: 0.02/1.34 < 0.025, the silent layer is all dormant."""
    values = Dormant(LAYOUT).evaluate(evaluation([[0.0] * 3, [0.0] * 2], [[4.0, 0.02, 0.0], [0.0, 0.0]]))
    assert values["dormant_fraction.layer1"].item() == pytest.approx(2 / 3)
    assert values["dormant_fraction.layer2"].item() == 1
    assert values["dormant_fraction"].item() == pytest.approx(4 / 5)


def stretch(batch_dead=(), gradients=None, peak=None, pre=(), variance=(), affine=None) -> Stretch:
    return Stretch(peak or {}, torch.tensor([batch_dead]), gradients or {}, pre, variance, affine or {})


def test_batch_dead_keeps_the_extremes_over_every_step_and_the_latest():
    probe = BatchDead(LAYOUT)
    assert probe.watches() == {"batch_dead"}
    assert probe.evaluate(evaluation([[1.0] * 3, [1.0] * 2])) == {}
    probe.after_steps(stretch([0.2, 0.4, 0.2]))
    probe.after_steps(stretch([0.0, 0.1]))
    assert probe.evaluate(evaluation([[1.0] * 3, [1.0] * 2]))["batch_dead_fraction"].item() == pytest.approx(0.1)
    end = probe.finish()
    assert end["batch_dead_fraction_max"].item() == pytest.approx(0.4)
    assert end["batch_dead_fraction_min"].item() == 0


def test_gradients_report_size_zeros_and_the_largest_so_far():
    probe = Gradients(LAYOUT)
    big = {"layer1.weight": torch.tensor([[[3.0, 0.0]]]), "layer2.weight": torch.tensor([[[4.0, 0.0]]]), "output.bias": torch.zeros(1, 2)}
    for scale, peak in ((1.0, 4.5), (0.1, 0.4)):
        gradients = {name: value * scale for name, value in big.items()}
        peaks = {"layer1.weight": torch.tensor([3.0]), "layer2.weight": torch.tensor([peak]), "output.bias": torch.zeros(1)}
        probe.after_steps(stretch(gradients=gradients, peak=peaks))
    values = probe.evaluate(evaluation([[1.0] * 3, [1.0] * 2]))
    assert values["grad_norm.hidden_weight"].item() == pytest.approx(0.5)
    assert values["grad_zero_fraction.hidden_weight"].item() == 0.5
    assert values["grad_max_abs.hidden_weight"].item() == 4.5
    assert values["grad_max_abs.output_bias"].item() == 0.0


def test_movement_sees_a_single_bit():
    probe = Movement(LAYOUT)
    start = {"layer1.weight": torch.ones(1, 2, 2), "layer2.weight": torch.ones(1, 2, 1), "output.bias": torch.zeros(1, 3)}
    probe.evaluate(evaluation([[1.0] * 3, [1.0] * 2], parameters=start))
    moved = {name: value.clone() for name, value in start.items()}
    moved["layer1.weight"][0, 0, 0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    values = probe.evaluate(evaluation([[1.0] * 3, [1.0] * 2], parameters=moved))
    assert values["moved_fraction.hidden_weight"].item() == pytest.approx(1 / 6)
    assert values["moved_norm.hidden_weight"].item() == pytest.approx(2**-23)
    assert values["moved_fraction.output_bias"].item() == 0


def test_the_batchnorm_bound_probe_notices_a_broken_bound():
    """n = 5: above -1/2 alive for certain, below -2 dead for certain. Fed pre-activations that contradict both, it counts them."""
    layout = Layout(**{**vars(LAYOUT), "layers": ("layer1",), "widths": (3,), "norm": "batch"})
    probe = BatchNormBound(layout)
    parameters = {"layer1.scale": torch.ones(1, 3), "layer1.shift": torch.tensor([[-0.4, -2.1, -1.0]])}
    pre = torch.full((1, 5, 3), -1.0)
    pre[0, 0, 1] = 0.1
    assert probe.watches() == {"every_step"}
    probe.after_steps(stretch(pre=(pre,), variance=(torch.ones(1, 3),), affine=parameters))
    end = {name: value.item() for name, value in probe.finish().items()}
    assert end == pytest.approx(
        {"bound_alive_share": 1 / 3, "bound_dead_share": 1 / 3, "bound_alive_broken": 1, "bound_dead_broken": 1, "bound_skipped_share": 0}
    )


def test_tiers_contain_one_another_and_unknown_probes_are_named():
    tiers = [set(registry.TIERS[name]) for name in ("economy", "default", "full")]
    assert tiers[0] < tiers[1] < tiers[2]
    with pytest.raises(RequestError, match=r"'rolout'.*nearest is 'rollout'"):
        registry.names(Probes(extra=["rolout"]), LAYOUT)


def test_metric_names_are_what_is_returned():
    """Every name a probe announces is one it returns, and it returns no other."""
    names = registry.metric_names(Probes("full", 10, ["rollout", "batchnorm_bound", "zeros", "collapse"]), LAYOUT)
    assert len(names) == len(set(names))
    assert {"dead_fraction", "dead_fraction.layer2", "grad_max_abs.hidden_weight", "coast_ratio"} <= set(names)
    assert not math.isnan(LAYOUT.constant_loss)
