"""Writes a finished study into MLflow, and says what to do where that fails. The record is already safe on disk."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from suite.config.schema import Tracking
from suite.tracking import Links, TrackingUnavailable, mirror
from suite.vocabulary import Study


def mirror_record(study: Study, record: Path, tracking: Tracking, console: Console) -> Links | None:
    """The links to what was written, or None, with one line on the console, where MLflow could not be reached."""
    try:
        with console.status("writing to MLflow"):
            return mirror(study, record, tracking.uri, tracking.runs)
    except TrackingUnavailable as reason:
        console.print(f"MLflow was not written: {reason}\nThe record is whole; later: python -m suite sync {record}", highlight=False)
        return None
