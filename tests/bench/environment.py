"""Where and with what a benchmark ran: machine, versions, threads, date. No host or user name."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suite.record.provenance import git_state

PACKAGES = ("torch", "jax", "jaxlib", "numpy", "scipy", "hydra-core", "mlflow", "pytest-benchmark")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS", "MKL_CBWR")


def version(name: str) -> str | None:
    """The installed version, None where the package is absent."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_model(cpuinfo: str) -> str:
    """The model name in the text of /proc/cpuinfo, else ``unknown``."""
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def environment() -> dict[str, Any]:
    """Everything a reader needs to judge a figure. The load averages (1, 5 and 15 minutes) tell how busy the machine was."""
    cpuinfo = Path("/proc/cpuinfo")
    git = git_state()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(cpuinfo.read_text(encoding="utf-8")) if cpuinfo.is_file() else "unknown",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "threads": {name: os.environ.get(name) for name in THREADS},
        "load": [round(value, 2) for value in os.getloadavg()],
        "commit": None if git is None else git["commit"] + ("+changes" if git["dirty"] else ""),
    }


def command(module: str, arguments: Sequence[str]) -> str:
    """The command that makes the file again."""
    return " ".join(["python", "-m", module, *arguments])


def write(path: Path, what: str, made_by: str, started: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """One JSON file: what it is, how to make it, the environment at the start, the load at the end, then the figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"what": what, "command": made_by, "environment": {**started, "load_at_end": [round(v, 2) for v in os.getloadavg()]}}
    path.write_text(json.dumps(head | dict(body), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
