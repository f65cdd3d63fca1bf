"""A verification on the terminal: short, within 100 columns, readable without colour. Reads the JSON body, as scripts do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 100
#: Columns with deviations shown one by one; the file has all of them.
SHOWN = 12


def print_head(body: Mapping[str, Any], console: Console) -> None:
    """What was found before anything is trained: faults, and what is other here."""
    name = f"{body['record']}: {body['scenario']}, study {body['study']}{', exploratory' if body['exploratory'] else ''}"
    _say(console, "", f"{name} ({body['conditions']} conditions of {body['replicates']} replicates, {', '.join(body['data'])})")
    _faults(body["faults"], console)
    differing = body["environment"]
    _say(console, "here     ", "the record's environment" if not differing else "other than for the record:")
    for difference in differing:
        kind = {"rounding": "may round differently", "code": "the code that makes numbers", "data": "other data"}.get(
            difference["kind"], ""
        )
        text = (
            difference["here"]
            if difference["fact"] == "repeated"
            else f"{difference['fact']}: {_short(difference['recorded'])} → {_short(difference['here'])}"
        )
        _say(console, "  ", text + (f" ({kind})" if kind else ""))


def print_verification(body: Mapping[str, Any], console: Console) -> None:
    """The comparison, the verdicts and the result."""
    if "verdicts" not in body:
        _say(console, "", f"{body['record']}:")
        _faults(body["faults"], console)
        _say(console, "result   ", body["result"], "bold red")
        return
    blocks, numbers = body["blocks"], body["numbers"]
    _say(console, "repeated ", f"{blocks['repeated']} of {blocks['all']} blocks{_which(blocks)}")
    _table(body, console)
    verdicts = body["verdicts"]
    agree = sum(entry["agrees"] for entry in verdicts.values())
    _say(console, "verdicts ", f"{agree} of {len(verdicts)} agree")
    for name, entry in verdicts.items():
        if not entry["agrees"]:
            _say(
                console,
                "  ",
                f"{name}: {entry['recorded']} recorded, {entry['repeated'] or 'undecidable'} repeated {entry.get('reason', '')}",
            )
    if numbers["measured"]:
        _say(console, "clocks   ", f"{numbers['measured']:,} numbers were made by a clock; only their verdicts are compared")
    for note in body["notes"]:
        _say(console, "note     ", note)
    _faults(body["faults"], console)
    _say(console, "result   ", body["result"], "bold" if body["reproduced"] else "bold red")
    console.print()


def print_summary(bodies: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One line per record of a whole results folder."""
    table = Table(box=box.SIMPLE, width=min(WIDTH, console.width), pad_edge=False)
    table.add_column("record", overflow="fold")
    table.add_column("result", overflow="fold", ratio=1)
    for body in bodies:
        table.add_row(Text(body["record"]), Text(body["result"]))
    console.print(table)
    count = sum(body["reproduced"] is True for body in bodies)
    _say(console, "", f"{count} of {len(bodies)} records reproduce", "bold")


def _table(body: Mapping[str, Any], console: Console) -> None:
    table = Table(box=box.SIMPLE, width=min(WIDTH, console.width), pad_edge=False)
    table.add_column("numbers", overflow="fold", ratio=1)
    for title in ("all", "identical", "within", "different", "largest deviation"):
        table.add_column(title, justify="right", no_wrap=title != "largest deviation")
    columns = body["columns"]
    for name in dict.fromkeys(column["table"] for column in columns):
        mine = [column for column in columns if column["table"] == name]
        table.add_row(
            Text(f"{name}, {len(mine)} columns"), *(f"{_sum(mine, kind):,}" for kind in ("all", "identical", "within", "different")), ""
        )
    deviating = sorted(
        (column for column in columns if column["within"] or column["different"]), key=lambda c: (-c["different"], -c["within"])
    )
    for column in deviating[:SHOWN]:
        worst = column["worst"]
        table.add_row(
            Text(f"  {column['table'].removesuffix('.parquet')} {column['name']}"),
            *(f"{_sum([column], kind):,}" for kind in ("all", "identical", "within", "different")),
            _worst(worst),
        )
    if len(deviating) > SHOWN:
        table.add_row(f"  and {len(deviating) - SHOWN} more columns that deviate", "", "", "", "", "")
    console.print(table)


def _sum(columns: Sequence[Mapping[str, Any]], kind: str) -> int:
    kinds = ("identical", "within", "different", "measured") if kind == "all" else (kind,)
    return sum(int(column[key]) for column in columns for key in kinds)


def _worst(worst: Mapping[str, Any] | None) -> str:
    if worst is None:
        return ""
    gap = worst["deviation"]
    return f"{gap:.2g} at {worst['recorded']:.4g}" if gap < float("inf") else "present or missing"


def _which(blocks: Mapping[str, Any]) -> str:
    if blocks["repeated"] == blocks["all"]:
        return ""
    named = [f"{b['condition']} {b['first']}–{b['first'] + b['count'] - 1}" for b in blocks["which"]]
    return ": " + "; ".join(named[:6]) + (f"; and {len(named) - 6} more" if len(named) > 6 else "")


def _faults(faults: Sequence[Mapping[str, str]], console: Console) -> None:
    for fault in faults:
        _say(console, "fault    ", f"{fault['file']}: {fault['what']}", "red")


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 28 else text[:12] + "…"


def _say(console: Console, label: str, text: str, style: str = "") -> None:
    console.print(Text(label + _plain(text), style=style), width=min(WIDTH, console.width))


def _plain(text: str) -> str:
    """A record's own words must not move the cursor or clear the screen."""
    return "".join(character if character.isprintable() else "�" for character in text)
