"""What the index shows of each claim, in its own words: verdict, evidence with its picture, boundary. Reads the register only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from suite.report.labels import name_and_unit
from suite.report.strips import Mark, strip
from suite.report.words import SYMBOLS

#: How a verdict sorts and which style it takes, by its first word.
KINDS = {"supported": 0, "depends": 1, "inconclusive": 2, "refuted": 3, "exploratory": 4, "invalid": 5, "not": 6}
MARKS = {**SYMBOLS, "depends": "±", "exploratory": "~", "not": "·"}


def index_rows(register: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per claim, in the register's order."""
    return [_row(name, claim) for name, claim in register.items()]


def _row(name: str, claim: Mapping[str, Any]) -> dict[str, Any]:
    kind = kind_of(claim["verdict"])
    studies = [_study(study) for study in claim["studies"]]
    held = [b for b in claim["narrower"] if b["verdict"] == "supported"]
    return {
        "name": name,
        "text": claim["text"],
        "scenario": claim["scenario"],
        "verdict": claim["verdict"],
        "kind": kind,
        "mark": MARKS[kind],
        "rank": KINDS[kind],
        "studies": studies,
        "n": max((study["n"] for study in studies), default=0),
        "datasets": sorted({data for study in studies for data in study["data"]}),
        "held": len(held),
        "narrower": [{**b, "kind": kind_of(b["verdict"]), "mark": MARKS[kind_of(b["verdict"])]} for b in claim["narrower"]],
        "boundary": boundary(claim["narrower"]),
        "share": len(held) / len(claim["narrower"]) if claim["narrower"] else -1.0,
    }


def kind_of(verdict: str) -> str:
    """The first word, without what follows it."""
    return verdict.split()[0].rstrip(";:")


def boundary(narrower: Sequence[Mapping[str, str]], most: int = 2) -> str:
    """In a few words where the claim holds: how many narrower statements do, and by name those that are the exception."""
    if not narrower:
        return ""
    held = [b["name"] for b in narrower if b["verdict"] == "supported"]
    rest = [b["name"] for b in narrower if b["verdict"] != "supported"]
    text = f"{len(held)} of {len(narrower)} hold"
    names, word = (rest, "not") if len(rest) <= len(held) else (held, "only")
    if not names:
        return text
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{text}; {word} {', '.join(said(name) for name in names[:most])}{more}"


def said(name: str) -> str:
    """A hypothesis's name as words."""
    return name.replace("_", " ")


def _study(study: Mapping[str, Any]) -> dict[str, Any]:
    h = study["settled_by"]
    shown: dict[str, Any] = {
        **study,
        "data": list(dict.fromkeys(name.split("[")[0] for name in study["datasets"])),
        "all_data": ", ".join(study["datasets"]),
        "strip": "",
        "said": "",
        "what": "",
    }
    if h is None or h["estimate"] is None:
        return shown
    if h["test"] == "exact":  # a statement about every replicate is told by counting them
        said, what = f"{round(h['estimate'] * h['n'])} of {h['n']} replicates", "in which it holds"
    else:
        span = "" if h["low"] is None else f" [{h['low']:.3g}, {h['high']:.3g}]"
        said, what = f"{h['estimate']:.3g}{span}", f"n = {h['n']}: {name_and_unit(h['metric'])[0]}"
    return {**shown, "strip": strip(Mark.read(h), 130.0), "said": said, "what": what, "statement": h["statement"]}
