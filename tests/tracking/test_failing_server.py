"""A server that is lost, silent, slow or refusing costs bounded time, never the record; a later sync brings everything once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_example import make_study

from suite.__main__ import main
from suite.config.schema import Tracking
from suite.record.write import number_files, write_record
from suite.study.mirror import MirrorProcess, mirror_record
from suite.tracking.links import TrackingUnavailable
from suite.tracking.store import open_store

sys.path.insert(0, str(Path(__file__).parent))
from fake_server import FakeServer

ROOT = Path(__file__).resolve().parents[2]
STUDY = make_study()


@pytest.fixture
def record(tmp_path):
    return write_record(STUDY, tmp_path / "results", {"report.html": b"<p>the page</p>"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "false")


def whole(server: FakeServer) -> None:
    """Everything the study has arrived, in one run for the study and one per condition, all finished."""
    assert sorted(run["info"]["run_name"] for run in server.runs.values()) == [
        f"example: C04 supported ({STUDY.study_id})",
        "heavy",
        "plain",
    ]
    assert {run["info"]["status"] for run in server.runs.values()} == {"FINISHED"}
    for run in server.runs.values():
        trace = STUDY.traces.get(run["info"]["run_name"])
        if trace is not None:
            rows = server.metrics[run["info"]["run_id"]]
            sent = {step: value for key, step, value, _ in rows if key == "dead_fraction"}
            # one row per evaluation, whatever was sent twice is the very same row
            assert sum(key == "dead_fraction" for key, *_ in rows) == len(trace.steps)
            np.testing.assert_allclose(
                [sent[int(step)] for step in trace.steps], np.nanmedian(trace.curves["dead_fraction"], axis=0), rtol=1e-12
            )
    assert {Path(name).name for name in server.files} >= {"verdict.json", "replicates.parquet", "report.html"}


@pytest.mark.parametrize(("fail", "healthy"), [("lost", 9), ("lost", 30), ("silent", 20), ("refusing", 1), ("broken", 30), ("garbage", 9)])
def test_a_server_that_fails_in_the_middle_is_given_up_on_and_filled_later(record, fail, healthy):
    before = {path.name: path.read_bytes() for path in record.iterdir()}
    with FakeServer() as server:
        server.fail, server.healthy = fail, healthy
        began = time.monotonic()
        with pytest.raises(TrackingUnavailable) as error:
            mirror_record(record, Tracking(uri=server.uri))
        assert time.monotonic() - began < 20
        assert "\n" not in str(error.value)
        server.heal()
        mirror_record(record, Tracking(uri=server.uri))
        whole(server)
        first = dict(server.runs)
        mirror_record(record, Tracking(uri=server.uri))
        whole(server)
        assert server.runs.keys() == first.keys()
    assert {path.name: path.read_bytes() for path in record.iterdir()} == before


def test_a_slow_server_is_waited_for_as_long_as_was_asked(record, tmp_path, monkeypatch, capsys):
    with FakeServer() as server:
        server.delay = 0.4
        waiting = MirrorProcess(Tracking(uri=server.uri, patience=3))
        began = time.monotonic()
        with pytest.raises(TrackingUnavailable, match="did not take the study within 3 s"):
            waiting.write(record)
        assert time.monotonic() - began < 10
        assert waiting.process.poll() is not None
        server.heal()
        # what the user is told to do then
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        assert main(["sync", str(record)]) == 0
        assert server.uri in capsys.readouterr().out
        whole(server)


KILLED = """
import os, sys
from pathlib import Path
from mlflow import MlflowClient
from suite.config.schema import Tracking
from suite.study.mirror import mirror_record
MlflowClient.log_artifacts = lambda *unused: os.kill(os.getpid(), 9)
mirror_record(Path(sys.argv[1]), Tracking(uri=sys.argv[2]))
"""


def test_runs_of_a_killed_process_are_closed_by_the_next_start(store, record, tmp_path):
    uri = store
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, str(record), uri], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    client = open_store(uri)
    experiment = client.get_experiment_by_name("example").experiment_id
    began = {run.data.tags["level"]: run for run in client.search_runs([experiment])}
    assert {level: run.info.status for level, run in began.items()} == {"study": "RUNNING", "condition": "FINISHED"}
    left = began["study"]
    # one that a living process is writing, and one of another machine
    tags = {key: value for key, value in left.data.tags.items() if key.startswith("writer.")}
    assert {"writer.host", "writer.machine", "writer.pid", "writer.born"} == set(tags)
    living = client.create_run(experiment, tags=tags | {"writer.pid": str(os.getppid()), "writer.born": ""})
    remote = client.create_run(experiment, tags=tags | {"writer.machine": "another"})
    stranger = client.create_run(experiment)
    other = shutil.copytree(record, tmp_path / "results" / "other")
    MirrorProcess(Tracking(uri=uri)).write(other)
    status = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
    assert status[living.info.run_id] == status[remote.info.run_id] == status[stranger.info.run_id] == "RUNNING"
    # the same study again: it goes on in the run that was left
    assert status[left.info.run_id] == "FINISHED"
    assert len(status) == 6


def test_a_study_that_ends_without_a_record_is_closed_in_the_store(store):
    waiting = MirrorProcess(Tracking(uri=store))
    waiting.open()
    waiting.begin(number_files(STUDY), Path("results/example"))
    waiting.process.communicate(timeout=100)
    assert waiting.process.returncode == 0
    client = open_store(store)
    experiment = client.get_experiment_by_name("example").experiment_id
    status = {run.data.tags["level"]: run.info.status for run in client.search_runs([experiment])}
    assert status == {"study": "KILLED", "condition": "FINISHED"}
    waiting.abandon()
    assert not Path(waiting.handed.name).exists()


def test_numbers_handed_over_early_are_finished_by_their_record_and_by_no_other(store, record):
    waiting = MirrorProcess(Tracking(uri=store))
    waiting.begin(number_files(STUDY), record)
    links = waiting.write(record)
    client = open_store(store)
    runs = client.search_runs([links.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {"report.html", "verdict.json", "manifest.json"} <= {item.path for item in client.list_artifacts(links.run_id)}
    assert not Path(waiting.handed.name).exists()
    # the whole again, from the record alone: nothing is new
    assert mirror_record(record, Tracking(uri=store)) == links
    assert len(client.search_runs([links.experiment_id])) == len(runs) == 3
    trace = replace(STUDY.traces["plain"], finals={name: values + 1 for name, values in STUDY.traces["plain"].finals.items()})
    other = MirrorProcess(Tracking(uri=store))
    other.begin(number_files(replace(STUDY, traces={**STUDY.traces, "plain": trace})), record)
    with pytest.raises(TrackingUnavailable, match="other numbers"):
        other.write(record)


def test_no_store_is_touched_before_a_study_is_sealed(tmp_path):
    waiting = MirrorProcess(Tracking(uri=f"sqlite:///{tmp_path / 'mlflow.db'}"))
    waiting.process.communicate(timeout=100)
    assert waiting.process.returncode == 0
    waiting.abandon()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_write_one_record_once(store, record):
    uri = store
    both = [MirrorProcess(Tracking(uri=uri)) for _ in range(2)]
    links = [waiting.write(record) for waiting in both]
    assert links[0] == links[1]
    assert len(open_store(uri).search_runs([links[0].experiment_id])) == 3
