"""Nothing is lost: the quick part of what ``make reliability`` does at length."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.reliability import kills
from tests.reliability.records import compare


def test_killed_at_random_moments(server, reference, tmp_path):
    figures = kills.by_clock(server, tmp_path, reference, kills=3, seed=1, series=3)
    assert figures["kills"] == 3
    assert figures["bytes_compared"] > 100_000


def test_killed_before_a_change_of_the_disk(server, reference, tmp_path):
    # in a block, between the tables of the record, before the verdict, in the index
    calls = reference.calls
    kills.by_call(server, tmp_path, reference, [calls - 20, calls - 8])


def test_a_full_disk_is_one_line_and_nothing_is_lost(server, reference, tmp_path):
    kills.full_disk(server, tmp_path, reference, [reference.calls - 12])


def test_a_read_only_results_folder_is_refused_before_anything_is_trained(server, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o555)
    done = server.study(tmp_path, heed_modes=True)
    assert done.code == 2, done
    assert done.err.strip() == (
        "suite: error: results/.blocks/leases: cannot be written (Permission denied); choose another folder with results_dir=PATH"
    )
    assert list(results.iterdir()) == []


def test_damaged_blocks_are_done_again_and_no_others(server, reference, tmp_path):
    shutil.copytree(reference.record.parent, tmp_path / "results")
    shutil.rmtree(tmp_path / "results" / "tiny")
    paths = sorted((tmp_path / "results" / ".blocks").rglob("*.block"))
    before = kills.blocks(tmp_path)
    flipped = bytearray(paths[0].read_bytes())
    flipped[len(flipped) // 2] ^= 16
    paths[0].write_bytes(flipped)
    paths[1].write_bytes(paths[1].read_bytes()[:-7])
    paths[2].write_bytes(paths[5].read_bytes())  # whole, but another block's
    paths[3].unlink()
    done = server.study(tmp_path)
    assert done.code == 0, done
    assert [done.out.count(f"{path.name}: ") for path in paths] == [1, 1, 1, 0, 0, 0]
    after = kills.blocks(tmp_path)
    assert [name for name in sorted(before) if after[name] != before[name]] == sorted(path.name for path in paths[:4])
    compare(tmp_path / "results" / "tiny", reference.record)


def started(server, folder, *more):
    """A longer study, its first block finished."""
    child = server.start(folder, server.command(folder, "train.steps=6000", *more))
    deadline = time.monotonic() + 60
    while not list((folder / "results").rglob("*.block")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return child


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")])
def test_a_stopped_study_lets_go_and_says_how_to_go_on(server, tmp_path, number, code, word):
    more = ("executor=local", "executor.workers=2") if number == signal.SIGINT else ()
    child = started(server, tmp_path, *more)
    blocks = tmp_path / "results" / ".blocks"
    child.kill(number)
    began = time.monotonic()
    done = child.wait(30)
    assert time.monotonic() - began < 10
    assert done.code == code, done
    assert done.err.strip() == f"suite: {word}; finished blocks are kept, and the same command goes on from there"
    assert list((blocks / "leases").iterdir()) == []
    assert [path.name for path in blocks.rglob("*") if path.name.startswith(".writing")] == []
    assert_alone(child.pid)


def assert_alone(pid: int) -> None:
    """Everything a study started is gone, or goes in a moment."""
    deadline = time.monotonic() + 20
    while descendants(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not descendants(pid)


def descendants(session: int) -> list[int]:
    """Processes still alive in the session that a child of the server leads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def test_workers_of_a_killed_study_end_with_it(server, tmp_path):
    child = started(server, tmp_path, "executor=local", "executor.workers=1")
    assert len(descendants(child.pid)) >= 2
    child.kill(signal.SIGKILL)
    child.wait()
    assert_alone(child.pid)


def test_the_same_study_started_twice_at_once(server, reference, tmp_path):
    command = server.command(tmp_path)
    both = [server.start(tmp_path, command) for _ in range(2)]
    ended = [child.wait() for child in both]
    assert [done.code for done in ended] == [0, 0], ended
    said = [done for done in ended if "is running this very study; the two share its blocks" in done.out]
    assert len(said) == 1
    assert kills.finish(server, tmp_path, reference)["blocks_kept"] == kills.BLOCKS
    # every block was stored once: the others' names for it came from the cache
    assert sum(done.out.count("Traceback") + done.err.count("Traceback") for done in ended) == 0


def test_two_studies_of_one_scenario_at_once_lose_neither_record(server, reference, tmp_path):
    both = [server.start(tmp_path, server.command(tmp_path, f"seed={seed}")) for seed in (0, 5)]
    ended = [child.wait() for child in both]
    assert {done.code for done in ended} == {0}, ended
    assert sum("is running another study of tiny" in done.out for done in ended) == 1
    kept = [*(tmp_path / "results" / "archive").iterdir(), tmp_path / "results" / "tiny"]
    seeds = {}
    for record in kept:
        plan = json.loads((record / "plan.json").read_text())
        verdict = json.loads((record / "verdict.json").read_text())
        assert len(verdict["hypotheses"]) == 3
        seeds[plan["seed"]] = record
    assert set(seeds) == {0, 5}
    compare(seeds[0], reference.record)
