"""The fenced blocks of a page, in order. Knows Markdown's fences and this documentation's conventions, and runs nothing.

What is done with a block follows from its language, its ``title="path"`` and the comment on the line before its fence:

- ``sh``: after ``<!-- run -->`` or ``<!-- run: KEY=VALUE … -->`` each command is run, with these overrides added so that it is quick
  (``exit N`` among them: the exit code that is expected); without it each is checked: a study is composed and planned, not trained.
- ``text`` after ``<!-- excerpt -->``: stands in what the last command said.
- ``python``: run; with a title it is a file.
- ``yaml``: with a title a file; after ``<!-- part of a scenario -->`` a piece of one.
- ``diff``: a change of the file in its title.
- ``sql``: filters of MLflow's search field.

A page is one session: its files stay from block to block. Any other block is a fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_OPEN = re.compile(r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?\s*$')
_NOTE = re.compile(r"^ *<!-- (.*) -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``place`` is page:line, ``note`` the comment before it."""

    place: str
    language: str
    title: str
    note: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Raises ValueError for a fence that is not understood or not closed."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found, number = [], 0
    while number < len(lines):
        if "```" not in lines[number]:
            number += 1
            continue
        place = f"{page.name}:{number + 1}"
        head = _OPEN.match(lines[number])
        if head is None:
            raise ValueError(f"{place}: a fence that is not understood: {lines[number]}")
        close = head["indent"] + "```"
        if close not in lines[number + 1 :]:
            raise ValueError(f"{place}: this fence is never closed")
        end = lines.index(close, number + 1)
        note = _NOTE.match(lines[number - 1]) if number else None
        body = [line.removeprefix(head["indent"]) for line in lines[number + 1 : end]]
        found.append(Block(place, head["language"], head["title"] or "", note[1] if note else "", "\n".join(body) + "\n"))
        number = end + 1
    return found


def commands(text: str) -> list[str]:
    """The commands of a block of shell, comments taken off."""
    stripped = [re.sub(r"(^|\s+)#.*$", "", line).strip() for line in text.splitlines()]
    return [line for line in stripped if line]


def changed(source: str, change: str) -> str:
    """A source with a change applied. Hunks are divided by an empty line without a sign; a line that ends in … stands for any with that
    beginning, and where it is replaced its rest is kept. Raises ValueError where the place is not found, or found twice.
    """
    for hunk in change.strip("\n").split("\n\n"):
        old = [line[1:] for line in hunk.splitlines() if line[0] in " -"]
        lines = source.splitlines()
        at = [n for n in range(len(lines) - len(old) + 1) if all(_same(a, b) for a, b in zip(old, lines[n:], strict=False))]
        if len(at) != 1:
            raise ValueError(f"the place is found {len(at)} times: {old}")
        rests = [line[len(pattern) - 1 :] for pattern, line in zip(old, lines[at[0] :], strict=False) if pattern.endswith("…")]
        new = []
        for line in hunk.splitlines():
            if line[0] == "-":
                continue
            new.append(line[1:].removesuffix("…") + (rests.pop(0) if line.endswith("…") else ""))
        source = "\n".join([*lines[: at[0]], *new, *lines[at[0] + len(old) :]]) + "\n"
    return source


def _same(pattern: str, line: str) -> bool:
    return line.startswith(pattern[:-1]) if pattern.endswith("…") else line == pattern
