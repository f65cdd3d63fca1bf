"""One server and one undisturbed study for all tests of this folder that need them."""

from __future__ import annotations

import pytest

from tests.reliability.kills import Reference
from tests.reliability.processes import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def reference(server, tmp_path_factory) -> Reference:
    return Reference(server, tmp_path_factory.mktemp("reference") / "study")
