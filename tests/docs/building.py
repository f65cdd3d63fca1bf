"""Builds the documentation site as ``make docs`` does, into a folder of a test's choice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from docs.blocks import ROOT


def build(folder: Path) -> Path:
    """The built site. A warning, a broken link or a missing anchor is a failure."""
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
        "--site-dir",
        folder,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
