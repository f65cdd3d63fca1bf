"""The terminal: a study's verdict table, and where to look. Readable without colour, 100 columns."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from suite.report import words
from suite.vocabulary import Outcome, Plan, Verdict

WIDTH = 100
#: Columns from which a hypothesis and its verdict stand on one line.
ONE_LINE = 96
STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}


def console(quiet: bool = False) -> Console:
    """A console of the terminal's width, or of 100 columns where the output goes elsewhere."""
    # names and titles are text: brackets in them are no markup
    found = Console(quiet=quiet, markup=False, emoji=False)
    return found if found.is_terminal else Console(quiet=quiet, width=WIDTH, markup=False, emoji=False)


class LinksLike(Protocol):
    """What the terminal shows of an MLflow mirror."""

    @property
    def command(self) -> str:
        """The command that opens it."""
        ...

    @property
    def view_url(self) -> str:
        """The conditions of the study, side by side."""
        ...

    @property
    def charts_url(self) -> str:
        """Their curves, in charts."""
        ...

    @property
    def study_url(self) -> str:
        """The study's own run, with the verdict."""
        ...

    @property
    def compare_url(self) -> str:
        """The compare page of the conditions."""
        ...


def print_verdicts(outcome: Outcome, plan: Plan, console: Console) -> None:
    """The verdict table, controls first, then one sentence per claim and the status."""
    width = min(WIDTH, console.width)
    console.print(_table(outcome, plan, width) if width >= ONE_LINE else _list(outcome, plan), width=width)
    for name, text in plan.claims.items():
        console.print(Text(f"{name}: {text}"), width=width)
        console.print(Text(f"  → {words.claim_sentence(name, outcome)}", style="bold"), width=width)
    console.print(Text(words.status_line(outcome, plan), style="bold red" if outcome.status == "invalid" else ""), width=width)
    if step := next_step(outcome, plan):
        console.print(Text(step), width=width)


def _table(outcome: Outcome, plan: Plan, width: int) -> Table:
    """A line for each hypothesis, folded where it is long."""
    table = Table(title=_title(plan), title_justify="left", box=box.SIMPLE, width=width, pad_edge=False)
    table.add_column("hypothesis", overflow="fold", ratio=1)
    table.add_column("rule", overflow="fold", max_width=22)
    table.add_column("estimate", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for v in words.in_order(outcome.verdicts):
        estimate, interval = words.number(v.estimate), Text(words.interval(v.low, v.high))
        table.add_row(Text(_named(v)), Text(words.rule(v)), estimate, interval, str(v.n), _shown(v))
    return table


def _list(outcome: Outcome, plan: Plan) -> Text:
    """Two lines for each hypothesis, for a narrow terminal."""
    found = Text(f"{_title(plan)}\n", style="")
    for v in words.in_order(outcome.verdicts):
        numbers = f"{words.number(v.estimate)} {words.interval(v.low, v.high)}, n {v.n}"
        found.append_text(Text.assemble(_named(v), "\n  ", _shown(v), f": {words.rule(v)}; {numbers}\n"))
    return found


def _title(plan: Plan) -> str:
    return f"{plan.title} ({', '.join(plan.data)})"


def _named(v: Verdict) -> str:
    kind = words.ROLES[v.hypothesis.role] if v.hypothesis.role != "treatment" else v.hypothesis.part.replace("_", " ")
    return f"{v.hypothesis.name} ({v.hypothesis.claim}, {kind})"


def _shown(v: Verdict) -> Text:
    return Text(f"{words.SYMBOLS[v.verdict]} {v.verdict}", style=STYLES[v.verdict])


def next_step(outcome: Outcome, plan: Plan) -> str:
    """What to do about a study that gives no verdict, or an exploratory one; nothing for a valid one."""
    if outcome.status == "exploratory":
        return f"→ for the registered verdict run it without: {' '.join(plan.deviations)}"
    if outcome.status != "invalid":
        return ""
    failed = {v.hypothesis.name: v.verdict for v in outcome.verdicts if v.hypothesis.name in outcome.failed_controls}
    if set(failed.values()) == {"inconclusive"}:
        return f"→ the controls are open, not wrong: more replicates may decide them, such as replicates={2 * plan.replicates}"
    refuted = ", ".join(name for name, verdict in failed.items() if verdict == "refuted")
    return f"→ {refuted} came out against what is known, so the test does not work under these settings: look at its curves in the report"


def print_where_to_look(record: Path, links: LinksLike | None, console: Console) -> None:
    """The record, the report, and how to open MLflow on this study."""
    console.print()
    lines = [f"record   {record}", f"report   {record / 'report.html'}", f"index    {record.parent / 'index.html'}"]
    if links is not None:
        lines += [
            f"MLflow   {links.command}",
            f"  view     {links.view_url}",
            f"  charts   {links.charts_url}",
            f"  verdict  {links.study_url}",
            f"  compare  {links.compare_url}",
        ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
