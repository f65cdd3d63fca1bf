"""Kills studies, by the clock and before a chosen change of the disk, runs them again and compares the record byte for byte."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

from tests.reliability.processes import Server
from tests.reliability.records import compare

BLOCKS = 6


class Reference:
    """The undisturbed study: its record, how long it took and how often it changed the disk."""

    def __init__(self, server: Server, folder: Path) -> None:
        folder.mkdir(parents=True)
        began = time.monotonic()
        done = server.study(folder)
        self.seconds = time.monotonic() - began
        assert done.code == 0, done
        self.record = folder / "results" / "tiny"
        again = server.study(folder, "results_dir=counted", count=str(folder / "count"))
        assert again.code == 0, again
        self.calls = int((folder / "count").read_text())
        compare(folder / "counted" / "tiny", self.record)


def blocks(folder: Path) -> dict[str, int]:
    """The finished blocks of a results folder, with the moment each was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "results" / ".blocks").rglob("*.block")}


def finish(server: Server, folder: Path, reference: Reference) -> dict[str, int]:
    """Run the study to its end. It must do the missing blocks and no other, and leave the reference's record and nothing else."""
    kept = blocks(folder)
    done = server.study(folder)
    assert done.code == 0, done
    assert done.err == "", done.err
    now = blocks(folder)
    assert len(now) == BLOCKS
    assert all(now[name] == when for name, when in kept.items()), "a finished block was done again"
    results = folder / "results"
    assert sorted(path.name for path in results.iterdir()) == [".blocks", "claims.json", "index.html", "tiny"]
    # what a process killed while it asked for a lease leaves binds nobody, and is swept when it is a minute old
    assert [path.name for path in (results / ".blocks" / "leases").iterdir() if not path.name.startswith(".writing-")] == []
    return {"bytes_compared": compare(results / "tiny", reference.record), "blocks_kept": len(kept)}


def by_clock(server: Server, folder: Path, reference: Reference, kills: int, seed: int, series: int = 4) -> dict[str, int]:
    """``kills`` kills at random moments, up to ``series`` of one study before it is left to finish."""
    rng = random.Random(seed)
    figures = {"kills": 0, "studies": 0, "bytes_compared": 0, "blocks_kept": 0, "too_late": 0}
    while figures["kills"] < kills:
        here = folder / f"clock{figures['studies']}"
        here.mkdir(parents=True)
        for _ in range(min(series, kills - figures["kills"])):
            child = server.start(here, server.command(here))
            time.sleep(rng.uniform(0.0, 1.02 * reference.seconds))
            child.kill(signal.SIGKILL)
            code = child.wait().code
            assert code in (-9, 0), code
            figures["kills"] += 1
            figures["too_late"] += code == 0
        _add(figures, finish(server, here, reference))
        shutil.rmtree(here)
    return figures


def by_call(server: Server, folder: Path, reference: Reference, points: list[int]) -> dict[str, int]:
    """One kill before each of the given changes of the disk."""
    figures = {"kills": 0, "studies": 0, "bytes_compared": 0, "blocks_kept": 0}
    for point in points:
        here = folder / f"call{point}"
        here.mkdir(parents=True)
        done = server.study(here, die_at=point)
        assert done.code == -9, (point, done)
        figures["kills"] += 1
        _add(figures, finish(server, here, reference))
        shutil.rmtree(here)
    return figures


def full_disk(server: Server, folder: Path, reference: Reference, points: list[int]) -> dict[str, int]:
    """A disk that is full from each of the given changes on: exit 1, one line with the cause, and the next run goes on."""
    figures = {"faults": 0, "studies": 0, "bytes_compared": 0, "blocks_kept": 0}
    for point in points:
        here = folder / f"full{point}"
        here.mkdir(parents=True)
        done = server.study(here, fail_at=point)
        assert done.code == 1, (point, done)
        assert len(done.err.strip().splitlines()) == 1, done.err
        assert "No space left on device" in done.err
        figures["faults"] += 1
        _add(figures, finish(server, here, reference))
        shutil.rmtree(here)
    return figures


def _add(figures: dict[str, int], more: dict[str, int]) -> None:
    figures["studies"] += 1
    for key, value in more.items():
        figures[key] += value
