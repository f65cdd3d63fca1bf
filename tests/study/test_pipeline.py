"""DVC: every study is a stage, a fresh clone has nothing to do, and a change reaches what depends on it and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from suite.record.cache import code_fingerprint
from suite.record.provenance import verdict_code

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT / "scripts"))
from pipeline import others  # noqa: E402

ASK = "import json; from dvc.repo import Repo; print(json.dumps(sorted(Repo('.').status())))"


@pytest.fixture(scope="module")
def stages() -> dict:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def each(stages: dict, name: str) -> list[str]:
    return [f"{name}@{item}" for item in stages[name]["foreach"]]


def test_the_file_is_what_the_script_writes():
    done = subprocess.run(
        [sys.executable, "-c", "from pipeline import pipeline; print(pipeline(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
    )
    assert done.stdout == (ROOT / "dvc.yaml").read_text(), "run make dvc-lock"


def test_every_scenario_and_every_record_is_a_stage(stages):
    assert set(stages["study"]["foreach"]) == {path.stem for path in (ROOT / "scenarios").glob("*.yaml")}
    assert set(stages["report"]["foreach"]) == set(stages["study"]["foreach"])
    for folder in {path.parents[1] for path in (ROOT / "results").glob("*/*/verdict.json")}:
        records = {path.parent.name for path in folder.glob("*/verdict.json")}
        assert set(stages[f"study_{folder.name}"]["foreach"]) == records
        for name, words in stages[f"study_{folder.name}"]["foreach"].items():
            assert words.endswith(f" results_dir=results/{folder.name}"), name
    for stage in stages.values():
        for out in [*stage.get("do", stage)["outs"], *stage.get("do", stage).get("metrics", [])]:
            # git holds the records, and DVC must not delete them before a stage runs
            assert list(out.values()) == [{"cache": False, "persist": True}]


def test_a_fresh_clone_has_nothing_to_do(tmp_path):
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(tmp_path / "clone")], check=True)
    outside = {f"DVC_{name}_DIR": str(tmp_path / name) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
        env={**os.environ, **outside, "DVC_NO_ANALYTICS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [], "the records are not of this code: make results, then make dvc-lock"


def test_every_record_was_made_by_this_code():
    """make dvc-lock believes what it is told; the records themselves say which code made them."""
    listed = subprocess.run(["git", "ls-files", "results/**/provenance.json"], cwd=ROOT, capture_output=True, text=True, check=True)
    records = [ROOT / line for line in listed.stdout.splitlines()]
    assert len(records) >= len(list((ROOT / "scenarios").glob("*.yaml")))
    for path in records:
        facts = json.loads(path.read_text())
        assert facts["code_sha256"] == code_fingerprint(), f"{path.parent}: make results"
        assert facts["code"]["verdicts"] == verdict_code(), f"{path.parent}: make results"
        assert facts["sealed"]["dirty"] is False


def test_the_words_for_other_data_are_the_scenarios_own(tmp_path):
    variants = {
        "both": {
            "data": ["digits", "fashion_mnist"],
            "data.subset": [2000, 100],
            "data.pool": [4],
            "model": ["mlp", "cnn"],
            "train.loss": ["hinge"],
        },
        "plain": {"data": ["digits", "fashion_mnist"]},
        "neither": {"data": ["digits", "mnist"], "model": ["mlp", "cnn"]},
        "none": None,
    }
    (tmp_path / "scenarios").mkdir()
    for name, named in variants.items():
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(yaml.safe_dump({"scenario": {"variants": named}}, sort_keys=False))
    assert others(tmp_path) == {
        "fashion_mnist": {
            "both": "data=fashion_mnist data.subset=2000 data.pool=4 train.loss=hinge results_dir=results/fashion_mnist",
            "plain": "data=fashion_mnist results_dir=results/fashion_mnist",
        },
        "fashion_mnist_cnn": {
            "both": "data=fashion_mnist model=cnn data.subset=100 data.pool=4 train.loss=hinge results_dir=results/fashion_mnist_cnn"
        },
    }


def reached(stages: dict, path: str) -> set[str]:
    """The stages that depend on a file, directly or through the folder it lies in."""
    found = set()
    for name, stage in stages.items():
        for item in stage.get("foreach", [None]):
            body = stage.get("do", stage)
            watched = [*body["deps"], *(key for entry in body.get("params", []) for key in entry)]
            word = "${key}" if isinstance(stage.get("foreach"), dict) else "${item}"
            watched = [entry.replace(word, str(item)) for entry in watched]
            if any(path == entry or path.startswith(entry + "/") for entry in watched):
                found.add(name if item is None else f"{name}@{item}")
    return found


def test_a_change_reaches_what_depends_on_it_and_nothing_else(stages):
    studies = {item for name in stages if name.startswith("study") for item in each(stages, name)}
    pages = {"index", *(item for name in stages if name.startswith("report") for item in each(stages, name))}
    assert reached(stages, "scenarios/momentum.yaml") == {item for item in studies if item.endswith("@momentum")}
    # every file of the rooms that make numbers and verdicts
    for room in ("data", "nets", "probes", "training", "inference", "config"):
        for path in (ROOT / "suite" / room).rglob("*.py"):
            assert reached(stages, path.relative_to(ROOT).as_posix()) == studies
    assert reached(stages, "suite/streams.py") == reached(stages, "conf/optimizer/sgd.yaml") == studies
    assert reached(stages, "suite/report/words.py") == reached(stages, "suite/report/templates/report.html") == pages
    assert reached(stages, "suite/execution/run.py") == reached(stages, "suite/tracking/mirror.py") == set()
    assert reached(stages, "results/momentum/verdict.json") == {"index", "report@momentum"}


def test_no_telemetry():
    assert "analytics = false" in (ROOT / ".dvc" / "config").read_text()
