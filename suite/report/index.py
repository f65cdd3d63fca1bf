"""The index of all claims: index.html and claims.json beside the records, and the same table for the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from suite.report.claims import claims_register
from suite.report.costs import cost_page
from suite.report.page import TEMPLATES
from suite.report.rows import index_rows
from suite.vocabulary import RequestError

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def build_index(results_dir: Path) -> Mapping[str, bytes]:
    """``claims.json`` and ``index.html``, from the verdicts that lie in the results folder; ``benchmarks/index.html`` where figures do."""
    register = claims_register(results_dir)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    rows = index_rows(register)
    costs = cost_page(results_dir / "benchmarks")
    verdicts = sorted({(row["rank"], row["kind"], row["mark"]) for row in rows})
    page = environment.get_template("index.html").render(
        rows=rows,
        verdicts=[(kind, mark, sum(row["kind"] == kind for row in rows)) for _, kind, mark in verdicts],
        datasets=sorted({name for row in rows for name in row["datasets"]}),
        benchmarks=costs is not None,
    )
    text = json.dumps(register, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    files = {"claims.json": text.encode(), "index.html": page.encode()}
    return files if costs is None else {**files, "benchmarks/index.html": costs}


def markdown_table(results_dir: Path) -> str:
    """Claims that have been tested, one row each: the verdict on what people say, on which data, and how many of the narrower
    statements every valid study supports. The scenario links to its report.
    """
    lines = ["| claim | as people say it | verdict | data | narrower statements that hold | study |", "|---|---|---|---|---|---|"]
    for claim, body in claims_register(results_dir).items():
        if body["studies"]:
            first = body["studies"][0]["record"]
            link = f"[{body['scenario']}]({results_dir.name}/{first}/report.md)"
            text = body["text"].replace("|", "&#124;")
            lines.append(f"| {claim} | {text} | **{body['verdict']}** | {', '.join(_data(body))} | {_holds(body)} | {link} |")
    return "\n".join(lines) + "\n"


def _data(body: Mapping[str, Any]) -> list[str]:
    """Names alone; what was taken of each stands in the index."""
    return sorted({name.split("[")[0] for study in body["studies"] for name in study["datasets"]})


def _holds(body: Mapping[str, Any]) -> str:
    """How many boundary statements every valid study supports."""
    held = sum(statement["verdict"] == "supported" for statement in body["narrower"])
    return f"{held} of {len(body['narrower'])}" if body["narrower"] else ""


def update_readme(readme: Path, results_dir: Path) -> str:
    """The README's text with the table between its markers made anew. Raises RequestError where the markers are missing."""
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise RequestError(f"{readme}: the markers {BEGIN} and {END} are missing")
    head, rest = text.split(BEGIN, 1)
    return head + BEGIN + "\n" + markdown_table(results_dir) + END + rest.split(END, 1)[1]
