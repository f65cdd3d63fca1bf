"""MLflow as a mirror: what arrives is what the study holds, twice is once, and a dead server is one line soon."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from study_example import make_study

from suite.record.write import write_record
from suite.study.note import note_of, title_of
from suite.tracking.links import TrackingUnavailable
from suite.tracking.mirror import mirror
from suite.tracking.store import open_store
from suite.tracking.view import SECTIONS, TAG, read_view_state, view_state

STUDY = make_study()


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
    columns = ["params.`optimizer.momentum`", "params.`model.hidden`", "tags.`verdicts`", "metrics.`dead_fraction`", "metrics.`train_loss`"]
    assert state["columnOrder"][:5] == columns
    assert set(columns) <= set(state["selectedColumns"])
    found = client.search_runs([links.experiment_id], state["searchFilter"])
    assert {run.data.tags["condition"] for run in found} == {"plain", "heavy"}
    assert STUDY.study_id in links.view_url
    assert STUDY.study_id in links.charts_url
    sections = {section["uuid"]: section["name"] for section in state["compareRunSections"]}
    charts = {card["metricKey"]: (sections[card["metricSectionId"]], card["type"]) for card in state["compareRunCharts"]}
    assert charts["dead_fraction"] == ("Dead units", "LINE")
    assert charts["train_loss"] == ("Loss and accuracy", "LINE")
    assert charts["replicate_steps_per_second"] == ("Throughput and divergence", "BAR")
    logged = {key for run in found for key in run.data.metrics}
    assert set(charts) <= logged


def test_a_view_never_exceeds_what_mlflow_takes():
    metrics = [metric for section in SECTIONS.values() for metric in section]
    rng = np.random.default_rng(0)
    many = ["model." + "".join(map(chr, rng.integers(97, 123, 30))) for _ in range(400)]
    for count in (3, 60, 400):
        value = view_state("abc", many[:count], metrics, metrics)
        assert len(value) <= 5000
        state = read_view_state(value)
        assert f"params.`{many[0]}`" in state["selectedColumns"]
        assert "metrics.`dead_fraction`" in state["selectedColumns"]
        assert ("compareRunCharts" in state) == (count < 400)


def test_a_condition_carries_the_verdicts_that_speak_of_it(store, tmp_path):
    links, client = mirrored(store, tmp_path)
    found = {run.data.tags["condition"]: run.data.tags for run in runs_of(client, links, "condition")}
    assert found["plain"]["verdicts"] == "✓ unseen"
    assert found["heavy"]["verdicts"] == "✓ effect, ✗ never, ✓ closed, ✓ seen"
    assert found["heavy"]["verdict.never"] == "refuted"
    assert "verdict.never" not in found["plain"]
    assert {tags["status"] for tags in found.values()} == {"valid"}


def test_the_readmes_filters_find_what_they_say(store, tmp_path):
    block = (Path(__file__).resolve().parents[2] / "README.md").read_text().split("Five filters", 1)[1].split("```sql")[1].split("```")[0]
    filters = block.strip().splitlines()
    assert len(filters) == 5
    links, client = mirrored(store, tmp_path)
    plain, heavy = (
        {run.data.tags["condition"]: run.info.run_id for run in runs_of(client, links, "condition")}[k] for k in ("plain", "heavy")
    )
    # what the filters name, in the words of the study that is here
    here = {"'momentum'": "'example'", "carries_out": "effect", "> 0.5": "> 0.4", "= 'refuted'": "= 'supported'"}
    expected = [{heavy}, {links.run_id}, {heavy}, set(), {plain, heavy}]
    for text, wanted in zip(filters, expected, strict=True):
        for old, new in here.items():
            text = text.replace(old, new)
        assert {run.info.run_id for run in client.search_runs([links.experiment_id], text)} == wanted, text
    assert {
        run.info.run_id for run in client.search_runs([links.experiment_id], "tags.level = 'condition' and metrics.dead_fraction > 0.4")
    } == {heavy}


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


def test_a_design_changed_on_the_command_line_is_labelled(store, tmp_path):
    study = make_study(deviations=("train.steps=60",))
    links, client = mirrored(store, tmp_path, study)
    parent = client.get_run(links.run_id)
    assert parent.info.run_name.startswith("example: exploratory: ")
    assert parent.data.tags["status"] == "exploratory"
    assert parent.data.tags["deviations"] == "train.steps=60"
    assert "EXPLORATORY" in parent.data.tags["mlflow.note.content"]
