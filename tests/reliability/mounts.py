"""A real file system that fills up, in the place of a simulated one. Needs root and Linux."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.reliability.kills import Reference, finish
from tests.reliability.processes import Server


def missing(*programs: str) -> str:
    """Why such a campaign cannot run here; empty where it can."""
    if os.geteuid() != 0 or sys.platform != "linux":
        return "it mounts file systems, which takes root on Linux"
    gone = [name for name in programs if shutil.which(name) is None]
    return f"it needs {', '.join(gone)}" if gone else ""


def full_file_system(server: Server, folder: Path, reference: Reference, sizes: list[int]) -> dict[str, int]:
    """A file system of so many kilobytes that fills up; it is made larger then, and the same command goes on."""
    figures = {"faults": 0, "bytes_compared": 0, "blocks_kept": 0}
    for size in sizes:
        here = folder / f"size{size}"
        here.mkdir(parents=True)
        _do("mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(here))
        try:
            done = server.study(here)
            assert done.code == 1, (size, done)
            assert "No space left on device" in done.err and len(done.err.strip().splitlines()) == 1, done.err
            figures["faults"] += 1
            _do("mount", "-o", "remount,size=20m", str(here))
            for name, value in finish(server, here, reference).items():
                figures[name] += value
        finally:
            _do("umount", str(here))
    return figures


def _do(*command: str) -> None:
    subprocess.run(command, check=True)
