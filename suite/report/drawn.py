"""Everything that a study's page draws, in the order in which it is shown, and the files of the same pictures. Decides nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from suite.report import evidence, words
from suite.report.curves import charts
from suite.report.dead_start import coasting, dead_start
from suite.report.labels import name_and_unit
from suite.report.single_units import STATES, unit_pictures
from suite.report.standalone import standalone
from suite.report.styles import AT_FIRST, class_of, drawing_order, told
from suite.report.units import heat_maps, layer_maps, predictions
from suite.vocabulary import Study


def drawn(study: Study, files: Sequence[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the page draws, beyond the facts that the Markdown has too; and those pictures as SVG files that have none in ``files``."""
    order = drawing_order(study)
    shown, numbers = charts(study, order)
    series = {name for found in numbers.values() for name in found["series"]}
    # in the plan's order: a condition read back from its record has its factors in another
    keys = study.plan.factors
    factors = {
        c.name: ", ".join(f"{key} = {c.factors[key]}" for key in keys if c.factors.get(key) is not None) for c in study.plan.conditions
    }
    tests, more = [], {}
    for v in told(study):
        picture, caption = evidence.figure_of_test(study, v, order)
        h = v.hypothesis
        name = file_name(f"hypothesis_{h.name}")
        more[name] = standalone(picture)
        tests.append(
            {
                "file": name,
                "claim": h.claim,
                "statement": h.statement,
                "verdict": v.verdict,
                "symbol": words.SYMBOLS[v.verdict],
                "picture": picture,
                "caption": caption,
            }
        )
    first = {name: class_of(k) for k, name in enumerate(order[:AT_FIRST]) if name in series}
    more |= {file_name(item["metric"]): standalone(item["picture"], first) for item in shown if item["metric"] not in files}
    scatters = predictions(study, order)
    more |= {file_name(f"predicted_{item['measured']}"): standalone(item["picture"], dict(item["conditions"])) for item in scatters}
    unit_courses, coasts, around = unit_pictures(study, order), coasting(study, order), dead_start(study, order)
    for item in unit_courses:
        more[file_name(f"units_{item['name']}")] = standalone(item["raster"], STATES, patches=True)
        if item["spread"] is not None:
            more[file_name(f"pre_activations_{item['name']}")] = standalone(item["spread"])
    if coasts:
        more |= {file_name(f"coasting_{item['name']}"): standalone(item["picture"]) for item in coasts["shown"]}
        coasts["shown"] = [{**item, "file": file_name(f"coasting_{item['name']}")} for item in coasts["shown"]]
    if around:
        more["dead_start"] = standalone(around["picture"], dict(around["conditions"]))
    page = {
        "charts": [
            {
                **item,
                "file": file_name(item["metric"]),
                "static": item["metric"] in files,
                "caption": f"{name_and_unit(item['metric'])[0].capitalize()}.",
            }
            for item in shown
        ],
        "numbers": Markup(json.dumps(numbers, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")),
        "legend": [
            {"name": name, "style": class_of(k), "shown": k < AT_FIRST, "factors": factors[name]}
            for k, name in enumerate(order)
            if name in series
        ],
        "tests": tests,
        "units": [
            {**item, "files": {kind: file_name(f"{kind}_{item['name']}") for kind in ("units", "pre_activations")}} for item in unit_courses
        ],
        "coasting": coasts,
        "dead_start": around,
        "maps": heat_maps(study, order),
        "layers": layer_maps(study, order),
        "scatters": [
            {**item, "worst": words.number(item["worst"]), "file": file_name(f"predicted_{item['measured']}")} for item in scatters
        ],
    }
    return page, more


def file_name(name: str) -> str:
    """A name from a scenario as part of a path: it may not lead out of the folder."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
