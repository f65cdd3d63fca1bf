"""What in a record follows from its plan and numbers is made again and compared: verdicts, pages, citations. Trains nothing.

Sums can be forged together with what they stand for; what follows from the numbers cannot. Where the files were made by other code or other
versions than are here, bytes cannot be expected to be the same: that is said, as a note, and not taken for a fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pyarrow

from suite.record.canonical import study_id, to_json
from suite.record.provenance import gather_packages, record_code, verdict_code
from suite.record.unit_table import UNITS
from suite.record.verify_facts import compared
from suite.record.verify_files import TABLES, Parts
from suite.record.write import MANIFEST, VERDICT, record_files, verdict_json
from suite.report.page import generator, render
from suite.study.outcome import outcome_of
from suite.vocabulary import Outcome, Study

_GENERATOR = re.compile(rb'<meta name="generator" content="([^"]*)">')
#: What code raises that is fed something else than it was written for.
BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, AssertionError, RecursionError)
PAGES = ("report.html", "report.md", "figures/")


def check_derived(parts: Parts) -> list[str]:
    """Note a fault for every file that is not what the recorded plan and numbers give. Returns what could not be compared, and why."""
    if parts.plan is None or parts.traces is None or parts.provenance is None:
        return ["verdicts, pages and citations: not compared, because parts of the record cannot be read"]
    notes: list[str] = []
    try:
        outcome = outcome_of(parts.plan, parts.traces)
    except ValueError as error:
        parts.fault("replicates.parquet", f"its numbers do not bear the verdicts: {error}")
        return ["pages and citations: not compared, because the verdicts cannot be decided"]
    except BROKEN as error:
        parts.fault("plan.json", f"its hypotheses cannot be decided ({type(error).__name__}: {error})")
        return ["pages and citations: not compared, because the verdicts cannot be decided"]
    study = Study(study_id(parts.plan), parts.plan, outcome, parts.traces, parts.provenance)
    _verdict(parts, study, notes)
    try:
        pages = render(study)
        expected = record_files(study, {**pages, **_other_pages(parts, pages)})
    except BROKEN as error:
        parts.fault("provenance.json", f"no report can be made with what it says ({type(error).__name__}: {error})")
        return notes
    _pages(parts, pages, notes)
    _others(parts, expected, pages, notes)
    return notes


def _other_pages(parts: Parts, pages: Mapping[str, bytes]) -> dict[str, bytes]:
    """Figures that other report code made: the crate lists them although this code makes none such."""
    return {name: content for name, content in parts.files.items() if name.startswith(PAGES) and name not in pages}


def recorded_outcome(parts: Parts) -> Outcome | None:
    """The verdicts as they follow from the recorded numbers, None where they do not."""
    if parts.plan is None or parts.traces is None:
        return None
    try:
        return outcome_of(parts.plan, parts.traces)
    except BROKEN:
        return None


def _verdict(parts: Parts, study: Study, notes: list[str]) -> None:
    if parts.verdict is None:
        return
    text = to_json(verdict_json(study), sort_keys=False)
    here, facts = gather_packages(), parts.provenance or {}
    then = facts.get("packages") or {}
    changed = [name for name in ("numpy", "scipy") if then.get(name) != here.get(name)]
    if (facts.get("code") or {}).get("verdicts") != verdict_code():
        changed.append("the code that decides")
    slack = 1e-3 if changed else 0.0
    if changed:
        notes.append(f"verdict.json: intervals held to 0.1 %, as {', '.join(changed)} changed since")
    found = list(compared(json.loads(text), parts.verdict, slack=slack))
    for what in found:
        parts.fault(VERDICT, what)
    if not found and not changed and text.encode() != parts.files[VERDICT]:
        parts.fault(VERDICT, "says what follows from the numbers, but not in the form that is written")


def _pages(parts: Parts, pages: Mapping[str, bytes], notes: list[str]) -> None:
    made_by = _GENERATOR.search(parts.files.get("report.html", b""))
    if made_by is None or made_by.group(1).decode(errors="replace") != generator():
        by = made_by.group(1).decode(errors="replace") if made_by else "a version that did not say"
        notes.append(f"report and figures: not compared, they were made by {by}; here is {generator()}")
        return
    for name, content in pages.items():
        if name in parts.files and parts.files[name] != content:
            parts.fault(name, "not what the recorded study renders to" + first_difference(content, parts.files[name]))
        elif name not in parts.files:
            parts.fault(name, "missing")
    for name in parts.files:
        if name.startswith("figures/") and name not in pages:
            parts.fault(name, "not a figure of this report")


def _others(parts: Parts, expected: Mapping[str, bytes], pages: Mapping[str, bytes], notes: list[str]) -> None:
    facts = parts.provenance or {}
    if (facts.get("code") or {}).get("record") != record_code():
        notes.append("citations, crate and configs.yaml: not compared, the code that writes them changed since")
        return
    same_arrow = (facts.get("packages") or {}).get("pyarrow") == pyarrow.__version__
    for name, content in expected.items():
        if name in pages or name == VERDICT or (name in (*TABLES, UNITS) and not same_arrow):
            continue
        if name not in parts.files:
            parts.fault(name, "missing")
        elif parts.files[name] != content and not any(fault.file == name for fault in parts.faults if name in (*TABLES, UNITS)):
            parts.fault(name, "not what the plan and the facts of the record give" + first_difference(content, parts.files[name]))
    for name in parts.files:
        if name not in expected and name != MANIFEST:
            parts.fault(name, "not a file of a record")


def first_difference(expected: bytes, found: bytes, width: int = 40) -> str:
    """Where two texts part, with a little of both; nothing for what is not text."""
    try:
        a, b = expected.decode(), found.decode()
    except UnicodeDecodeError:
        return ""
    at = next((number for number, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, at - 12)
    line = b.count("\n", 0, at) + 1
    return f": line {line} has {b[start : at + width]!r} where {a[start : at + width]!r} belongs"
