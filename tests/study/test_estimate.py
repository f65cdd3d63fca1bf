"""What the dry run foretells, against what the study then leaves on disk and in MLflow."""

from __future__ import annotations

import re
import sqlite3

import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from suite.config import hydra_plugin
from suite.config.compose import compose_study
from suite.config.numeric import Numeric
from suite.config.paths import CONF
from suite.study.estimate import demand, values_per_replicate, workers_of
from suite.study.plan import blocks_of, datasets_of, make_plan
from suite.study.run import run_study


def request_of(tmp_path, *more: str):
    GlobalHydra.instance().clear()
    hydra_plugin.register()
    overrides = ["+scenario=born_dead", "replicates=3", "train.steps=60", "quiet=true", f"results_dir={tmp_path / 'r'}", *more]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        request = compose_study(compose("config", overrides=overrides), overrides, "scenarios/born_dead.yaml")
    GlobalHydra.instance().clear()
    return request


def test_points_values_and_rows_are_those_of_the_finished_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = request_of(tmp_path)
    datasets = datasets_of(request.conditions, request.settings.data_dir)
    plan = make_plan(request, datasets)
    blocks = blocks_of(plan, None)
    foretold = demand(plan, blocks, dict.fromkeys((c.name for c in plan.conditions), 0.1), datasets, request.settings)
    assert foretold.workers == 1
    run_study(request)

    record = tmp_path / "r" / "born_dead"
    curves = pq.read_table(record / "curves.parquet").to_pandas()
    finals = pq.read_table(record / "replicates.parquet").to_pandas()
    total = 0
    for condition in plan.conditions:
        points, count, summaries, banded = values_per_replicate(Numeric.of(condition.config), datasets)
        of_curves = curves[curves.condition == condition.name].drop(columns=["condition", "replicate", "step"]).dropna(axis=1, how="all")
        of_finals = finals[finals.condition == condition.name].drop(
            columns=["condition", "replicate", "diverged", "diverged_at", *plan.factors], errors="ignore"
        )
        assert len(of_curves) == 3 * points
        assert of_curves.shape[1] == count
        # where a start makes no unit dead, the loss around it is a column without numbers
        empty = {name for name in of_finals if of_finals[name].isna().all() and not name.startswith(("shifted_loss", "wake_shift"))}
        assert of_finals.shape[1] - len(empty) == count + summaries
        assert banded == 3
        total += 3 * 8 * (points * count + summaries)
    assert foretold.trace_bytes == total
    rows = sqlite3.connect(tmp_path / "mlflow.db").execute("select count(*) from metrics").fetchone()[0]
    # what has no value at the start is counted but not sent
    assert 0.9 * foretold.mlflow_rows <= rows <= foretold.mlflow_rows


def test_the_machine_asked_for_is_the_one_that_is_simulated(tmp_path):
    request = request_of(tmp_path, "executor=slurm", "executor.in_flight=7", "tracking=off")
    datasets = datasets_of(request.conditions, request.settings.data_dir)
    plan = make_plan(request, datasets)
    assert workers_of(plan, request.settings) == 7
    foretold = demand(plan, blocks_of(plan, 1), dict.fromkeys((c.name for c in plan.conditions), 10.0), datasets, request.settings)
    # 15 blocks of 10 s on 7 workers: three rounds, and what starting and storing take
    assert 34.0 < foretold.schedule.makespan < 34.2
    assert foretold.mlflow_rows == 0


def test_the_dry_run_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_study(request_of(tmp_path, "dry_run=true", "quiet=false", "executor=local", "executor.workers=2"))
    said = " ".join(capsys.readouterr().out.split())
    assert re.search(r"5 blocks, .* about \d+ s on cpu, less what is cached: 2 workers busy \d+% of it", said)
    assert re.search(r"[\d.]+ MB of curves and final values, held here and on disk; up to \d+ rows in MLflow", said)
    assert list(tmp_path.iterdir()) == []
