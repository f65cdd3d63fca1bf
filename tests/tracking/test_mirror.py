"""MLflow as a mirror: what arrives is what the study holds, twice is once, and a dead server is one line soon."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time

import numpy as np
import pytest
from study_example import make_study

from suite.record.write import write_record
from suite.study.note import note_of, title_of
from suite.tracking.links import TrackingUnavailable
from suite.tracking.mirror import mirror
from suite.tracking.store import open_store
from suite.tracking.view import TAG, read_view_state

STUDY = make_study()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Creating the tables takes seconds: once for all tests."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def mirrored(store, tmp_path, study=STUDY, runs="conditions"):
    record = write_record(study, tmp_path / "results", {"report.html": b"<p>the page</p>"})
    links = mirror(study, record, store, runs, title_of(study), note_of(study))
    return links, open_store(store)


def runs_of(client, links, level):
    return client.search_runs([links.experiment_id], f"tags.level = '{level}'")


def test_every_number_arrives(store, tmp_path):
    links, client = mirrored(store, tmp_path)
    found = {run.data.tags["condition"]: run for run in runs_of(client, links, "condition")}
    assert set(found) == {"plain", "heavy"}
    for name, run in found.items():
        curve = STUDY.traces[name].curves["dead_fraction"]
        for suffix, q in (("", 50), (".low", 10), (".high", 90)):
            history = client.get_metric_history(run.info.run_id, f"dead_fraction{suffix}")
            np.testing.assert_allclose(
                [m.value for m in sorted(history, key=lambda m: m.step)], np.nanpercentile(curve, q, axis=0), rtol=1e-12
            )
            assert sorted(m.step for m in history) == [0, 10, 20]
        assert run.data.metrics["diverged"] == (1 if name == "heavy" else 0)
        assert run.data.metrics["replicate_steps_per_second"] == 106.7
        assert run.data.params["optimizer.momentum"] == ("0.9" if name == "heavy" else "0.0")
        assert run.data.tags["mlflow.parentRunId"] == links.run_id
        assert run.info.status == "FINISHED"
        assert run.inputs.dataset_inputs[0].dataset.name == "digits"


def test_the_verdict_is_in_name_tags_note_and_experiment(store, tmp_path):
    links, client = mirrored(store, tmp_path)
    study = client.get_run(links.run_id)
    assert study.info.run_name == f"example: C04 supported ({STUDY.study_id})"
    assert study.data.tags["verdict.never"] == "refuted"
    assert study.data.tags["claim.C04"] == "supported"
    assert study.data.tags["status"] == "valid"
    note = study.data.tags["mlflow.note.content"]
    assert note.startswith("# example: C04 supported")
    assert client.get_experiment(links.experiment_id).tags["mlflow.note.content"] == note
    names = {item.path for item in client.list_artifacts(links.run_id)}
    assert {"report.html", "verdict.json", "replicates.parquet", "plan.json"} <= names


def test_the_saved_view_shows_factors_and_metrics_of_this_study(store, tmp_path):
    links, client = mirrored(store, tmp_path)
    state = read_view_state(client.get_experiment(links.experiment_id).tags[TAG + STUDY.study_id])
    assert "params.`optimizer.momentum`" in state["selectedColumns"]
    assert "metrics.`dead_fraction`" in state["selectedColumns"]
    found = client.search_runs([links.experiment_id], state["searchFilter"])
    assert {run.data.tags["condition"] for run in found} == {"plain", "heavy"}
    assert STUDY.study_id in links.view_url


def test_twice_is_once(store, tmp_path):
    links, client = mirrored(store, tmp_path)
    before = len(client.search_runs([links.experiment_id]))
    again, client = mirrored(store, tmp_path)
    assert again == links
    assert len(client.search_runs([links.experiment_id])) == before == 3
    run = runs_of(client, links, "condition")[0]
    assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 3


def test_replicates_on_request(store, tmp_path):
    links, client = mirrored(store, tmp_path, runs="replicates")
    found = runs_of(client, links, "replicate")
    assert len(found) == 16
    run = next(r for r in found if r.data.tags["condition"] == "heavy" and r.data.params["replicate"] == "3")
    # replicate 3 diverged at step 10: what is not a number is left out, never sent
    history = client.get_metric_history(run.info.run_id, "dead_fraction")
    assert [(m.step, m.value) for m in history] == [(0, STUDY.traces["heavy"].curves["dead_fraction"][3, 0])]
    assert run.data.params["seed"] == "0"


def test_an_invalid_study_carries_no_verdict(store, tmp_path):
    links, client = mirrored(store, tmp_path, make_study(broken_control=True))
    study = client.get_run(links.run_id)
    assert study.data.tags["claim.C04"] == "invalid"
    assert study.info.run_name.startswith("example: invalid")


def test_a_refused_connection_is_one_line_at_once():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="no MLflow server answers") as error:
        open_store(f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < 10
    assert "\n" not in str(error.value)


def test_a_server_that_never_answers_is_given_up_on():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken: list[socket.socket] = []
        threading.Thread(target=lambda: taken.append(silent.accept()[0]), daemon=True).start()
        began = time.monotonic()
        with pytest.raises(TrackingUnavailable):
            open_store(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 10
        for connection in taken:
            connection.close()


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not SQLite, though it says so " * 50)
    with pytest.raises(TrackingUnavailable):
        open_store(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_the_waiting_process_answers_with_links_or_a_reason(store, tmp_path):
    from suite.config.schema import Tracking
    from suite.study.mirror import MirrorProcess

    record = write_record(STUDY, tmp_path / "results", {})
    links = MirrorProcess(Tracking(uri=store)).write(record)
    assert json.loads(json.dumps(links.run_id))
    client = open_store(store)
    assert client.get_run(links.run_id).data.tags["study"] == STUDY.study_id
    with pytest.raises(TrackingUnavailable, match=r"plan\.json"):
        MirrorProcess(Tracking(uri=store)).write(tmp_path / "nowhere")
    waiting = MirrorProcess(Tracking(uri=store))
    waiting.abandon()
    assert waiting.process.poll() is not None
