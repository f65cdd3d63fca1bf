"""The list of scenarios on the terminal: what each tests, its design at a glance, its last verdict."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from suite.config.catalogue import Entry


def print_catalogue(entries: list[Entry], results_dir: Path) -> None:
    """One row per claim of each scenario; verdicts are read from the records in ``results_dir``."""
    table = Table(show_lines=True, title="scenarios", title_justify="left")
    table.add_column("scenario", no_wrap=True)
    table.add_column("claim", ratio=3)
    table.add_column("design", ratio=2)
    table.add_column("last verdict", ratio=2)
    for entry in entries:
        if entry.error:
            table.add_row(entry.name, Text(entry.error), "", "")
            continue
        claims = "\n".join(f"{name} {text}" for name, text in entry.claims.items())
        size = f"{entry.conditions} conditions × {entry.replicates or 64} replicates"
        table.add_row(entry.name, Text(claims), Text(f"{size}: {entry.design}"), Text(_last_verdict(entry, results_dir)))
    console = Console(markup=False, emoji=False)
    console.print(table)
    console.print("run one:  python -m suite +scenario=born_dead      help:  python -m suite --help", highlight=False)


def _last_verdict(entry: Entry, results_dir: Path) -> str:
    try:
        record = json.loads((results_dir / entry.name / "verdict.json").read_text(encoding="utf-8"))
        if record["status"] == "invalid":
            return "invalid: a control failed"
        lines = []
        for claim in entry.claims:
            found = [
                hypothesis["verdict"]
                for hypothesis in record["hypotheses"].values()
                if hypothesis["claim"] == claim and hypothesis["part"] == "as_stated" and hypothesis["role"] == "treatment"
            ]
            word = next((word for word in ("refuted", "inconclusive", "supported") if word in found), "no verdict")
            lines.append(f"{claim} as stated: {word}")
        return "\n".join(lines) + (" (exploratory)" if record["status"] == "exploratory" else "")
    except FileNotFoundError:
        return "not yet run"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "the record cannot be read"
