"""A real server: MLflow on PostgreSQL takes a study, and holds every number of its record; the same again changes nothing."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from postgres import cluster, free_port, programs

from suite.__main__ import main
from suite.record.read import read_study
from suite.tracking.store import open_store

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "tests" / "reliability" / "study.yaml"

pytestmark = pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed here (Debian: apt-get install postgresql)")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an MLflow server with a PostgreSQL database behind it."""
    folder = tmp_path_factory.mktemp("server")
    with cluster() as database, (folder / "log").open("w") as log:
        port = free_port()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")),
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                        break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def arrived(client, run, keys) -> dict[str, list[tuple[int, float]]]:
    """Every row of every metric, in the order of steps; a number that was sent twice would be here twice."""
    found = {key: client.get_metric_history(run.info.run_id, key) for key in keys}
    return {key: sorted((row.step, row.value) for row in rows) for key, rows in found.items()}


def expected(steps, values) -> list[tuple[int, float]]:
    return [(int(step), float(value)) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]


def test_every_number_of_the_record_is_in_the_database_and_twice_is_once(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    folder = tmp_path / "my" / "scenario"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_bytes(STUDY.read_bytes())
    assert main(["--config-dir", "my", "+scenario=tiny", "replicates=3", "tracking.runs=replicates", "device=cpu"]) == 0
    assert server in capsys.readouterr().out
    record = tmp_path / "results" / "tiny"
    study = read_study(record)
    client = open_store(server)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = client.search_runs([experiment])
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_level = {level: [run for run in runs if run.data.tags["level"] == level] for level in ("study", "condition", "replicate")}
    assert {level: len(found) for level, found in by_level.items()} == {"study": 1, "condition": 3, "replicate": 9}

    compared = 0
    for run in by_level["replicate"]:
        trace, replicate = study.traces[run.data.tags["condition"]], int(run.data.tags["replicate"])
        wanted = {name: expected(trace.steps, curve[replicate]) for name, curve in trace.curves.items()}
        last = trace.steps[-1:]
        wanted |= {name: expected(last, final[[replicate]]) for name, final in trace.finals.items() if name not in trace.curves}
        found = arrived(client, run, wanted)
        for name, rows in wanted.items():
            assert found[name] == rows, (run.info.run_name, name)  # doubles travel exactly
            compared += len(rows)
    for run in by_level["condition"]:
        trace = study.traces[run.data.tags["condition"]]
        found = arrived(client, run, trace.curves)
        for name, curve in trace.curves.items():
            finite = np.isfinite(curve).any(axis=0)
            median = [np.nanmedian(column) if seen else math.nan for column, seen in zip(curve.T, finite, strict=True)]
            assert [step for step, _ in found[name]] == [step for step, _ in expected(trace.steps, median)]
            np.testing.assert_allclose([value for _, value in found[name]], [v for _, v in expected(trace.steps, median)], rtol=1e-14)
            compared += len(found[name])
        assert run.data.params["optimizer.lr"] == ("0.01" if run.data.tags["condition"] == "slow" else "0.1")
        assert run.data.metrics["diverged"] == 0
    assert compared > 300
    for name in ("verdict.json", "replicates.parquet", "report.html"):
        local = client.download_artifacts(by_level["study"][0].info.run_id, name, str(tmp_path))
        assert Path(local).read_bytes() == (record / name).read_bytes()

    assert main(["sync", "results/tiny"]) == 0
    again = client.search_runs([experiment])
    assert {run.info.run_id for run in again} == {run.info.run_id for run in runs}
    first = by_level["condition"][0]
    keys = study.traces[first.data.tags["condition"]].curves
    assert arrived(client, client.get_run(first.info.run_id), keys) == arrived(client, first, keys)
    assert all(len({step for step, _ in rows}) == len(rows) for rows in arrived(client, first, keys).values())
