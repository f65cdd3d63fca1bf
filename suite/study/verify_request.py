"""What ``verify`` is asked to do, read from the command line. Knows no record and imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from suite.config.choices import DEVICES, PRECISIONS, nearest
from suite.config.schema import Executor
from suite.vocabulary import RequestError

FLAGS = ("--all", "--sample", "--seed", "--json")
KEYS = ("executor", "workers", "block_size", "device", "precision", "data_dir")
CHOICES = {"executor": ("serial", "local"), "device": DEVICES, "precision": PRECISIONS}


@dataclass(frozen=True)
class VerifyRequest:
    """``folder`` is a record, or with ``every`` a results folder. ``sample`` is how many blocks to repeat (None: all), chosen by the
    study id and ``seed``. ``device`` and ``precision`` None mean the record's own.
    """

    folder: Path
    every: bool = False
    sample: int | None = None
    seed: int = 0
    json: Path | None = None
    executor: Executor = field(default_factory=Executor)
    device: str | None = None
    precision: str | None = None
    data_dir: str = "data"


def read_request(arguments: Sequence[str]) -> VerifyRequest:
    """Parse what follows the word ``verify``. Raises RequestError in one line."""
    flags: dict[str, str] = {}
    values: dict[str, str] = {}
    folders: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            if name not in FLAGS:
                raise RequestError(f"{word}: verify has no such flag; the nearest is {nearest(name, FLAGS)}")
            if name != "--all" and not equals:
                if not waiting:
                    raise RequestError(f"{name} needs a value, such as {name} {'verify.json' if name == '--json' else 3}")
                value = waiting.pop(0)
            elif name == "--all" and equals:
                folders.append(value)
            flags[name] = value
        elif equals and "/" not in name:
            key = name.removeprefix("executor.")
            if key not in KEYS:
                raise RequestError(f"{word}: verify has no key {name!r}; the nearest is {nearest(key, KEYS)!r}")
            if key in CHOICES and value not in CHOICES[key]:
                raise RequestError(
                    f"{word}: not a choice; the nearest is {nearest(value, CHOICES[key])!r} (all: {', '.join(CHOICES[key])})"
                )
            values[key] = value
        else:
            folders.append(word)
    if len(folders) > 1 or (not folders and "--all" not in flags):
        raise RequestError("verify takes one record, such as results/born_dead, or --all and a results folder")
    whole = _whole_number
    return VerifyRequest(
        Path(folders[0] if folders else "results"),
        "--all" in flags,
        whole("--sample", flags["--sample"], 1) if "--sample" in flags else None,
        whole("--seed", flags.get("--seed", "0"), 0),
        Path(flags["--json"]) if "--json" in flags else None,
        Executor(
            name=values.get("executor", "serial"),
            block_size=whole("block_size", values["block_size"], 1) if "block_size" in values else None,
            workers=whole("workers", values["workers"], 1) if "workers" in values else None,
        ),
        values.get("device"),
        values.get("precision"),
        values.get("data_dir", "data"),
    )


def _whole_number(name: str, text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise RequestError(f"{name}={text}: must be a whole number of at least {least}")
    return int(text)
