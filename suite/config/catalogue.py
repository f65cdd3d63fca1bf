"""A quick look at the scenario files: plain YAML, no Hydra, no torch. A broken file is an entry with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Entry:
    """One scenario as the list shows it."""

    name: str
    title: str
    claims: Mapping[str, str]
    design: str
    conditions: int
    replicates: int | None
    error: str | None = None


def catalogue(folders: Sequence[Path]) -> list[Entry]:
    """Every scenario of the folders, by name; the first folder wins where two hold the same name."""
    found: dict[str, Entry] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, _entry(path))
    return [found[name] for name in sorted(found)]


def syntax_error(path: Path) -> str | None:
    """One line naming the place, or None where the file is YAML."""
    try:
        yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        return f"{path.parent.name}/{path.name}{line}: not valid YAML: {error.problem or error.context}"
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        return f"{path.parent.name}/{path.name}: cannot be read: {str(error).splitlines()[0]}"
    return None


def _entry(path: Path) -> Entry:
    error = syntax_error(path)
    body: Any = None if error else yaml.safe_load(path.read_text(encoding="utf-8"))
    scenario = body.get("scenario") if isinstance(body, Mapping) else None
    if error is None and not isinstance(scenario, Mapping):
        error = f"{path.parent.name}/{path.name}: there is no 'scenario:' section"
    if error is not None or not isinstance(scenario, Mapping):
        return Entry(path.stem, "", {}, "", 0, None, error)
    factors, conditions = scenario.get("factors"), scenario.get("conditions")
    if isinstance(factors, Mapping):
        sizes = [len(levels) if isinstance(levels, list) else 1 for levels in factors.values()]
        design, count = " × ".join(f"{key} ({size})" for key, size in zip(factors, sizes, strict=True)), prod(sizes)
    else:
        listed = conditions if isinstance(conditions, Mapping) else {}
        keys = dict.fromkeys(key for overrides in listed.values() if isinstance(overrides, Mapping) for key in overrides)
        design, count = ", ".join(keys), len(listed)
    claims = scenario.get("claims")
    return Entry(
        path.stem,
        str(scenario.get("title", "")),
        {str(k): str(v) for k, v in claims.items()} if isinstance(claims, Mapping) else {},
        design,
        count,
        body.get("replicates"),
    )
