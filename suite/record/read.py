"""Reads a finished record back into a Study, so that reports and MLflow can be made again. Unpickles nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from suite.record.canonical import plan_from_json
from suite.record.folder import locked, needs_recovery, recover
from suite.record.manifest import MANIFEST, read_manifest
from suite.record.tables import from_bytes, traces_from
from suite.record.verdict import outcome_from
from suite.vocabulary import RequestError, Study

#: The files a study is read from; everything else in a record is made from them.
SOURCES = ("plan.json", "verdict.json", "replicates.parquet", "curves.parquet", "timings.json", "provenance.json")


def read_study(folder: Path) -> Study:
    """The study of a record, as it was written: every bit of every number, the order of conditions, metrics and verdicts.

    Raises RequestError, naming the file, where a part is missing, was changed since, or belongs to another plan.
    """
    if needs_recovery(folder):
        with locked(folder.parent):
            recover(folder)
    with locked(folder.parent, shared=True):
        files = _sources(folder)
    name = "plan.json"
    try:
        plan = plan_from_json(files[name].decode("utf-8"))
        name = "verdict.json"
        verdict = _json(files[name])
        # the file's own hash, not that of its content in today's form: a later version may know more fields
        sealed = hashlib.sha256(files["plan.json"]).hexdigest()
        if verdict["plan_sha256"] != sealed:
            raise RequestError(f"{folder}: verdict.json belongs to plan {verdict['plan_sha256'][:12]}, plan.json is {sealed[:12]}")
        outcome = outcome_from(plan, verdict)
        name = "provenance.json"
        provenance = _json(files[name])
        name = "timings.json"
        timings = _json(files[name])
        name = "replicates.parquet"
        replicates = from_bytes(files[name])
        name = "curves.parquet"
        curves = from_bytes(files[name])
        return Study(verdict["study"], plan, outcome, traces_from(plan, replicates, curves, timings), provenance)
    except RequestError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else "no reason given"
        raise RequestError(f"{folder / name}: not of a record that this version can read ({type(error).__name__}: {reason})") from error


def _sources(folder: Path) -> dict[str, bytes]:
    sums = read_manifest(folder)
    files = {}
    for name in SOURCES:
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError as error:
            raise RequestError(f"{folder / name}: missing, so this is not a finished record") from error
        except OSError as error:
            raise RequestError(f"{folder / name}: cannot be read ({error.strerror})") from error
        if hashlib.sha256(files[name]).hexdigest() != sums.get(name):
            raise RequestError(f"{folder / name}: changed since the record was written ({MANIFEST} has another checksum)")
    return files


def _json(content: bytes) -> dict[str, Any]:
    body = json.loads(content)
    if not isinstance(body, dict):
        raise ValueError("not a mapping")
    return body
