"""What every test runs under: one thread, no telemetry, and shapes checked against their annotations."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.pop("MLFLOW_TRACKING_URI", None)

from jaxtyping import install_import_hook

install_import_hook(["suite.nets", "suite.training.losses", "suite.training.evaluate"], "beartype.beartype")

import pytest  # noqa: E402  the hook must come before anything imports those rooms


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    import torch

    torch.set_num_threads(1)
