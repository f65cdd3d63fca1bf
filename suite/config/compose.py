"""Composes a study: the settings of the run, and one full configuration for every cell of the design.

Called inside a Hydra job. The design is expanded here rather than by Hydra's multirun, whose grids are cartesian only.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from suite.config.choices import nearest
from suite.config.paths import groups
from suite.config.scenario import ScenarioSpec, parse_scenario
from suite.config.schema import NUMERIC_KEYS, Settings
from suite.config.validate import validate
from suite.selection import same_level, select
from suite.vocabulary import Condition, Hypothesis, Level, RequestError

#: Overrides that say how and where a study is run, not what it is.
FREE_KEYS = ("seed", "replicates", "device", "engine", "executor", "tracking", "results_dir", "data_dir", "dry_run", "quiet", "hydra")


@dataclass(frozen=True)
class StudyRequest:
    """A composed request. ``deviations`` are the command line's changes to the registered design, verbatim; ``origin``
    names the scenario file.
    """

    settings: Settings
    scenario: ScenarioSpec
    conditions: tuple[Condition, ...]
    factors: tuple[str, ...]
    deviations: tuple[str, ...]
    origin: str


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


def check_overrides(overrides: Sequence[str], scenarios: Sequence[str]) -> None:
    """Raises RequestError for a misspelt key, group choice or scenario before Hydra sees it."""
    parser = OverridesParser.create()
    keys, choices = known_keys(), groups()
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            raise RequestError(f"{text}: cannot be read as KEY=VALUE ({str(error).splitlines()[0]})") from error
        key = override.key_or_group
        if override.is_delete():
            raise RequestError(f"{text}: a key cannot be removed, since its default would silently take its place; give it a value")
        if "_target_" in text:
            raise RequestError(f"{text}: settings are data and cannot name code")
        if key == "scenario":
            for name in _values(override):
                if name not in scenarios:
                    raise RequestError(
                        f"+scenario={name}: there is no such scenario; the nearest is {nearest(str(name), scenarios)!r} "
                        f"(all: {', '.join(scenarios)})"
                    )
            if not text.startswith("+"):
                raise RequestError(f"{text}: write +{text}, a scenario is added to the defaults")
        elif key.startswith(("scenario.", "hydra.", "hydra/")):
            continue
        elif key in choices:
            for choice in _values(override):
                if not isinstance(choice, Mapping) and choice not in choices[key]:
                    raise RequestError(
                        f"{key}={choice}: not a choice; the nearest is {nearest(str(choice), choices[key])!r} "
                        f"(all: {', '.join(choices[key])})"
                    )
        elif key not in keys:
            raise RequestError(f"{text}: there is no key {key!r}; the nearest is {nearest(key, keys)!r}")


def _values(override: Any) -> list[Any]:
    if override.is_sweep_override():
        return list(override.sweep_iterator())
    return [override.value()]


def compose_study(cfg: DictConfig, overrides: Sequence[str], origin: str) -> StudyRequest:
    """Settings, scenario and conditions of one job. ``overrides`` are the job's own, as Hydra took them.

    Raises RequestError for anything wrong with the request.
    """
    spec = parse_scenario(OmegaConf.to_container(cfg.scenario, resolve=False), origin)
    settings = _settings(cfg, "")
    design = _design(spec, origin)
    factors = tuple(dict.fromkeys(key for levels in design.values() for key in levels))
    _check_factors(factors, origin)
    parser = OverridesParser.create()
    for text in overrides:
        key = parser.parse_override(text).key_or_group
        if key in factors:
            raise RequestError(
                f"{text}: {key} is a factor of scenario {spec.name!r}, so the design would override it; to run other levels "
                f"change the design itself, for example 'scenario.factors.{key}=[…]'"
                if spec.factors
                else f"{text}: {key} is varied by the conditions of scenario {spec.name!r}, so the design would override it"
            )
    conditions = []
    for name, levels in design.items():
        composed = _settings(
            compose(config_name="config", overrides=[*overrides, *(f"{key}={_literal(v)}" for key, v in levels.items())]),
            f"{origin}: condition {name!r}",
        )
        for group in ("data", "start"):
            if group in levels and _level(composed, group) != levels[group]:
                raise RequestError(
                    f"{origin}: condition {name!r} asks for {group}={levels[group]}, but {group}.name in the scenario's body overrides it; "
                    f"name the usual {group} under 'defaults' instead"
                )
        conditions.append(Condition(name, {key: levels.get(key, _level(composed, key)) for key in factors}, _numeric(composed)))
    _check_selections(spec, conditions, origin)
    return StudyRequest(settings, spec, tuple(conditions), factors, _deviations(overrides, spec), origin)


def _settings(cfg: DictConfig, where: str) -> Settings:
    # merging the plain container into the schema is what rejects unknown keys and wrong types, however they came in
    container = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(container, dict)
    container.pop("hydra", None)
    container.pop("scenario", None)
    merged = OmegaConf.merge(OmegaConf.structured(Settings), container)
    settings = cast(Settings, OmegaConf.to_object(merged))
    validate(settings, where)
    model = settings.model
    if model.width is not None and model.depth is not None:
        layers = [model.width] * model.depth
        if model.name == "cnn":
            model.channels = layers
        elif model.name == "resnet18":
            model.hidden = []
        else:
            model.hidden = layers
    return settings


def _numeric(settings: Settings) -> dict[str, Any]:
    whole = asdict(settings)
    return {key: whole[key] for key in NUMERIC_KEYS}


def _design(spec: ScenarioSpec, origin: str) -> dict[str, Mapping[str, Level]]:
    """Every condition's name and overrides, in order."""
    if spec.conditions:
        return dict(spec.conditions)
    cells = itertools.product(*spec.factors.values())
    design: dict[str, Mapping[str, Level]] = {}
    for cell in cells:
        levels = dict(zip(spec.factors, cell, strict=True))
        design[",".join(f"{key}={_shown(value)}" for key, value in levels.items())] = levels
    return design


def _check_factors(factors: Sequence[str], origin: str) -> None:
    allowed = [key for key in known_keys() if key.split(".")[0] in NUMERIC_KEYS]
    for key in factors:
        if key not in allowed:
            raise RequestError(
                f"{origin}: the design varies {key!r}, which is not a key that can be varied; the nearest is {nearest(key, allowed)!r}"
            )


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


def _check_selections(spec: ScenarioSpec, conditions: Sequence[Condition], origin: str) -> None:
    for hypothesis in spec.hypotheses:
        for part, selection in hypothesis.selections.items():
            _check_selection(hypothesis, part, selection, conditions, origin)


def _check_selection(
    hypothesis: Hypothesis, part: str, selection: Mapping[str, Level], conditions: Sequence[Condition], origin: str
) -> None:
    where = f"{origin}: scenario.hypotheses.{hypothesis.name}.{part}"
    names = [condition.name for condition in conditions]
    factors = list(conditions[0].factors)
    for key, level in selection.items():
        if key == "condition":
            for name in level if isinstance(level, Sequence) and not isinstance(level, str) else [level]:
                if name not in names:
                    raise RequestError(f"{where}: there is no condition {name!r}; the nearest is {nearest(str(name), names)!r}")
        elif key not in factors:
            raise RequestError(f"{where}: {key!r} is not a factor of the design; the nearest is {nearest(key, ['condition', *factors])!r}")
        elif not any(same_level(condition.factors[key], level) for condition in conditions):
            levels = sorted({_shown(condition.factors[key]) for condition in conditions})
            raise RequestError(f"{where}: no condition has {key}={_shown(level)}; the levels are {', '.join(levels)}")
    if not select(conditions, selection):
        raise RequestError(f"{where}: no condition has all of these levels together")


def _deviations(overrides: Sequence[str], spec: ScenarioSpec) -> tuple[str, ...]:
    """The overrides that change the registered design. A variant the scenario names is not one."""
    found = []
    for text in overrides:
        override = OverridesParser.create().parse_override(text)
        key = override.key_or_group
        if key == "scenario" or key.split(".")[0].split("/")[0] in FREE_KEYS:
            continue
        if key in spec.variants and override.value() in spec.variants[key]:
            continue
        found.append(text)
    return tuple(found)


def scenario_file(name: str, folders: Sequence[Path]) -> str:
    """The file a scenario was read from, for messages: relative to here where that is shorter."""
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return f"{path.parent.name}/{path.name}"
    return f"{name}.yaml"
