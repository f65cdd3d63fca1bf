"""The cost page: what the benchmark files beside it say, as ratios, bars and curves. Measures nothing; a file that is missing, or
has other contents, is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from suite.report.svg import Axis, axis_over, frame, picture, short, tag

TEMPLATES = Path(__file__).with_name("templates")
BAR = 260.0
#: The order of the sections; files with other names follow, by name, with their targets only.
KNOWN = ("engine", "scaling", "observation", "study", "parts")
TITLES = {
    "engine": "Training throughput",
    "scaling": "Cost and memory against the number of replicates",
    "observation": "What observing costs",
    "study": "A whole study",
    "parts": "Single parts",
}


def cost_page(folder: Path) -> bytes | None:
    """The page for the JSON files of a folder, None where there is none that can be read."""
    files = {path.stem: found for path in sorted(folder.glob("*.json")) if (found := _read(path)) is not None}
    if not files:
        return None
    order = [*(name for name in KNOWN if name in files), *(name for name in files if name not in KNOWN)]
    sections = [_section(name, files[name]) for name in order]
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    targets = [{**target, "section": section["title"]} for section in sections for target in section["targets"]]
    return environment.get_template("costs.html").render(sections=sections, targets=targets).encode()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _section(name: str, file: Mapping[str, Any]) -> dict[str, Any]:
    tables: list[dict[str, Any]] = []
    try:
        tables = _TABLES[name](file) if name in _TABLES else []
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        tables = []  # a file of another version: its targets and its environment can still be told
    environment = file.get("environment") or {}
    return {
        "name": name,
        "title": TITLES.get(name, name.replace("_", " ")),
        "what": file.get("what", ""),
        "command": file.get("command", ""),
        "machine": _machine(environment) if isinstance(environment, Mapping) else "",
        "tables": tables,
        "targets": [{**_target(target), "of": of} for target, of in _targets(file)],
    }


def _machine(e: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in (e.get("packages") or {}).items() if version)
    device = f", {e['gpu']}" if isinstance(e.get("gpu"), str) else ""
    parts = [str(e.get("date", "")), f"{e.get('cpu', '')}{device}, {e.get('cores', '?')} cores", f"Python {e.get('python', '')}", packages]
    return "; ".join(part for part in parts if part.strip())


def _targets(node: Any, of: str = "") -> list[tuple[Mapping[str, Any], str]]:
    """Every target in a file, wherever it stands, with the name of what it is a target of."""
    if isinstance(node, Mapping):
        own = [(t, of) for t in node.get("targets") or [] if isinstance(t, Mapping) and "measured" in t]
        return own + [t for key, value in node.items() if key != "targets" for t in _targets(value, str(key))]
    return [t for value in node for t in _targets(value, of)] if isinstance(node, list) else []


def _target(t: Mapping[str, Any]) -> dict[str, Any]:
    bound = f"≥ {t['at_least']:g}" if "at_least" in t else f"≤ {t['at_most']:g}" if "at_most" in t else ""
    return {"figure": t.get("figure", ""), "measured": _three(t["measured"]), "target": bound, "met": bool(t.get("met"))}


def _three(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else "—"


def _both(statistic: Mapping[str, float]) -> str:
    return f"{statistic['minimum']:.3g} ({statistic['median']:.3g})"


def _rate(statistic: Mapping[str, float]) -> str:
    """As _both, in whole numbers of three digits."""
    return "{:,.0f} ({:,.0f})".format(*(float(f"{statistic[key]:.3g}") for key in ("minimum", "median")))


def bar(value: float, axis: Axis, mark: float | None = None) -> Markup:
    """A bar from the axis's foot, or from ``mark`` where there is one: to the right of it more, to the left less."""
    foot = axis.start if mark is None else axis.at(mark)
    end = axis.at(value)
    parts = [
        tag("rect", x=min(foot, end), y=2.0, width=max(abs(end - foot), 1.0), height=12.0, class_="bar" if end >= foot else "bar less")
    ]
    if mark is not None:
        parts.append(tag("line", x1=foot, x2=foot, y1=0.0, y2=16.0, class_="threshold"))
    return picture(BAR, 16.0, _three(value), *parts, class_="bars")


def _bars(title: str, columns: Sequence[str], rows: Sequence[tuple[Sequence[str], float]], mark: float | None = None) -> dict[str, Any]:
    """A table whose last column draws ``value``; ratios (``mark`` 1) by their logarithm."""
    values = [value for _, value in rows if math.isfinite(value) and value > 0]
    if mark is None:
        axis = Axis(0.0, max(values, default=1.0), 2.0, BAR - 2.0)
    else:
        reach = max([*values, *(1 / v for v in values), 2.0]) * 1.05
        low = min([*values, mark]) * 0.95
        axis = Axis(low, max(reach if max(values, default=1) > 1 else 1.05, low * 1.5), 2.0, BAR - 2.0, True)
    drawn = [(list(cells), bar(value, axis, mark) if math.isfinite(value) and value > 0 else "") for cells, value in rows]
    return {"title": title, "columns": columns, "rows": drawn, "picture": None}


def _engine(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = []
    ratios = [
        ((name, label, _both(ratio)), float(ratio["minimum"]))
        for name, w in file["workloads"].items()
        for label, ratio in w["ratios"].items()
    ]
    tables.append(_bars("How many times as fast", ("network", "ratio of rates", "minimum (median)", "dashed: as fast"), ratios, 1.0))
    for name, w in file["workloads"].items():
        shape = "-".join(str(size) for size in w.get("layers", ()))
        rows = []
        for who, c in w["contestants"].items():
            if "replicate_steps_per_second" in c:
                share = w.get("share_of_sgemm_peak", {}).get(who)
                rate = c["replicate_steps_per_second"]
                rows.append(
                    ((who, str(c["processes"]), _rate(rate), "" if share is None else f"{share['minimum']:.3g}"), float(rate["minimum"]))
                )
        columns = ("contestant", "processes", "replicate-steps / s", "share of the machine's measured peak", "")
        tables.append(_bars(f"{name}: {shape}, batch {w['batch']}, R = {w['replicates']}, path {w.get('path', '')}", columns, rows))
    return tables


def _scaling(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = file["speed"]["rows"]
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(row["contestant"], []).append(
            (float(row["replicates"]), float(row["microseconds_per_replicate_step"]["minimum"]))
        )
    cells = [((row["contestant"], str(row["replicates"]), _both(row["microseconds_per_replicate_step"])), math.nan) for row in rows]
    speed = _bars("Cost of a replicate-step", ("contestant", "R", "μs / replicate-step"), cells)
    speed["picture"] = lines(series, "replicates trained together", "μs per replicate-step")
    memory = file["memory"]["rows"]
    held = {
        label: [(float(r["replicates"]), max(float(r[key]), 1.0) / 1e6) for r in memory]
        for label, key in (("measured", "measured_bytes"), ("predicted", "predicted_bytes"))
    }
    body = [((str(r["replicates"]), f"{r['measured_bytes'] / 1e6:.2f}", f"{r['predicted_bytes'] / 1e6:.2f}"), math.nan) for r in memory]
    space = _bars("Memory of a block", ("R", "measured, MB", "predicted, MB"), body)
    space["picture"] = lines({k: [(x, y) for x, y in v if y > 0.05] for k, v in held.items()}, "replicates trained together", "MB")
    return [speed, space]


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> Markup:
    """Points joined by lines over logarithmic axes."""
    x = axis_over([a for points in series.values() for a, _ in points], 60.0, 500.0, log=True)
    y = axis_over([b for points in series.values() for _, b in points], 250.0, 34.0, log=True)
    parts = frame(x, y, f"{x_label}, logarithmic", f"{y_label}, logarithmic")
    for index, (name, points) in enumerate(series.items()):
        at = [f"{x.at(a):.1f} {y.at(b):.1f}" for a, b in points]
        if not at:
            continue
        last_x, last_y = x.at(points[-1][0]), y.at(points[-1][1])
        parts.append(
            tag(
                "g",
                tag("path", d="M" + "L".join(at), class_="line"),
                tag("path", d="".join(f"M{pair}h0" for pair in at), class_="dots"),
                tag(
                    "text",
                    name,
                    x=last_x - 4 if last_x > 300 else last_x + 10,
                    y=last_y + (16 if index % 2 else -8),
                    text_anchor="end" if last_x > 300 else "start",
                ),
                class_=f"c{index} d{index}",
            )
        )
    words = f"{y_label} against {x_label}: " + "; ".join(
        f"{name} from {short(points[0][1])} to {short(points[-1][1])}" for name, points in series.items() if points
    )
    return picture(520.0, 290.0, words, *parts, class_="plot")


def _observation(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for tier, row in file["tiers"].items():
        seconds, share = row["seconds"], row["share_of_training"]
        cells = (tier, *(f"{seconds[clock]:.3g} ({share[clock]:.2f})" for clock in ("training", "probes", "evaluation")))
        rows.append((cells, float(share["probes"])))
    columns = ("probes", "training, s (share)", "probes, s (share)", "evaluation, s (share)", "probes as a share of training")
    return [_bars("By tier of probes", columns, rows)]


def _study(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    commands = [((name, _both(seconds)), float(seconds["minimum"])) for name, seconds in file["seconds"].items()]
    parts = [((name, f"{value:.3g}", f"{file['parts_share'][name]:.2f}"), float(value)) for name, value in file["parts_seconds"].items()]
    per_run = [((name, f"{value:.3g}"), float(value)) for name, value in file["seconds_per_seed_run"].items()]
    return [
        _bars("Whole commands", ("command", "seconds, minimum (median)", ""), commands),
        _bars("Where the time of a study goes", ("part", "seconds", "share", ""), parts),
        _bars("For one seed-run", ("", "seconds", ""), per_run),
    ]


def _parts(file: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [((name, f"{1e3 * s['minimum']:.3g} ({1e3 * s['median']:.3g})"), float(s["minimum"])) for name, s in file["seconds"].items()]
    return [_bars("", ("part", "milliseconds, minimum (median)", ""), rows)]


_TABLES = {"engine": _engine, "scaling": _scaling, "observation": _observation, "study": _study, "parts": _parts}
