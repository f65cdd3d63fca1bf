"""The SHA-256 of every file of a record, by which damage and tampering show. Knows names and bytes only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from suite.record.canonical import to_json
from suite.vocabulary import RequestError

MANIFEST = "manifest.json"


def manifest_json(files: Mapping[str, bytes]) -> str:
    """The manifest of these files, by relative name."""
    return to_json({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def read_manifest(folder: Path) -> dict[str, str]:
    """{relative name: SHA-256}. Raises RequestError where there is none or it is damaged."""
    path = folder / MANIFEST
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RequestError(f"{path}: missing, so this is not a finished record") from error
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path}: damaged, it is not JSON") from error
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise RequestError(f"{path}: damaged, it does not map names to checksums")
    return body


def check_manifest(folder: Path) -> tuple[str, ...]:
    """What is wrong with a record, one line per file: changed since it was written, or missing. Files that the record does
    not list are the user's own and are left alone. Raises RequestError where there is no manifest to check against."""
    wrong = []
    for name, expected in read_manifest(folder).items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            wrong.append(f"{name}: missing")
            continue
        if found != expected:
            wrong.append(f"{name}: changed since the record was written")
    return tuple(wrong)
