"""A store whose tables exist: making them takes seconds, so once for all tests."""

from __future__ import annotations

import shutil

import pytest

from suite.config.schema import Tracking
from suite.study.mirror import MirrorProcess
from suite.tracking.links import TrackingUnavailable


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Made by two processes at once, as two studies that start together in a new folder would."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    both = [MirrorProcess(Tracking(uri=f"sqlite:///{path}")) for _ in range(2)]
    for waiting in both:
        # the store is open where the record is what is missing
        with pytest.raises(TrackingUnavailable, match=r"plan\.json: missing"):
            waiting.write(path.parent / "results" / "nowhere")
    assert sorted(entry.name for entry in path.parent.iterdir() if entry.name != "results") == ["mlflow.db"]
    return path


@pytest.fixture
def store(empty_store, tmp_path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
