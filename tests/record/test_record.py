"""Records: what is written comes back, whole or not at all, and says when it has been touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from study_example import make_study

from suite.record import cache, provenance, write
from suite.record.atomic import write_bytes
from suite.record.canonical import plan_from_json, plan_json, plan_sha256
from suite.record.read import read_study
from suite.record.verify_files import read_parts
from suite.record.write import rewrite_report, seal, write_record
from suite.vocabulary import Block, Condition, RequestError, Versus

STUDY = make_study()


def same(a, b) -> None:
    assert a.study_id == b.study_id
    assert asdict(a.plan) == asdict(b.plan) or plan_sha256(a.plan) == plan_sha256(b.plan)
    assert a.outcome.status == b.outcome.status
    for one, two in zip(a.outcome.verdicts, b.outcome.verdicts, strict=True):
        np.testing.assert_equal(asdict(one), asdict(two))
    for name, trace in a.traces.items():
        other = b.traces[name]
        np.testing.assert_array_equal(trace.steps, other.steps)
        np.testing.assert_array_equal(trace.diverged_at, other.diverged_at)
        for kind in ("curves", "finals"):
            for metric, values in getattr(trace, kind).items():
                np.testing.assert_array_equal(values, getattr(other, kind)[metric], err_msg=metric)
        assert dict(trace.timings) == dict(other.timings)


def test_a_record_comes_back_bit_for_bit(tmp_path):
    folder = write_record(STUDY, tmp_path, {"report.html": b"<p>"})
    same(STUDY, read_study(folder))


def test_the_plan_comes_back_and_its_hash_is_of_its_text():
    text = plan_json(STUDY.plan)
    again = plan_from_json(text)
    assert plan_json(again) == text
    # a hypothesis without a second pair has no key for it: plans sealed before there was one keep their hash
    assert "versus" not in text
    first, *rest = STUDY.plan.hypotheses
    crossed = replace(STUDY.plan, hypotheses=(replace(first, versus=Versus({"condition": "plain"}, {"condition": "heavy"})), *rest))
    assert plan_json(plan_from_json(plan_json(crossed))) == plan_json(crossed) != text
    assert plan_from_json(plan_json(crossed)).hypotheses[0] == crossed.hypotheses[0]
    changed = replace(STUDY.plan, confidence=0.99)
    assert plan_sha256(changed) != plan_sha256(STUDY.plan)


def test_the_interface_of_the_verdict_file(tmp_path):
    folder = write_record(STUDY, tmp_path, {})
    body = json.loads((folder / "verdict.json").read_text())
    assert folder == tmp_path / "example"
    assert {"scenario", "study", "plan_sha256", "status", "claims", "hypotheses"} <= set(body)
    assert body["status"] == "valid"
    entry = body["hypotheses"]["closed"]
    assert {"claim", "part", "role", "statement", "verdict", "estimate", "low", "high", "confidence", "n", "diverged", "reference"} <= set(
        entry
    )
    assert entry["reference"] == {"value": 0.5, "source": "a closed form"}
    assert entry["n"] == 7
    assert entry["diverged"] == 1


def test_the_interface_of_the_tables(tmp_path):
    folder = write_record(STUDY, tmp_path, {})
    replicates = pq.read_table(folder / "replicates.parquet")
    assert replicates.num_rows == 16
    assert replicates.column_names[:4] == ["condition", "replicate", "optimizer.momentum", "model.hidden"]
    row = replicates.to_pylist()[8 + 3]
    assert row["diverged"] is True
    assert row["diverged_at"] == 10
    assert row["dead_fraction"] is None
    assert row["model.hidden"] == "[4, 4]"
    curves = pq.read_table(folder / "curves.parquet").to_pylist()
    assert len(curves) == 48
    assert curves[4] == {
        "condition": "plain",
        "replicate": 1,
        "step": 10,
        "dead_fraction": STUDY.traces["plain"].curves["dead_fraction"][1, 1],
        "train_loss": STUDY.traces["plain"].curves["train_loss"][1, 1],
    }


def test_the_same_study_gives_the_same_bytes(tmp_path):
    a, b = write_record(STUDY, tmp_path / "a", {}), write_record(STUDY, tmp_path / "b", {})
    for path in sorted(a.iterdir()):
        assert path.read_bytes() == (b / path.name).read_bytes(), path.name


def test_the_manifest_names_every_file_and_survives_a_new_report(tmp_path):
    import hashlib

    folder = write_record(STUDY, tmp_path, {"report.html": b"old", "figures/a.svg": b"<svg/>", "figures/b.svg": b"<svg/>"})
    rewrite_report(folder, {"report.html": b"new", "figures/a.svg": b"<svg></svg>", "figures/c.svg": b"<svg/>"})
    assert not (folder / "figures" / "b.svg").exists()
    sums = json.loads((folder / "manifest.json").read_text())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(sums) == files
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())
    parts = {part["@id"] for part in crate["@graph"][1]["hasPart"]}
    assert parts == files - {"ro-crate-metadata.json"} | {"manifest.json"}


def test_making_the_report_again_does_not_make_a_changed_number_right(tmp_path):
    folder = write_record(STUDY, tmp_path, {"report.html": b"old"})
    before = json.loads((folder / "manifest.json").read_text())
    (folder / "timings.json").write_text((folder / "timings.json").read_text().replace("106.7", "206.7"))
    rewrite_report(folder, {"report.html": b"new"})
    after = json.loads((folder / "manifest.json").read_text())
    assert {name for name in after if after[name] != before[name]} == {"report.html"}
    assert [fault.file for fault in read_parts(folder).faults] == ["timings.json"]


def test_when_a_plan_was_sealed_is_kept_over_interruptions(tmp_path, monkeypatch):
    folder = seal(STUDY.plan, tmp_path)
    first = provenance.sealing_of(folder, STUDY.plan)
    assert set(first) == {"at", "commit", "dirty"}
    monkeypatch.setattr(write, "sealed_now", lambda: {"at": "later"})
    assert provenance.sealing_of(seal(STUDY.plan, tmp_path), STUDY.plan) == first
    # another plan is sealed when it is sealed
    other = make_study(title="Another").plan
    assert provenance.sealing_of(folder, other) is None
    assert provenance.sealing_of(seal(other, tmp_path), other) == {"at": "later"}
    # a finished record keeps what it says
    done = write_record(replace(STUDY, provenance={**STUDY.provenance, "sealed": first}), tmp_path, {})
    before = (done / "provenance.json").read_bytes()
    seal(STUDY.plan, tmp_path)
    assert (done / "provenance.json").read_bytes() == before


def test_a_finished_record_of_another_plan_is_archived_whole(tmp_path):
    old = write_record(STUDY, tmp_path, {})
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    other = make_study(title="Another")
    seal(other.plan, tmp_path)
    kept = tmp_path / "archive" / f"example-{STUDY.study_id}"
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    assert sorted(path.name for path in (tmp_path / "example").iterdir()) == ["plan.json", "provenance.json"]
    # the same plan again changes nothing
    write_record(other, tmp_path, {})
    seal(other.plan, tmp_path)
    assert (tmp_path / "example" / "verdict.json").is_file()


@pytest.mark.parametrize("name", ["plan.json", "verdict.json", "replicates.parquet", "curves.parquet", "timings.json", "provenance.json"])
def test_a_damaged_or_missing_part_is_named(tmp_path, name):
    folder = write_record(STUDY, tmp_path, {})
    (folder / name).write_bytes(b"\x00 not this")
    with pytest.raises(RequestError, match=name.replace(".", r"\.")):
        read_study(folder)
    (folder / name).unlink()
    with pytest.raises(RequestError, match="missing"):
        read_study(folder)


def test_a_verdict_of_another_plan_is_refused(tmp_path):
    folder = write_record(STUDY, tmp_path, {})
    (folder / "plan.json").write_text(plan_json(make_study(title="Other").plan))
    with pytest.raises(RequestError, match="belongs to plan"):
        read_study(folder)


def test_a_file_that_stands_in_the_way_is_one_line(tmp_path):
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(RequestError, match="cannot be written"):
        seal(STUDY.plan, tmp_path / "results")


KILLED = """
import sys
from pathlib import Path
from suite.record.atomic import write_bytes
path, size = Path(sys.argv[1]), 3_000_000
print("ready", flush=True)
turn = 0
while True:
    turn += 1
    write_bytes(path, bytes([turn % 251]) * size)
"""


def test_a_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "file"
    for attempt in range(8):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, cwd=os.getcwd())
        process.stdout.readline()
        time.sleep(0.05 + 0.013 * attempt)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 3_000_000
            assert len(set(content[::50_000])) == 1
    assert path.exists()


def block(path: str = "eager", steps: int = 3, precision: str = "float32", name: str = "c", **changes) -> Block:
    config = {"train": {"steps": steps}, "precision": precision, "engine": {"path": path}}
    fields = {"condition": Condition(name, {}, config), "first": 0, "count": 4, "seed": 1, "device": "cpu"}
    return Block(**(fields | changes))


def key(block: Block, data: str = "1", code: str = "code", torch: str = "2.11", native: str = "abc") -> str:
    return cache.block_key(block, {"x": data}, code, torch, native)


def test_the_block_key_follows_what_can_change_a_number_and_nothing_else():
    plain = key(block())
    assert plain == key(block(name="other name"))
    assert plain == key(block(device="cpu:0"))
    assert plain == key(block(), native="def")  # the eager path does not care how the native one was compiled
    others = [
        key(block(steps=4)),
        key(block(precision="float64")),
        key(block(first=4)),
        key(block(count=5)),
        key(block(seed=2)),
        key(block(device="cuda")),
        key(block(path="native")),
        key(block(path="native"), native="def"),
        key(block(path="compiled")),
        key(block(path="compiled"), native="def"),
        key(block(), data="2"),
        key(block(), code="other"),
        key(block(), torch="2.12"),
    ]
    assert len({plain, *others}) == 14


def test_a_block_comes_back_and_any_flipped_bit_makes_it_missing(tmp_path):
    trace = STUDY.traces["heavy"]
    cache.store(tmp_path, "ab12", trace)
    again = cache.load(tmp_path, "ab12")
    np.testing.assert_equal(asdict(again), asdict(trace))
    path = next((tmp_path / ".blocks").rglob("*.block"))
    whole = path.read_bytes()
    for offset in range(0, len(whole), max(1, len(whole) // 97)):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << (offset % 8)
        path.write_bytes(flipped)
        assert cache.load(tmp_path, "ab12") is None, offset
    for length in (0, 10, 64, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert cache.load(tmp_path, "ab12") is None
    assert cache.load(tmp_path, "cd34") is None


def test_nothing_is_left_behind_by_a_failed_write(tmp_path, monkeypatch):
    write_bytes(tmp_path / "file", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"
