"""Composing real scenarios: precedence, factors, deviations, and one clear line for everything that is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from suite.config import hydra_plugin
from suite.config.catalogue import catalogue
from suite.config.choices import PROBES
from suite.config.compose import check_overrides, compose_study
from suite.config.paths import CONF, SCENARIOS
from suite.config.scenario import parse_scenario
from suite.probes import registry
from suite.selection import same_level, select
from suite.training.losses import LOSSES
from suite.training.optimizers import OPTIMIZERS
from suite.vocabulary import Condition, RequestError

sys.path.insert(0, str(SCENARIOS.parent / "scripts"))
from pipeline import others

NAMES = [path.stem for path in sorted(SCENARIOS.glob("*.yaml"))]


@pytest.fixture(autouse=True)
def hydra_session():
    GlobalHydra.instance().clear()
    hydra_plugin.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def request(*overrides: str):
    return compose_study(compose("config", overrides=list(overrides)), list(overrides), "scenarios/x.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_composes_and_is_fair_on_paper(name):
    study = request(f"+scenario={name}")
    assert study.scenario.name == name
    assert study.deviations == ()
    # of clocks a block is one observation
    size = study.scenario.block_size or 1
    assert study.settings.replicates >= (64 if size == 1 else 12 * size)
    assert len({condition.name for condition in study.conditions}) == len(study.conditions) >= 2
    claims = {hypothesis.claim for hypothesis in study.scenario.hypotheses}
    assert claims == set(study.scenario.claims)
    for claim in claims:
        parts = {h.part for h in study.scenario.hypotheses if h.claim == claim and h.role == "treatment"}
        assert "as_stated" in parts


def test_a_condition_wins_over_the_body_and_the_body_over_the_group():
    study = request("+scenario=weight_decay")
    by_name = {condition.name: condition.config for condition in study.conditions}
    # the body's lr holds under another optimizer's group, the condition's own keys win
    assert by_name["adamw_both"]["optimizer"] | {"weight_decay": 0} == by_name["adamw_both"]["optimizer"] | {"weight_decay": 0}
    assert by_name["adamw_both"]["optimizer"]["name"] == "adam"
    assert by_name["adamw_both"]["optimizer"]["decay"] == "decoupled"
    assert by_name["adamw_both"]["optimizer"]["lr"] == 0.1
    assert by_name["none"]["optimizer"]["weight_decay"] == 0.0
    assert {config["start"]["name"] for config in by_name.values()} == {"born_dead"}
    norm = {condition.name: condition for condition in request("+scenario=batchnorm").conditions}
    assert norm["ordinary"].config["start"]["name"] == "ordinary"
    assert norm["ordinary"].factors["start"] == "ordinary"
    assert norm["before"].factors["start"] == "born_dead"


def test_width_and_depth_become_hidden():
    by_name = {condition.name: condition.config["model"]["hidden"] for condition in request("+scenario=natural_death").conditions}
    assert by_name["base"] == [32, 32]
    assert by_name["depth_4"] == [32] * 4
    assert by_name["width_8"] == [8, 8]


def test_width_and_depth_become_channels_of_a_convolutional_network():
    found = request("+scenario=natural_death", "model=cnn")
    by_name = {condition.name: condition.config["model"] for condition in found.conditions}
    assert by_name["base"]["channels"] == [32, 32] and by_name["depth_4"]["channels"] == [32] * 4
    assert all(model["hidden"] == [] for model in by_name.values())
    assert found.deviations == ()
    assert request("+scenario=batchnorm", "model=cnn").deviations == ("model=cnn",)


def test_width_and_depth_of_a_residual_network_stay_as_they_are():
    found = request("+scenario=natural_death", "model=resnet18", "data=cifar10")
    by_name = {condition.name: condition.config["model"] for condition in found.conditions}
    assert (by_name["base"]["width"], by_name["depth_4"]["depth"]) == (32, 4)
    factorial = request("+scenario=factorial", "model=resnet18").conditions[0].config["model"]
    assert (factorial["name"], factorial["width"], factorial["depth"]) == ("resnet18", 64, 2)
    assert all(model["hidden"] == model["channels"] == [] for model in (*by_name.values(), factorial))
    assert found.deviations == ("model=resnet18", "data=cifar10")


@pytest.mark.parametrize("name", ["zero_loss", "born_dead"])
def test_the_study_on_other_data_stays_registered(name):
    for words in (asked[name] for asked in others().values() if name in asked):
        assert request(f"+scenario={name}", *words.split()).deviations == ()


def test_what_deviates_from_the_registered_design_is_listed():
    free = ["replicates=8", "seed=3", "device=cpu", "results_dir=x", "tracking=off", "executor=local", "dry_run=true"]
    assert request("+scenario=born_dead", *free).deviations == ()
    assert request("+scenario=born_dead", "data=fashion_mnist").deviations == ()
    for text in ("train.steps=7", "data=blobs", "optimizer.lr=0.2", "scenario.confidence=0.9", "probes.every=3", "data.subset=100"):
        assert request("+scenario=born_dead", text).deviations == (text,)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=-1"], "optimizer.lr=-1.0 must be above zero"),
        (["replicates=0"], "replicates=0 must be at least 1"),
        (["model.activation=rleu"], "nearest is 'relu'"),
        (["train.loss=cross_entropi"], "nearest is 'cross_entropy'"),
        (["model.norm=batch", "train.batch_size=1"], "BatchNorm|model.norm=batch cannot train"),
        (["optimizer.nesterov=true"], "needs sgd with optimizer.momentum"),
        (["model.width=4"], "set both or neither"),
        (["model.skip_scale=0.5"], "has no meaning without model.skip=true"),
        (["model.skip=true", "model.skip_scale=0"], "model.skip_scale=0.0 must be above zero"),
        (["start.name=killed"], "condition 'ordinary' asks for start=ordinary, but start.name"),
        (["precision=float8"], "nearest is 'float"),
        (["train.loss_scale=0"], "train.loss_scale=0.0 must be above zero"),
        (["train.loss_scale=65536", "precision=float16"], "is infinite in precision=float16"),
        (["train.rounding=stochastic"], "needs precision float16 or bfloat16"),
        (["train.master_weights=true"], "needs precision float16 or bfloat16"),
        (["precision=bfloat16", "train.master_weights=true", "train.rounding=stochastic"], "has no meaning with train.master_weights"),
        (["train.trainable=hidden"], "train.trainable=hidden: not a choice"),
        (["probes.extra=[late]"], "probes.late_steps=512 exceeds train.steps"),
        (["probes.escape_share=1"], "must lie in"),
        (["start.units=-1"], "start.units=-1 must not be negative"),
        (["probes.extra=[rolout]"], "nearest is 'rollout'"),
        (["start=killed"], "start is varied by the conditions"),
        (["scenario.hypotheses.nothing_moves.role=tretment"], "nearest is 'treatment'"),
        (["+scenario.hypotheses.nothing_moves.treatment.strat=born_dead"], "'strat' is not a factor"),
        (["scenario.hypotheses.nothing_moves.treatment.start=killed"], "no condition has start=killed"),
        (["+scenario.hypotheses.nothing_moves.treatment.condition=born_ded"], "nearest is 'born_dead'"),
        (["scenario.confidence=2"], "must lie in"),
        (["+scenario.hypotheses.nothing_moves.margn=2"], "nearest is 'margin'"),
        (["scenario.title='${oc.env:HOME}'"], "holds an interpolation"),
    ],
)
def test_impossible_requests_are_one_line(overrides, message):
    with pytest.raises(RequestError, match=message) as error:
        request("+scenario=born_dead", *overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+scenario=momentun", "nearest is 'momentum'"),
        ("scenario=momentum", r"write \+scenario=momentum"),
        ("optimizer=smg", "nearest is 'sgd'"),
        ("optimzer.lr=1", "nearest is 'optimizer.lr'"),
        ("+scenaro=momentum", "nearest is 'scenario'"),
        ("data=fashion", "nearest is 'fashion_mnist'"),
    ],
)
def test_misspelt_overrides_name_the_nearest(override, message):
    with pytest.raises(RequestError, match=message):
        check_overrides([override], NAMES)


def body(**changes):
    base = {"claim": "C01", "part": "as_stated", "statement": "s", "metric": "m", "test": "mean", "treatment": {}}
    scenario = {
        "name": "x",
        "title": "t",
        "question": "q",
        "method": "m",
        "claims": {"C01": "text"},
        "factors": {"optimizer.lr": [0.1, 0.2]},
        "hypotheses": {role: {**base, "role": role} for role in ("treatment", "positive_control", "negative_control")},
    }
    return {**scenario, **changes}


def test_a_scenario_without_controls_or_with_code_is_refused():
    assert parse_scenario(body(), "f").hypotheses[0].direction == "greater"
    hypotheses = body()["hypotheses"]
    for role in ("positive_control", "negative_control", "treatment"):
        with pytest.raises(RequestError, match=role):
            parse_scenario(body(hypotheses={k: v for k, v in hypotheses.items() if k != role}), "f")
    with pytest.raises(RequestError, match="cannot name code"):
        parse_scenario(body(claims={"C01": {"_target_": "os.system"}}), "f")
    with pytest.raises(RequestError, match=r"either scenario\.factors"):
        parse_scenario(body(conditions={"a": {}}), "f")
    exact = {**hypotheses["treatment"], "test": "exact"}
    with pytest.raises(RequestError, match="needs an event"):
        parse_scenario(body(hypotheses={**hypotheses, "treatment": exact}), "f")
    pair = {"treatment": {"optimizer.lr": 0.2}, "contrast": {"optimizer.lr": 0.1}}
    for changes, message in (
        ({"versus": pair}, "needs test mean and a contrast"),
        ({"contrast": {}, "versus": {"treatment": {}}}, r"versus\.contrast must be a mapping"),
        ({"contrast": {}, "versus": {**pair, "contrats": {}}}, "nearest is 'contrast'"),
    ):
        with pytest.raises(RequestError, match=message):
            parse_scenario(body(hypotheses={**hypotheses, "treatment": {**hypotheses["treatment"], **changes}}), "f")
    given = parse_scenario(body(hypotheses={**hypotheses, "treatment": {**hypotheses["treatment"], "contrast": {}, "versus": pair}}), "f")
    assert given.hypotheses[0].selections == {
        "treatment": {},
        "contrast": {},
        "versus.treatment": {"optimizer.lr": 0.2},
        "versus.contrast": {"optimizer.lr": 0.1},
    }
    equal = {**hypotheses["treatment"], "direction": "equal"}
    with pytest.raises(RequestError, match="margin must be above zero"):
        parse_scenario(body(hypotheses={**hypotheses, "treatment": equal}), "f")


def test_a_broken_file_is_an_entry_of_the_list_not_its_end(tmp_path):
    (tmp_path / "bad.yaml").write_text("scenario: [unclosed\n")
    (tmp_path / "evil.yaml").write_text("scenario: !!python/object/apply:os.system ['touch pwned']\n")
    (tmp_path / "good.yaml").write_text((SCENARIOS / "born_dead.yaml").read_text())
    entries = {entry.name: entry for entry in catalogue([tmp_path])}
    assert "bad.yaml" in entries["bad"].error
    assert entries["evil"].error
    assert entries["good"].error is None
    assert entries["good"].conditions == 5
    assert not Path("pwned").exists()


def test_selection_compares_levels_by_value_and_kind():
    assert same_level(0, 0.0)
    assert same_level([32, 32], (32, 32))
    assert not same_level(True, 1)
    assert not same_level([32], [32, 32])
    conditions = [Condition("a", {"x": 0, "y": [1]}, {}), Condition("b", {"x": 1.0, "y": [1]}, {})]
    assert [c.name for c in select(conditions, {"x": 1})] == ["b"]
    assert [c.name for c in select(conditions, {})] == ["a", "b"]
    assert [c.name for c in select(conditions, {"condition": ["b", "a"]})] == ["a", "b"]
    assert [c.name for c in select(conditions, {"condition": "a", "y": [1]})] == ["a"]
    assert select(conditions, {"z": 1}) == ()


def test_names_that_may_be_configured_are_the_ones_implemented():
    from suite.config import choices

    assert set(choices.OPTIMIZERS) == set(OPTIMIZERS)
    assert set(choices.LOSSES) == set(LOSSES)
    assert set(PROBES) == set(registry.PROBES)
    assert set(choices.TIERS) == set(registry.TIERS)
