"""A record as research object: one file of the same bytes each time, and metadata that other tools read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from study_example import make_study

from suite.__main__ import main
from suite.record.export import deposit
from suite.record.verify_files import read_parts
from suite.record.write import write_record
from suite.report.page import render
from suite.vocabulary import RequestError

EXAMPLE = make_study()
SEALED = {"at": "2026-01-02T03:04:00+00:00", "commit": "c0ffee", "dirty": False}
STUDY = replace(EXAMPLE, provenance={**EXAMPLE.provenance, "environment": ["numpy==2.4", "torch==2.11"], "sealed": SEALED})


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Path:
    return write_record(STUDY, tmp_path_factory.mktemp("export"), render(STUDY))


def copy_of(record: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(record, tmp_path / "results" / record.name))


def test_the_deposit_has_the_same_bytes_each_time(record, tmp_path, monkeypatch, capsys):
    first = deposit(record)
    again = copy_of(record, tmp_path)
    for number, path in enumerate(sorted(again.rglob("*"), reverse=True)):
        os.utime(path, (number, number))
        os.chmod(path, 0o700)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert deposit(again) == first
    assert main(["export", str(again), "--to", str(tmp_path / "study.zip")]) == 0
    assert (tmp_path / "study.zip").read_bytes() == first
    assert hashlib.sha256(first).hexdigest() in capsys.readouterr().out


def test_the_deposit_unpacks_to_the_record(record, tmp_path):
    content = deposit(record)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
        archive.extractall(tmp_path)
    folder = tmp_path / f"example-{STUDY.study_id}"
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {path.relative_to(record).as_posix(): path.read_bytes() for path in record.rglob("*") if path.is_file()}
    assert read_parts(folder).faults == []
    # another program agrees
    (tmp_path / "x.zip").write_bytes(content)
    listed = subprocess.run(["python3", "-m", "zipfile", "-t", str(tmp_path / "x.zip")], capture_output=True, text=True)
    assert "Done testing" in listed.stdout


def link_out(folder: Path) -> None:
    (folder / "citation.bib").unlink()
    (folder / "citation.bib").symlink_to("/etc/hostname")


def link_folder(folder: Path) -> None:
    (folder / "more").symlink_to("/etc")


def list_outside(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "../../secret": "0" * 64}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (link_out, "symbolic link"),
        (link_folder, "symbolic link"),
        (list_outside, "lies outside the record"),
        (lambda folder: (folder / "more.txt").write_text("x"), "not listed in manifest.json"),
        (lambda folder: (folder / "report.md").write_text("x"), "not what manifest.json has the checksum of"),
        (lambda folder: (folder / "report.md").unlink(), "missing"),
        (lambda folder: (folder / "verdict.json").unlink(), "not a finished record"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "missing or damaged"),
        (lambda folder: os.mkfifo(folder / "pipe"), "not a plain file"),
    ],
)
def test_what_is_no_whole_record_is_refused(record, tmp_path, change, message, capsys):
    folder = copy_of(record, tmp_path)
    change(folder)
    with pytest.raises(RequestError, match=message):
        deposit(folder)
    assert main(["export", str(folder), "--to", str(tmp_path / "study.zip")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "study.zip").exists()


@pytest.mark.parametrize("arguments", [[], ["x"], ["x", "--to"], ["--to", "x"], ["x", "y", "--to", "z"]])
def test_a_wrong_request_is_told_how(arguments, capsys):
    assert main(["export", *arguments]) == 2
    assert "export takes a record" in capsys.readouterr().err


def test_the_rocrate_library_reads_the_record(record):
    from rocrate.rocrate import ROCrate

    crate = ROCrate(record)
    root = crate.root_dataset
    assert root["name"] == STUDY.plan.title
    assert root["license"].id == "https://spdx.org/licenses/BSD-3-Clause"
    assert root["datePublished"].startswith("2026-01-02")
    assert STUDY.study_id in root["identifier"]
    files = {path.relative_to(record).as_posix() for path in record.rglob("*") if path.is_file()} - {"ro-crate-metadata.json"}
    assert {entity.id for entity in crate.data_entities} == files
    for entity in crate.data_entities:
        assert entity["encodingFormat"]
        assert Path(entity.source).is_file()
    run = crate.get("#run")
    assert run.type == "CreateAction"
    assert "plan.json" in {item.id for item in run["object"]}
    assert {item.id for item in run["result"]} == {"verdict.json", "replicates.parquet", "curves.parquet", "timings.json"}
    data = crate.get("#data-digits")
    assert data["identifier"] == ["train_x sha256:" + "ab" * 32]
    assert "commit c0ffee" in run["instrument"]["softwareVersion"]


def test_the_rocrate_library_writes_the_same_graph(record, tmp_path):
    from rocrate.rocrate import ROCrate

    ROCrate(record).write(tmp_path / "again")
    old, new = (json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"] for folder in (record, tmp_path / "again"))
    assert {item["@id"] for item in old} == {item["@id"] for item in new}
    # nothing refers to what is not there
    known = {item["@id"] for item in old} | {"https://w3id.org/ro/crate/1.1"}
    assert set(re.findall(r'"@id": "([^"]+)"', json.dumps(old))) == known


def test_citations_carry_study_plan_and_placeholder(record):
    cff = yaml.safe_load((record / "CITATION.cff").read_text())
    assert cff["version"] == STUDY.study_id
    assert cff["date-released"] == "2026-01-02"
    assert cff["commit"] == "c0ffee"
    by_type = {item["type"]: item["value"] for item in cff["identifiers"]}
    assert by_type == {"other": f"sha256:{STUDY.provenance['plan_sha256']}", "doi": f"10.5072/deadzone.{STUDY.study_id}"}
    # the pattern of the Citation File Format's schema
    assert re.fullmatch(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+", by_type["doi"])
    bib = (record / "citation.bib").read_text()
    assert f"doi     = {{10.5072/deadzone.{STUDY.study_id}}}" in bib
    assert bib.count("{") == bib.count("}")


def test_licence_environment_and_sealing_are_in_the_record(record):
    root = Path(__file__).resolve().parents[2]
    assert (record / "LICENSE").read_bytes() == (root / "LICENSE").read_bytes()
    assert (record / "environment.txt").read_text() == "numpy==2.4\ntorch==2.11\n"
    assert json.loads((record / "provenance.json").read_text())["sealed"] == SEALED
    assert "commit c0ffee" in (record / "report.html").read_text()
