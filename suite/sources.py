"""Fingerprints of the suite's own source files. Knows names and bytes, not what the code does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
SUFFIXES = (".py", ".html", ".md", ".css", ".js", ".yaml")


@lru_cache(maxsize=8)
def fingerprint(names: Sequence[str], without: Sequence[str] = ()) -> str:
    """SHA-256 over names and contents of files, and of the files of folders, line endings made equal. ``names`` and ``without``
    are relative to the package.
    """
    digest = hashlib.sha256()
    for name in names:
        root = _PACKAGE / name
        for path in sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES) if root.is_dir() else [root]:
            place = path.relative_to(_PACKAGE).as_posix()
            if place not in without:
                digest.update(place.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()
