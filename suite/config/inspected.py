"""A scenario file taken apart without running it: every fault of file, section, design and configuration, not only the first.

Composes with Hydra from a copy of the text that was judged, under a name of our own, in a folder that holds nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from suite.config import hydra_plugin, scenario_file
from suite.config.choices import nearest
from suite.config.compose import StudyRequest
from suite.config.design import composed, expand, factor_faults, factors_of, frozen, known_keys, overridden, selection_faults
from suite.config.messages import one_line
from suite.config.paths import CONF, groups
from suite.config.scenario import ScenarioSpec, read_scenario
from suite.config.schema import Settings
from suite.config.validate import faults as setting_faults
from suite.vocabulary import Condition, Level

#: What the copy is called while Hydra reads it.
_NAME = "inspected"
#: Far above any study, and few enough to be composed.
MOST_CONDITIONS = 4096


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the dotted path of the key it is about (empty: the file), with the line where that stands."""

    path: str
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Inspected:
    """``request`` is what would be run, as far as it can be composed: conditions with a fault are left out, and ``incomplete`` says
    that some were. None where there is nothing to run. ``lines`` maps a dotted path to its line.
    """

    origin: str
    request: StudyRequest | None
    faults: tuple[Fault, ...]
    lines: Mapping[str, int] = field(default_factory=dict)
    incomplete: bool = False

    def line_of(self, path: str) -> int | None:
        """The line of a key, or of the nearest one above it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


class NotAScenario(ValueError):
    """The file is none: one line that says why."""


def inspect(path: Path, origin: str) -> Inspected:
    """Take a file apart. ``origin`` is what messages call it. Raises NotAScenario where it has no ``scenario:`` section at all."""
    try:
        text, body = scenario_file.load(path, origin)
    except scenario_file.Fault as fault:
        return Inspected(origin, None, (_of_file(str(fault), origin),))
    if not isinstance(body, Mapping) or not isinstance(body.get("scenario"), Mapping):
        raise NotAScenario(f"{origin}: this is no scenario, there is no 'scenario:' section in it; see scenarios/born_dead.yaml")
    lines, twice = scenario_file.lines(text)
    gathered = [(path, f"{path} is given twice; only one of the two would count, so rename or remove one") for path, _ in twice]
    at = dict(twice)
    outside = [(_path_in(fault, lines), fault) for fault in scenario_file.faults(body, text, groups())]
    reading = read_scenario(body["scenario"])
    gathered += outside
    gathered += [(_path_in(fault, lines), fault) for fault in reading.faults if fault not in {text for _, text in outside}]
    request, incomplete = None, True
    if reading.spec is not None and (reading.spec.factors or reading.spec.conditions) and not outside and not twice:
        request, incomplete, more = _composed(text, reading.spec, origin, lines)
        gathered += more
    inspected = Inspected(origin, request, (), lines, incomplete)
    faults = tuple(Fault(path, scenario_file.printable(text), at.get(path) or inspected.line_of(path)) for path, text in gathered)
    return Inspected(origin, request, faults, lines, incomplete)


def _of_file(text: str, origin: str) -> Fault:
    """A fault of reading, whose text begins with the file and perhaps the line."""
    place, _, said = text.removeprefix(origin).partition(": ")
    return Fault("", scenario_file.printable(said), int(place[1:]) if place[1:].isdigit() else None)


def _path_in(fault: str, lines: Mapping[str, int]) -> str:
    """The longest known path that a line about a fault begins with, itself or the one above it."""
    said = fault.strip("'\"")
    return max((path for path in lines if said.startswith(path)), key=len, default="")


def _composed(
    text: str, spec: ScenarioSpec, origin: str, lines: Mapping[str, int]
) -> tuple[StudyRequest | None, bool, list[tuple[str, str]]]:
    """(the request, whether conditions are missing from it, faults with their paths)."""
    found: list[tuple[str, str]] = []
    cells = prod(len(levels) for levels in spec.factors.values())
    if cells > MOST_CONDITIONS:
        return (
            None,
            True,
            [("scenario.factors", f"scenario.factors makes {cells} conditions, and {MOST_CONDITIONS} is the limit")],
        )
    design = expand(spec)
    factors = factors_of(design)
    unknown = [(next(iter(_setting(spec, key)), ""), fault) for key, fault in zip(_wrong(factors), factor_faults(factors), strict=True)]
    found += unknown
    if unknown:
        return None, True, found
    with _hydra(text):
        overrides = [f"+scenario={_NAME}"]
        settings = _tried({}, overrides, lambda line: found.append(("", line)))
        if settings is None:
            return None, True, found
        base = setting_faults(settings)
        found += [(_path_in(fault, lines), fault) for fault in base]
        conditions = list(_conditions(design, factors, overrides, base, found))
        found += _variants(spec, overrides, base)
    if not conditions:
        return None, True, found
    incomplete = len(conditions) < len(design)
    if not incomplete:  # a level of a condition that is left out is not unknown
        found += [(fault.split(":")[0], fault) for fault in selection_faults(spec.hypotheses, conditions)]
    return StudyRequest(settings, spec, tuple(conditions), factors, (), origin), incomplete, found


def _conditions(
    design: Mapping[str, Mapping[str, Level]],
    factors: Sequence[str],
    overrides: Sequence[str],
    base: Sequence[str],
    found: list[tuple[str, str]],
) -> Iterator[Condition]:
    """Those that can be composed. What is wrong with the whole file already is not said again of each."""
    for name, levels in design.items():
        said: list[str] = []
        settings = _tried(levels, overrides, said.append)
        if settings is not None:
            said += setting_faults(settings)
            said += overridden(levels, settings)
        found += [(f"scenario.conditions.{name}", f"condition {name!r}: {line}") for line in said if line not in base]
        if settings is not None and not said:
            yield frozen(name, levels, factors, settings)


def _variants(spec: ScenarioSpec, overrides: Sequence[str], base: Sequence[str]) -> list[tuple[str, str]]:
    """Variants that cannot be asked for."""
    found: list[tuple[str, str]] = []
    keys = known_keys()
    for key, levels in spec.variants.items():
        path = f"scenario.variants.{key}"
        if key not in keys:
            found.append((path, f"{path} is not a key that can be set; the nearest is {nearest(key, keys)!r}"))
            continue
        for level in levels:
            said: list[str] = []
            settings = _tried({key: level}, overrides, said.append)
            said += [] if settings is None else [line for line in setting_faults(settings) if line not in base]
            found += [(path, f"{path}={level}: {line}") for line in said]
    return found


def _tried(levels: Mapping[str, Level], overrides: Sequence[str], say: Callable[[str], None]) -> Settings | None:
    """What Hydra makes of these levels; None, and a line, where it can make nothing."""
    try:
        return composed(levels, overrides)
    except (HydraException, OmegaConfBaseException, RecursionError) as error:
        say(one_line(error))
        return None


def _wrong(factors: Sequence[str]) -> list[str]:
    return [key for key in factors if list(factor_faults([key]))]


def _setting(spec: ScenarioSpec, key: str) -> Iterator[str]:
    """Where the design sets a key."""
    if key in spec.factors:
        yield f"scenario.factors.{key}"
    for name, levels in spec.conditions.items():
        if key in levels:
            yield f"scenario.conditions.{name}.{key}"


@contextmanager
def _hydra(text: str) -> Iterator[None]:
    """While this lasts, Hydra finds the text as a scenario, and no other."""
    before = list(hydra_plugin.FOLDERS)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{_NAME}.yaml").write_text(text, encoding="utf-8")
        hydra_plugin.FOLDERS[:] = [Path(folder)]
        hydra_plugin.register()
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                yield
        finally:
            hydra_plugin.FOLDERS[:] = before
