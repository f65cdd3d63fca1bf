"""Writes a finished study into MLflow: a run for the study and under it one per condition, or also per replicate.

Safe to repeat: runs are found again by their tags, and rows with the same timestamps are stored once.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suite.percentiles import percentiles
from suite.selection import select
from suite.tracking.links import Links, TrackingUnavailable
from suite.tracking.store import artifact_location, open_store, store_uri, ui_command
from suite.tracking.view import TAG, view_state
from suite.vocabulary import Condition, Study, Trace

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BATCH = 1000
#: The tags that tell a study's runs apart.
WHICH = ("level", "condition", "replicate")
#: Metrics whose 10th and 90th percentile over replicates are written beside the median, as .low and .high.
BANDED = ("dead_fraction", "train_loss", "test_accuracy")


def mirror(study: Study, record: Path, uri: str | None, runs: str, title: str, note: str, writer: Mapping[str, str] | None = None) -> Links:
    """Write the study and return where to look: ``begin`` and ``finish`` in one."""
    return begin(study, record, uri, runs, title, note, writer).finish(record)


def begin(study: Study, numbers: Path, uri: str | None, runs: str, title: str, note: str, writer: Mapping[str, str] | None = None) -> Begun:
    """Write everything but the record's files. ``numbers`` is a folder that holds those which the study was read from; ``title`` heads
    the study's run, ``note`` is its Markdown text, ``writer`` are tags that name this process, so that runs it leaves unfinished can
    be told from those being written.

    Raises TrackingUnavailable, in one line, where the store cannot be opened or stops answering.
    """
    address = store_uri(uri)
    client = open_store(address)
    with _in_one_line(address):
        mark = _mark(numbers)
        begun = Begun(client, address, mark, _Writer(client, study, mark, address, title, note, writer or {}))
        begun.write(runs)
    return begun


class Begun:
    """A study whose numbers are in the store, all but finished."""

    def __init__(self, client: MlflowClient, uri: str, mark: str, writer: _Writer) -> None:
        self.client, self.uri, self.mark, self.writer = client, uri, mark, writer

    def write(self, runs: str) -> None:
        """The runs with all that can be read off the numbers."""
        self.links = self.writer.write(runs)

    def finish(self, record: Path) -> Links:
        """Add the record's files. Raises TrackingUnavailable, also where the record holds other numbers."""
        if _mark(record) != self.mark:
            raise TrackingUnavailable(f"{record}: holds other numbers than were handed over")
        with _in_one_line(self.uri):
            self.client.log_artifacts(self.links.run_id, str(record))
            self.client.set_terminated(self.links.run_id, "FINISHED", self.writer.finished)
        return self.links

    def give_up(self) -> None:
        """There will be no record."""
        with _in_one_line(self.uri):
            self.client.set_terminated(self.links.run_id, "KILLED")


def _mark(folder: Path) -> str:
    """A study made again by other code has the same plan and other numbers: it is another set of runs."""
    return hashlib.sha256((folder / "replicates.parquet").read_bytes()).hexdigest()[:16]


@contextmanager
def _in_one_line(uri: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # a store fails in more ways than MLflow has names for, and the record is safe
        lines = str(error).strip().splitlines()
        raise TrackingUnavailable(f"{uri}: {lines[0] if lines else type(error).__name__}") from error


#: How a verdict is marked in a list of many.
MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}


class _Writer:
    def __init__(self, client: MlflowClient, study: Study, mark: str, uri: str, title: str, note: str, writer: Mapping[str, str]) -> None:
        self.client, self.study, self.mark, self.uri, self.title, self.note = client, study, mark, uri, title, note
        self.writer = dict(writer)
        self.found: dict[tuple[str, ...], str] = {}
        self.finished = int(datetime.fromisoformat(study.provenance["finished"]).timestamp() * 1000)
        self.started = int(datetime.fromisoformat(study.provenance["started"]).timestamp() * 1000)
        # the same however often a study is interrupted, finished again or written again: a row that is there is then the same row
        self.stamp = int(
            datetime.fromisoformat(study.provenance.get("sealed", {}).get("at", study.provenance["finished"])).timestamp() * 1000
        )

    def write(self, runs: str) -> Links:
        plan = self.study.plan
        experiment = self._experiment()
        self._find(experiment)
        parent = self._run(experiment, self.title, {"level": "study"}, None, self._study_tags())
        self._view(experiment)
        self._study_run(parent)
        children = []
        for condition in plan.conditions:
            trace = self.study.traces[condition.name]
            tags = {"level": "condition", "condition": condition.name}
            child = self._run(experiment, condition.name, tags, parent, self._condition_tags(condition))
            children.append(child)
            self._log(child, _params_of(condition, plan.seed), self._condition_rows(trace))
            self._datasets(child, condition)
            if runs == "replicates":
                self._replicates(experiment, child, condition, trace)
            self.client.set_terminated(child, "FINISHED", self.finished)
        return self._links(experiment, parent, children)

    def _experiment(self) -> str:
        name = self.study.plan.scenario
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        identifier = str(found.experiment_id) if found else self._new_experiment(name)
        self.client.set_experiment_tag(identifier, "mlflow.note.content", self.note)
        # MLflow 3 opens experiments in its GenAI layout unless it is told what they are
        self.client.set_experiment_tag(identifier, "mlflow.experimentKind", "custom_model_development")
        return identifier

    def _new_experiment(self, name: str) -> str:
        try:
            return str(self.client.create_experiment(name, artifact_location(self.uri)))
        except Exception:
            # another process may have made it in the meantime
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _view(self, experiment: str) -> None:
        metrics = {key for trace in self.study.traces.values() for key in (*trace.curves, *trace.finals)}
        metrics |= {"diverged", "replicate_steps_per_second"}
        curves = {key for trace in self.study.traces.values() for key in trace.curves if len(trace.steps) > 1}
        state = view_state(self.study.study_id, self.study.plan.factors, sorted(metrics), curves)
        self.client.set_experiment_tag(experiment, TAG + self.study.study_id, state)

    def _find(self, experiment: str) -> None:
        """What an earlier call has left of this study: one search, for a store is asked as seldom as can be."""
        wanted = f"tags.`study` = '{self.study.study_id}' and tags.`record` = '{self.mark}'"
        token = None
        while True:
            page = self.client.search_runs([experiment], wanted, max_results=1000, page_token=token)
            for run in page:
                self.found.setdefault(tuple(run.data.tags.get(key, "") for key in WHICH), str(run.info.run_id))
            token = page.token
            if not token:
                return

    def _run(self, experiment: str, name: str, tags: Mapping[str, str], parent: str | None, more: Mapping[str, str]) -> str:
        """The run that ``tags`` tell from the study's others, made where there is none, with ``more`` tags."""
        from mlflow.entities import RunTag

        known = self.found.get(tuple(tags.get(key, "") for key in WHICH))
        more = {**more, **self.writer}
        if known is not None:
            self.client.log_batch(known, tags=[RunTag(key, value) for key, value in {**more, "mlflow.runName": name}.items()])
            return known
        tags = {**tags, "study": self.study.study_id, "record": self.mark, **more, **({"mlflow.parentRunId": parent} if parent else {})}
        return str(self.client.create_run(experiment, self.started, tags, name).info.run_id)

    def _study_tags(self) -> dict[str, str]:
        plan, outcome = self.study.plan, self.study.outcome
        tags = {
            "scenario": plan.scenario,
            "status": outcome.status,
            "plan_sha256": str(self.study.provenance.get("plan_sha256", "")),
            "mlflow.note.content": self.note,
        }
        for verdict in outcome.verdicts:
            tags[f"verdict.{verdict.hypothesis.name}"] = verdict.verdict
        for claim in plan.claims:
            stated = [
                v.verdict
                for v in outcome.verdicts
                if (v.hypothesis.claim, v.hypothesis.part, v.hypothesis.role) == (claim, "as_stated", "treatment")
            ]
            tags[f"claim.{claim}"] = (
                "invalid"
                if outcome.status == "invalid"
                else "refuted"
                if "refuted" in stated
                else "supported"
                if stated and set(stated) == {"supported"}
                else "inconclusive"
            )
        if plan.deviations:
            tags["deviations"] = ", ".join(plan.deviations)
        return tags

    def _study_run(self, run: str) -> None:
        plan = self.study.plan
        self._log(run, {"seed": plan.seed, "replicates": plan.replicates, "device": plan.device, "data": ", ".join(plan.data)}, ())

    def _condition_tags(self, condition: Condition) -> dict[str, str]:
        """What a condition is searched by: its study's scenario and status, and the verdicts of the hypotheses whose treatment it is in."""
        outcome = self.study.outcome
        about = [
            v for v in outcome.verdicts if any(c.name == condition.name for c in select(self.study.plan.conditions, v.hypothesis.treatment))
        ]
        verdicts = ", ".join(f"{MARKS[v.verdict]} {v.hypothesis.name}" for v in about)
        tags = {f"verdict.{v.hypothesis.name}": v.verdict for v in about}
        return {**tags, "scenario": self.study.plan.scenario, "status": outcome.status, "verdicts": verdicts[:500] or "—"}

    def _log(self, run: str, params: Mapping[str, Any], rows: Iterable[Metric]) -> None:
        """Parameters and metrics in as few calls as MLflow allows."""
        from mlflow.entities import Param

        metrics, first = list(rows), [Param(key, str(value)[:6000]) for key, value in params.items()]
        room = BATCH - len(first)
        self.client.log_batch(run, metrics=metrics[:room], params=first)
        for start in range(room, len(metrics), BATCH):
            self.client.log_batch(run, metrics=metrics[start : start + BATCH])

    def _condition_rows(self, trace: Trace) -> Iterator[Metric]:
        """Medians over replicates at every evaluation, bands for a few, then summaries and rates at the last step."""
        for name, curve in trace.curves.items():
            yield from self._series(name, trace.steps, percentiles(curve, 50))
            if name in BANDED:
                yield from self._series(f"{name}.low", trace.steps, percentiles(curve, 10))
                yield from self._series(f"{name}.high", trace.steps, percentiles(curve, 90))
        last = trace.steps[-1:]
        for name, final in trace.finals.items():
            if name not in trace.curves:
                yield from self._series(name, last, percentiles(final[:, None], 50))
        yield from self._series("diverged", last, np.array([float((trace.diverged_at >= 0).sum())]))
        for name, value in trace.timings.items():
            yield from self._series(name, last, np.array([value]))

    def _series(self, name: str, steps: NDArray[np.int64], values: NDArray[np.float64]) -> Iterator[Metric]:
        from mlflow.entities import Metric

        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            if math.isfinite(value):  # MLflow stores inf as a huge number and cannot draw NaN
                yield Metric(name, value, self.stamp, step)

    def _replicates(self, experiment: str, parent: str, condition: Condition, trace: Trace) -> None:
        for replicate in range(trace.count):
            tags = {"level": "replicate", "condition": condition.name, "replicate": str(replicate)}
            run = self._run(experiment, f"{condition.name} #{replicate}", tags, parent, {})
            params = {**_params_of(condition, self.study.plan.seed), "condition": condition.name, "replicate": replicate}
            curves = (self._series(name, trace.steps, curve[replicate]) for name, curve in trace.curves.items())
            finals = (
                self._series(name, trace.steps[-1:], final[replicate : replicate + 1])
                for name, final in trace.finals.items()
                if name not in trace.curves
            )
            self._log(run, params, (row for series in (*curves, *finals) for row in series))
            self.client.set_terminated(run, "FINISHED", self.finished)

    def _datasets(self, run: str, condition: Condition) -> None:
        from mlflow.entities import Dataset, DatasetInput

        name = str(condition.config["data"]["name"])
        sums = next((sums for key, sums in self.study.plan.data.items() if key.split("[")[0] == name), {})
        digest = hashlib.sha256(json.dumps(dict(sums), sort_keys=True).encode()).hexdigest()[:12]
        dataset = Dataset(name, digest, "local", json.dumps({"name": name}), schema=None, profile=json.dumps(dict(sums)))
        self.client.log_inputs(run, [DatasetInput(dataset, [])])

    def _links(self, experiment: str, parent: str, children: list[str]) -> Links:
        command, base = ui_command(self.uri)
        runs = json.dumps(children, separators=(",", ":"))
        return Links(
            self.uri,
            experiment,
            parent,
            command,
            f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={self.study.study_id}",
            f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey={self.study.study_id}",
            f"{base}/#/compare-runs?runs={runs}&experiments=[%22{experiment}%22]".replace('"', "%22"),
            f"{base}/#/experiments/{experiment}/runs/{parent}?workflowType=machine_learning",
        )


def _params_of(condition: Condition, seed: int) -> dict[str, Any]:
    """Factors first, so that the compare page begins with what differs; then the rest of the configuration."""
    flat: dict[str, Any] = dict(condition.factors)

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")
            else:
                flat.setdefault(prefix + key, value)

    walk(condition.config, "")
    return {**flat, "seed": seed}
