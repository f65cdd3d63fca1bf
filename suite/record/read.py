"""Reads a finished record back into a Study, so that reports and MLflow can be made again. Unpickles nothing."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from suite.record.canonical import plan_from_json, plan_sha256
from suite.record.tables import traces_from
from suite.record.typed import check
from suite.record.unit_table import UNITS, with_units
from suite.vocabulary import Outcome, Plan, RequestError, Study, Verdict

#: The files a verdict rests on; all others can be made again from them.
NUMBERS = ("plan.json", "verdict.json", "replicates.parquet", "curves.parquet", "timings.json", "provenance.json")
#: What to do about a folder that is no record yet, and about a record that is not what it was.
UNFINISHED = "run its study to the end, or name a folder such as results/born_dead"
UNTRUSTED = "take it from a copy, or run its study again"


def check_untouched(folder: Path) -> None:
    """Raises RequestError, naming the file, where one that the verdict rests on is not the one the record's manifest names."""
    path = folder / "manifest.json"
    try:
        sums = json.loads(path.read_text(encoding="utf-8"))
        check(sums, Mapping[str, str], "manifest")
        for name in (*NUMBERS, *(name for name in (UNITS,) if name in sums or (folder / name).exists())):
            path = folder / name
            if hashlib.sha256(path.read_bytes()).hexdigest() != sums.get(name):
                raise RequestError(f"{path}: not the file that the record's manifest names; it was changed or damaged since; {UNTRUSTED}")
    except RequestError:
        raise
    except FileNotFoundError as error:
        raise RequestError(f"{path}: missing, so this is not a finished record; {UNFINISHED}") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RequestError(f"{path}: damaged ({type(error).__name__}: {' '.join(str(error).split())}); {UNTRUSTED}") from error


def read_study(folder: Path) -> Study:
    """The study of a record. Raises RequestError, naming the file, where a part is missing, damaged or of another plan."""
    name = "plan.json"
    if linked := next((path for path in sorted(folder.rglob("*")) if path.is_symlink()), None):
        raise RequestError(f"{linked}: is a symbolic link; a record is made of files alone; put the file in its place")
    try:
        plan = plan_from_json((folder / name).read_text(encoding="utf-8"))
        check(plan, Plan, "plan")
        name = "verdict.json"
        verdict = json.loads((folder / name).read_text(encoding="utf-8"))
        if verdict["plan_sha256"] != plan_sha256(plan):
            raise RequestError(
                f"{folder}: verdict.json belongs to plan {verdict['plan_sha256'][:12]}, plan.json is {plan_sha256(plan)[:12]}; {UNTRUSTED}"
            )
        outcome = Outcome(
            verdict["status"],
            tuple(_verdict(h, verdict["hypotheses"][h.name]) for h in plan.hypotheses),
            tuple(verdict["failed_controls"]),
        )
        check(outcome, Outcome, "verdict")
        name = "replicates.parquet"
        replicates = pq.read_table(io.BytesIO((folder / name).read_bytes()))
        name = "curves.parquet"
        curves = pq.read_table(io.BytesIO((folder / name).read_bytes()))
        name = "timings.json"
        timings = json.loads((folder / name).read_text(encoding="utf-8"))
        name = "provenance.json"
        provenance = json.loads((folder / name).read_text(encoding="utf-8"))
        check(provenance, Mapping[str, Any], name)
        for key in ("started", "finished"):
            datetime.fromisoformat(provenance[key])
        name = "timings.json"
        check(timings, Mapping[str, Mapping[str, float]], name)
        name = "verdict.json"
        check(verdict["study"], str, "study")
        name = "replicates.parquet"
        traces = traces_from(plan, replicates, curves, timings)
        if any(trace.count != plan.replicates for trace in traces.values()):
            raise ValueError(f"not {plan.replicates} replicates in every condition")
        name = UNITS
        if (folder / name).is_file():
            traces = with_units(traces, pq.read_table(io.BytesIO((folder / name).read_bytes())))
        return Study(verdict["study"], plan, outcome, traces, provenance)
    except FileNotFoundError as error:
        raise RequestError(f"{folder / name}: missing, so this is not a finished record; {UNFINISHED}") from error
    except RequestError:
        raise
    except Exception as error:  # there are more ways to be damaged than there are names for
        said = str(error).splitlines()[0] if str(error) else ""
        raise RequestError(f"{folder / name}: damaged or of another version ({type(error).__name__}: {said}); {UNTRUSTED}") from error


def _verdict(hypothesis: Any, body: dict[str, Any]) -> Verdict:
    def number(key: str) -> float:
        return math.nan if body[key] is None else float(body[key])

    return Verdict(
        hypothesis,
        body["verdict"],
        number("estimate"),
        number("low"),
        number("high"),
        number("confidence"),
        int(body["n"]),
        int(body["diverged"]),
        body["note"],
    )
