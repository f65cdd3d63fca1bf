"""Opens the MLflow store: the SQLite file beside the user, or a server that answers. Imports MLflow late."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from suite.tracking.links import TrackingUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = "mlartifacts"
HEALTH_SECONDS = 3.0
#: Without these a dead server makes the client wait for minutes.
CLIENT_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}


def store_uri(uri: str | None) -> str:
    """The store asked for, else MLFLOW_TRACKING_URI, else ``mlflow.db`` here, which is what ``mlflow ui`` opens too."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def open_store(uri: str) -> MlflowClient:
    """A client of a store that is there. The first call on a new SQLite file creates its tables, which takes seconds.

    Raises TrackingUnavailable where a server does not answer or the store cannot be opened.
    """
    prepare(uri)
    if uri.startswith(("http://", "https://")):
        _ping(uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party deprecations inside mlflow's own imports
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
        except (MlflowException, OSError) as error:
            raise TrackingUnavailable(f"{uri}: {str(error).splitlines()[0]}") from error
        except Exception as error:  # SQLAlchemy's errors are not MLflow's; whatever the store says, the record is safe
            raise TrackingUnavailable(f"{uri}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return client


def prepare(uri: str) -> None:
    """Import MLflow, and what it opens such a store with, with the settings that must be there before. Opens nothing."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name, value in CLIENT_LIMITS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        if uri.startswith("sqlite:"):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def _ping(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=HEALTH_SECONDS) as answer:
            answer.read(64)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise TrackingUnavailable(f"no MLflow server answers at {uri} ({getattr(error, 'reason', error)})") from error


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps its artifacts: beside the SQLite file; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).absolute().parent / ARTIFACTS).as_uri()


def ui_command(uri: str) -> tuple[str, str]:
    """(the shell command that opens the store, the address its pages then have)."""
    if uri.startswith(("http://", "https://")):
        return f"open {uri}", uri.rstrip("/")
    command = "mlflow ui" if uri == DEFAULT_URI else f"mlflow ui --backend-store-uri {uri}"
    return command, "http://127.0.0.1:5000"
