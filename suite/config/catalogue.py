"""A quick look at the scenario files: plain YAML, no Hydra, no torch. A broken file is an entry with its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from suite.config import scenario_file
from suite.config.paths import groups


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


def _entry(path: Path) -> Entry:
    try:
        body = scenario_file.read(path, groups())
    except scenario_file.Fault as fault:
        return Entry(path.stem, "", {}, "", 0, None, str(fault))
    scenario = body["scenario"]
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
