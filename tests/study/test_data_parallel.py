"""A whole study whose batches are shared by two processes: the verdicts of one process, and a record that says how it was made."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from suite.__main__ import main
from suite.record.cache import block_key
from suite.record.read import read_study
from suite.study.plan import blocks_of
from suite.study.repeat import prepare

SCENARIO = Path(__file__).resolve().parents[1] / "reliability" / "study.yaml"
ASKED = ("+scenario=tiny", "train.steps=20", "probes.every=10", "precision=float64", "tracking=off", "quiet=true", "device=cpu")


def run(tmp_path: Path, *more: str) -> int:
    folder = tmp_path / "my" / "scenario"
    folder.mkdir(parents=True, exist_ok=True)
    # two conditions, one precision: what is asked for is enough
    text = SCENARIO.read_text().replace("    smooth: {optimizer.lr: 0.1, model.activation: tanh}\n", "")
    (folder / "tiny.yaml").write_text(text.replace(", precision: float64}", "}"))
    return main(["--config-dir", str(tmp_path / "my"), *ASKED, *more])


def test_a_study_of_two_processes_decides_as_one_does(tmp_path, capsys):
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    assert run(tmp_path, f"results_dir={shared}", "executor.data_parallel=2") == 0
    assert not multiprocessing.active_children()
    assert run(tmp_path, f"results_dir={alone}", "engine.path=eager") == 0
    one, two = (json.loads((folder / "tiny" / "verdict.json").read_text()) for folder in (alone, shared))
    # how many processes is no part of the plan
    assert one["study"] == two["study"]
    assert [entry["verdict"] for entry in one["hypotheses"].values()] == [entry["verdict"] for entry in two["hypotheses"].values()]
    rows = [pq.read_table(folder / "tiny" / "curves.parquet").to_pandas() for folder in (alone, shared)]
    assert list(rows[0].columns) == list(rows[1].columns)
    for column in rows[0].select_dtypes("number").columns:
        np.testing.assert_allclose(rows[0][column], rows[1][column], rtol=1e-9, atol=1e-11, err_msg=column)
    assert not rows[0].equals(rows[1])
    facts = [json.loads((folder / "tiny" / "provenance.json").read_text()) for folder in (alone, shared)]
    assert "data_parallel" not in facts[0]
    assert facts[1]["data_parallel"] == {"ranks": 2, "backend": "gloo"}

    # it is verified in the same way it was made, which no sum of another order would pass
    assert main(["verify", str(shared / "tiny"), "--sample", "1", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["result"].startswith("reproduced in the 1 of")
    assert found["numbers"]["identical"] == found["numbers"]["numbers"] > 0
    assert not found["environment"]

    # where they cannot share a batch, one process repeats it and says so
    plan, datasets = read_study(shared / "tiny").plan, "data"
    assert [block.ranks for block in prepare(plan, None, None, None, 1, 0, datasets, 2).blocks] == [2]
    for precision, ranks in (("bfloat16", 2), (None, 33)):
        other = prepare(plan, None, precision, None, 1, 0, datasets, ranks)
        assert [block.ranks for block in other.blocks] == [other.ranks] == [1]
        assert f"in one process where the record took {ranks}" in other.changes


def test_the_number_of_processes_is_part_of_the_cache_key(tmp_path):
    assert run(tmp_path, f"results_dir={tmp_path / 'r'}", "replicates=2", "engine.path=eager") == 0
    plan = read_study(tmp_path / "r" / "tiny").plan
    keys = [block_key(blocks_of(plan, 2, ranks=ranks)[0], {}, "code", "torch", "") for ranks in (1, 2, 3)]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["executor.data_parallel=0"], "executor.data_parallel=0 must lie in [1, 1024]"),
        (["executor.data_parallel=2", "engine.path=native"], "engine.path=native runs in one process; take engine.path=auto"),
        (
            ["executor.data_parallel=2", "precision=float16"],
            "condition 'slow': executor.data_parallel=2 cannot train it: sums over processes",
        ),
        (["executor.data_parallel=33"], "a batch of 32 does not divide among 33 processes; take executor.data_parallel=32 at most"),
        (["executor.data_parallell=2"], "nearest is 'executor.data_parallel'"),
    ],
)
def test_what_cannot_be_shared_is_one_line(tmp_path, capsys, more, line):
    assert run(tmp_path, f"results_dir={tmp_path / 'r'}", *more) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_too_few_gpus_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert run(tmp_path, f"results_dir={tmp_path / 'r'}", "device=cuda", "executor.data_parallel=2") == 2
    assert "executor.data_parallel=2 takes a GPU per process, and this machine has 1" in capsys.readouterr().err
