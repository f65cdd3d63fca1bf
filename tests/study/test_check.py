"""``suite check``: every kind of fault put into a sound scenario is found, named and placed; sound ones have none."""

from __future__ import annotations

import copy
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from suite.__main__ import main
from suite.config.paths import SCENARIOS
from suite.inference import decide
from suite.study.check import check_file
from suite.study.check_metrics import fixed, numbers, range_of
from suite.study.check_power import attainable, least
from suite.study.findings import Checked
from suite.study.shapes import FILES
from suite.vocabulary import Condition, Event, Hypothesis, Trace

SOUND: dict[str, Any] = yaml.safe_load("""
defaults:
  - override /data: blobs
  - override /optimizer: sgd
scenario:
  name: tiny
  title: Two learning rates
  question: Does the larger of two learning rates end lower?
  method: Both are trained side by side from the same weights on the same batches.
  claims: {C01: The larger of two learning rates ends with the lower loss.}
  references: ["Robbins and Monro (1951). A stochastic approximation method."]
  variants: {data: [blobs, digits]}
  conditions:
    slow: {optimizer.lr: 0.01}
    fast: {optimizer.lr: 0.1}
    hot: {optimizer.lr: 0.1, optimizer.momentum: 0.9}
  hypotheses:
    faster:
      {claim: C01, part: as_stated, role: treatment, statement: The faster one ends lower., metric: train_loss, test: mean, direction: less,
       value: -0.01, treatment: {condition: fast}, contrast: {condition: slow}}
    kills:
      {claim: C01, part: boundary, role: treatment, statement: Momentum kills a fifth of the units., metric: dead_fraction, test: mean,
       value: 0.2, treatment: {condition: hot}}
    learns:
      {claim: C01, part: as_stated, role: positive_control, statement: The fast one learns the classes., metric: test_accuracy, test: mean,
       value: 0.3, treatment: {condition: fast}}
    spared:
      {claim: C01, part: as_stated, role: negative_control, statement: No unit of the slow one dies., metric: died_fraction, test: exact,
       event: {op: "==", value: 0}, treatment: {condition: slow}}
replicates: 64
model: {hidden: [8]}
train: {steps: 60, batch_size: 32}
data: {examples: 128, features: 8, classes: 3}
probes: {every: 20}
""")

Change = Callable[[dict[str, Any]], Any]


def written(folder: Path, change: Change | None = None) -> Path:
    body = copy.deepcopy(SOUND)
    if change is not None:
        change(body)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return path


def checked(folder: Path, change: Change | None = None) -> Checked:
    return check_file(written(folder, change))


def at(*keys: str, value: Any) -> Change:
    """Sets one place of the body; None removes it."""

    def change(body: dict[str, Any]) -> None:
        node: Any = body
        for key in keys[:-1]:
            node = node[key]
        if value is None:
            del node[keys[-1]]
        else:
            node[keys[-1]] = value

    return change


def in_hypothesis(name: str, **values: Any) -> Change:
    return lambda body: body["scenario"]["hypotheses"][name].update(values)


def all_of(*changes: Change) -> Change:
    def change(body: dict[str, Any]) -> None:
        for each in changes:
            each(body)

    return change


#: (what is done to the sound scenario, level, hypothesis, part of the line).
FAULTS: list[tuple[Change, str, str, str]] = [
    (at("trian", value={"steps": 3}), "error", "", "'trian' is not a key that a scenario can set; the nearest is 'train'"),
    (at("model", "hiden", value=[3]), "error", "", "there is no key 'model.hiden'; the nearest is 'model.hidden'"),
    (at("model", "activation", value="rellu"), "error", "", "the nearest is 'relu'"),
    (at("train", "steps", value="many"), "error", "", "train.steps"),
    (at("defaults", value=[{"override /data": "blob"}]), "error", "", "the nearest is 'blobs'"),
    (at("scenario", "clams", value={}), "error", "", "scenario.clams is not a key; the nearest is 'claims'"),
    (at("scenario", "title", value=None), "error", "", "scenario.title is missing"),
    (at("scenario", "confidence", value=1.5), "error", "", "must lie in [0.5, 1)"),
    (at("scenario", "variants", "dta", value=["digits"]), "error", "", "the nearest is 'data'"),
    (at("scenario", "variants", "data", value=["blobs", "digit"]), "error", "", "scenario.variants.data=digit: "),
    (at("scenario", "conditions", "slow", value={"optimizer.rl": 1}), "error", "", "'optimizer.rl', which is not a key that can be varied"),
    (
        at("scenario", "conditions", "slow", value={"optimizer.lr": -1}),
        "error",
        "",
        "condition 'slow': optimizer.lr=-1.0 must be above zero",
    ),
    (at("scenario", "conditions", "slow", value={"train.batch_size": 999}), "error", "", "exceeds the 128 training examples"),
    (in_hypothesis("faster", metric="train_los"), "error", "faster", "no probe measures 'train_los' in condition 'fast'"),
    (in_hypothesis("kills", metric="escaped"), "error", "kills", "add 'escape' to probes.extra"),
    (in_hypothesis("faster", treatment={"condition": "fst"}), "error", "faster", "there is no condition 'fst'; the nearest is 'fast'"),
    (in_hypothesis("faster", treatment={"optimizer.lr": 0.5}), "error", "faster", "the levels are 0.01, 0.1"),
    (
        in_hypothesis("faster", treatment={"optimizer.momentum": 0.9, "optimizer.lr": 0.01}),
        "error",
        "faster",
        "all of these levels together",
    ),
    (in_hypothesis("faster", treatment={"condition": -1}), "error", "faster", "there is no condition -1"),
    (in_hypothesis("faster", part="boundry"), "error", "faster", "the nearest is 'boundary'"),
    (in_hypothesis("faster", margin=0.1), "error", "faster", "margin must be above zero with direction equal"),
    (in_hypothesis("faster", value=float("nan")), "error", "faster", "value must be a number, not nan"),
    (in_hypothesis("learns", role="treatment"), "error", "", "no hypothesis has the role positive_control"),
    (in_hypothesis("spared", role="treatment"), "error", "", "no hypothesis has the role negative_control"),
    (
        in_hypothesis("faster", contrast={"condition": "fast"}),
        "error",
        "faster",
        "compares 'fast' with itself, always 0: refuted whatever happens",
    ),
    (in_hypothesis("faster", contrast={"condition": ["fast", "slow"]}), "warning", "faster", "'fast' stands on both sides"),
    (
        at("scenario", "conditions", "slow", value={"optimizer.lr": 0.1}),
        "error",
        "faster",
        "so it agrees in every replicate, always 0: refuted",
    ),
    (at("scenario", "conditions", "slow", value={"optimizer.lr": 0.1}), "warning", "", "'slow' and 'fast' are one configuration"),
    (
        in_hypothesis("kills", metric="dead_at_start", contrast={"condition": "slow"}),
        "error",
        "kills",
        "do not differ in anything that dead_at_start depends on",
    ),
    (
        in_hypothesis("learns", metric="dead_at_start", direction="equal", value=0.0, margin=0.2, contrast={"condition": "slow"}),
        "warning",
        "learns",
        "always 0: supported whatever happens in training; as a control it tests the pairing",
    ),
    (in_hypothesis("kills", value=1.0), "error", "kills", "cannot hold: dead_fraction lies in [0, 1]"),
    (in_hypothesis("kills", value=-0.1), "error", "kills", "cannot fail: dead_fraction lies in [0, 1]"),
    (in_hypothesis("kills", direction="equal", value=0.5, margin=0.6), "error", "kills", "cannot fail"),
    (in_hypothesis("kills", direction="equal", value=1.5, margin=0.2), "error", "kills", "cannot hold"),
    (in_hypothesis("kills", direction="less", value=0.0), "error", "kills", "cannot hold"),
    (in_hypothesis("faster", contrast=None, value=0.0), "error", "faster", "cannot hold: train_loss is never below 0"),
    (in_hypothesis("kills", value=1.0, contrast={"condition": "slow"}), "error", "kills", "a difference lies in [-1, 1]"),
    (in_hypothesis("spared", event={"op": ">=", "value": 0}), "error", "spared", "so died_fraction >= 0 always holds"),
    (in_hypothesis("spared", event={"op": ">", "value": 1}), "error", "spared", "so died_fraction > 1 never does"),
    (
        all_of(at("train", "trainable", value="output"), in_hypothesis("kills", metric="moved_fraction.hidden_weight")),
        "error",
        "kills",
        "train.trainable=output keeps the hidden layers as they are",
    ),
    (
        all_of(at("probes", "extra", value=["plasticity"]), in_hypothesis("kills", metric="plasticity_change")),
        "error",
        "kills",
        "with train.tasks=1 the first task is the last",
    ),
    (
        all_of(at("probes", "extra", value=["batchnorm_bound"]), in_hypothesis("kills", metric="bound_dead_share")),
        "error",
        "kills",
        "bound_dead_share has no value in condition 'hot'",
    ),
    (
        all_of(at("start", value={"name": "born_dead"}), in_hypothesis("kills", metric="dead_at_start")),
        "warning",
        "kills",
        "start=born_dead puts every unit below zero",
    ),
    (
        all_of(at("probes", "extra", value=["escape"]), in_hypothesis("kills", metric="escape_step", value=5)),
        "warning",
        "kills",
        "probes.escape_loss, which is 0 in 'hot'",
    ),
    (at("replicates", value=1), "error", "", "one observation has no interval, and 3 hypotheses need one"),
    (
        at("replicates", value=8),
        "warning",
        "spared",
        "8 replicates: what fails in one run of ten fails in none of these with probability 43%",
    ),
    (
        in_hypothesis("kills", test="proportion", event={"op": ">", "value": 0}, value=0.97),
        "error",
        "kills",
        "no outcome of 64 replicates is supported at confidence 0.95",
    ),
    (
        in_hypothesis("kills", direction="less", value=0.03),
        "warning",
        "kills",
        "alike in all 64 replicates, however extreme, it would still not",
    ),
    (in_hypothesis("kills", value=0.03), "warning", "kills", "would still not be refuted"),
    (at("scenario", "variants", value=None), "warning", "", "blobs is the only dataset"),
    (at("scenario", "references", value=None), "warning", "", "scenario.references is missing"),
    (at("scenario", "claims", value={"C01": "Faster."}), "warning", "", "claim C01 reads 'Faster.'"),
    (at("scenario", "claims", "C02", value="Another claim that nothing here tests."), "warning", "", "claim C02 has no hypothesis"),
    (in_hypothesis("faster", part="boundary"), "warning", "", "it can get no verdict of its own"),
    (in_hypothesis("faster", statement="Faster."), "warning", "faster", "the statement reads 'Faster.'"),
    (in_hypothesis("faster", reference={"value": 1.0, "source": ""}), "warning", "faster", "say where it comes from"),
    (at("scenario", "conditions", "idle", value={"optimizer.lr": 0.3}), "warning", "", "no hypothesis speaks of 'idle'"),
    (
        lambda body: body["scenario"]["hypotheses"].update(again=dict(body["scenario"]["hypotheses"]["faster"])),
        "warning",
        "again",
        "asks the same as 'faster'",
    ),
    (in_hypothesis("faster", value=0.0), "note", "", "any difference at all supports 'faster'"),
    (at("scenario", "block_size", value=8), "error", "", "serves studies that read clocks; add 'timing' to probes.extra"),
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Checked:
    return checked(tmp_path_factory.mktemp("sound"))


def test_a_sound_scenario_has_neither_errors_nor_warnings(sound):
    assert [finding for finding in sound.findings if finding.level != "note"] == []
    assert (
        "3 hypotheses share the error probability 0.05 (Holm; the first is decided at confidence 0.98333, 1 exact" in sound.findings[0].text
    )


@pytest.mark.parametrize(("change", "level", "hypothesis", "text"), FAULTS, ids=[fault[3][:40] for fault in FAULTS])
def test_every_fault_is_found_and_placed(sound, tmp_path, change, level, hypothesis, text):
    assert not any(text in finding.text for finding in sound.findings)
    found = checked(tmp_path, change)
    mine = [finding for finding in found.findings if text in finding.text]
    assert [(finding.level, finding.hypothesis) for finding in mine] == [(level, hypothesis)], found.findings
    if hypothesis:
        source = (tmp_path / "tiny.yaml").read_text().splitlines()
        # the line is within the hypothesis it names
        before = [line.strip() for line in source[: mine[0].line] if line.startswith("    ") and not line.startswith("     ")]
        assert before[-1] == f"{hypothesis}:"


def test_all_faults_are_told_not_only_the_first(tmp_path, capsys):
    change = all_of(
        at("scenario", "clams", value={}),
        in_hypothesis("faster", part="boundry", direction="lss"),
        in_hypothesis("kills", metric="dead_fractoin"),
        at("model", "activation", value="rellu"),
        at("scenario", "conditions", "hot", value={"optimizer.lr": 0.1, "optimizer.momentum": 2}),
    )
    path = written(tmp_path, change)
    assert main(["check", str(path)]) == 1
    shown = capsys.readouterr().out
    for text in ("'claims'", "'boundary'", "'less'", "'relu'", "optimizer.momentum=2.0"):
        assert text in shown
    assert shown.splitlines()[-1].startswith(f"{path}: 5 errors")


def test_an_error_of_yaml_has_its_line_and_a_key_given_twice_is_one(tmp_path, capsys):
    path = written(tmp_path)
    path.write_text(path.read_text().replace("scenario:\n", "scenario:\n  name: tiny\n", 1))
    assert main(["check", str(path)]) == 1
    assert f"{path}:5  scenario.name is given twice" in capsys.readouterr().out.replace(":6  ", ":5  ")
    path.write_text("scenario:\n  name: [\n")
    assert main(["check", str(path)]) == 1
    assert f"error    {path}:3  not valid YAML" in capsys.readouterr().out


def test_exit_codes_and_json(tmp_path, capsys):
    path = written(tmp_path, at("scenario", "references", value=None))
    assert main(["check", str(path)]) == 0
    assert main(["check", str(path), "--strict"]) == 1
    capsys.readouterr()
    assert main(["check", "--json", str(path)]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert (file["errors"], file["warnings"]) == (0, 1)
    assert file["findings"][0] == {
        "level": "warning",
        "text": "scenario.references is missing; name the paper, or the closed form, that the claims come from",
        "path": "scenario",
        "line": 4,
        "hypothesis": "",
    }


def refused(arguments: list[str], capsys) -> str:
    assert main(["check", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    return said.err


def test_what_is_no_scenario_is_a_wrong_request(tmp_path, capsys):
    assert "takes scenario files or names, or --all" in refused([], capsys)
    assert "takes scenario files" in refused(["--all", "born_dead"], capsys)
    assert "the nearest is '--strict'" in refused(["--strct", "born_dead"], capsys)
    assert "the nearest is 'momentum'" in refused(["momentom"], capsys)
    assert "the nearest is 'momentum'" in refused([str(tmp_path / "momentum.yaml")], capsys)
    assert "not a plain file" in refused([str(tmp_path)], capsys)
    other = tmp_path / "other.yaml"
    other.write_text("a: 1\n")
    assert "there is no 'scenario:' section" in refused([str(other)], capsys)
    (tmp_path / "link.yaml").symlink_to(other)
    assert "not a plain file" in refused([str(tmp_path / "link.yaml")], capsys)
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "not a plain file" in refused([str(tmp_path / "pipe.yaml")], capsys)
    (tmp_path / "notes.txt").write_text("scenario: {}\n")
    assert "ends in .yaml" in refused([str(tmp_path / "notes.txt")], capsys)
    assert "there is no such file" in refused(["a\0b"], capsys)


def test_nothing_of_a_file_is_run_and_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "ran"
    attacks: list[Change] = [
        at("model", "_target_", value="os.mkdir"),
        at("scenario", "title", value="${oc.env:HOME}"),
        at("hydra", value={"callbacks": {"x": {"_target_": "os.mkdir", "path": str(mark)}}}),
        at("defaults", value=[{"override /hydra/launcher": "submitit"}]),
        at("scenario", "title", value="\x1b[2Jgone"),
    ]
    for change in attacks:
        path = written(tmp_path, change)
        assert main(["check", str(path)]) == 1
        shown = capsys.readouterr().out
        assert "error" in shown
        assert "\x1b" not in shown
        path.unlink()
    path = tmp_path / "tagged.yaml"
    path.write_text(f"scenario: !!python/object/apply:os.mkdir ['{mark}']\n")
    assert main(["check", str(path)]) == 1
    path.unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_is_not_here_is_known_by_its_shape(tmp_path, monkeypatch):
    def no_network(*arguments: object, **settings: object) -> None:
        raise AssertionError("check must not download")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    for name, (train, _, _) in FILES.items():
        change = all_of(
            at("data", value={}),
            at("defaults", value=[{"override /data": name}]),
            at("scenario", "conditions", "slow", value={"optimizer.lr": 0.01, "train.batch_size": train + 1}),
        )
        found = [finding.text for finding in checked(tmp_path, change).findings if finding.level == "error"]
        assert found == [f"condition 'slow': train.batch_size={train + 1} exceeds the {train} training examples of data={name}; take fewer"]


@pytest.mark.parametrize("name", ["born_dead", "factorial", "observation_cost", "binary_step"])
def test_shipped_scenarios_have_no_errors(name):
    found = check_file(SCENARIOS / f"{name}.yaml")
    assert found.count("error") == 0, found.findings
    assert found.file == f"scenarios/{name}.yaml"


def test_help_and_a_name_of_a_shipped_scenario(capsys):
    assert main(["--help"]) == 0
    assert "python -m suite check" in capsys.readouterr().out
    assert main(["check", "born_dead"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("scenarios/born_dead.yaml: 0 errors")


def hypothesis(**changes: Any) -> Hypothesis:
    fields: dict[str, Any] = {
        "claim": "C01",
        "part": "as_stated",
        "role": "treatment",
        "statement": "",
        "metric": "dead_fraction",
        "test": "mean",
        "treatment": {"condition": "a"},
        **changes,
    }
    return Hypothesis("h", **fields)


@pytest.mark.parametrize(
    "h",
    [
        hypothesis(value=0.95),
        hypothesis(value=0.05),
        hypothesis(direction="less", value=0.05),
        hypothesis(direction="equal", value=0.0, margin=0.05),
        hypothesis(test="proportion", event=Event(">", 0.5), value=0.95),
        hypothesis(test="proportion", event=Event(">", 0.5), direction="less", value=0.05),
        hypothesis(test="proportion", event=Event(">", 0.5), contrast={"condition": "b"}, value=0.95),
        hypothesis(test="auc", contrast={"condition": "b"}, value=0.97),
    ],
    ids=lambda h: f"{h.test} {h.direction} {h.value:g}",
)
def test_what_is_called_out_of_reach_is_what_the_verdict_comes_to(h):
    """The verdicts themselves, of the extreme samples, are the witness."""
    ends = {"supported": (1.0, 0.0), "refuted": (0.0, 1.0)}
    for n in (16, 64, 256):
        for decision, (first, second) in ends.items():
            if h.direction != "greater":
                first, second = second, first
            conditions = [Condition(name, {}, {}) for name in "ab"]
            traces = {
                name: Trace(name, 0, np.array([0]), {}, {"dead_fraction": np.full(n, level)}, np.full(n, -1))
                for name, level in (("a", first), ("b", second))
            }
            verdict = decide([h], conditions, traces, 0.95, 0).verdicts[0].verdict
            assert attainable(h, n, 0.05, decision) == (verdict == decision)  # type: ignore[arg-type]


def test_the_number_that_would_do_does():
    h = hypothesis(direction="less", value=0.03)
    enough = least(h, 64, 0.05, "supported")
    assert enough == 128
    # one-sided: 0.05^(1/n) leaves room for 1 - 0.05^(1/n) of the replicates, by the rule of three about 3/n
    assert 1 - 0.05 ** (1 / 64) > 0.03 > 1 - 0.05 ** (1 / 128)


def test_what_is_known_of_metrics():
    assert range_of("escaped") == range_of("moved_fraction.layer1") == (0.0, 1.0)
    assert range_of("grad_norm.hidden_weight") == range_of("time.step_seconds") == (0.0, np.inf)
    assert range_of("loss_change") == (-np.inf, np.inf)
    config = {
        "precision": "float32",
        "data": {},
        "model": {"hidden": [4], "channels": [], "norm": "none", "norm_position": "before", "activation": "step"},
        "start": {"name": "born_dead", "layer": None, "units": None, "alive_on": 0},
        "optimizer": {"lr": 0.1},
        "train": {"trainable": "output", "tasks": 1, "loss": "cross_entropy", "loss_scale": 1.0},
        "probes": {"tier": "full", "extra": [], "every": 5},
    }
    assert fixed("grad_norm.output_weight", config) is None
    assert fixed("moved_norm.layer2", config) is None
    for metric, value in (("moved_norm.layer1", 0.0), ("grad_norm.hidden_weight", 0.0), ("dead_at_start", 1.0)):
        found = fixed(metric, config)
        assert found is not None and found.value == value
    faster = {**config, "optimizer": {"lr": 0.2}}
    watched = {**config, "probes": {"tier": "bare", "extra": ["late"], "every": 5}}
    assert numbers("dead_at_start", config) == numbers("dead_at_start", faster)
    assert numbers("test_accuracy", config) != numbers("test_accuracy", faster)
    assert numbers("test_accuracy", config) == numbers("test_accuracy", watched)
    assert numbers("time.step_seconds", config) is None
    later = {**config, "start": {**config["start"], "name": "killed"}}
    assert numbers("dead_at_start", later) != numbers("dead_at_start", {**later, "optimizer": {"lr": 0.2}})
