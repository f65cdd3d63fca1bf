"""What is shown while a study trains: no line too long, right counts and rates, plain lines off the terminal, nothing where it is quiet."""

from __future__ import annotations

import io
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

import numpy as np
import pytest
from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.console import Console

from suite.report.progress import PLAIN_EVERY, PLAIN_PATIENCE, REDRAWS, Progress
from suite.report.progress_lines import duration
from suite.vocabulary import Block, Condition, Trace

ROOT = Path(__file__).resolve().parents[2]
STEPS, COUNT = 150, 32
LONG = "optimizer.momentum=0.9,optimizer.weight_decay=0.001,model.norm=batch,start=killed"


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def blocks_of(names: Sequence[str], each: int = 2) -> list[Block]:
    condition = {name: Condition(name, {}, {"train": {"steps": STEPS}}) for name in names}
    return [Block(condition[name], COUNT * index, COUNT, 0, "cpu") for name in names for index in range(each)]


def trace(block: Block, dead: float, diverged: int = 0) -> Trace:
    at = np.full(block.count, -1)
    at[:diverged] = 5
    values = np.where(at < 0, dead, np.nan)
    return Trace(block.condition.name, block.first, np.array([0, STEPS]), {}, {"dead_fraction": values}, at)


def half_done(width: int = 100, count: int = 40, console: Console | None = None) -> tuple[Progress, Clock, list[Block]]:
    """One condition from the cache, one trained in 2 s, one under way, the others to come."""
    clock = Clock()
    blocks = blocks_of(["cached", LONG, "名前" * 30, *(f"condition_{index}" for index in range(count - 3))])
    progress = Progress(blocks, console or Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None), clock=clock)
    for block in blocks[:2]:
        progress.finish_block(block, trace(block, 0.5), cached=True)
    for block in blocks[2:4]:
        progress.start_block(block)
        clock.now += 1.0
        progress.advance(block, STEPS * COUNT, 0.3)
        progress.finish_block(block, trace(block, 0.25, diverged=8), cached=False)
    progress.start_block(blocks[4])
    clock.now += 1.0
    progress.advance(blocks[4], STEPS * COUNT // 2, 0.1)
    return progress, clock, blocks


@pytest.mark.parametrize("width", [100, 80, 64, 50, 40, 24, 10, 300])
@pytest.mark.parametrize("height", [8, 24, 100])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_longer_than_the_terminal_and_no_more_lines_than_fit(width, height, ascii_only):
    progress, _, _ = half_done(width)
    lines = progress.lines(width, height, ascii_only)
    assert max(cell_len(line.plain) for line in lines) <= min(width, 100)
    assert len(lines) <= height - 1
    if ascii_only:
        assert not set("█░") & set("".join(line.plain for line in lines))


def test_a_line_has_what_the_blocks_told():
    progress, clock, _ = half_done()
    study, cached, trained, running, *_ = [line.plain for line in progress.lines(100, 60)[1:]]
    # 2 + 2 of 80 blocks, and 2.5 of 78 blocks of 4,800 replicate-steps each in 3 s
    assert "2/40 conditions, 4/80 blocks" in study and "128/2560" in study and "4,000" in study
    # 64 replicates at 0.5, 48 at 0.25: diverged ones are not counted
    assert f"{(64 * 0.5 + 48 * 0.25) / 112:.0%}" in study
    assert cached.split() == ["cached", "█" * 18, "64/64", "50%", "done"]
    assert trained.startswith("optimizer.momentum=0.9,") and "…" in trained
    assert trained.split()[-4:] == ["64/64", "4,800", "25%", "done"]
    # a quarter of 9,600 replicate-steps in 1 s; of a block under way, what it told last
    assert running.split()[-4:] == ["0/64", "2,400", "10%", "0:03"]
    assert running.count("█") == 4
    clock.now += 2.0
    later = progress.lines(100, 60)[4].plain
    assert later.split()[-2:] == ["10%", "0:01"]


def test_conditions_at_work_are_shown_first_where_not_all_fit():
    progress, _, blocks = half_done()
    progress.start_block(blocks[60])
    lines = [line.plain for line in progress.lines(100, 12)]
    assert any(line.startswith("condition_27 ") for line in lines)
    assert lines[-1] == "and 35 more, 0 of them finished"
    names = [line.split()[0] for line in lines[2:-1]]
    assert names[0] == "cached" and "condition_0" in names


def test_steps_that_are_taken_back_are_not_counted():
    progress, clock, blocks = half_done()
    clock.now += 1.0
    progress.advance(blocks[4], -STEPS * COUNT // 2, None)
    row = progress.rows[blocks[4].condition.name]
    assert (row.done_steps, row.share, row.rate(clock.now), row.left(clock.now)) == (0, 0.0, None, None)


def plain(quiet: bool = False) -> tuple[Progress, Clock, list[Block], io.StringIO]:
    out, clock = io.StringIO(), Clock()
    blocks = blocks_of(["a", "b", "c", "d"], each=1)
    return Progress(blocks, Console(file=out, width=100, quiet=quiet), quiet, clock), clock, blocks, out


def test_off_the_terminal_a_line_for_finished_conditions_at_most_every_few_seconds():
    progress, clock, blocks, out = plain()
    with progress:
        progress.finish_block(blocks[0], trace(blocks[0], 0.5), cached=True)
        assert out.getvalue() == ""
        clock.now += PLAIN_EVERY
        progress.start_block(blocks[1])
        progress.advance(blocks[1], STEPS * COUNT, 0.2)
        assert out.getvalue().splitlines() == [
            " 50%  a finished: 1/4 conditions, 32/128 replicates, dead 50%",
        ]
        clock.now += 2.0
        progress.advance(blocks[2], STEPS * COUNT, 0.2)
        for block in blocks[1:3]:
            progress.finish_block(block, trace(block, 0.25), cached=False)
        assert len(out.getvalue().splitlines()) == 1
        clock.now += PLAIN_EVERY
        progress.advance(blocks[3], STEPS * COUNT // 2, 0.2)
        assert out.getvalue().splitlines()[1].startswith(" 88%  2 conditions finished: 3/4 conditions, 96/128 replicates, ")
        clock.now += PLAIN_PATIENCE - 1
        progress.advance(blocks[3], 0, 0.2)
        assert len(out.getvalue().splitlines()) == 2
        clock.now += 1
        progress.advance(blocks[3], 0, 0.2)
        assert out.getvalue().splitlines()[2].startswith(" 88%  at work: 3/4 conditions")
        progress.finish_block(blocks[3], trace(blocks[3], 0.0), cached=False)
    # what is left to say is said at the end
    assert len(out.getvalue().splitlines()) == 4
    assert "\x1b" not in out.getvalue()


def test_quiet_is_silent_on_a_terminal_and_off_it():
    for terminal in (False, True):
        out = io.StringIO()
        blocks = blocks_of(["a"], each=1)
        with Progress(blocks, Console(file=out, force_terminal=terminal, quiet=True), quiet=True) as progress:
            progress.start_block(blocks[0])
            progress.advance(blocks[0], STEPS * COUNT, 0.5)
            progress.finish_block(blocks[0], trace(blocks[0], 0.5), cached=False)
        assert out.getvalue() == ""


def test_under_ci_a_terminal_gets_plain_lines(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Progress(blocks_of(["a"]), console).live is not None
    monkeypatch.setenv("CI", "true")
    assert Progress(blocks_of(["a"]), console).live is None
    monkeypatch.delenv("CI")
    monkeypatch.setenv("TERM", "dumb")
    assert Progress(blocks_of(["a"]), console).live is None


def test_a_thousand_reports_draw_nothing_by_themselves(monkeypatch):
    """Drawing is the clock's business, a few times a second: being told costs no drawing."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert REDRAWS <= 4
    out = io.StringIO()
    blocks = blocks_of(["a"], each=1)
    drawn = []
    real = Progress.lines
    monkeypatch.setattr(Progress, "lines", lambda self, *size: drawn.append(size) or real(self, *size))
    progress = Progress(blocks, Console(file=out, force_terminal=True, width=80))
    assert progress.live is not None
    progress.live.auto_refresh = False
    with progress:
        before = len(drawn)
        for _ in range(1000):
            progress.advance(blocks[0], 1, 0.5)
        assert len(drawn) == before


def test_durations_are_read_as_clocks_show_them():
    assert [duration(seconds) for seconds in (0, 59.6, 3599, 3600, 90061)] == ["0:00", "1:00", "59:59", "1:00:00", "25:01:01"]


@pytest.mark.parametrize("columns", [80, 100])
def test_on_a_real_terminal_every_line_fits(tmp_path, columns):
    """A study of seconds in a pseudo-terminal of that size, its blocks in worker processes."""
    parent, child = pty.openpty()
    ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    scenario = tmp_path / "my" / "scenario" / "tiny.yaml"
    scenario.parent.mkdir(parents=True)
    scenario.write_bytes((ROOT / "tests" / "reliability" / "study.yaml").read_bytes())
    asked = ["--config-dir", "my", "+scenario=tiny", "tracking=off", "executor=local", "executor.workers=2", "device=cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "suite", *asked],
        cwd=tmp_path,
        stdin=child,
        stdout=child,
        stderr=child,
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(parent)
    assert process.wait(60) == 0, shown.decode()
    frames = shown.decode().replace("\r", "\n")
    lines = [line.plain for line in AnsiDecoder().decode(frames.split("record   ")[0])]
    assert max(cell_len(line) for line in lines) <= columns
    assert any(line.startswith("0/3 conditions, 0/3 blocks") for line in lines)
    assert any(line.split()[:1] == ["slow"] and "0/4" in line for line in lines)
