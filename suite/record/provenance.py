"""How a record was made: code, versions, machine, times. No host or user name, no path outside the project."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suite import __version__
from suite.record.cache import code_fingerprint
from suite.record.canonical import plan_sha256
from suite.sources import fingerprint
from suite.vocabulary import Plan

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "statsmodels",
    "scikit-learn",
    "hydra-core",
    "mlflow",
    "pyarrow",
    "matplotlib",
)


def gather(plan: Plan, started: datetime, finished: datetime, torch_facts: Mapping[str, object]) -> dict[str, Any]:
    """Everything a reader needs to judge and repeat the study; times in UTC, ISO 8601."""
    return {
        "plan_sha256": plan_sha256(plan),
        "suite": __version__,
        "code_sha256": code_fingerprint(),
        "code": {"verdicts": verdict_code(), "record": record_code()},
        "git": git_state(),
        "python": platform.python_version(),
        "packages": gather_packages(),
        "environment": environment(),
        "platform": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "cpu": {"model": _cpu_model(), "cores": os.cpu_count()},
        "torch": dict(torch_facts),
        "data": {name: dict(sums) for name, sums in plan.data.items()},
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 1),
    }


def sealed_now() -> dict[str, Any]:
    """When a plan is sealed, in UTC, and the commit it is sealed at (None outside a checkout)."""
    git = git_state() or {}
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "commit": git.get("commit"), "dirty": git.get("dirty")}


def sealing_of(folder: Path, plan: Plan) -> dict[str, Any] | None:
    """What a record's folder says of the sealing of this plan, None where it says nothing."""
    try:
        facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        return dict(facts["sealed"]) if facts["plan_sha256"] == plan_sha256(plan) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def environment() -> list[str]:
    """Every installed package with its version, as ``name==version``."""
    return sorted({_name_and_version(distribution) for distribution in importlib.metadata.distributions()}, key=str.lower)


def _name_and_version(distribution: importlib.metadata.Distribution) -> str:
    """The two are among the first lines; a parser of mail would read the package's whole description."""
    head = (distribution.read_text("METADATA") or "").split("\n\n", 1)[0]
    name, version = (re.search(rf"^{key}: *(\S+) *$", head, re.MULTILINE) for key in ("Name", "Version"))
    if name is None or version is None:
        return f"{distribution.metadata['Name']}=={distribution.version}"
    return f"{name.group(1)}=={version.group(1)}"


def gather_packages() -> dict[str, str | None]:
    """The versions that matter to a study, None where a package is not installed."""
    return {name: _version(name) for name in PACKAGES}


def verdict_code() -> str:
    """Fingerprint of the code that decides."""
    return fingerprint(("inference", "selection.py", "vocabulary.py"))


def record_code() -> str:
    """Fingerprint of the code that writes a record's files, the report's pages excepted."""
    return fingerprint(
        (
            "record/arrow.py",
            "record/canonical.py",
            "record/citation.py",
            "record/crate.py",
            "record/tables.py",
            "record/unit_table.py",
            "record/write.py",
            "vocabulary.py",
        )
    )


def git_state() -> dict[str, Any] | None:
    """Commit, changed files and the hash of their diff; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    # results change while a study runs; what matters is whether the code and the scenarios are the commit's
    changed = (_git("status", "--porcelain", "--", ".", ":!results") or "").splitlines()
    diff = (_git("diff", "HEAD", "--", ".", ":!results") or "") if changed else ""
    return {
        "commit": commit.strip(),
        "dirty": bool(changed),
        "changed": [line[3:] for line in changed],
        "diff_sha256": hashlib.sha256(diff.encode()).hexdigest() if changed else None,
    }


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
