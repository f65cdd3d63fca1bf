"""The index of all claims: index.html and claims.json beside the records, and the same table for the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from suite.report.claims import claims_register
from suite.report.page import TEMPLATES
from suite.vocabulary import RequestError

BEGIN, END = "<!-- claims:begin -->", "<!-- claims:end -->"


def build_index(results_dir: Path) -> Mapping[str, bytes]:
    """``claims.json`` and ``index.html``, from the verdicts that lie in the results folder."""
    register = claims_register(results_dir)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("index.html").render(claims=register)
    text = json.dumps(register, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    return {"claims.json": text.encode(), "index.html": page.encode()}


def markdown_table(results_dir: Path) -> str:
    """Claims that have been tested, one row each."""
    lines = ["| claim | as people say it | verdict | data | what holds |", "|---|---|---|---|---|"]
    for claim, body in claims_register(results_dir).items():
        if body["studies"]:
            lines.append(f"| {claim} | {body['text']} | **{body['verdict']}** | {', '.join(_data(body))} | {_holds(body)} |")
    return "\n".join(lines) + "\n"


def _data(body: Mapping[str, Any]) -> list[str]:
    return sorted({name for study in body["studies"] for name in study["datasets"]})


def _holds(body: Mapping[str, Any]) -> str:
    """Boundary statements that every study supports."""
    kept = [
        {b["statement"] for b in study["boundaries"] if b["verdict"] == "supported"}
        for study in body["studies"]
        if study["status"] == "valid"
    ]
    if not kept:
        return ""
    common = set.intersection(*kept)
    return " ".join(b["statement"] for b in body["studies"][0]["boundaries"] if b["statement"] in common).replace("|", "\\|")


def update_readme(readme: Path, results_dir: Path) -> str:
    """The README's text with the table between its markers made anew. Raises RequestError where the markers are missing."""
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise RequestError(f"{readme}: the markers {BEGIN} and {END} are missing")
    head, rest = text.split(BEGIN, 1)
    return head + BEGIN + "\n" + markdown_table(results_dir) + END + rest.split(END, 1)[1]
