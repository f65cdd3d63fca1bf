"""A record is repeated from its own plan; whatever was changed in it is named, also where the sums were forged with it."""

from __future__ import annotations

import hashlib
import io
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from suite.__main__ import main
from suite.record.canonical import plan_json, study_id
from suite.record.read import read_study
from suite.record.tables import to_bytes
from suite.record.verify_files import read_parts
from suite.record.write import write_record
from suite.report.page import render
from suite.study.outcome import outcome_of
from suite.study.plan import blocks_of
from suite.study.repeat import sampled


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    small = ["replicates=4", "train.steps=20", "tracking=off", "quiet=true", "executor.block_size=3"]
    assert main(["+scenario=born_dead", *small, f"results_dir={folder / 'results'}"]) in (0, 3)
    # nothing may be taken from the cache
    shutil.rmtree(folder / "results" / ".blocks")
    return folder / "results" / "born_dead"


@pytest.fixture
def record(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "results" / "born_dead"))


def verify(*arguments: str | Path, json_at: Path | None = None) -> tuple[int, dict]:
    record = Path(arguments[0])
    code = main(["verify", *map(str, arguments)])
    target = json_at or record.parent / ".verify" / f"{record.name}.json"
    return code, json.loads(target.read_text())


def with_sums(record: Path) -> None:
    """Forge the manifest, as someone would who changed a file on purpose."""
    files = {path.relative_to(record).as_posix(): path for path in record.rglob("*") if path.is_file()}
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != "manifest.json"}
    (record / "manifest.json").write_text(json.dumps(sums, sort_keys=True, indent=2) + "\n")


def cell(name: str, column: str, row: int, change):
    def apply(record: Path) -> None:
        table = pq.read_table(io.BytesIO((record / name).read_bytes()))
        values = table.column(column).to_pylist()
        values[row] = change(values[row])
        index = table.column_names.index(column)
        changed = table.set_column(index, column, pa.array(values, table.schema.field(column).type))
        (record / name).write_bytes(to_bytes(changed))

    return apply


def value(name: str, place: str, change):
    def apply(record: Path) -> None:
        *path, last = place.split("/")
        node = body = json.loads((record / name).read_text())
        for key in path:
            node = node[key]
        node[last] = change(node[last]) if callable(change) else change
        (record / name).write_text(json.dumps(body, indent=2, ensure_ascii=False, sort_keys=name != "verdict.json") + "\n")

    return apply


def text(name: str, old: str, new: str):
    def apply(record: Path) -> None:
        before = (record / name).read_text()
        assert old in before
        (record / name).write_text(before.replace(old, new, 1))

    return apply


def up(value: float) -> float:
    return math.nextafter(value, math.inf)


def test_a_record_reproduces_and_is_not_touched(original, capsys):
    before = {path: path.read_bytes() for path in original.rglob("*") if path.is_file()}
    code, body = verify(original)
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "every number identical" in shown
    assert body["reproduced"] is True
    assert body["faults"] == []
    assert [d for d in body["environment"] if d["kind"] != "other"] == []
    rows = pq.read_table(original / "replicates.parquet")
    curves = pq.read_table(original / "curves.parquet")
    # every number of the tables: 5 conditions of 4 replicates; the columns that name the row, and the flag, aside
    factors = json.loads((original / "plan.json").read_text())["factors"]
    metrics = [name for name in rows.column_names if name not in ("condition", "replicate", "diverged", *factors)]
    units = pq.read_table(original / "units.parquet")  # a row: the state of each unit of a layer, and six numbers about all of them
    single = 6 * units.num_rows + sum(map(len, units["state"].to_pylist()))
    assert body["numbers"]["numbers"] == len(metrics) * rows.num_rows + (curves.num_columns - 3) * curves.num_rows + single
    assert body["numbers"]["identical"] == body["numbers"]["numbers"]
    assert {name: entry["agrees"] for name, entry in body["verdicts"].items()} == dict.fromkeys(body["verdicts"], True)
    assert {path: path.read_bytes() for path in original.rglob("*") if path.is_file()} == before
    assert not (original.parent / ".blocks").exists()


def test_workers_and_block_size_change_nothing(original, tmp_path):
    target = tmp_path / "verify.json"
    code, body = verify(original, "executor=local", "workers=2", "block_size=2", "--sample=4", "--json", target, json_at=target)
    assert code == 0
    assert (body["blocks"]["repeated"], body["blocks"]["all"]) == (4, 10)
    assert body["numbers"]["identical"] == body["numbers"]["numbers"]


def test_a_sample_is_drawn_by_study_and_seed(original, tmp_path, capsys):
    plan = read_study(original).plan

    def drawn(seed: int, plan=plan):
        return [(block.condition.name, block.first, block.count) for block in sampled(plan, blocks_of(plan, 1), 2, seed)]

    assert drawn(0) == drawn(0)
    assert len({str(drawn(seed)) for seed in range(8)}) > 4
    assert drawn(0) != drawn(0, replace(plan, confidence=0.5))
    # every block is drawn by some seed
    assert len({block for seed in range(200) for block in drawn(seed)}) == 20
    code, body = verify(original, "--sample=2", "--seed=3", "block_size=1", "--json", tmp_path / "v.json", json_at=tmp_path / "v.json")
    assert code == 0
    assert [(block["condition"], block["first"], block["count"]) for block in body["blocks"]["which"]] == drawn(3)
    assert body["blocks"]["all"] == 20
    first = drawn(3)[0]
    assert f"{first[0]} {first[1]}–{first[1]}" in capsys.readouterr().out


def test_another_precision_is_measured_and_the_verdicts_decide(original, tmp_path, capsys):
    code, body = verify(original, "precision=float64", "--json", tmp_path / "v.json", json_at=tmp_path / "v.json")
    assert code == 0
    assert "in float64 throughout (may round differently)" in capsys.readouterr().out
    assert body["numbers"]["within"] > 100
    loss = next(c for c in body["columns"] if (c["table"], c["name"]) == ("curves.parquet", "train_loss"))
    # float32 carries seven digits
    assert 0 < loss["worst"]["deviation"] < 1e-5
    assert loss["different"] == 0


# what is changed; the file and the words by which verify must name it where the manifest was forged too
NUMBERS = {
    "a final number": (
        cell("replicates.parquet", "test_accuracy", 6, up),
        "replicates.parquet",
        "'one_input_alive', replicate 2, column test_accuracy",
    ),
    "a final number without a curve": (
        cell("replicates.parquet", "moved_norm.output_weight", 3, up),
        "replicates.parquet",
        "'ordinary', replicate 3, column moved_norm.output_weight",
    ),
    "a number of a curve": (
        cell("curves.parquet", "train_loss", 0, up),
        "curves.parquet",
        "'ordinary', replicate 0, step 0, column train_loss",
    ),
}
VERDICTS = {
    "a flag": (cell("replicates.parquet", "diverged", 5, lambda _: True), "replicates.parquet", "replicate 1, column diverged"),
    "a factor": (cell("replicates.parquet", "precision", 0, lambda _: "float64"), "replicates.parquet", "replicate 0, column precision"),
    "an estimate": (
        value("verdict.json", "hypotheses/ordinary_learns/estimate", up),
        "verdict.json",
        "hypotheses.ordinary_learns.estimate",
    ),
    "a verdict": (
        value("verdict.json", "hypotheses/nothing_moves/verdict", "supported"),
        "verdict.json",
        "hypotheses.nothing_moves.verdict",
    ),
    "the label": (value("verdict.json", "status", "valid"), "verdict.json", "status"),
}
FACTS = {
    "a rate": (value("timings.json", "ordinary/samples_per_second", lambda v: v * 1.01), "timings.json", "'ordinary': samples_per_second"),
    "a time": (
        value("timings.json", "born_dead/train_seconds", lambda v: v * 2),
        "timings.json",
        "'born_dead': replicate_steps_per_second",
    ),
    "a checksum": (value("provenance.json", "data/digits/train_x", "0" * 64), "provenance.json", "data"),
}
PAGES = {
    "a figure": (
        lambda r: (r / "figures/verdicts.png").write_bytes((r / "figures/train_loss.png").read_bytes()),
        "figures/verdicts.png",
        "not what the recorded study renders to",
    ),
    "a drawing": (text("figures/verdicts.svg", "#009e73", "#d55e00"), "figures/verdicts.svg", "line"),
    "the report": (text("report.html", "? inconclusive</td>", "✓ supported</td>"), "report.html", "belongs"),
    "the report's text": (text("report.md", "## Verdicts", "## Findings"), "report.md", "Findings"),
    "a citation": (text("CITATION.cff", "born dead", "born alive"), "CITATION.cff", "born alive"),
    "the configurations": (text("configs.yaml", "lr: 0.1", "lr: 0.2"), "configs.yaml", "0.2"),
    "a file too many": (lambda r: (r / "more.txt").write_text("more"), "more.txt", "not a file of a record"),
    "a figure too many": (lambda r: (r / "figures/nice.svg").write_text("<svg/>"), "figures/nice.svg", "not a figure of this report"),
    "a file too few": (lambda r: (r / "citation.bib").unlink(), "citation.bib", "missing"),
}
TOGETHER = {
    "numbers": NUMBERS,
    "verdicts": VERDICTS,
    "facts": FACTS,
    "pages": PAGES,
    "a rule": {"a rule": (value("plan.json", "confidence", 0.5), "plan.json", "its hash")},
    "a seed": {"a seed": (value("plan.json", "seed", 1), "plan.json", "its hash")},
    # what a version was cannot be found out again, but it stands in the report too
    "a version": {"a version": (value("provenance.json", "python", "3.9.0"), "report.html", "3.9.0")},
}
ONE_BY_ONE = {name: case for group in TOGETHER.values() for name, case in group.items()}


@pytest.mark.parametrize("what", ONE_BY_ONE)
def test_what_was_changed_is_named_by_its_sum(record, what):
    change, file, _ = ONE_BY_ONE[what]
    file = "provenance.json" if what == "a version" else file
    assert read_parts(record).faults == []
    change(record)
    assert any(fault.file == file and ("manifest.json" in fault.what or "hash" in fault.what) for fault in read_parts(record).faults)


@pytest.mark.parametrize("group", TOGETHER)
def test_what_was_changed_is_named_though_the_sums_were_forged(record, group, capsys):
    for change, _, _ in TOGETHER[group].values():
        change(record)
    with_sums(record)
    # numbers are found by training again; what needs none of that is checked on a part, to be quick
    code, body = verify(record, *([] if group == "numbers" else ["--sample=1"]))
    assert code == 1
    assert body["reproduced"] is False
    shown = capsys.readouterr().out
    assert "NOT reproduced" in shown
    for what, (_, file, words) in TOGETHER[group].items():
        assert [fault for fault in body["faults"] if fault["file"] == file and words in fault["what"]], (what, body["faults"])
        assert file in shown


def test_a_forger_who_makes_everything_consistent_is_found_by_training(record, tmp_path):
    study = read_study(record)
    trace = study.traces["born_dead"]
    curves = {name: values.copy() for name, values in trace.curves.items()}
    finals = {name: values.copy() for name, values in trace.finals.items()}
    curves["test_accuracy"][2, -1] = finals["test_accuracy"][2] = 0.75
    traces = {**study.traces, "born_dead": replace(trace, curves=curves, finals=finals)}
    forged = replace(study, traces=traces, outcome=outcome_of(study.plan, traces))
    record = write_record(forged, tmp_path / "forged", render(forged))
    assert read_parts(record).faults == []
    code, body = verify(record)
    assert code == 1
    named = [fault["what"] for fault in body["faults"]]
    assert [fault["file"] for fault in body["faults"]] == ["replicates.parquet", "curves.parquet"]
    assert all("'born_dead', replicate 2" in what and "column test_accuracy: 0.75 recorded" in what for what in named)
    assert "step 20" in named[1]


def test_a_forged_plan_gives_itself_away(record, tmp_path):
    study = read_study(record)
    conditions = tuple(
        replace(c, config={**c.config, "optimizer": {**c.config["optimizer"], "lr": 0.2}}) if c.name == "ordinary" else c
        for c in study.plan.conditions
    )
    plan = replace(study.plan, conditions=conditions)
    provenance = {**study.provenance, "plan_sha256": hashlib.sha256(plan_json(plan).encode()).hexdigest()}
    forged = replace(study, plan=plan, study_id=study_id(plan), provenance=provenance)
    record = write_record(forged, tmp_path / "forged", render(forged))
    assert read_parts(record).faults == []
    code, body = verify(record)
    assert code == 1
    assert body["study"] != study.study_id
    assert all("'ordinary'" in fault["what"] for fault in body["faults"])
    assert {"replicates.parquet", "curves.parquet", "units.parquet"} == {fault["file"] for fault in body["faults"]}


def test_a_link_is_named_and_not_followed(record, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (record / "citation.bib").unlink()
    (record / "citation.bib").symlink_to(tmp_path / "secret")
    named = {fault.file: fault.what for fault in read_parts(record).faults}
    assert "symbolic link" in named["citation.bib"]


PARTS = ("plan", "verdict", "timings", "provenance", "manifest")


@pytest.mark.parametrize("name", [*(f"{part}.json" for part in PARTS), "replicates.parquet", "curves.parquet"])
def test_a_damaged_part_is_named_and_ends_in_exit_1(record, name):
    (record / name).write_bytes(b"\x00 not this")
    code, body = verify(record, "--sample=1")
    assert code == 1
    assert any(fault["file"] == name and "damaged" in fault["what"] for fault in body["faults"])


@pytest.mark.parametrize(
    ("change", "file", "words"),
    [
        (value("plan.json", "conditions", lambda found: [{**c, "factors": {}} for c in found]), "plan.json", "does not have every factor"),
        (value("plan.json", "device", "abacus"), "plan.json", "device is out of range"),
        (value("plan.json", "hypotheses", lambda found: [{**h, "treatment": "x"} for h in found]), "plan.json", "cannot be decided"),
        (value("timings.json", "ordinary/step_seconds", 1e30), "timings.json", "step_seconds"),
        (value("provenance.json", "git", {"dirty": True, "changed": []}), "provenance.json", "git"),
        (value("provenance.json", "started", 5), "provenance.json", "not times"),
    ],
)
def test_nonsense_is_a_fault_and_no_traceback(record, change, file, words):
    change(record)
    with_sums(record)
    code, body = verify(record, "--sample=1")
    assert code == 1
    assert any(fault["file"] == file and words in fault["what"] for fault in body["faults"]), body["faults"]


def test_any_flipped_bit_is_named(original, tmp_path):
    rng = np.random.default_rng(0)
    files = sorted(path.relative_to(original).as_posix() for path in original.rglob("*") if path.is_file())
    record = Path(shutil.copytree(original, tmp_path / "record"))
    for name in files:
        whole = (record / name).read_bytes()
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        (record / name).write_bytes(flipped)
        try:
            faults = {fault.file for fault in read_parts(record).faults}
        finally:
            (record / name).write_bytes(whole)
        # in the manifest itself, the flipped sum accuses the file that it belongs to
        assert name in faults or (name == "manifest.json" and faults)


def test_other_code_is_said_first_and_does_not_excuse_other_numbers(record, capsys):
    value("provenance.json", "code_sha256", "0" * 64)(record)
    cell("curves.parquet", "train_loss", 3, lambda number: number + 0.5)(record)
    with_sums(record)
    code, body = verify(record)
    assert code == 1
    assert "code_sha256" in capsys.readouterr().out
    assert body["environment"][0]["fact"] == "code_sha256"
    assert any(fault["file"] == "curves.parquet" and "train_loss" in fault["what"] for fault in body["faults"])


def test_a_record_cannot_write_to_the_terminal(record, capsys):
    (record / "\x1b[2Jred").write_text("")
    verify(record, "--sample=1")
    assert "\x1b" not in capsys.readouterr().out


def test_every_record_of_a_folder(record, capsys):
    bad = shutil.copytree(record, record.parent / "other" / "born_dead")
    (bad / "report.md").write_text("nothing")
    code, body = verify(record.parent, "--all", "--sample=1", json_at=record.parent / ".verify" / "all.json")
    assert code == 1
    assert [entry["reproduced"] for entry in body["records"]] == [True, False]
    assert "1 of 2 records reproduce" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "takes one record"),
        (["nowhere"], "no such folder"),
        (["--all", "."], "no record"),
        (["--sampel=3", "x"], "nearest is --sample"),
        (["x", "--sample=none"], "whole number of at least 1"),
        (["x", "device=gpu"], "nearest is"),
        (["x", "blocksize=3"], "nearest is 'block_size'"),
        (["x", "y"], "takes one record"),
        (["x", "--json"], "needs a value"),
    ],
)
def test_a_wrong_request_is_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["verify", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_the_outcome_is_never_written_into_the_record(record, capsys):
    assert main(["verify", str(record), "--json", str(record / "verify.json")]) == 2
    assert "inside the record" in capsys.readouterr().err
    assert np.all([not path.name.startswith("verify") for path in record.iterdir()])
