"""The floors of the house: who may import whom, checked on the real package and shown to be able to fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lint(folder: Path) -> subprocess.CompletedProcess:
    command = "import sys; from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"
    return subprocess.run(
        [sys.executable, "-c", command], cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder), "PATH": ""}
    )


def test_the_contract_holds():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "5 kept, 0 broken" in done.stdout


def test_the_contract_can_be_broken(tmp_path):
    shutil.copytree(ROOT / "suite", tmp_path / "suite", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "suite" / "inference" / "bad.py").write_text("import torch\n")
    (tmp_path / "suite" / "nets" / "bad.py").write_text("from suite.training import engine\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert "2 broken" in done.stdout


def test_the_lock_file_has_hashes_and_names_no_place():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith(" ")]
    assert len(pins) > 50
    assert all(line.rstrip().endswith("\\") for line in pins)
    assert not any("://" in line or "index" in line or "find-links" in line for line in lines)
