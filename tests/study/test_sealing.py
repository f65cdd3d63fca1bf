"""A plan is sealed: what is changed after the data exist is another study, and the first one stays as it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from study_example import make_study

from suite.__main__ import main
from suite.config import hydra_plugin
from suite.record.read import read_study
from suite.record.verify_files import read_parts
from suite.record.write import write_record
from suite.report import terminal
from suite.report.page import render
from suite.study.note import title_of

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = (ROOT / "scenarios" / "born_dead.yaml").read_text().replace("steps: 150", "steps: 20").replace("replicates: 64", "replicates: 4")

#: Changes to a scenario file after its study was made, each of another part of the plan.
CHANGES = {
    "a hypothesis": ("value: 0.5\n", "value: 0.25\n"),
    "a rule": ("confidence: 0.95", "confidence: 0.9"),
    "a factor": ("start.alive_on: 1", "start.alive_on: 2"),
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> dict[str, Path]:
    """The first study's results folder, and one for each change, made over a copy of it."""
    folder = tmp_path_factory.mktemp("sealing")
    (folder / "my" / "scenario").mkdir(parents=True)
    found = {"first": run(folder, SCENARIO, "results")}
    for number, (what, (old, new)) in enumerate(CHANGES.items()):
        assert SCENARIO.count(old) >= 1
        shutil.copytree(folder / "results", folder / f"r{number}")
        found[what] = run(folder, SCENARIO.replace(old, new, 1), f"r{number}")
    return found


def run(folder: Path, text: str, results: str) -> Path:
    (folder / "my" / "scenario" / "born_dead.yaml").write_text(text)
    before = list(hydra_plugin.FOLDERS)
    try:
        code = main(
            ["--config-dir", str(folder / "my"), "+scenario=born_dead", "tracking=off", "quiet=true", f"results_dir={folder / results}"]
        )
    finally:
        hydra_plugin.FOLDERS[:] = before
    assert code in (0, 3)
    return folder / results


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_after_the_data_is_another_study_and_the_old_one_stays(studies, what):
    before, after = studies["first"] / "born_dead", studies[what] / "born_dead"
    old, new = (json.loads((record / "verdict.json").read_text())["study"] for record in (before, after))
    assert old != new
    kept = studies[what] / "archive" / f"born_dead-{old}"
    for path in before.rglob("*"):
        if path.is_file():
            assert (kept / path.relative_to(before)).read_bytes() == path.read_bytes(), path.name
    assert read_study(kept).study_id == old
    assert main(["verify", str(kept), "--sample=1"]) == 0


def test_the_plan_says_when_it_was_sealed_and_the_study_began_later(studies):
    for results in studies.values():
        facts = json.loads((results / "born_dead" / "provenance.json").read_text())
        assert facts["sealed"]["at"] <= facts["finished"]
        if facts["git"] is not None:
            assert facts["sealed"]["commit"] == facts["git"]["commit"]
        assert read_parts(results / "born_dead").faults == []


def test_a_design_changed_on_the_command_line_is_labelled_wherever_it_shows(tmp_path):
    study = make_study(deviations=("train.steps=60",))
    record = write_record(study, tmp_path / "results", render(study))
    body = json.loads((record / "verdict.json").read_text())
    assert (body["status"], body["exploratory"], body["deviations"]) == ("exploratory", True, ["train.steps=60"])
    for page in ("report.html", "report.md"):
        assert "EXPLORATORY: the command line changed the registered design: train.steps=60" in (record / page).read_text()
    console = Console(record=True, width=100)
    terminal.print_verdicts(study.outcome, study.plan, console)
    shown = console.export_text()
    assert "EXPLORATORY" in shown
    assert "(exploratory)" in shown


def test_an_invalid_study_with_a_changed_design_says_both(tmp_path):
    study = make_study(deviations=("train.steps=60",), broken_control=True)
    assert study.outcome.status == "invalid"
    record = write_record(study, tmp_path, render(study))
    body = json.loads((record / "verdict.json").read_text())
    assert (body["status"], body["exploratory"]) == ("invalid", True)
    page = (record / "report.html").read_text()
    assert "INVALID" in page
    assert "EXPLORATORY" in page
    assert title_of(study).startswith("example: exploratory: invalid")
    unchanged = replace(study, plan=replace(study.plan, deviations=()))
    assert "exploratory" not in title_of(unchanged)
