"""Studies that read clocks: the order of their blocks, what they refuse, and that no clock of another run gets in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from suite.__main__ import main
from suite.config import hydra_plugin
from suite.config.compose import compose_study
from suite.config.paths import CONF
from suite.config.schema import Executor
from suite.execution import timed
from suite.execution.attempt import Failure
from suite.record import cache
from suite.study import run, start
from suite.study.plan import blocks_of, datasets_of, make_plan
from suite.study.timed import rounds, timed_line
from suite.tracking.links import TrackingUnavailable
from suite.vocabulary import Condition, RequestError, RunFailed

SCENARIO = """
scenario:
  name: mine
  title: t
  question: q
  method: m
  claims: {C22: c}
  block_size: 2
  conditions: {a: {}, b: {optimizer.lr: 0.2}, c: {model.activation: tanh}}
  hypotheses:
    same: {claim: C22, part: as_stated, role: negative_control, statement: s, metric: time.step_seconds, test: ratio,
           treatment: {condition: a}, contrast: {condition: b}, direction: greater, value: 0.001}
    dear: {claim: C22, part: as_stated, role: positive_control, statement: s, metric: time.train_seconds, test: mean,
           treatment: {condition: a}, direction: greater, value: 0.0}
    slow: {claim: C22, part: as_stated, role: treatment, statement: s, metric: train_loss, test: mean,
           treatment: {condition: a}, direction: greater, value: 0.0}
data: {name: blobs, examples: 40}
model: {hidden: [3]}
train: {steps: 4, batch_size: 8}
probes: {tier: economy, every: 2, extra: [timing]}
engine: {path: eager}
replicates: 6
tracking: {enabled: false}
quiet: true
"""
AS_EVENT = "test: {}, event: {{op: '>', value: 0}},\n           treatment: {{condition: a}}"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Composes SCENARIO, with parts of its text replaced, under overrides."""
    GlobalHydra.instance().clear()
    hydra_plugin.register()
    monkeypatch.setattr(hydra_plugin, "FOLDERS", [tmp_path / "my", *hydra_plugin.FOLDERS])

    def of(*overrides: str, **replaced: str):
        text = SCENARIO
        for old, new in replaced.items():
            before = {"size": "  block_size: 2\n", "probe": "[timing]", "test": "test: mean,\n           treatment: {condition: a}"}[old]
            assert before in text
            text = text.replace(before, new, 1)
        folder = tmp_path / "my"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mine.yaml").write_text(text)
        given = ["+scenario=mine", f"results_dir={tmp_path / 'r'}", *overrides]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=given)
            return compose_study(cfg, given, "scenario/mine.yaml")

    yield of
    GlobalHydra.instance().clear()


def plan_of(request):
    return make_plan(request, datasets_of(request.conditions, "data"))


def test_rounds_hold_every_condition_once_and_turn_back():
    a, b, c = (Condition(name, {}, {}) for name in "abc")
    order = [(condition.name, first) for condition, first in rounds([a, b, c], 6, 2)]
    assert order == [("a", 0), ("b", 0), ("c", 0), ("c", 2), ("b", 2), ("a", 2), ("a", 4), ("b", 4), ("c", 4)]


def test_blocks_come_in_rounds_where_the_plan_fixes_their_size(study):
    plan = plan_of(study())
    assert (plan.timed, plan.block_size) == (True, 2)
    order = [(block.condition.name, block.first, block.count) for block in blocks_of(plan, None)]
    assert order[:4] == [("a", 0, 2), ("b", 0, 2), ("c", 0, 2), ("c", 2, 2)]
    names = [block.condition.name for block in blocks_of(replace(plan, block_size=None), 2)]
    assert names == [*"aaabbbccc"]


@pytest.mark.parametrize(
    ("overrides", "replaced", "message"),
    [
        ((), {"size": ""}, "must fix scenario.block_size"),
        ((), {"size": "  block_size: 0\n"}, "must be a whole number of at least 1"),
        (("replicates=7",), {}, "replicates=7 does not divide into timed blocks of 2.*nearest is 8"),
        (("executor.block_size=3",), {}, "executor.block_size=3 would change what is timed.*block_size=2"),
        (
            (),
            {"test": AS_EVENT.format("proportion")},
            "puts the clock 'time.train_seconds'",
        ),
        (
            (),
            {"test": AS_EVENT.format("exact")},
            "use one of mean, ratio, exponent",
        ),
    ],
)
def test_what_would_make_clocks_incomparable_is_refused(study, overrides, replaced, message):
    with pytest.raises(RequestError, match=message):
        plan_of(study(*overrides, **replaced))


def test_a_block_size_without_a_clock_is_refused(study):
    with pytest.raises(RequestError, match="add 'timing' to"):
        plan_of(study(probe="[]"))


def test_every_block_is_rehearsed_and_run_in_order(study, monkeypatch):
    trained = []
    real = timed.attempt

    def spy(block, data_dir):
        trained.append((block.condition.name, block.first, block.condition.config["train"]["steps"]))
        return real(block, data_dir)

    monkeypatch.setattr(timed, "attempt", spy)
    blocks = blocks_of(plan_of(study()), None)[:3]
    assert [block for block, _ in timed.in_turn(blocks, "data")] == list(blocks)
    assert trained == [(name, 0, steps) for name in "abc" for steps in (2, 4)]
    assert timed.shortened(blocks[0], 99).condition.config["train"]["steps"] == 4


@pytest.mark.parametrize("outcome", [(Failure("no memory", ""), []), (None, ["done again with 2 replicates at a time"])])
def test_a_block_that_cannot_be_timed_whole_ends_the_run(study, monkeypatch, outcome):
    real = timed.attempt

    def second_fails(block, data_dir):
        trace, said = real(block, data_dir)
        return (trace, said) if block.condition.name != "b" else (outcome[0] or trace, outcome[1])

    monkeypatch.setattr(timed, "attempt", second_fails)
    with pytest.raises(RunFailed, match=r"condition .b., replicates 0 to 1 failed: .*all of it must be run again"):
        run.run_study(study())


def test_no_other_process_runs_beside_the_clocks(study, monkeypatch):
    order = []
    real = run.timed_traces

    class Spy:
        def __init__(self, tracking):
            order.append("a process")

        def begin(self, numbers, record):
            order.append("numbers")

        def write(self, record):
            raise TrackingUnavailable("spy")

        def abandon(self):
            order.append("abandoned")

    def clocks(*arguments):
        order.append("clocks")
        yield from real(*arguments)
        order.append("clocks end")

    monkeypatch.setattr(run, "MirrorProcess", Spy)
    monkeypatch.setattr(start, "MirrorProcess", Spy)
    monkeypatch.setattr(run, "timed_traces", clocks)
    request = study()
    request.settings.tracking.enabled = True
    start.start_study(request)
    assert order == ["clocks", "clocks end", "a process", "numbers"]


def test_one_that_is_stopped_does_not_promise_to_go_on(study, monkeypatch, capsys):
    """What the front door says after Ctrl-C: of clocks nothing is kept."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(timed, "attempt", interrupted)
    monkeypatch.setattr("suite.__main__._dispatch", lambda arguments: run.run_study(study()))
    assert main([]) == 130
    assert (
        capsys.readouterr().err
        == "suite: interrupted; no clock of an unfinished study is kept; run the same command again to start afresh\n"
    )


def test_no_block_is_kept_or_taken_from_another_run(study, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "load", lambda *_: pytest.fail("a timed block was looked up"))
    monkeypatch.setattr(cache, "store", lambda *_: pytest.fail("a timed block was kept"))
    assert run.run_study(study()) in (0, 3)
    assert (tmp_path / "r" / "mine" / "verdict.json").is_file()
    assert list((tmp_path / "r").rglob("*.block")) == []


def test_clocks_change_no_other_number_and_are_in_no_other_record(study, tmp_path):
    run.run_study(study())
    table = pq.read_table(Path(tmp_path / "r" / "mine" / "replicates.parquet"))
    clocks = [name for name in table.column_names if name.startswith("time.")]
    assert len(clocks) == 7
    run.run_study(study())
    again = pq.read_table(Path(tmp_path / "r" / "mine" / "replicates.parquet"))
    assert table.drop_columns(clocks).equals(again.drop_columns(clocks))
    assert not table.select(clocks).equals(again.select(clocks))


def test_the_line_says_how_clocks_are_run(study):
    plan = plan_of(study())
    assert timed_line(plan, Executor("local")).startswith("timed: 3 rounds of 3 blocks of 2 replicates, one block at a time")
    assert "executor=local is not used" in timed_line(plan, Executor("local"))
    assert "not used" not in timed_line(plan, Executor("serial"))
