"""A real browser, headless, that can reach nothing but this machine; and the pages and the server it looks at."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.headless import CHROMIUM, DRIVER, Browser, need_browser
from study_example import make_study

from suite.record.write import write_record
from suite.report.index import build_index
from suite.report.page import render

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "benchmarks"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    need_browser()
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    home = tmp_path_factory.mktemp("browser")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={home}",
        "--window-size=1280,900",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture
def browser(chromium):
    chromium.errors()
    chromium.outside()
    return chromium


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Path:
    """A results folder with one small study, its pages, the index and the cost page."""
    folder = tmp_path_factory.mktemp("pages") / "results"
    study = make_study()
    write_record(study, folder, render(study))
    (folder / "benchmarks").mkdir()
    shutil.copy(COMMITTED / "engine.json", folder / "benchmarks")
    for name, content in build_index(folder).items():
        (folder / name).write_bytes(content)
    return folder


@dataclass(frozen=True)
class Server:
    """A real MLflow server on loopback, with one study in it."""

    address: str
    links: object

    def page(self, url: str) -> str:
        """One of the links a run prints, at this server's address."""
        return url.replace("http://127.0.0.1:5000", self.address)


@pytest.fixture(scope="session")
def mlflow(results, tmp_path_factory):
    need_browser()
    from suite.study.note import note_of, title_of
    from suite.tracking.mirror import mirror

    folder = tmp_path_factory.mktemp("mlflow")
    store = f"sqlite:///{folder / 'mlflow.db'}"
    study = make_study()
    links = mirror(study, results / "example", store, "conditions", title_of(study), note_of(study))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--backend-store-uri", store], stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            _until_healthy(f"http://127.0.0.1:{port}/health", process, folder / "server.log")
            yield Server(f"http://127.0.0.1:{port}", links)
        finally:
            # the server starts a worker of its own, in the same group
            os.killpg(process.pid, 15)
            process.wait(20)


def _until_healthy(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()[-2000:]
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])
