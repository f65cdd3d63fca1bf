"""What a scenario file may hold, judged on its plain YAML before Hydra sees it. A file is data: it sets keys that can change a number.

Hydra reads more than that from any file it composes: its own settings (callbacks, launchers and loggers are code), other
packages, other groups, interpolations. None of it is a scenario's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from suite.config.choices import nearest

#: libyaml's safe loader where PyYAML has it, which reads the whole catalogue eight times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Keys a file may set; where results go and what is sent where are the user's to say.
KEYS = ("defaults", "scenario", "precision", "data", "model", "start", "optimizer", "train", "remedy", "probes", "engine")
RUN_KEYS = ("seed", "replicates", "device", "executor")
#: Nodes of a file once its aliases are followed, bytes of it, and levels of nesting: far above any study.
MOST_NODES, MOST_BYTES, MOST_LEVELS = 100_000, 4_000_000, 50
_GROUP = re.compile(r"override /(\w+)")
_STAIRS = re.compile(rf"(?:[-?]\s+){{{MOST_LEVELS}}}")
_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Fault(ValueError):
    """One line: what is wrong with the file."""


def read(path: Path, choices: Mapping[str, Sequence[str]]) -> Any:
    """The file's content as plain data, whatever its tags say. Raises Fault, which names the file and the place. ``choices``
    are the groups of configuration and what each offers.
    """
    name = f"{path.parent.name}/{path.name}"
    text, body = load(path, name)
    for fault in faults(body, text, choices):
        raise Fault(f"{name}: {fault}")
    return body


def load(path: Path, name: str) -> tuple[str, Any]:
    """(the file's text, what it holds), not yet judged. Raises Fault, which calls the file ``name``, where it cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Fault(f"{name}: larger than {MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        if _STAIRS.search(text):  # libyaml counts levels, but takes memory for each of these before it does
            raise Fault(f"nested more than {MOST_LEVELS} levels deep")
        body = yaml.load(text, Loader=_LOADER)
        _sizes(body, {}, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Fault(f"{name}{line}: not valid YAML: {error.problem or error.context}") from error
    except Fault as fault:
        raise fault if str(fault).startswith(name) else Fault(f"{name}: {fault}") from fault
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, OSError) as error:
        lines = str(error).splitlines()
        raise Fault(f"{name}: cannot be read: {lines[0] if lines else type(error).__name__}") from error
    return text, body


def lines(text: str) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """(the line, from 1, of every key of a file that ``load`` took, by its dotted path; keys given twice, each with its second line)."""
    found: dict[str, int] = {}
    twice: list[tuple[str, int]] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, yaml.MappingNode):
            here: set[str] = set()
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                below = f"{path}.{name}" if path else name
                if name in here and name != "<<":
                    twice.append((below, line))
                here.add(name)
                found.setdefault(below, line)
                walk(value, below)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found.setdefault(f"{path}[{index}]", value.start_mark.line + 1)
                walk(value, f"{path}[{index}]")

    walk(yaml.compose(text, Loader=_LOADER), "")
    return found, twice


def printable(text: str) -> str:
    """The text with every character that would steer a terminal as a question mark."""
    return _CONTROL.sub("?", text)


def _sizes(node: Any, known: dict[int, int], level: int) -> int:
    """Nodes below a node with every alias counted as often as it is used. Raises Fault where they are too many or never end."""
    if level > MOST_LEVELS:
        raise Fault(f"nested more than {MOST_LEVELS} levels deep")
    if not isinstance(node, (Mapping, list)):
        return 1
    if id(node) not in known:
        below = node.values() if isinstance(node, Mapping) else node
        known[id(node)] = 1 + sum(_sizes(child, known, level + 1) for child in below)
    if known[id(node)] > MOST_NODES:
        raise Fault(f"more than {MOST_NODES} nodes once its aliases are followed")
    return known[id(node)]


def faults(body: Any, text: str, choices: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Everything in a file that is no business of a scenario, a line for each."""
    package = _PACKAGE.search(text)
    if package and package.group(1) != "_global_":
        yield f"# @package {package.group(1)}: a scenario belongs to _global_, which is where it is put without such a line"
    if not isinstance(body, Mapping) or not isinstance(body.get("scenario"), Mapping):
        yield "there is no 'scenario:' section"
        return
    for key in body:
        if key not in (*KEYS, *RUN_KEYS):
            hint = f"; the nearest is {nearest(str(key), (*KEYS, *RUN_KEYS))!r}"
            yield f"{key!r} is not a key that a scenario can set{hint}"
    yield from _data_only({key: value for key, value in body.items() if key != "defaults"}, "")
    defaults = body.get("defaults") or []
    if not isinstance(defaults, list):
        yield f"'defaults' must be a list such as [override /data: digits], not {defaults!r}"
        return
    for entry in defaults:
        yield from _default(entry, choices)


def _default(entry: Any, choices: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if entry == "_self_":
        return
    if not isinstance(entry, Mapping) or len(entry) != 1:
        yield f"'defaults' holds {entry!r}; an entry reads override /GROUP: CHOICE"
        return
    ((key, choice),) = entry.items()
    group = _GROUP.fullmatch(str(key))
    if group is None or group.group(1) not in choices:
        yield f"'defaults' holds {key!r}; an entry reads override /GROUP: CHOICE, with one of the groups {', '.join(choices)}"
    elif choice not in choices[group.group(1)]:
        yield f"{key}: {choice} is not a choice; the nearest is {nearest(str(choice), choices[group.group(1)])!r}"


def _data_only(node: Any, path: str) -> Iterator[str]:
    """Names of code, interpolations, and characters that would steer a terminal."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = f"{path}.{key}" if path else str(key)
            if str(key).startswith("_") and str(key).endswith("_"):
                yield f"{here} is not allowed; a scenario is data and cannot name code"
            if not isinstance(key, str):
                yield f"{here}: a key must be text, not {key!r}"
            else:
                yield from _text(key, here)
            yield from _data_only(value, here)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _data_only(value, f"{path}[{index}]")
    elif isinstance(node, str):
        yield from _text(node, path)
        if "${" in node:
            yield f"{path} holds an interpolation ({node!r}); a scenario states its values"
    elif node is not None and not isinstance(node, (bool, int, float)):
        yield f"{path}: {node!r} is neither text, number, flag, list nor mapping; put quotes around it"


def _text(text: str, path: str) -> Iterator[str]:
    found = _CONTROL.search(text)
    if found:
        yield f"{printable(path)} holds the control character {found.group()!r}"
