"""Several studies in one command: a record for each, a summary, one line and a nonzero exit code where a job fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException

from suite.__main__ import main
from suite.config.sweep import Job, Sweep, launcher_missing, settled, told
from suite.vocabulary import RequestError, RunFailed

ROOT = Path(__file__).resolve().parents[2]
ASKED = ("train.steps=20", "probes.every=10", "replicates=2", "tracking=off", "device=cpu")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with two scenarios of a user's own."""
    text = (ROOT / "tests" / "reliability" / "study.yaml").read_text()
    folder = tmp_path / "my" / "scenario"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(text)
    (folder / "other.yaml").write_text(text.replace("name: tiny", "name: other"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def status(record: Path) -> dict:
    return json.loads((record / "verdict.json").read_text())


def test_two_scenarios_leave_two_records_side_by_side(here):
    done = subprocess.run(
        [sys.executable, "-m", "suite", "-m", "--config-dir", "my", "+scenario=tiny,other", *ASKED],
        cwd=here,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(here), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    for name in ("tiny", "other"):
        assert status(here / "results" / name)["scenario"] == name
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[-3:]] == [
        ["2", "jobs"],
        ["0", "+scenario=tiny", "done", "results/tiny"],
        ["1", "+scenario=other", "done", "results/other"],
    ]
    assert done.stderr == ""
    # the jobs' reports are gone
    assert not list((here / ".sweep").glob("jobs-*"))


def test_two_seeds_have_a_folder_each_and_a_failing_job_costs_itself_alone(here, capsys):
    asked = ["-m", "--config-dir", "my", "+scenario=tiny", "seed=3,4", "optimizer.momentum=0.5,1.5", "results_dir=out", *ASKED]
    assert main(asked) == 2
    said = capsys.readouterr()
    summary = [line.split() for line in said.out.splitlines()[-4:]]
    assert summary[0] == ["0", "seed=3", "optimizer.momentum=0.5", "done", "out/seed=3,optimizer.momentum=0.5/tiny"]
    assert summary[1][:4] == ["1", "seed=3", "optimizer.momentum=1.5", "wrong"]
    assert said.err == (
        "suite: error: 2 of 4 jobs failed; the first is job 1 (seed=3 optimizer.momentum=1.5): optimizer.momentum=1.5 must lie in [0, 1)\n"
    )
    records = sorted(path.parent for path in (here / "out").rglob("verdict.json"))
    assert [record.relative_to(here / "out").parts[0] for record in records] == [
        "seed=3,optimizer.momentum=0.5",
        "seed=4,optimizer.momentum=0.5",
    ]
    assert len({status(record)["study"] for record in records}) == 2
    # as a study of its own would have been
    assert main([*asked[1:4], "seed=4", "optimizer.momentum=0.5", "results_dir=alone", "quiet=true", *ASKED]) == 0
    alone, swept = here / "alone" / "tiny", records[1]
    assert (alone / "replicates.parquet").read_bytes() == (swept / "replicates.parquet").read_bytes()
    assert status(alone)["study"] == status(swept)["study"]


def test_a_launcher_that_is_not_installed_is_one_line(here, capsys):
    assert main(["-m", "--config-dir", "my", "+scenario=tiny,other", "hydra/launcher=joblib", *ASKED]) == 2
    said = capsys.readouterr().err
    assert said == "suite: error: hydra/launcher=joblib: this launcher is not installed (here: basic); pip install hydra-joblib-launcher\n"
    assert main(["-m", "--config-dir", "my", "+scenario=tiny,other", "hydra/launcher=submitit", *ASKED]) == 2
    assert "there is no such launcher here (basic); the nearest known is 'submitit_" in capsys.readouterr().err
    assert launcher_missing(MissingConfigException("Could not find 'data/moons'")) is None
    assert not (here / "results").exists()


def job(number: int, code: int, line: str = "") -> Job:
    return Job(number, (f"seed={number}",), code, f"results/seed={number}/tiny" if code in (0, 3) else "", line)


def test_the_exit_code_is_the_worst_that_happened():
    assert settled([]) == settled([job(0, 0)]) == 0
    assert settled([job(0, 0), job(1, 3)]) == 3
    with pytest.raises(RequestError, match=r"^1 of 2 jobs failed; the first is job 1 \(seed=1\): no such data$"):
        settled([job(0, 3), job(1, 2, "no such data")])
    with pytest.raises(RunFailed, match=r"^2 of 2 jobs failed"):
        settled([job(0, 2, "no such data"), job(1, 1, "the disk is full")])
    assert told([job(0, 3), job(1, 1, "the disk is full")]).splitlines()[1:] == [
        "   0  seed=0  invalid  results/seed=0/tiny",
        "   1  seed=1  failed   the disk is full",
    ]


def test_a_folder_of_its_own_only_where_records_would_meet():
    given = ["+scenario=tiny", "seed=1", "model.hidden=[8,8]", "results_dir=out"]
    assert Sweep(("scenario",), Path()).overrides(given, "out") == given
    assert Sweep(("scenario", "seed", "results_dir"), Path()).overrides(given, "out") == given
    assert Sweep(("scenario", "seed", "model.hidden"), Path()).overrides(given, "out") == [
        *given[:3],
        'results_dir="out/seed=1,model.hidden=[8,8]"',
    ]
    assert Sweep.of(["+scenario=a,b", "seed=1", "optimizer=sgd,adam"]).swept == ("scenario", "optimizer")
