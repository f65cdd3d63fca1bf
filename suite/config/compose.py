"""Composes a study out of a request: the settings of the run, the scenario, and one full configuration for every cell of the design.

Called inside a Hydra job. How a cell becomes a configuration is in ``design``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from suite.config.choices import nearest
from suite.config.design import condition_of, expand, factor_faults, factors_of, known_keys, selection_faults, settings_of
from suite.config.paths import groups
from suite.config.scenario import ScenarioSpec, parse_scenario
from suite.config.schema import Settings
from suite.config.validate import validate
from suite.vocabulary import Condition, RequestError

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
    settings = settings_of(cfg)
    validate(settings)
    design = expand(spec)
    factors = factors_of(design)
    for fault in factor_faults(factors):
        raise RequestError(f"{origin}: {fault}")
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
    conditions = [condition_of(name, levels, factors, overrides, origin) for name, levels in design.items()]
    for fault in selection_faults(spec.hypotheses, conditions):
        raise RequestError(f"{origin}: {fault}")
    return StudyRequest(settings, spec, tuple(conditions), factors, _deviations(overrides, spec), origin)


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
