"""Finished blocks on disk, found again by everything that could change a number and by nothing else.

A run that failed leaves nothing here; a block in which replicates diverged is a finished block.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from suite.record.atomic import write_bytes
from suite.record.canonical import exact_json
from suite.vocabulary import Block, Trace

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parent.parent
#: The code that makes numbers, relative to the package.
NUMERIC_CODE = ("streams.py", "vocabulary.py", "data", "nets", "training", "probes")
#: Length of a SHA-256 in hexadecimal digits, with which every block file begins.
_SUM = 64


@lru_cache(maxsize=8)
def code_fingerprint(package: Path = _PACKAGE) -> str:
    """SHA-256 over the relative names and the sources of the code that makes numbers: the same wherever the package lies and
    whatever the line endings. Raises FileNotFoundError where a part has no sources, whose changes would go unseen."""
    digest = hashlib.sha256()
    for name in NUMERIC_CODE:
        root = package / name
        sources = [root] if root.suffix else list(root.rglob("*.py"))
        if not sources:
            raise FileNotFoundError(f"{root}: no sources here, so finished blocks cannot be told from outdated ones")
        for path in sorted(sources, key=lambda path: path.relative_to(package).as_posix()):
            source = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            # lengths keep a name from running into its source
            for part in (path.relative_to(package).as_posix().encode(), source):
                digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()


def block_key(block: Block, data: Mapping[str, str], code: str, torch_version: str) -> str:
    """SHA-256 over the condition's configuration (precision included, its name and its factors not), the seed, the range of
    replicates, the device's type, the data's checksums, the code's fingerprint and torch's version.

    Raises RequestError where the configuration holds NaN or an infinity.
    """
    parts = {
        "config": block.condition.config,
        "first": block.first,
        "count": block.count,
        "seed": block.seed,
        "device": block.device.split(":")[0],
        "data": data,
        "code": code,
        "torch": torch_version,
    }
    return hashlib.sha256(exact_json(parts, f"condition {block.condition.name!r}").encode()).hexdigest()


def block_path(results_dir: Path, key: str) -> Path:
    """Where a block of this key is kept."""
    return results_dir / ".blocks" / key[:2] / f"{key}.block"


def store(results_dir: Path, key: str, trace: Trace) -> None:
    """Keep a finished block: the SHA-256 of the rest in hexadecimal, then an npz without pickles. Raises what
    ``atomic.explained`` says; then nothing is kept."""
    head = {"key": key, "condition": trace.condition, "first": trace.first, "timings": dict(trace.timings)}
    arrays = {
        "head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8),
        "steps": trace.steps,
        "diverged_at": trace.diverged_at,
        **{f"curve:{name}": value for name, value in trace.curves.items()},
        **{f"final:{name}": value for name, value in trace.finals.items()},
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    write_bytes(block_path(results_dir, key), hashlib.sha256(content).hexdigest().encode() + content)


def load(results_dir: Path, key: str) -> Trace | None:
    """The block, or None where it was never finished. A damaged file counts as missing, with one line in the log."""
    path = block_path(results_dir, key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s: cannot be read (%s); the block is run again", path, error.strerror)
        return None
    if hashlib.sha256(content[_SUM:]).hexdigest().encode() != content[:_SUM]:
        log.warning("%s: damaged; the block is run again", path)
        return None
    try:
        return _trace(content[_SUM:], key)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        log.warning("%s: not this block (%s); it is run again", path, str(error).splitlines()[0] if str(error) else type(error).__name__)
        return None


def _trace(content: bytes, key: str) -> Trace:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        if head["key"] != key:
            raise ValueError(f"it is block {head['key']}")
        return Trace(
            head["condition"],
            head["first"],
            arrays["steps"],
            {name.removeprefix("curve:"): arrays[name] for name in arrays.files if name.startswith("curve:")},
            {name.removeprefix("final:"): arrays[name] for name in arrays.files if name.startswith("final:")},
            arrays["diverged_at"],
            head["timings"],
        )
