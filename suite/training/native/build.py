"""Compiles kernel.cpp once per machine, compiler and source, and loads it. Knows no networks.

The library lies in a folder of the user's own, under a name that says everything its numbers depend on, and its file name
carries the checksum of its content: a torn or damaged file is never loaded, and processes that build at once do
not disturb each other.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).with_name("kernel.cpp")
FLAGS = ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-strict-aliasing", "-shared", "-fPIC", "-std=c++17")
TIMEOUT = 300  # seconds a compiler may take


@dataclass(frozen=True)
class Built:
    """The loaded library, or why there is none."""

    library: ctypes.CDLL | None
    fingerprint: str
    reason: str | None


def available() -> str | None:
    """None where the compiled step can be used, else one line that says why not. Builds it if need be."""
    return built().reason


def fingerprint() -> str:
    """SHA-256 over the source, the compiler's version, the flags, the processor's extensions and the C library, or ``none``
    where the compiled step is not available: whatever could change a bit.
    """
    return built().fingerprint


def built() -> Built:
    """The library for the environment as it is now; built at most once per process."""
    if os.environ.get("DEADZONE_NATIVE", "").strip().lower() == "off":
        return Built(None, "none", "switched off by DEADZONE_NATIVE=off")
    return _built(*(os.environ.get(name, "") for name in ("CXX", "PATH", "XDG_CACHE_HOME", "HOME")))


@lru_cache(maxsize=8)
def _built(cxx: str, path: str, cache: str, home: str) -> Built:
    try:
        folder = Path(cache) if cache else Path(home, ".cache") if home else Path.home() / ".cache"
        return _build(_compiler(cxx, path), folder / "deadzone-suite")
    except RuntimeError:  # Path.home() finds none
        return Built(None, "none", "no folder for the compiled step: set XDG_CACHE_HOME")
    except _Unavailable as error:
        return Built(None, "none", str(error))


class _Unavailable(Exception):
    """One line for the user."""


def _compiler(cxx: str, path: str) -> tuple[str, ...]:
    for command in (shlex.split(cxx), ["c++"], ["g++"], ["clang++"]):
        found = shutil.which(command[0], path=path) if command else None
        if found:
            return (found, *command[1:])
    raise _Unavailable("no C++ compiler found (looked for $CXX, c++, g++ and clang++)")


def _build(compiler: tuple[str, ...], folder: Path) -> Built:
    native = "-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"
    command = (*compiler, *FLAGS, native)
    source = SOURCE.read_bytes().replace(b"\r\n", b"\n")
    digest = hashlib.sha256()
    for part in (
        source,
        _output((*compiler, "--version")),
        " ".join((*compiler[1:], *FLAGS, native)).encode(),
        _output((*command, "-dM", "-E", "-x", "c++", os.devnull)),  # predefined macros: the processor's extensions
        " ".join((platform.machine(), *platform.libc_ver())).encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    identity = digest.hexdigest()
    home = folder / identity[:32]
    library = _sound(home)
    if library is None:
        _compile(command, home)
        library = _sound(home)
    if library is None:
        raise _Unavailable(f"the compiled step in {home} cannot be loaded")
    return Built(library, identity, None)


def _output(command: tuple[str, ...]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Unavailable(f"{command[0]} cannot be run ({type(error).__name__})") from None
    if done.returncode:
        raise _Unavailable(f"{command[0]} failed: {_first_error(done.stderr)}")
    return done.stdout


def _first_error(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")[:200]


def _compile(command: tuple[str, ...], home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=home, suffix=".tmp")
    except OSError as error:
        raise _Unavailable(f"{home} cannot be written ({error.strerror}); set XDG_CACHE_HOME to a folder that can") from None
    os.close(handle)
    try:
        _output((*command, str(SOURCE), "-o", temporary))
        os.chmod(temporary, 0o700)
        os.replace(temporary, home / f"{hashlib.sha256(Path(temporary).read_bytes()).hexdigest()}.so")
    finally:
        Path(temporary).unlink(missing_ok=True)


def _sound(home: Path) -> ctypes.CDLL | None:
    """The first library in the folder whose content has the checksum its name promises, and which loads."""
    for path in sorted(home.glob("*.so")):
        try:
            if hashlib.sha256(path.read_bytes()).hexdigest() == path.stem:
                return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None
