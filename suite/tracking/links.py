"""What a mirror leaves to look at, and the reason where it could not be made. Imports no MLflow."""

from __future__ import annotations

from dataclasses import dataclass


class TrackingUnavailable(RuntimeError):
    """MLflow could not be written; the message is one line."""


@dataclass(frozen=True)
class Links:
    """Where a mirrored study is: the command that opens MLflow on it, and pages of that server."""

    uri: str
    experiment_id: str
    run_id: str
    command: str
    view_url: str
    charts_url: str
    compare_url: str
    study_url: str
