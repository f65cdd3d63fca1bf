"""The lines that show how far a study has got, cut to the width and height there is. Pure: state in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from suite.report.progress_rows import Row

WIDTH = 100
#: Lines of a terminal that are left to what stands above the table.
SPARE = 4
#: Widths of the columns after the name; the bar gives way to a name of GOOD_NAME, then what is given up, in this order, where even
#: LEAST_NAME does not fit.
BAR, REPLICATES, LEFT, RATE, DEAD = "bar", "replicates", "left", "rep-steps/s", "dead"
WIDTHS = {BAR: 18, REPLICATES: 11, RATE: 11, DEAD: 6, LEFT: 8}
GIVEN_UP = (BAR, DEAD, RATE, LEFT)
LEAST_NAME, LEAST_BAR, GOOD_NAME = 16, 8, 32


def table(rows: Sequence[Row], study: Row, width: int, height: int, now: float, ascii_only: bool = False) -> list[Text]:
    """A heading, the study, then as many conditions as fit: those at work, then those that finished last, then those to come."""
    width = min(width, WIDTH)
    columns = _columns(width)
    room = max(height - SPARE - 3, 1)
    wanted = sorted(range(len(rows)), key=lambda index: _urgency(rows[index], index))[:room]
    shown = [rows[index] for index in sorted(wanted)]
    done = f"{sum(row.complete for row in rows)}/{len(rows)}"
    names = (f"{done} conditions, {study.finished}/{study.blocks} blocks", f"{done} conditions", done)
    room_for_name = width - sum(size + 1 for size in columns.values())
    name = next((name for name in names if len(name) <= room_for_name), done)
    lines = [_line(("condition", *_headings(columns)), columns, width, "dim"), _row(name, study, columns, width, now, "bold", ascii_only)]
    lines += [_row(row.name, row, columns, width, now, "" if row.running else "dim", ascii_only) for row in shown]
    if hidden := len(rows) - len(shown):
        over = sum(row.complete for index, row in enumerate(rows) if index not in wanted)
        lines.append(_cut(f"and {hidden} more, {over} of them finished", width, "dim"))
    return lines


def plain(rows: Sequence[Row], study: Row, told: int, now: float) -> str:
    """One line for a log: how far it is, and the condition or conditions that are new."""
    complete = [row for row in rows if row.complete]
    latest = max(complete, key=lambda row: row.last if row.last is not None else -1.0, default=None)
    fresh = len(complete) - told
    facts = [f"{len(complete)}/{len(rows)} conditions", f"{study.done_replicates:,}/{study.replicates:,} replicates"]
    of = latest if fresh == 1 and latest is not None else study
    what = f"{latest.name} finished" if fresh == 1 and latest else f"{fresh} conditions finished" if fresh else "at work"
    if (rate := of.rate(now)) is not None:
        facts.append(f"{rate:,.0f} replicate-steps/s")
    if (dead := of.dead_fraction) is not None:
        facts.append(f"dead {dead:.0%}")
    if (left := study.left(now)) is not None and left > 0:
        facts.append(f"about {duration(left)} left")
    return f"{study.share:4.0%}  {what}: {', '.join(facts)}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as short as they can be read.

    >>> duration(7), duration(125), duration(7260)
    ('0:07', '2:05', '2:01:00')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _urgency(row: Row, index: int) -> tuple[int, float, int]:
    if row.running:
        return (0, 0.0, index)
    if row.complete:
        return (1, -(row.last if row.last is not None else -1.0), index)
    return (2, 0.0, index)


def _columns(width: int) -> dict[str, int]:
    """The columns for which there is room beside the name, with their widths."""
    found = dict(WIDTHS)
    over = GOOD_NAME + sum(size + 1 for size in found.values()) - width
    found[BAR] = max(found[BAR] - max(over, 0), LEAST_BAR)
    for name in GIVEN_UP:
        if LEAST_NAME + sum(size + 1 for size in found.values()) > width:
            del found[name]
    return found


def _headings(columns: dict[str, int]) -> list[str]:
    return ["" if name == BAR else name for name in columns]


def _row(name: str, row: Row, columns: dict[str, int], width: int, now: float, style: str, ascii_only: bool) -> Text:
    rate, dead, left = row.rate(now), row.dead_fraction, row.left(now)
    cells = {
        BAR: _bar(row.share, columns.get(BAR, 0), ascii_only),
        REPLICATES: f"{row.done_replicates}/{row.replicates}",
        RATE: "" if rate is None else f"{rate:,.0f}",
        DEAD: "" if dead is None else f"{dead:.0%}",
        LEFT: "done" if row.complete else "" if left is None else duration(left),
    }
    return _line((name, *(cells[column] for column in columns)), columns, width, style)


def _line(cells: Sequence[str], columns: dict[str, int], width: int, style: str) -> Text:
    """The cells beside each other, the first to the left and in all the room that is left, the others to the right."""
    room = max(width - sum(size + 1 for size in columns.values()), 1)
    name = cells[0] if cell_len(cells[0]) <= room else set_cell_size(cells[0], room - 1) + "…"
    parts = [set_cell_size(name, room)]
    parts += [cell if len(cell) <= size else "…" + cell[-size + 1 :] for cell, size in zip(cells[1:], columns.values(), strict=True)]
    sized = [parts[0], *(f"{part:>{size}}" for part, size in zip(parts[1:], columns.values(), strict=True))]
    return _cut(" ".join(sized), width, style)


def _cut(text: str, width: int, style: str) -> Text:
    return Text(text if cell_len(text) <= width else set_cell_size(text, width), style=style, no_wrap=True)


def _bar(share: float, size: int, ascii_only: bool) -> str:
    full, empty = ("#", "-") if ascii_only else ("█", "░")
    filled = int(share * size)
    return full * filled + empty * (size - filled)
