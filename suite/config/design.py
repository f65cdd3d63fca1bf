"""A scenario's design: which cells it has, and the full configuration that Hydra composes for each. Knows no command line.

The design is expanded here rather than by Hydra's multirun, whose grids are cartesian only.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from suite.config.choices import nearest
from suite.config.scenario import ScenarioSpec
from suite.config.schema import NUMERIC_KEYS, Settings
from suite.config.validate import validate
from suite.selection import same_level, select
from suite.vocabulary import Condition, Hypothesis, Level, RequestError


def known_keys() -> tuple[str, ...]:
    """Every key of the schema, dotted, sections included."""
    found: list[str] = []

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for key, value in node.items():
            found.append(prefix + key)
            if isinstance(value, Mapping):
                walk(value, f"{prefix}{key}.")

    walk(asdict(Settings()), "")
    return tuple(found)


def expand(spec: ScenarioSpec) -> dict[str, Mapping[str, Level]]:
    """Every condition's name and overrides, in order."""
    if spec.conditions:
        return dict(spec.conditions)
    cells = itertools.product(*spec.factors.values())
    design: dict[str, Mapping[str, Level]] = {}
    for cell in cells:
        levels = dict(zip(spec.factors, cell, strict=True))
        design[",".join(f"{key}={_shown(value)}" for key, value in levels.items())] = levels
    return design


def factors_of(design: Mapping[str, Mapping[str, Level]]) -> tuple[str, ...]:
    """The keys that the cells set, each once."""
    return tuple(dict.fromkeys(key for levels in design.values() for key in levels))


def factor_faults(factors: Sequence[str]) -> Iterator[str]:
    """A line for each key that no design can vary."""
    allowed = [key for key in known_keys() if key.split(".")[0] in NUMERIC_KEYS]
    for key in factors:
        if key not in allowed:
            yield f"the design varies {key!r}, which is not a key that can be varied; the nearest is {nearest(key, allowed)!r}"


def settings_of(cfg: DictConfig) -> Settings:
    """The typed form of a composed configuration. Raises OmegaConf's errors for unknown keys and wrong types."""
    # merging the plain container into the schema is what rejects unknown keys and wrong types, however they came in
    container = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(container, dict)
    container.pop("hydra", None)
    container.pop("scenario", None)
    merged = OmegaConf.merge(OmegaConf.structured(Settings), container)
    return cast(Settings, OmegaConf.to_object(merged))


def composed(levels: Mapping[str, Level], overrides: Sequence[str]) -> Settings:
    """The configuration with these levels set after these overrides, not yet validated. Call it where Hydra is initialised."""
    return settings_of(compose(config_name="config", overrides=[*overrides, *(f"{key}={_literal(v)}" for key, v in levels.items())]))


def condition_of(name: str, levels: Mapping[str, Level], factors: Sequence[str], overrides: Sequence[str], origin: str) -> Condition:
    """One cell, composed and validated. Raises RequestError, and Hydra's and OmegaConf's errors."""
    settings = composed(levels, overrides)
    validate(settings, f"{origin}: condition {name!r}")
    for fault in overridden(levels, settings):
        raise RequestError(f"{origin}: condition {name!r} {fault}")
    return frozen(name, levels, factors, settings)


def overridden(levels: Mapping[str, Level], settings: Settings) -> Iterator[str]:
    """A line for each whole group that a cell asks for and the scenario's body then names otherwise."""
    for group in ("data", "start"):
        if group in levels and _level(settings, group) != levels[group]:
            yield (
                f"asks for {group}={levels[group]}, but {group}.name in the scenario's body overrides it; "
                f"name the usual {group} under 'defaults' instead"
            )


def frozen(name: str, levels: Mapping[str, Level], factors: Sequence[str], settings: Settings) -> Condition:
    """The condition that valid settings make."""
    model = settings.model
    if model.width is not None and model.depth is not None:
        layers = [model.width] * model.depth
        if model.name == "cnn":
            model.channels = layers
        elif model.name == "resnet18":
            model.hidden = []
        else:
            model.hidden = layers
    whole = asdict(settings)
    return Condition(name, {key: levels.get(key, _level(settings, key)) for key in factors}, {key: whole[key] for key in NUMERIC_KEYS})


def _level(settings: Settings, key: str) -> Level:
    """The value a condition has for a factor it does not set. A whole group's level is its ``name``."""
    node: Any = settings
    for part in key.split("."):
        node = getattr(node, part)
    return cast(Level, getattr(node, "name", node))


def _literal(value: Level) -> str:
    """A level as Hydra's override grammar writes it."""
    if isinstance(value, str):
        return value if value.replace("_", "").isalnum() else json.dumps(value)
    return json.dumps(value)


def _shown(value: Level) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def selection_faults(hypotheses: Sequence[Hypothesis], conditions: Sequence[Condition]) -> Iterator[str]:
    """A line for each name or level that a hypothesis speaks of and the design does not have."""
    for hypothesis in hypotheses:
        for part, selection in hypothesis.selections.items():
            where = f"scenario.hypotheses.{hypothesis.name}.{part}"
            before = True
            for fault in _unknown(selection, conditions):
                before = False
                yield f"{where}: {fault}"
            if before and not select(conditions, selection):
                yield f"{where}: no condition has all of these levels together"


def _unknown(selection: Mapping[str, Level], conditions: Sequence[Condition]) -> Iterator[str]:
    names, factors = [condition.name for condition in conditions], list(conditions[0].factors)
    for key, level in selection.items():
        if key == "condition":
            for name in level if isinstance(level, Sequence) and not isinstance(level, str) else [level]:
                if name not in names:
                    yield f"there is no condition {name!r}; the nearest is {nearest(str(name), names)!r}"
        elif key not in factors:
            yield f"{key!r} is not a factor of the design; the nearest is {nearest(key, ['condition', *factors])!r}"
        elif not any(same_level(condition.factors[key], level) for condition in conditions):
            levels = sorted({_shown(condition.factors[key]) for condition in conditions})
            yield f"no condition has {key}={_shown(level)}; the levels are {', '.join(levels)}"
