"""Seals plans and writes records. The verdict is written last: a folder without one is not a finished record.

A record of another study is moved to ``archive/`` before its place is taken; nothing is ever deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from suite.record.atomic import stay_inside, sweep, write_bytes, write_text
from suite.record.canonical import plan_json, plan_sha256, study_id, to_json
from suite.record.citation import bibtex, citation_cff, license_text
from suite.record.crate import CRATE, ro_crate
from suite.record.provenance import sealed_now, sealing_of
from suite.record.read import read_study
from suite.record.tables import curves_table, replicates_table, to_bytes
from suite.record.unit_table import UNITS, units_table
from suite.vocabulary import Plan, RequestError, Study

VERDICT, MANIFEST = "verdict.json", "manifest.json"
#: The lease that whoever writes records or the index of a results folder holds meanwhile.
RECORDS = "records"


def seal(plan: Plan, results_dir: Path) -> Path:
    """Write the plan to ``<results_dir>/<scenario>/plan.json`` before anything is trained, note when and at which commit, and return
    the folder.
    """
    folder = results_dir / plan.scenario
    stay_inside(folder / VERDICT, results_dir)
    _make_way(plan, folder, results_dir)
    write_text(folder / "plan.json", plan_json(plan), results_dir)
    if not (folder / VERDICT).is_file() and sealing_of(folder, plan) is None:
        # when and at which commit: kept from here on, however often the study is interrupted, and completed at its end
        write_text(folder / "provenance.json", to_json({"plan_sha256": plan_sha256(plan), "sealed": sealed_now()}), results_dir)
    return folder


def _make_way(plan: Plan, folder: Path, results_dir: Path) -> None:
    """Archive the record of another plan, finished or begun, and remove what killed processes left half-written."""
    for place in (folder, folder / "figures"):
        sweep(place)
    try:
        before = (folder / "plan.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{folder / 'plan.json'}: cannot be read ({error}); move it away or choose another results_dir") from error
    if before != plan_json(plan) and {path.name for path in folder.iterdir()} - {"plan.json", "provenance.json"}:
        _archive(folder, results_dir, hashlib.sha256(before.encode()).hexdigest()[:12])


def _archive(folder: Path, results_dir: Path, study: str) -> None:
    target = results_dir / "archive" / f"{folder.name}-{study}"
    number = 1
    while target.exists():
        number += 1
        target = results_dir / "archive" / f"{folder.name}-{study}-{number}"
    stay_inside(target, results_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(folder, target)


def verdict_json(study: Study) -> dict[str, Any]:
    """What scripts read: the verdict of every hypothesis, and of the study."""
    plan = study.plan
    return {
        "scenario": plan.scenario,
        "study": study.study_id,
        "plan_sha256": plan_sha256(plan),
        "status": study.outcome.status,
        "exploratory": plan.exploratory,
        "deviations": list(plan.deviations),
        "failed_controls": list(study.outcome.failed_controls),
        "title": plan.title,
        "question": plan.question,
        "claims": dict(plan.claims),
        "datasets": list(plan.data),
        "replicates": plan.replicates,
        "hypotheses": {
            v.hypothesis.name: {
                "claim": v.hypothesis.claim,
                "part": v.hypothesis.part,
                "role": v.hypothesis.role,
                "statement": v.hypothesis.statement,
                "metric": v.hypothesis.metric,
                "test": v.hypothesis.test,
                "direction": v.hypothesis.direction,
                "value": v.hypothesis.value,
                "margin": v.hypothesis.margin,
                "verdict": v.verdict,
                "estimate": v.estimate,
                "low": v.low,
                "high": v.high,
                "confidence": v.confidence,
                "n": v.n,
                "diverged": v.diverged,
                "note": v.note,
                "reference": None
                if v.hypothesis.reference is None
                else {"value": v.hypothesis.reference.value, "source": v.hypothesis.reference.source},
            }
            for v in study.outcome.verdicts
        },
    }


def write_record(study: Study, results_dir: Path, pages: Mapping[str, bytes], numbers: Mapping[str, bytes] | None = None) -> Path:
    """Write everything a finished study leaves, and return its folder. ``pages`` are the report's files by name, ``numbers`` those of
    ``number_files`` where they are made already.

    An older verdict of the same study is removed first and the new one comes last, so that at any moment the folder is
    either a finished record or visibly not one.
    """
    folder = results_dir / study.plan.scenario
    files = record_files(study, pages, numbers)
    verdict = files.pop(VERDICT)
    stay_inside(folder / VERDICT, results_dir)
    # another study of this scenario may have finished since this one was sealed
    _make_way(study.plan, folder, results_dir)
    (folder / VERDICT).unlink(missing_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content, results_dir)
    _write_manifest(folder, files | {VERDICT: verdict})
    write_bytes(folder / VERDICT, verdict, results_dir)
    sweep(results_dir)
    return folder


def number_files(study: Study) -> dict[str, bytes]:
    """The files that ``read_study`` needs, by name."""
    return {
        "plan.json": plan_json(study.plan).encode(),
        "replicates.parquet": to_bytes(replicates_table(study.plan, study.traces)),
        "curves.parquet": to_bytes(curves_table(study.plan, study.traces)),
        "provenance.json": to_json(study.provenance).encode(),
        "timings.json": to_json({name: dict(trace.timings) for name, trace in study.traces.items()}).encode(),
        VERDICT: to_json(verdict_json(study), sort_keys=False).encode(),  # hypotheses stay in their author's order
    }


def record_files(study: Study, pages: Mapping[str, bytes], numbers: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Every file of a record by name, the manifest excepted. The same study and pages give the same bytes."""
    files: dict[str, bytes] = {
        **(number_files(study) if numbers is None else numbers),
        "configs.yaml": _yaml({condition.name: condition.config for condition in study.plan.conditions}),
        "citation.bib": bibtex(study).encode(),
        "CITATION.cff": citation_cff(study).encode(),
        "LICENSE": license_text().encode(),
        **pages,
    }
    if (followed := units_table(study.plan, study.traces)) is not None:
        files[UNITS] = to_bytes(followed)
    if "environment" in study.provenance:
        files["environment.txt"] = "".join(f"{line}\n" for line in study.provenance["environment"]).encode()
    files[CRATE] = ro_crate(study, files).encode()
    return files


def rewrite_report(folder: Path, pages: Mapping[str, bytes]) -> None:
    """Replace a record's report, the crate that lists it, and their manifest entries. Numbers and their sums stay as they are, so
    that a changed number does not become right by making the report again. Figures that are no longer made go.
    """
    try:
        known = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sums = {str(name): str(digest) for name, digest in known.items()}
    except (OSError, ValueError, AttributeError):
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != MANIFEST}
    if "report.html" in pages:
        for name in [name for name in sums if name.startswith("figures/") and name not in pages]:
            stay_inside(folder / name, folder)
            del sums[name]
            (folder / name).unlink(missing_ok=True)
    new = {**pages, CRATE: ro_crate(read_study(folder), {**sums, **pages}).encode()}
    for name, content in new.items():
        write_bytes(folder / name, content, folder.parent)
    write_text(
        folder / MANIFEST, to_json(sums | {name: hashlib.sha256(content).hexdigest() for name, content in new.items()}), folder.parent
    )


def _write_manifest(folder: Path, files: Mapping[str, bytes]) -> None:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_text(folder / MANIFEST, to_json(sums))


def _yaml(value: Any) -> bytes:
    return yaml.safe_dump(_simple(value), sort_keys=True, allow_unicode=True).encode()


def _simple(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _simple(item) for key, item in value.items()}
    return [_simple(item) for item in value] if isinstance(value, (list, tuple)) else value


__all__ = ["rewrite_report", "seal", "study_id", "verdict_json", "write_record"]
