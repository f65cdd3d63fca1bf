"""Puts the index of all claims beside the records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from suite.record.atomic import write_bytes


def write_index(results_dir: Path, files: Mapping[str, bytes]) -> None:
    """Write ``index.html`` and ``claims.json``, each whole or not at all."""
    for name, content in files.items():
        write_bytes(results_dir / name, content)
