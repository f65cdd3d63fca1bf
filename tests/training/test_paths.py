"""Which path a condition takes, and that every path tells the same story through the engine's front."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.training.engine import network_of, stretches, train
from suite.training.paths import path_of, why_not_native
from suite.vocabulary import Block, Condition

BASE = Numeric(
    "float64", Data(subset=300), Model(hidden=[16, 8]), Start(), Optimizer(momentum=0.9), Train(30, 16), Probes("full", 7), Engine("native")
)


def path(numeric: Numeric, device: str = "cpu") -> str:
    return path_of(numeric, network_of(numeric, load(numeric.data, "data")), device)


def test_auto_takes_the_native_path_where_it_can_serve():
    auto = replace(BASE, engine=Engine("auto"))
    assert path(auto) == "native"
    for other in (
        replace(auto, model=Model(hidden=[8], norm="batch")),
        replace(auto, model=Model(hidden=[8, 8], skip=True)),
        replace(auto, model=Model(hidden=[8], activation="tanh")),
        replace(auto, model=Model(hidden=[])),
        replace(auto, model=Model(hidden=[8], output_unit="sigmoid"), train=Train(30, 16, "squared_error")),
        replace(auto, optimizer=Optimizer("newton")),
    ):
        assert path(other) == "eager"
    assert path(auto, "cuda") == "eager"
    assert path(replace(auto, engine=Engine("eager"))) == "eager"


def test_without_a_compiler_everything_is_eager_and_the_reason_is_named(monkeypatch):
    monkeypatch.setenv("DEADZONE_NATIVE", "off")
    auto = replace(BASE, engine=Engine("auto"))
    assert path(auto) == "eager"
    assert "DEADZONE_NATIVE" in str(why_not_native(auto, network_of(auto, load(auto.data, "data")), "cpu"))


def test_the_choice_does_not_rest_on_what_is_measured():
    auto = replace(BASE, engine=Engine("auto"))
    assert path(replace(auto, probes=Probes("full", 1, ["rollout", "batchnorm_bound"]))) == path(replace(auto, probes=Probes("economy")))


def test_stretches_cover_every_step_once_and_stop_at_evaluations():
    for steps, every, longest in ((30, 7, 100), (30, 7, 3), (5, 10, 100), (21, 7, 7), (1, 1, 1)):
        found = list(stretches(steps, every, longest))
        covered = [step for first, taken, _ in found for step in range(first, first + taken)]
        assert covered == list(range(steps))
        assert max(taken for _, taken, _ in found) <= min(longest, every)
        marks = [first + taken for first, taken, evaluated in found if evaluated]
        assert marks == sorted({*range(every, steps, every), steps})


VARIANTS = {
    "momentum": BASE,
    "adam": replace(BASE, optimizer=Optimizer(name="adam", lr=0.01, weight_decay=0.1)),
    "killed": replace(BASE, start=Start(name="killed", margin=0.02, after=10), probes=Probes("full", 5, ["rollout"])),
    "cleared": replace(BASE, start=Start(name="killed", margin=0.02, after=10, optimizer_state="cleared")),
    "killed_in_part": replace(BASE, start=Start("killed", 2, units=3, after=10), probes=Probes("full", 5, ["zeros", "collapse"])),
    "squared": replace(BASE, train=Train(30, 16, "squared_error")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_native_and_eager_agree_in_every_metric_in_float64(name):
    """The same block through both paths: every curve and final value of every probe, to 1e-8."""
    data = load(BASE.data, "data")
    traces = []
    for engine in ("native", "eager"):
        numeric = replace(VARIANTS[name], engine=Engine(engine))
        traces.append(train(Block(Condition("c", {}, asdict(numeric)), 0, 4, 3, "cpu"), data)[0])
    one, two = traces
    assert one.curves.keys() == two.curves.keys()
    for key, curve in one.curves.items():
        np.testing.assert_allclose(curve, two.curves[key], rtol=1e-8, atol=1e-10, err_msg=key)
    for key, final in one.finals.items():
        np.testing.assert_allclose(final, two.finals[key], rtol=1e-8, atol=1e-10, err_msg=key)
    # two paths, not one called twice: somewhere a last bit differs
    assert any(not np.array_equal(curve, two.curves[key], equal_nan=True) for key, curve in one.curves.items())
