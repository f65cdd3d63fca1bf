"""Finished blocks on disk, found again by everything that could change a number and by nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from suite.record.atomic import write_bytes
from suite.record.canonical import to_json
from suite.vocabulary import Block, Trace

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parent.parent
#: The rooms whose code makes numbers.
NUMERIC_CODE = ("streams.py", "data", "nets", "probes", "training")


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """SHA-256 over the names and sources, Python and C++, of the code that makes numbers, line endings made equal."""
    digest = hashlib.sha256()
    for name in NUMERIC_CODE:
        root = _PACKAGE / name
        for path in sorted([*root.rglob("*.py"), *root.rglob("*.cpp")]) if root.is_dir() else [root]:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0")
            digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def block_key(block: Block, data: Mapping[str, str], code: str, torch_version: str, native: str) -> str:
    """SHA-256 over configuration (precision and engine path included), replicates, seed, device type, the number of processes that share
    a batch, data, code and the versions of torch and of NumPy, which draws the initial weights; on the native and compiled paths also
    the fingerprint of the native step, which names the C++ compiler and the processor.
    The condition's name is not part of it.
    """
    parts = {
        "config": block.condition.config,
        "first": block.first,
        "count": block.count,
        "seed": block.seed,
        "device": block.device.split(":")[0],
        "ranks": block.ranks,
        "data": data,
        "code": code,
        "torch": torch_version,
        "native": native if block.condition.config["engine"]["path"] in ("native", "compiled") else None,
        "numpy": np.__version__,
    }
    return hashlib.sha256(to_json(parts).encode()).hexdigest()


def folder(results_dir: Path) -> Path:
    """Where finished blocks lie, and the leases of those that are being worked on."""
    return results_dir / ".blocks"


def _path(results_dir: Path, key: str) -> Path:
    return folder(results_dir) / key[:2] / f"{key}.block"


def store(results_dir: Path, key: str, trace: Trace) -> None:
    """Keep a finished block. The file is a SHA-256 of 64 digits followed by an uncompressed npz without pickles."""
    arrays = {f"curve:{name}": value for name, value in trace.curves.items()}
    arrays |= {f"final:{name}": value for name, value in trace.finals.items()}
    arrays |= {f"units:{name}": value for name, value in trace.units.items()}
    head = json.dumps({"key": key, "condition": trace.condition, "first": trace.first, "timings": dict(trace.timings)})
    buffer = io.BytesIO()
    np.savez(
        buffer,
        allow_pickle=False,
        head=np.frombuffer(head.encode(), dtype=np.uint8),
        steps=trace.steps,
        diverged_at=trace.diverged_at,
        **arrays,
    )
    content = buffer.getvalue()
    write_bytes(_path(results_dir, key), hashlib.sha256(content).hexdigest().encode() + content, results_dir)


def load(results_dir: Path, key: str, tell: Callable[[str], None] = log.warning) -> Trace | None:
    """The block, or None where it was never finished. A damaged file counts as missing; ``tell`` gets one line about it."""
    path = _path(results_dir, key)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(f"{path}: cannot be read ({error.strerror}); the block is done again")
        return None
    if hashlib.sha256(content[64:]).hexdigest().encode() != content[:64]:
        tell(f"{path}: damaged; the block is done again")
        return None
    try:
        return _trace(content[64:], key)
    except Exception as error:  # a file can be wrong in more ways than NumPy and zipfile have names for
        tell(f"{path}: not a block of this version ({type(error).__name__}: {error}); it is done again")
        return None


def _trace(content: bytes, key: str) -> Trace:
    """Unpack and check. Raises whatever is wrong."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        if head["key"] != key:
            raise ValueError(f"it holds block {head['key']}")
        trace = Trace(
            head["condition"],
            head["first"],
            arrays["steps"],
            {name.removeprefix("curve:"): arrays[name] for name in arrays.files if name.startswith("curve:")},
            {name.removeprefix("final:"): arrays[name] for name in arrays.files if name.startswith("final:")},
            arrays["diverged_at"],
            {str(name): float(value) for name, value in head["timings"].items()},
            {name.removeprefix("units:"): arrays[name] for name in arrays.files if name.startswith("units:")},
        )
    if not isinstance(trace.condition, str) or type(trace.first) is not int:
        raise ValueError("condition and first replicate are not what they should be")
    whole = (trace.steps, trace.diverged_at)
    if any(array.dtype != np.int64 or array.ndim != 1 for array in whole):
        raise ValueError("steps or divergences are not lists of whole numbers")
    for kind, shape in (("curves", (trace.count, len(trace.steps))), ("finals", (trace.count,))):
        for name, values in getattr(trace, kind).items():
            if values.dtype != np.float64 or values.shape != shape:
                raise ValueError(f"{kind} of {name!r} have the wrong type or shape")
    for name, values in trace.units.items():
        if values.dtype != np.float64 or values.ndim not in (2, 3) or len(values) > trace.count or values.shape[1] != len(trace.steps):
            raise ValueError(f"units of {name!r} have the wrong type or shape")
    return trace
