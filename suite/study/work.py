"""Gets every block of a plan done once, whoever does it: from the cache, here, or by another process on the same folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from suite.config.schema import Settings
from suite.execution import execute
from suite.execution.attempt import Failure, named
from suite.execution.order import largest_first
from suite.execution.timed import in_turn
from suite.record import cache
from suite.record.atomic import sweep, write_text
from suite.record.lease import POLL_SECONDS, Holder, Leases
from suite.report.progress import Progress
from suite.report.progress_rows import replicate_steps
from suite.stopping import Stopped
from suite.vocabulary import Block, RunFailed, Trace

#: What a killed process left of a block it was writing is removed after so long.
LEFTOVER_SECONDS = 600.0
#: What is left of a study that reads clocks when it is stopped.
TIMED_FAILURE = "clocks are compared within one run, so all of it must be run again: mend that and give the same command"
TIMED_STOP = "no clock of an unfinished study is kept; run the same command again to start afresh"


def traces_of(blocks: Sequence[Block], keys: Mapping[int, str], settings: Settings, leases: Leases, console: Console) -> Iterator[Trace]:
    """Every block's trace, as it becomes known. ``keys`` holds the cache key of each block by its ``id``.

    Raises RunFailed, after all other blocks are done and kept, where a block could not be done.
    """
    with Progress(blocks, console, settings.quiet) as progress:
        desk = _Desk(
            blocks if settings.executor.name == "serial" else largest_first(blocks),
            keys,
            Path(settings.results_dir),
            leases,
            progress,
            console,
        )
        failed: list[str] = []

        yield from desk.in_cache()
        while desk.pending:
            before = len(desk.pending)
            for block, outcome in execute(desk.take, before, settings.executor, settings.data_dir, progress.advance, desk.tell):
                if isinstance(outcome, Failure):
                    failed.append(desk.failed(block, outcome))
                else:
                    yield desk.keep(block, outcome)
                yield from desk.arrived()
            yield from desk.arrived()
            if len(desk.pending) == before:
                desk.wait()
    if failed:
        kept = f"{len(blocks) - len(failed)} of {len(blocks)} blocks are kept, the same command tries the rest again"
        raise RunFailed(f"{'; '.join(failed)}; details are in {cache.folder(Path(settings.results_dir)) / 'failed'}; {kept}")


def timed_traces(blocks: Sequence[Block], settings: Settings, console: Console) -> Iterator[Trace]:
    """Every block of a study that reads clocks, one after another in this process. None is kept and none comes from elsewhere: clocks of
    two runs cannot be compared. Raises RunFailed at the first that cannot be done, whole, for all would have to be done again.
    """
    with _said_on_stop(TIMED_STOP), Progress(blocks, console, settings.quiet) as progress:
        for block, outcome in in_turn(starting(blocks, progress), settings.data_dir):
            if isinstance(outcome, Failure):
                raise RunFailed(f"{named(block)} failed: {outcome.cause}; {TIMED_FAILURE}")
            progress.advance(block, replicate_steps(block), None)
            progress.finish_block(block, outcome, cached=False)
            yield outcome


def starting(blocks: Iterable[Block], progress: Progress) -> Iterator[Block]:
    """The blocks, each shown as under way when it is asked for."""
    for block in blocks:
        progress.start_block(block)
        yield block


@contextmanager
def _said_on_stop(line: str) -> Iterator[None]:
    """A line for whoever tells the user that the study was stopped, in place of the usual one."""
    try:
        yield
    except (KeyboardInterrupt, Stopped) as stop:
        stop.add_note(line)
        raise


class _Desk:
    """Hands out the blocks that nobody has done and nobody is doing."""

    def __init__(
        self,
        blocks: Sequence[Block],
        keys: Mapping[int, str],
        results_dir: Path,
        leases: Leases,
        progress: Progress,
        console: Console,
    ) -> None:
        self.pending = list(blocks)
        self.keys, self.results_dir, self.leases, self.progress, self.console = keys, results_dir, leases, progress, console
        self.found: list[Trace] = []
        self.others: Holder | None = None
        self.told: set[str] = set()
        for folder in (results_dir / ".blocks").glob("??"):
            sweep(folder, LEFTOVER_SECONDS)

    def in_cache(self) -> Iterator[Trace]:
        """What earlier runs have left."""
        for block in list(self.pending):
            kept = self._load(block)
            if kept is not None:
                yield self._settle(block, kept, cached=True)

    def take(self) -> Block | None:
        """A block to work on, with its lease; None where others hold all there are. One that another has finished is put aside
        for ``arrived``.
        """
        self.others = None
        for block in list(self.pending):
            key = self.keys[id(block)]
            if key in self.leases.held:
                continue
            holder = self.leases.take(key)
            if holder is not None:
                self.others = holder
                continue
            kept = self._load(block)
            if kept is None:
                self.progress.start_block(block)
                return block
            self.leases.release(key)
            self.found.append(self._settle(block, kept, cached=True))
        return None

    def keep(self, block: Block, trace: Trace) -> Trace:
        """Store a finished block and let go of it."""
        key = self.keys[id(block)]
        cache.store(self.results_dir, key, trace)
        self.leases.release(key)
        return self._settle(block, trace, cached=False)

    def failed(self, block: Block, failure: Failure) -> str:
        """Let go of a block that could not be done; returns the line that says so."""
        key = self.keys[id(block)]
        path = cache.folder(self.results_dir) / "failed" / f"{key}.txt"
        write_text(path, f"{named(block)}\n{failure.cause}\n\n{failure.details}\n", self.results_dir)
        self.leases.release(key)
        self.pending.remove(block)
        line = f"{named(block)} failed: {failure.cause}"
        self.tell(f"{line} (details: {path})")
        return line

    def arrived(self) -> list[Trace]:
        """What other processes have finished since the last call."""
        found, self.found = self.found, []
        return found

    def wait(self) -> None:
        """Others hold all that is left: say so once per process, and look again in a moment."""
        if self.others is not None and str(self.others) not in self.told:
            self.told.add(str(self.others))
            count = len(self.pending)
            self.tell(f"waiting for {count} block{'s' * (count > 1)} that {self.others} is working on")
        time.sleep(POLL_SECONDS)

    def tell(self, line: str) -> None:
        """One line for the user."""
        self.console.print(" ".join(line.split()), highlight=False, soft_wrap=True)

    def _tell_once(self, line: str) -> None:
        if line not in self.told:
            self.told.add(line)
            self.tell(line)

    def _load(self, block: Block) -> Trace | None:
        """The block as another run left it; one that does not fit the block counts as missing."""
        kept = cache.load(self.results_dir, self.keys[id(block)], self._tell_once)
        if kept is None or (kept.first, kept.count) != (block.first, block.count):
            return None
        # the key knows no names: the same numbers may serve a condition under another name
        return replace(kept, condition=block.condition.name)

    def _settle(self, block: Block, trace: Trace, cached: bool) -> Trace:
        self.pending.remove(block)
        self.progress.finish_block(block, trace, cached)
        return trace
