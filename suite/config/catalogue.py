"""A quick look at the scenario files: plain YAML, no Hydra, no torch. A broken file is an entry with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml

#: libyaml's safe loader where PyYAML has it, which reads the whole catalogue eight times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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


def _parsed(path: Path) -> tuple[Any, str | None]:
    """The file's content, or one line naming the fault and its place. The loader builds plain data, whatever the tags say."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER), None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        return None, f"{path.parent.name}/{path.name}{line}: not valid YAML: {error.problem or error.context}"
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        return None, f"{path.parent.name}/{path.name}: cannot be read: {str(error).splitlines()[0]}"


def _entry(path: Path) -> Entry:
    body, error = _parsed(path)
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
