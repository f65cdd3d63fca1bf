"""DVC: every study is a stage, a fresh clone has nothing to do, and a change reaches what depends on it and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

#: Changes a file, asks DVC what would be made again, and puts the file back; once for each line of the table.
ASK = """
import json, sys
from pathlib import Path
from dvc.repo import Repo

changes = json.loads(sys.argv[1])
found = {}
for what, (name, old, new) in changes.items():
    path = Path(name)
    before = path.read_text()
    assert old in before, what
    path.write_text(before.replace(old, new, 1))
    found[what] = sorted(Repo(".").status())
    path.write_text(before)
print(json.dumps(found))
"""
CHANGES = {
    "nothing": ("suite/training/engine.py", "import", "import"),
    "a comment in a scenario": ("scenarios/momentum.yaml", "scenario:", "# a remark\nscenario:"),
    "a scenario": ("scenarios/momentum.yaml", "confidence: 0.95", "confidence: 0.9"),
    "code that makes numbers": ("suite/nets/mlp.py", "from __future__", "# changed\nfrom __future__"),
    "code that decides": ("suite/inference/exact.py", "from __future__", "# changed\nfrom __future__"),
    "code of the report": ("suite/report/words.py", "from __future__", "# changed\nfrom __future__"),
    "where blocks run": ("suite/execution/run.py", "from __future__", "# changed\nfrom __future__"),
    "a record": ("results/momentum/verdict.json", '"supported"', '"refuted"'),
}


@pytest.fixture(scope="module")
def stages() -> dict:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> dict[str, list[str]]:
    """What DVC says in a fresh clone, for each change."""
    folder = tmp_path_factory.mktemp("clone")
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder / "clone")], check=True)
    outside = {f"DVC_{name}_DIR": str(folder / name) for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(CHANGES)],
        cwd=folder / "clone",
        capture_output=True,
        text=True,
        env={**os.environ, **outside, "DVC_NO_ANALYTICS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
    records = {path.parent.name for path in (ROOT / "results" / "fashion_mnist").glob("*/verdict.json")}
    assert set(stages["study_fashion_mnist"]["foreach"]) == records
    for stage in stages.values():
        for out in [*stage.get("do", stage)["outs"], *stage.get("do", stage).get("metrics", [])]:
            # git holds the records, and DVC must not delete them before a stage runs
            assert list(out.values()) == [{"cache": False, "persist": True}]


def test_a_fresh_clone_has_nothing_to_do(asked):
    assert asked["nothing"] == [], "the records are not of this code: make results, then make dvc-lock"


def test_a_change_reaches_what_depends_on_it_and_nothing_else(asked, stages):
    studies = sorted([*each(stages, "study"), *each(stages, "study_fashion_mnist")])
    pages = sorted([*each(stages, "report"), *each(stages, "report_fashion_mnist"), "index"])
    assert asked["a comment in a scenario"] == []
    assert asked["a scenario"] == ["study@momentum"]
    assert asked["code that makes numbers"] == asked["code that decides"] == studies
    assert asked["code of the report"] == pages
    assert asked["where blocks run"] == []
    assert asked["a record"] == ["index", "report@momentum", "study@momentum"]


def test_no_telemetry():
    assert "analytics = false" in (ROOT / ".dvc" / "config").read_text()
