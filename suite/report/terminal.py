"""The terminal: progress while a study runs, its verdict table, and where to look. Readable without colour, 100 columns."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from suite.report import words
from suite.vocabulary import Outcome, Plan

WIDTH = 100
STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}
#: Seconds between lines where the output is not a terminal.
PLAIN_EVERY = 5.0


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


class Progress:
    """Conditions and blocks done, replicate-steps per second, dead fraction so far, time left. One line every few
    seconds where the output is not a terminal, nothing where it is quiet.
    """

    def __init__(self, total_replicate_steps: int, blocks: int, console: Console, quiet: bool) -> None:
        self.total, self.blocks, self.console, self.quiet = total_replicate_steps, blocks, console, quiet
        self.done = self.trained = self.finished = self.cached = 0
        self.dead: float | None = None
        self.began = self.spoke = time.monotonic()
        self.bars: Bars | None = None
        if console.is_terminal and not quiet:
            self.bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=18),
                TaskProgressColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self.task = self.bars.add_task("starting", total=max(total_replicate_steps, 1), facts="")

    def __enter__(self) -> Progress:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bars is not None:
            self.bars.stop()
        if kind is KeyboardInterrupt:
            self.console.print(f"stopped: {self.finished} of {self.blocks} blocks are finished and kept", highlight=False)

    def advance(self, condition: str, replicate_steps: int, dead_fraction: float | None) -> None:
        """Work done in a condition since the last call."""
        self.done += replicate_steps
        self.trained += replicate_steps
        self.dead = dead_fraction if dead_fraction is not None else self.dead
        self._show(condition)

    def finish_block(self, condition: str, replicate_steps: int, cached: bool) -> None:
        """A block is finished; a cached one brings its steps with it."""
        self.finished += 1
        if cached:
            self.cached += 1
            self.done += replicate_steps
        self._show(condition)

    def _facts(self) -> str:
        spent = time.monotonic() - self.began
        rate = self.trained / spent if spent > 0 else 0.0
        dead = "" if self.dead is None else f", dead {self.dead:.0%}"
        return f"block {min(self.finished + 1, self.blocks)}/{self.blocks}, {rate:,.0f} replicate-steps/s{dead}"

    def _show(self, condition: str) -> None:
        if self.bars is not None:
            self.bars.update(self.task, completed=self.done, description=condition, facts=self._facts())
            return
        now = time.monotonic()
        if not self.quiet and now - self.spoke >= PLAIN_EVERY:
            self.spoke = now
            share = self.done / max(self.total, 1)
            left = (now - self.began) * (1 - share) / share if share > 0 else 0.0
            self.console.print(f"{share:4.0%}  {condition}: {self._facts()}, about {left:.0f} s left", highlight=False)


def print_verdicts(outcome: Outcome, plan: Plan, console: Console) -> None:
    """The verdict table, controls first, then one sentence per claim and the status."""
    width = min(WIDTH, console.width)
    table = Table(title=f"{plan.title} ({', '.join(plan.data)})", title_justify="left", box=box.SIMPLE, width=width, pad_edge=False)
    table.add_column("hypothesis", overflow="fold", ratio=1)
    table.add_column("rule", overflow="fold", max_width=22)
    table.add_column("estimate", justify="right", no_wrap=True)
    table.add_column("interval", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for v in words.in_order(outcome.verdicts):
        kind = words.ROLES[v.hypothesis.role] if v.hypothesis.role != "treatment" else v.hypothesis.part.replace("_", " ")
        table.add_row(
            Text(f"{v.hypothesis.name} ({v.hypothesis.claim}, {kind})"),
            Text(words.rule(v)),
            words.number(v.estimate),
            Text(words.interval(v.low, v.high)),
            str(v.n),
            Text(f"{words.SYMBOLS[v.verdict]} {v.verdict}", style=STYLES[v.verdict]),
        )
    console.print(table)
    for name, text in plan.claims.items():
        console.print(Text(f"{name}: {text}"), width=width)
        console.print(Text(f"  → {words.claim_sentence(name, outcome)}", style="bold"), width=width)
    console.print(Text(words.status_line(outcome, plan), style="bold red" if outcome.status == "invalid" else ""), width=width)
    if step := next_step(outcome, plan):
        console.print(Text(step), width=width)


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
