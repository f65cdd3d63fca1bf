"""What is shown while a study trains: conditions and their blocks, speed, dead units so far, time left. Measures nothing itself.

On a terminal a table that is redrawn a few times a second and gone at the end; elsewhere, and under ``CI``, a line for finished
conditions now and then. Nothing where it is quiet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from suite.report import progress_lines
from suite.report.progress_rows import Row, replicate_steps
from suite.vocabulary import Block, Trace

#: Times a second that the table is drawn, whatever happens meanwhile.
REDRAWS = 4.0
#: Seconds between lines where there is no terminal, and after how many seconds without a finished condition one is written all the same.
PLAIN_EVERY, PLAIN_PATIENCE = 5.0, 60.0


class Progress:
    """Told of blocks as they start, advance and finish; shows them. Use it as a context."""

    def __init__(self, blocks: Sequence[Block], console: Console, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.quiet, self.clock = console, quiet, clock
        self.rows: dict[str, Row] = {}
        self.study = Row("all")
        for block in blocks:
            for row in (self.rows.setdefault(block.condition.name, Row(block.condition.name)), self.study):
                row.replicates += block.count
                row.steps += replicate_steps(block)
                row.blocks += 1
        self.told = 0
        self.spoke = clock()
        shown = console.is_terminal and not console.is_dumb_terminal and not quiet and not os.environ.get("CI")
        self.live = Live(_Table(self), console=console, refresh_per_second=REDRAWS, transient=True) if shown else None

    def __enter__(self) -> Progress:
        self.spoke = self.clock()
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()
        elif kind is None:
            self._plain(last=True)

    def start_block(self, block: Block) -> None:
        """A block is handed out to be trained."""
        for row in self._rows(block):
            row.began = self.clock() if row.began is None else row.began
            row.running += 1

    def advance(self, block: Block, steps: int, dead: float | None) -> None:
        """Replicate-steps trained since the last call (fewer than zero where they are taken back), and the dead fraction now."""
        for row in self._rows(block):
            row.began = self.clock() if row.began is None else row.began
            row.last = self.clock()
            row.done_steps += steps
            row.trained += steps
            row.latest = dead if dead is not None else row.latest
        self._plain()

    def finish_block(self, block: Block, trace: Trace, cached: bool) -> None:
        """A block is finished; a cached one brings its steps with it."""
        dead = trace.finals.get("dead_fraction")
        alive = trace.diverged_at < 0
        for row in self._rows(block):
            row.finished += 1
            row.done_replicates += block.count
            row.running = max(row.running - 1, 0) if not cached else row.running
            if cached:
                row.done_steps += replicate_steps(block)
            if dead is not None and alive.any():
                row.dead += float(dead[alive].sum())
                row.measured += int(alive.sum())
        self._plain()

    def _rows(self, block: Block) -> Iterable[Row]:
        return self.rows[block.condition.name], self.study

    @property
    def complete(self) -> int:
        """How many conditions are finished."""
        return sum(row.complete for row in self.rows.values())

    def lines(self, width: int, height: int, ascii_only: bool = False) -> list[Text]:
        """The table as it stands, at most so wide and so high."""
        return progress_lines.table(list(self.rows.values()), self.study, width, height, self.clock(), ascii_only)

    def _plain(self, last: bool = False) -> None:
        """A line where there is no terminal: for conditions finished since the last one, or after a long time without any."""
        if self.live is not None or self.quiet:
            return
        now, complete = self.clock(), self.complete
        due = complete > self.told and (last or now - self.spoke >= PLAIN_EVERY)
        if due or (not last and now - self.spoke >= PLAIN_PATIENCE):
            self.console.print(progress_lines.plain(list(self.rows.values()), self.study, self.told, now), highlight=False, soft_wrap=True)
            self.told, self.spoke = complete, now


class _Table:
    """Draws the progress as it is at that moment."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = self.progress.lines(options.max_width, console.size.height, options.ascii_only)
        yield Text("\n").join(lines)
