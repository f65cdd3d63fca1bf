"""Closes runs that a killed process left RUNNING. Knows how they are tagged, not how a process is seen to be gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Tags that name the process that writes a run; the study's id is its ``study`` tag.
HOST, MACHINE, PID, BORN = "writer.host", "writer.machine", "writer.pid", "writer.born"


def close_orphans(client: MlflowClient, is_gone: Callable[[Mapping[str, str]], bool]) -> list[str]:
    """Give every RUNNING run whose writer is gone the status KILLED, and return their ids. Runs of others are left alone."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    if not experiments:
        return []
    closed = []
    for run in client.search_runs(experiments, f"attributes.status = 'RUNNING' and tags.`{PID}` != ''", max_results=1000):
        if is_gone(run.data.tags):
            client.set_terminated(run.info.run_id, "KILLED")
            closed.append(str(run.info.run_id))
    return closed
