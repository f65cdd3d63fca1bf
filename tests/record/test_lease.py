"""Leases: one holder at a time, whatever the interleaving; the dead and the silent lose theirs; nothing stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from suite.record import lease
from suite.record.lease import Leases, myself

ROOT = Path(__file__).resolve().parents[2]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_holds_it_and_the_other_is_told_who(tmp_path):
    with Leases(tmp_path, "plan a") as one, Leases(tmp_path, "plan b") as two:
        assert one.take("block") is None
        holder = two.take("block")
        assert (holder.pid, holder.plan) == (os.getpid(), "plan a")
        assert str(os.getpid()) in str(holder)
        assert two.take("another") is None
        one.release("block")
        assert two.take("block") is None
        assert one.take("block").plan == "plan b"
    assert files(tmp_path) == []


def left_behind(folder: Path, name: str, age: float, **changes) -> Path:
    """A lease as a process leaves it that is gone or far away."""
    path = folder / f"{name}.1"
    path.write_text(json.dumps(asdict(replace(myself("old"), **changes))))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_silent_lease_of_another_machine_expires_and_a_beating_one_does_not(tmp_path):
    left_behind(tmp_path, "silent", 61, host="elsewhere", machine="other")
    left_behind(tmp_path, "beating", 30, host="elsewhere", machine="other")
    with Leases(tmp_path, "new") as mine:
        assert mine.take("beating").host == "elsewhere"
        assert mine.take("silent") is None
        assert "silent.1" not in files(tmp_path)
    assert files(tmp_path) == ["beating.1"]


def test_a_lease_of_a_dead_process_is_free_at_once(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left_behind(tmp_path, "dead", 0, pid=gone.pid, born="1")
    # its number may belong to another process by now
    left_behind(tmp_path, "reborn", 0, pid=os.getppid(), born="1")
    left_behind(tmp_path, "living", 0, pid=os.getppid(), born=lease.born(os.getppid()))
    with Leases(tmp_path, "new") as mine:
        assert mine.take("dead") is None
        assert mine.take("reborn") is None
        assert mine.take("living").pid == os.getppid()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe", b'{"host": {}}'])
def test_a_lease_that_cannot_be_read_still_counts_until_it_is_old(tmp_path, content):
    path = tmp_path / "odd.7"
    path.write_bytes(content)
    with Leases(tmp_path, "new") as mine:
        assert mine.take("odd") is not None
        os.utime(path, (time.time() - 100,) * 2)
        assert mine.take("odd") is None


def test_the_heart_beats_and_a_lost_lease_is_let_go(tmp_path):
    with Leases(tmp_path, "new", beat=0.05) as mine:
        assert mine.take("block") is None
        path = tmp_path / "block.1"
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1000
        path.unlink()
        while mine.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not mine.held


def test_what_killed_processes_leave_is_swept(tmp_path):
    old, new = tmp_path / ".writing-old", tmp_path / ".writing-new"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    with Leases(tmp_path, "new"):
        assert files(tmp_path) == [".writing-new"]


def test_without_hard_links_it_works_too(tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    with Leases(tmp_path, "a") as one, Leases(tmp_path, "b") as two:
        assert one.take("block") is None
        assert two.take("block").plan == "a"


CONTEST = """
import sys, time
from pathlib import Path
from suite.record import lease
from suite.record.lease import Leases
lease.POLL_SECONDS = 0.001
folder, turns = Path(sys.argv[1]), int(sys.argv[2])
inside = folder / "inside"
for turn in range(turns):
    with Leases(folder / "leases", "x", beat=0.02, expiry=30.0) as leases:
        with leases.hold("door", lambda holder: None):
            # only one at a time can make this folder
            inside.mkdir()
            time.sleep(0.001)
            inside.rmdir()
            with (folder / "count").open("a") as file:
                file.write("x")
"""


def test_processes_in_contest_never_hold_it_together(tmp_path):
    # an expired lease lies there when they begin: all try to take it over
    (tmp_path / "leases").mkdir()
    left_behind(tmp_path / "leases", "door", 1000, machine="other")
    command = [sys.executable, "-c", CONTEST, str(tmp_path), "15"]
    runs = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for run in runs:
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 0, errors
    assert (tmp_path / "count").read_text() == "x" * 60
    assert files(tmp_path / "leases") == []


def test_waiting_says_so_once(tmp_path):
    said = []
    with Leases(tmp_path, "a") as one, Leases(tmp_path, "b") as two:
        assert one.take("door") is None
        threading.Timer(0.7, lambda: one.release("door")).start()
        with two.hold("door", said.append):
            assert "door" in two.held
    assert [holder.plan for holder in said] == ["a"]
