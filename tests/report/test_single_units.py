"""Pictures of single units: every cell is drawn once in its state, quantiles and closed forms lie where their numbers say."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from report.unit_study import FOLLOWED, PATTERN, SHIFTS, unit_study

from suite.report.dead_start import coasting, dead_start
from suite.report.page import render
from suite.report.single_units import LEFT, WIDTH, levels, raster, sorted_units, unit_pictures
from suite.report.styles import drawing_order

STUDY = unit_study()
ORDER = drawing_order(STUDY)


def reading(picture: str) -> tuple[list[float], list[str]]:
    svg = ET.fromstring(picture)
    return [float(x) for x in svg.get("data-at").split()], svg.get("data-says").split("|")


def test_a_unit_is_back_only_after_it_was_dead():
    level = levels(PATTERN)
    assert level.T.tolist() == [[0, 0, 0], [1, 1, 1], [0, 1, 1], [1, 2, 2], [1, 1, 1]]
    # dead longest first; among equals the earlier dead
    assert sorted_units(level).T.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1], [1, 2, 2], [0, 0, 0]]
    ended = PATTERN.copy()
    ended[1:] = np.nan
    assert (levels(ended)[1:] == 3).all()


def test_every_cell_of_a_raster_is_drawn_once_in_its_state():
    trace = STUDY.traces["heavy"]
    svg = ET.fromstring(str(raster("heavy", trace, ["layer1"])))
    groups = [g for g in svg.iter("g") if g.get("class") == "raster"]
    assert len(groups) == FOLLOWED
    for replicate, group in enumerate(groups):
        cells = {}
        for path in group.iter("path"):
            for x, y, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path.get("d")):
                for column in range(int(x), int(x) + int(length)):
                    assert (column, int(y)) not in cells
                    cells[column, int(y)] = path.get("class")
        expected = sorted_units(levels(trace.units["state.layer1"])[replicate])
        words = np.array(["alive", "dead", "back", "gone"])[expected]
        assert cells == {(column, row): words[column, row] for column in range(3) for row in range(5)}
        assert f"replicate {replicate}, layer1" in group.find("title").text
    assert "4 of 5 units dead at some time, 3 at the end, 1 came back" in groups[0].find("title").text


def test_of_very_many_units_evenly_chosen_ones_are_drawn():
    state = np.ones((1, 3, 4000))
    state[:, :, :1000] = 0  # a quarter
    study = replace(STUDY.traces["heavy"], units={"state.layer1": state})
    svg = ET.fromstring(str(raster("heavy", study, ["layer1"])))
    paths = {path.get("class"): path.get("d").count("M") for path in svg.iter("path")}
    assert paths["dead"] + paths["alive"] == 512
    assert paths["dead"] == pytest.approx(128, abs=1)
    assert float(svg.get("viewBox").split()[3]) < 500
    assert "1000 of 4000 units dead at some time" in next(svg.iter("g")).find("title").text


def test_what_is_read_off_a_raster_are_the_counts():
    at, says = reading(str(raster("plain", STUDY.traces["plain"], ["layer1", "layer2"])))
    assert says[0] == "step 0; 24 dead; of 40 units"
    assert says[2] == "step 20; 24 dead; 8 came back; of 40 units"
    np.testing.assert_allclose(np.diff(at), WIDTH / 3, atol=0.1)
    assert LEFT < at[0] < at[-1] < LEFT + WIDTH


def test_the_spread_is_the_median_over_replicates():
    plain = next(item for item in unit_pictures(STUDY, ORDER) if item["name"] == "plain")
    _, says = reading(str(plain["spread"]))
    assert says[2] == "step 20; " + "; ".join(f"layer{k}: median -2, quartiles [-3, -1], largest 1" for k in (1, 2))
    svg = ET.fromstring(str(plain["spread"]))
    tops = [path for path in svg.iter("path") if path.get("class") == "top"]
    zeros = [float(line.get("y1")) for line in svg.iter("line") if line.get("class") == "threshold"]
    assert len(tops) == len(zeros) == 2
    for path, zero in zip(tops, zeros, strict=True):
        heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path.get("d"))]
        # the largest goes 4, 3, 1: down towards zero, by even amounts per unit
        assert heights[0] < heights[1] < heights[2] < zero
        assert (heights[2] - heights[1]) == pytest.approx(2 * (heights[1] - heights[0]), abs=0.3)
        assert (zero - heights[2]) == pytest.approx(heights[1] - heights[0], abs=0.3)


def test_conditions_that_change_come_first_and_nothing_is_made_of_nothing():
    still = {name: np.zeros_like(course) if name.startswith("state") else course for name, course in STUDY.traces["plain"].units.items()}
    study = replace(STUDY, traces={**STUDY.traces, "plain": replace(STUDY.traces["plain"], units=still)})
    assert [item["name"] for item in unit_pictures(study, ["plain", "heavy"])] == ["heavy", "plain"]
    alive = {name: np.ones_like(course) if name.startswith("state") else course for name, course in STUDY.traces["plain"].units.items()}
    study = replace(STUDY, traces={**STUDY.traces, "plain": replace(STUDY.traces["plain"], units=alive)})
    assert [item["name"] for item in unit_pictures(study, ["plain", "heavy"])] == ["heavy"]
    bare = replace(STUDY, traces={name: replace(trace, units={}) for name, trace in STUDY.traces.items()})
    assert unit_pictures(bare, ORDER) == []
    assert coasting(bare, ORDER) is None


def test_coasting_lies_beside_its_closed_form():
    found = coasting(STUDY, ORDER)
    assert [item["name"] for item in found["shown"]] == ["plain"]
    assert found["still"] == 1  # heavy never moved, as predicted
    assert found["worst"] == "6.3 %"  # 0.05 of 0.8
    (item,) = found["shown"]
    _, says = reading(str(item["picture"]))
    assert says[2] == "step 20; measured 0.75 [0.75, 0.75]; closed form 0.8"
    svg = ET.fromstring(str(item["picture"]))
    line = next(path.get("d") for path in svg.iter("path") if path.get("class") == "theory")
    dots = next(path.get("d") for path in svg.iter("path") if path.get("class") == "dots")
    predicted, measured = (np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", d), dtype=float) for d in (line, dots))
    np.testing.assert_allclose(predicted[:2], measured[:2])
    unit = (measured[0, 1] - measured[1, 1]) / 0.5  # pixels per weight unit
    assert (measured[2, 1] - predicted[2, 1]) / unit == pytest.approx(0.05, abs=0.002)


def test_the_loss_around_a_dead_start_has_its_threshold_where_the_closed_form_says():
    found = dead_start(STUDY, ORDER)
    assert [name for name, _ in found["conditions"]] == ["plain"]
    at, says = reading(str(found["picture"]))
    assert says[0] == "shift -0.5; plain 2 [2, 2]"
    assert says[-1] == "shift 1.5; plain 2.5 [2.5, 2.5]"
    svg = ET.fromstring(str(found["picture"]))
    (threshold,) = [line for line in svg.iter("line") if line.get("class") == "threshold"]
    assert float(threshold.get("x1")) == pytest.approx(at[SHIFTS.index(1.0)], abs=0.1)
    line = next(path.get("d") for path in svg.iter("path") if path.get("class") == "line")
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line)]
    assert heights[0] == heights[1] == heights[2] == heights[3] > heights[4]


def test_the_page_shows_them_and_links_whole_files():
    files = render(STUDY)
    page = files["report.html"].decode()
    linked = set(re.findall(r'href="(figures/[^"]+)"', page))
    mine = {
        *(f"figures/{kind}_{name}.svg" for kind in ("units", "pre_activations") for name in ("plain", "heavy")),
        "figures/coasting_plain.svg",
        "figures/dead_start.svg",
    }
    assert mine <= linked <= set(files)
    for name in mine:
        root = ET.fromstring(files[name])
        assert float(root.get("height")) > 50
        assert b"var(" not in files[name]
        assert b"data-" not in files[name]
        assert root.get("aria-label")
    assert b">plain</text>" in files["figures/dead_start.svg"]
    assert "units.parquet" in page
    assert render(unit_study()) == files
    assert (
        "Single units"
        not in render(replace(STUDY, traces={n: replace(t, units={}, finals={}) for n, t in STUDY.traces.items()}))["report.html"].decode()
    )


def test_names_cannot_break_out_of_a_picture():
    hostile = '"><script>|alert(1)</script>'
    plan = replace(STUDY.plan, conditions=(replace(STUDY.plan.conditions[0], name=hostile), STUDY.plan.conditions[1]))
    study = replace(STUDY, plan=plan, traces={hostile: STUDY.traces["plain"], "heavy": STUDY.traces["heavy"]})
    page = render(study)["report.html"].decode()
    assert page.count("<script") == 3
    _, says = reading(str(dead_start(study, [hostile, "heavy"])["picture"]))
    assert len(says) == len(SHIFTS)
