"""Detectors and pruning against scipy's hypergeometric law and counts in NumPy, on a network small enough to enumerate."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from probes.test_units import LAYOUT, evaluation

from suite.probes.detectors import Detectors, silent_probability
from suite.probes.plasticity import Plasticity
from suite.probes.pruning import Pruning
from suite.probes.views import Evaluation, Layout, UnitStatistics

EXAMPLES = 130


def test_silence_on_a_batch_is_hypergeometric():
    for total, batch in ((100, 8), (1442, 512), (130, 128)):
        active = np.arange(0, total + 1)
        expected = scipy.stats.hypergeom(total, active, batch).pmf(0)
        found = silent_probability(torch.from_numpy(active), total, batch).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    # with few active among many it is the independent draw's (1 - p)^n
    assert float(silent_probability(torch.tensor(1000), 1_000_000, 32)) == pytest.approx(0.999**32, rel=1e-4)


def view_of(pre: list[np.ndarray], outputs=None, parameters=None) -> Evaluation:
    """An evaluation whose layers have these pre-activations [replicate, example, unit]."""
    layers = tuple(torch.from_numpy(layer) for layer in pre)
    units = tuple(UnitStatistics(layer.amax(dim=1), layer.clamp(min=0).mean(dim=1)) for layer in layers)
    plain = evaluation([[1.0]])
    return Evaluation(
        **{
            **vars(plain),
            "units": units,
            "parameters": parameters or {},
            # two slices, as a large stack would come
            "pre_activations": lambda: iter([tuple(layer[:1] for layer in layers), tuple(layer[1:] for layer in layers)]),
            "outputs": outputs,
        }
    )


def layout(widths, examples=EXAMPLES) -> Layout:
    names = tuple(f"layer{k + 1}" for k in range(len(widths)))
    return Layout(**{**vars(LAYOUT), "layers": names, "widths": widths, "examples": examples})


def test_error_rates_are_counts():
    rng = np.random.default_rng(3)
    pre = [rng.standard_normal((2, EXAMPLES, 6)) - np.array([0, 1, 2, 2.5, 3, 9.0]), rng.standard_normal((2, EXAMPLES, 3)) - 2.2]
    probe = Detectors(layout((6, 3)))
    values = probe.evaluate(view_of(pre))
    assert set(values) == set(probe.columns())
    assert not any("batch_512" in name for name in values)
    for replicate in range(2):
        above = np.concatenate([layer[replicate] > 0 for layer in pre], axis=1)
        means = [np.maximum(layer[replicate], 0).mean(axis=0) for layer in pre]
        dead = ~above.any(axis=0)
        assert 0 < dead.sum() < 9
        for n in (8, 32, 128):
            looks = [above[start : start + n] for start in range(0, EXAMPLES - n + 1, n)]
            silent = np.array([[not look[:, unit].any() for look in looks] for unit in range(9)])
            measured = silent[~dead].mean()
            predicted = np.mean([scipy.stats.hypergeom(EXAMPLES, above[:, unit].sum(), n).pmf(0) for unit in np.flatnonzero(~dead)])
            assert values[f"false_positive_fraction.batch_{n}"][replicate].item() == pytest.approx(measured)
            assert values[f"false_negative_fraction.batch_{n}"][replicate].item() == pytest.approx((~silent[dead]).mean())
            assert values[f"predicted_false_positive_fraction.batch_{n}"][replicate].item() == pytest.approx(predicted)
            assert values[f"false_positive_excess.batch_{n}"][replicate].item() == pytest.approx(measured - predicted)
        for tau in (0.0, 0.025, 0.1):
            flags = np.concatenate([mean <= tau * mean.mean() for mean in means])
            assert values[f"false_positive_fraction.dormant_{tau:g}"][replicate].item() == pytest.approx(flags[~dead].mean())
        rare = above.mean(axis=0) < 0.01
        assert values["false_positive_fraction.rare_0.01"][replicate].item() == pytest.approx(rare[~dead].mean())
    assert values["false_positive_fraction.batch_8"].min() > 0.05


def test_nothing_alive_is_no_false_alarm():
    values = Detectors(layout((2,))).evaluate(view_of([np.full((2, EXAMPLES, 2), -1.0)]))
    assert all(value.tolist() == [0.0, 0.0] for value in values.values())


def test_pruning_cuts_dead_units_or_the_busiest_and_looks_at_both_sets():
    """Outputs are made from the outgoing weights themselves, so what was cut can be read off the change."""
    pre = [np.array([[[1.0, -1.0, 4.0]], [[1.0, 2.0, -3.0]]])]
    weight = torch.tensor([[[1.0], [10.0], [100.0]]] * 2)
    probe = Pruning(layout((3,), 1))
    view = view_of(pre, lambda p: (p["output.weight"] * torch.tensor([[1.0], [0.0], [1.0]]), p["output.weight"]), {"output.weight": weight})
    values = {name: value.tolist() for name, value in probe.evaluate(view).items()}
    assert values == {
        "pruned_output_change": [0.0, 100.0],  # the stub's training set hears unit 2 only
        "pruned_output_change_test": [10.0, 100.0],
        "live_pruned_output_change": [100.0, 0.0],
        "pruned_units": [1, 1],
    }
    assert torch.equal(weight, torch.tensor([[[1.0], [10.0], [100.0]]] * 2))


def test_plasticity_compares_the_ends_of_tasks():
    probe = Plasticity(Layout(**{**vars(LAYOUT), "steps": 30, "tasks": 3}))
    for step, accuracy in ((0, 0.1), (5, 0.5), (10, 0.9), (15, 0.2), (20, 0.8), (30, 0.6)):
        probe.evaluate(
            Evaluation(**{**vars(evaluation([[1.0]], step=step)), "test_accuracy": torch.tensor([accuracy], dtype=torch.float64)})
        )
    end = {name: value.item() for name, value in probe.finish().items()}
    expected = {"task_accuracy_first": 0.9, "task_accuracy_last": 0.6, "task_accuracy_mean": 2.3 / 3, "plasticity_change": -0.3}
    assert end == pytest.approx(expected)
