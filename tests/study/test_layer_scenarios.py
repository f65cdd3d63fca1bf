"""The scenarios on dead units, dead layers and depth: closed forms they quote, and small designs whose answers are known."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.nets.closed_forms import born_dead_lower, born_dead_one_input
from suite.study.plan import check_fit
from suite.training.engine import train
from suite.vocabulary import Block, Condition, RequestError

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
BASE = Numeric(
    "float32", Data(subset=300), Model(hidden=[16]), Start(), Optimizer(lr=0.1), Train(60, 32), Probes("full", 10, ["zeros", "collapse"])
)
DEEP = replace(BASE, model=Model(hidden=[16, 16, 16]))


def finals(numeric: Numeric, replicates: int = 6) -> dict[str, np.ndarray]:
    block = Block(Condition("c", {}, asdict(numeric)), 0, replicates, 5, "cpu")
    return dict(train(block, load(numeric.data, "data"))[0].finals)


def hypotheses(name: str) -> dict:
    return yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())


def test_the_depth_scenario_quotes_the_closed_forms():
    body = hypotheses("born_dead_depth")
    conditions, model = body["scenario"]["conditions"], body["model"]
    checked = 0
    for name, hypothesis in body["scenario"]["hypotheses"].items():
        levels = model | {k.split(".")[1]: v for k, v in conditions[hypothesis["treatment"]["condition"]].items() if k.startswith("model.")}
        low, high = born_dead_lower(levels["width"], levels["depth"]), born_dead_one_input(levels["width"], levels["depth"])
        if name.endswith("within_bounds"):
            assert hypothesis["value"] - hypothesis["margin"] == pytest.approx(low - 0.05, abs=1.5e-4)
            assert hypothesis["value"] + hypothesis["margin"] == pytest.approx(high + 0.05, abs=1.5e-4)
            assert hypothesis["reference"]["value"] == pytest.approx(low, abs=5e-5)
            checked += 1
        if name == "one_input":
            assert hypothesis["value"] == hypothesis["reference"]["value"] == pytest.approx(high, abs=5e-5)
            checked += 1
    assert checked == 7


def test_the_residual_scenario_quotes_the_closed_form():
    bound = hypotheses("residual")["scenario"]["hypotheses"]["below_the_closed_form"]
    assert bound["value"] == bound["reference"]["value"] == pytest.approx(born_dead_one_input(4, 20), abs=5e-4)


def test_the_engine_draws_networks_born_dead_as_often_as_the_closed_form_says():
    """500 networks of width 2 and 9 layers, one input: 0.9249 ± 0.0118 (one standard error); four of them are allowed."""
    one = replace(BASE, data=Data("abs", subset=1), model=Model(width=2, depth=9, init="he"), train=Train(1, None, "squared_error"))
    dead = finals(one, 500)["born_dead_network"]
    assert set(dead) == {0.0, 1.0}
    assert abs(dead.mean() - born_dead_one_input(2, 9)) < 4 * 0.0118


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_dead_layer_stops_what_is_before_it(layer):
    """Backpropagation by hand: the signal into layer k is zero, so layers 1 … k keep every bit; layer k+1 sees zeros, so its
    biases alone can move; the output is a constant."""
    end = finals(replace(DEEP, start=Start("born_dead", layer=layer)))
    for before in range(1, layer + 1):
        assert (end[f"moved_norm.layer{before}"] == 0).all()
        assert (end[f"full_grad_max_abs.layer{before}"] == 0).all()
    for after in range(layer + 1, 4):
        assert (end[f"moved_norm.layer{after}"] > 0).all()
    if layer < 3:
        assert (end[f"moved_fraction.layer{layer + 1}"] <= 1 / 17).all()  # 16 biases of 16 · 16 + 16 numbers
    assert (end["moved_norm.output"] > 0).all()
    assert (end["constant_output"] == 1).all() and (end["dead_layer"] == 1).all()


def test_a_skip_carries_the_gradient_past_a_dead_layer():
    end = finals(replace(DEEP, start=Start("born_dead", layer=3), model=replace(DEEP.model, skip=True)))
    assert (end["moved_norm.layer1"] > 0).all()
    assert (end["constant_output"] == 0).all()


def test_killed_units_are_counted_and_stay_dead_under_plain_descent():
    end = finals(replace(BASE, start=Start("killed", units=4, after=20)))
    assert (end["dead_at_start"] >= 4 / 16).all()
    assert (end["dead_fraction"] >= 4 / 16).all()
    assert (end["dead_moved_fraction"] == 0).all() and (end["came_back_fraction"] == 0).all()
    assert (end["full_zero_fraction"] >= 4 / 16).all() and (end["full_zero_moved_fraction"] == 0).all()
    assert (end["batch_zero_moved_fraction"] > 0).all()


def test_memory_moves_what_leads_into_a_killed_unit():
    killed = replace(BASE, start=Start("killed", units=4, after=20, margin=10.0), optimizer=Optimizer(lr=0.1, momentum=0.9))
    assert (finals(killed)["dead_moved_fraction"] > 0).all()
    cleared = replace(killed, start=replace(killed.start, optimizer_state="cleared"))
    assert (finals(cleared)["dead_moved_fraction"] == 0).all()


@pytest.mark.parametrize(("layer", "units", "wrong"), [(None, 9, 2), (2, 9, 2), (1, 9, None), (1, 17, 1), (None, 8, None)])
def test_more_units_than_a_layer_has_cannot_be_killed(layer, units, wrong):
    condition = Condition("c", {}, asdict(replace(BASE, model=Model(hidden=[16, 8]), start=Start("killed", layer, units))))
    data = load(BASE.data, "data")
    if wrong is None:
        check_fit(condition, data)
    else:
        with pytest.raises(RequestError, match=f"start.units={units} exceeds .* of hidden layer {wrong}"):
            check_fit(condition, data)
