"""The command ``check``: all that is wrong or weak in scenarios, told before anything is trained. Writes nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from suite.config.choices import CHECK_FLAGS, nearest
from suite.config.compose import StudyRequest
from suite.config.inspected import Inspected, NotAScenario, inspect
from suite.config.numeric import Numeric
from suite.config.paths import SCENARIOS
from suite.config.scenario_file import MOST_BYTES, printable
from suite.probes import registry
from suite.selection import select
from suite.study import check_design, findings
from suite.study.check_hypotheses import Case, said_of
from suite.study.findings import Checked, Finding, Level
from suite.study.plan import check_fit
from suite.study.shapes import shape_of
from suite.study.timed import timed_block_size
from suite.training.engine import layout_of
from suite.vocabulary import TIMING, Hypothesis, RequestError, is_timed


@dataclass(frozen=True)
class Asked:
    """What to check, and how to show it."""

    paths: tuple[Path, ...]
    strict: bool
    json: bool


def check(arguments: Sequence[str]) -> int:
    """Check the scenarios named. Returns 1 where one has an error (strict: or a warning), else 0. Raises RequestError where a
    scenario is not there or is none.
    """
    asked = read_arguments(arguments)
    checked = []
    for path in asked.paths:
        checked.append(check_file(path))
        if not asked.json:
            print("\n".join(findings.lines(checked[-1])), flush=True)
    if asked.json:
        print(findings.to_json(checked))
    levels: tuple[Level, ...] = ("error", "warning") if asked.strict else ("error",)
    return int(any(one.count(level) for one in checked for level in levels))


def read_arguments(arguments: Sequence[str]) -> Asked:
    """Raises RequestError for a flag that does not exist, no scenario at all, or one that is not there."""
    for flag in (argument for argument in arguments if argument.startswith("-")):
        if flag not in CHECK_FLAGS:
            raise RequestError(f"check {flag}: there is no such flag; the nearest is {nearest(flag, CHECK_FLAGS)!r}")
    named = [argument for argument in arguments if not argument.startswith("-")]
    everything = "--all" in arguments
    if bool(named) == everything:
        raise RequestError("check takes scenario files or names, or --all: check my_scenario.yaml, or check born_dead")
    paths = sorted(SCENARIOS.glob("*.yaml")) if everything else [_path(text) for text in named]
    return Asked(tuple(paths), "--strict" in arguments, "--json" in arguments)


def _path(text: str) -> Path:
    """The file that an argument means: a shipped scenario's where it is a plain name. Raises RequestError for anything but a file."""
    known = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
    if text in known and not Path(text).exists():
        return SCENARIOS / f"{text}.yaml"
    shown, path = printable(text), Path(text)
    if "\0" in text or not (path.exists() or path.is_symlink()):
        near = difflib.get_close_matches(Path(text).stem if "\0" not in text else "", known, n=1, cutoff=0.0)
        raise RequestError(
            f"check {shown}: there is no such file, and no such scenario; the nearest is {near[0] if near else 'born_dead'!r}"
        )
    if path.is_symlink() or not path.is_file():
        raise RequestError(f"check {shown}: this is not a plain file; name the scenario's own YAML file")
    if path.suffix not in (".yaml", ".yml"):
        raise RequestError(f"check {shown}: a scenario is a YAML file; name one that ends in .yaml")
    if path.stat().st_size > MOST_BYTES:
        raise RequestError(f"check {shown}: larger than {MOST_BYTES} bytes, which no scenario is; name another file")
    return path


def check_file(path: Path) -> Checked:
    """Everything found in one file. Raises RequestError where it is no scenario."""
    origin = f"scenarios/{path.name}" if path.parent == SCENARIOS else printable(str(path))
    try:
        inspected = inspect(path, origin)
    except NotAScenario as error:
        raise RequestError(str(error)) from error
    found = [_finding("error", fault.path, fault.text, inspected, fault.line) for fault in inspected.faults]
    if inspected.request is not None:
        found += _of_request(inspected, inspected.request)
    return Checked(origin, findings.in_order(found))


def _finding(level: Level, path: str, text: str, inspected: Inspected, line: int | None = None) -> Finding:
    known = [] if inspected.request is None else [h.name for h in inspected.request.scenario.hypotheses]
    inside = path.removeprefix("scenario.hypotheses.") if path.startswith("scenario.hypotheses.") else ""
    hypothesis = max((name for name in known if inside == name or inside.startswith(f"{name}.")), key=len, default=inside.split(".")[0])
    text = printable(text).removeprefix(f"{inspected.origin}: ")
    return Finding(level, text, printable(path), line or inspected.line_of(path), printable(hypothesis))


def _of_request(inspected: Inspected, request: StudyRequest) -> Iterator[Finding]:
    """What can be said of a scenario that composes, wholly or in part."""
    units, timing = _units(request)
    placed = list(check_design.texts(request.scenario))
    if timing is not None:
        placed.append(("error", "scenario", timing))
    if not inspected.incomplete:
        placed += check_design.conditions(request)
        placed += check_design.datasets(request)
        placed += check_design.shared_error(request, units)
    measured, misfits = _measured(request)
    placed += misfits
    family = max(sum(h.test != "exact" for h in request.scenario.hypotheses), 1)
    for h in request.scenario.hypotheses:
        where = f"scenario.hypotheses.{h.name}"
        chosen = [select(request.conditions, selection) for selection in h.selections.values()]
        unknown = [("metric", text) for text in _unmeasured(h, request, measured)]
        placed += [("error", f"{where}.{key}", text) for key, text in unknown]
        if all(chosen) and not unknown and not inspected.incomplete:
            units_of_h = units if is_timed(h.metric) or not _timed(request) else request.settings.replicates
            case = Case.of(h, request.conditions, units_of_h, request.scenario.confidence, family)
            placed += [(level, f"{where}.{key}" if key else where, text) for level, key, text in said_of(case)]
    for level, path, text in placed:
        yield _finding(level, path, text, inspected)


def _timed(request: StudyRequest) -> bool:
    return any(TIMING in condition.config["probes"]["extra"] for condition in request.conditions)


def _units(request: StudyRequest) -> tuple[int, str | None]:
    """How many observations there will be of a clock, or of anything where none is read; and what is wrong with the blocks."""
    try:
        size = timed_block_size(request)
    except RequestError as error:
        return request.settings.replicates, str(error)
    return request.settings.replicates // (size or 1), None


def _measured(request: StudyRequest) -> tuple[dict[str, tuple[str, ...]], list[check_design.Placed]]:
    """The metrics of every condition whose network and data fit each other, by its name; and why the others do not."""
    known: dict[str, tuple[str, ...]] = {}
    misfits: list[check_design.Placed] = []
    for condition in request.conditions:
        numeric = Numeric.of(condition.config)
        path = f"scenario.conditions.{condition.name}" if request.scenario.conditions else "scenario.factors"
        try:
            shape = shape_of(numeric.data)
            check_fit(condition, shape)
            known[condition.name] = registry.metric_names(numeric.probes, layout_of(numeric, shape))
        except RequestError as error:
            misfits.append(("error", path, str(error)))
    return known, misfits


def _unmeasured(h: Hypothesis, request: StudyRequest, measured: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """A line for each metric that the hypothesis rests on and no probe measures where it looks."""
    about = [condition.name for selection in h.selections.values() for condition in select(request.conditions, selection)]
    for metric in (h.metric, *([] if h.over is None else [h.over])):
        without = [name for name in dict.fromkeys(about) if name in measured and metric not in measured[name]]
        if without:
            where = f"condition {without[0]!r}" + (f" and {len(without) - 1} more" if len(without) > 1 else "")
            needed = [name for name, probe in registry.PROBES.items() if _gives(name, metric, request, without[0])]
            add = f"; add {needed[0]!r} to probes.extra" if needed else f"; the nearest is {nearest(metric, measured[without[0]])!r}"
            yield f"no probe measures {metric!r} in {where}{add}"


def _gives(probe: str, metric: str, request: StudyRequest, condition: str) -> bool:
    """Whether a probe would measure the metric in that condition."""
    config = next(each.config for each in request.conditions if each.name == condition)
    numeric = Numeric.of(config)
    try:
        built = registry.PROBES[probe](layout_of(numeric, shape_of(numeric.data)))
        return metric in (*built.columns(), *built.summaries())
    except Exception:  # a probe that cannot be built for this network measures nothing there
        return False
