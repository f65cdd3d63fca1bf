"""The parts of a study's page: curves hold the percentiles, dots the replicates, margins the distances that anyone can work out."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from study_example import hypothesis, make_study

from suite.inference import decide
from suite.report.curves import POINTS, chart, charted
from suite.report.evidence import figure_of_test
from suite.report.margins import gap, margin_rows, replicates_needed, weakest_control
from suite.report.page import render
from suite.report.strips import Mark, domain
from suite.report.styles import class_of, drawing_order, settling, told
from suite.report.units import heat_map, layer_maps, predictions
from suite.vocabulary import Event, Reference, Verdict, Versus

STUDY = make_study()
ORDER = drawing_order(STUDY)


def decided(name: str) -> Verdict:
    return next(v for v in STUDY.outcome.verdicts if v.hypothesis.name == name)


def verdict(word, estimate, low, high, note="hull", n=64, **changes) -> Verdict:
    return Verdict(hypothesis("h", "treatment", **changes), word, estimate, low, high, 0.95, n, 0, note)


def test_a_chart_carries_the_percentiles_over_replicates():
    picture, numbers = chart(STUDY, "dead_fraction", ORDER)
    for name, trace in STUDY.traces.items():
        steps, middle, low, high = numbers["series"][name]
        assert steps == trace.steps.tolist()
        for found, q in ((middle, 50), (low, 10), (high, 90)):
            np.testing.assert_allclose(found, np.nanpercentile(trace.curves["dead_fraction"], q, axis=0), rtol=1e-3)
    assert picture.count('class="line"') == 2
    assert "dead units (share of hidden units)" in picture
    assert "training step" in picture


def test_a_curve_lies_where_its_numbers_say():
    picture, numbers = chart(STUDY, "dead_fraction", ORDER)
    left, right, bottom, top = numbers["box"]
    path = re.search(r'class="series [^"]*" data-series="plain">|data-series="plain"', picture)
    line = re.search(r'<path d="M([^"Z]+)" class="line">', picture[path.start() :]).group(1)
    pixels = [tuple(map(float, pair.split())) for pair in line.split("L")]
    expected = np.percentile(STUDY.traces["plain"].curves["dead_fraction"], 50, axis=0)  # the axis of a share runs from 0 to 1
    for (x, y), step, value in zip(pixels, STUDY.traces["plain"].steps, expected, strict=True):
        assert x == pytest.approx(left + step / 20 * (right - left), abs=0.06)
        assert y == pytest.approx(bottom + value * (top - bottom), abs=0.06)


def test_long_curves_are_thinned_and_keep_their_ends():
    trace = STUDY.traces["plain"]
    steps = np.arange(500)
    long = replace(trace, steps=steps, curves={"dead_fraction": np.tile(steps / 1000, (8, 1))})
    study = replace(STUDY, traces={"plain": long, "heavy": STUDY.traces["heavy"]})
    found = chart(study, "dead_fraction", ORDER)[1]["series"]["plain"][0]
    assert len(found) == POINTS
    assert (found[0], found[-1]) == (0, 499)


def test_metrics_without_a_course_get_no_chart():
    assert charted(STUDY, ORDER) == ["dead_fraction", "train_loss"]


def test_what_settles_the_claim_is_drawn_first():
    assert [v.hypothesis.name for v in settling(STUDY)] == ["effect"]
    assert [v.hypothesis.name for v in told(STUDY)] == ["effect"]
    assert ORDER == ["heavy", "plain"]
    assert len({class_of(k) for k in range(32)}) == 32


def test_the_figure_of_a_paired_test_shows_each_replicate_and_each_difference():
    picture, caption = figure_of_test(STUDY, decided("effect"), ORDER)
    dots = [d.count("M") for d in re.findall(r'd="([^"]*)" class="dots"', picture)]
    assert dots == [7, 8, 7]  # treatment without the diverged one, contrast, pairs
    assert "1 diverged" in caption
    assert "mean and interval" in picture
    crossed = replace(decided("effect").hypothesis, versus=Versus({"condition": "plain"}, {"condition": "plain"}))
    assert 'class="dots"' in figure_of_test(STUDY, replace(decided("effect"), hypothesis=crossed), ORDER)[0]


def test_counterexamples_are_crosses():
    h = replace(decided("never").hypothesis, event=Event(">", float(np.nanmedian(STUDY.traces["heavy"].finals["dead_fraction"]))))
    (v,) = decide([h], STUDY.plan.conditions, STUDY.traces, 0.9, 0).verdicts
    picture, _ = figure_of_test(STUDY, v, ORDER)
    held = int((STUDY.traces["heavy"].finals["dead_fraction"] > h.event.value).sum())
    (dots,) = re.findall(r'd="([^"]*)" class="dots"', picture)
    (crosses,) = re.findall(r'd="([^"]*)" class="cross"', picture)
    assert dots.count("h0") == held
    assert crosses.count("M") == 7 - held
    assert f"({held} of 8)" in picture


@pytest.mark.parametrize(
    ("v", "distance", "n"),
    [
        # [0.3, 0.5] against > 0.1: 0.2 beyond it, two smallest effects; half-width 0.1 of a distance 0.3: a ninth of the replicates
        (verdict("supported", 0.4, 0.3, 0.5, value=0.1), 2.0, 64 / 9),
        (verdict("refuted", 0.0, -0.05, 0.05, value=0.1), 0.5, 64 / 4),
        # reaches 0.05 over the threshold; half-width 0.1 of a distance 0.05: four times the replicates
        (verdict("inconclusive", 0.15, 0.05, 0.25, value=0.1), -0.5, 64 * 4),
        (verdict("supported", -0.4, -0.5, -0.3, value=-0.1, direction="less"), 2.0, 64 / 9),
        (verdict("inconclusive", 0.05, -0.05, 0.15, value=0.1, direction="less"), -0.5, 64 * 4),
        (verdict("supported", 1.0, 0.9, 1.1, value=1.0, margin=0.2, direction="equal"), 0.5, 64 / 4),
        (verdict("inconclusive", 1.1, 0.9, 1.3, value=1.0, margin=0.2, direction="equal"), -0.5, 64 * 4),
        (verdict("refuted", 2.0, 1.9, 2.1, value=1.0, margin=0.2, direction="equal"), 3.5, 64 * (0.1 / 0.8) ** 2),
        (verdict("supported", 0.4, 0.3, 0.5, value=0.0), None, 64 / 16),
        (verdict("supported", 0.0, 0.0, 0.056, value=0.1, direction="less", note="all 64 values are identical"), 0.44, None),
        (verdict("inconclusive", math.nan, math.nan, math.nan, value=0.1), None, None),
    ],
)
def test_margins_are_what_anyone_can_work_out(v, distance, n):
    assert gap(v) == (None if distance is None else pytest.approx(distance))
    assert replicates_needed(v) == (None if n is None else pytest.approx(n))


@pytest.mark.parametrize(
    ("v", "distance", "n"),
    [
        # a ratio lives on its logarithm: [4, 16] around 8 against > 2: one doubling beyond it, the smallest effect is one doubling;
        # the half-width is one doubling of a distance of two
        (verdict("supported", 8.0, 4.0, 16.0, test="ratio", value=2.0, contrast={}), 1.0, 64 / 4),
        (verdict("refuted", 0.5, 0.25, 1.0, test="ratio", value=2.0, contrast={}), 1.0, 64 / 4),
        (verdict("inconclusive", 2 * 2**0.5, 2**0.5, 4 * 2**0.5, test="ratio", value=2.0, contrast={}), -0.5, 64 * 4),
        (verdict("supported", 0.25, 0.125, 0.5, test="ratio", value=1.0, direction="less", contrast={}), None, 64 / 4),
    ],
)
def test_margins_of_a_ratio_go_by_its_logarithm(v, distance, n):
    assert gap(v) == (None if distance is None else pytest.approx(distance))
    assert replicates_needed(v) == pytest.approx(n)


def test_a_ratio_is_drawn_as_one():
    h = replace(decided("effect").hypothesis, test="ratio", value=1.5)
    (v,) = decide([h], STUDY.plan.conditions, STUDY.traces, 0.9, 0).verdicts
    picture, _ = figure_of_test(STUDY, v, ORDER)
    pairs = STUDY.traces["heavy"].finals["dead_fraction"] / STUDY.traces["plain"].finals["dead_fraction"]
    assert "paired ratio" in picture
    dots = re.findall(r'd="([^"]*)" class="dots"', picture)[-1]
    x = [float(text.split()[0]) for text in dots.removeprefix("M").split("M")]
    order = np.argsort(pairs[np.isfinite(pairs)])
    assert np.all(np.diff(np.array(x)[order]) >= -0.11)
    assert len(x) == 7
    assert "geometric mean, interval" in picture
    low, high = domain(Mark.of(v))
    assert low < 1 < high  # no effect


def test_margins_agree_with_the_decision():
    """A positive distance where the verdict is decided, a negative one where it is open; enough replicates exactly where decided."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        estimate, half, value = rng.normal(size=3)
        low, high = estimate - abs(half), estimate + abs(half)
        direction = rng.choice(["greater", "less", "equal"])
        margin = abs(value) / 2 if direction == "equal" else 0.0
        first, last = {"greater": (value, math.inf), "less": (-math.inf, value), "equal": (value - margin, value + margin)}[direction]
        word = "supported" if first < low and high < last else "refuted" if low > last or high < first else "inconclusive"
        v = verdict(word, estimate, low, high, value=value, margin=margin, direction=direction)
        assert (gap(v) > 0) == (word != "inconclusive")
        assert (replicates_needed(v) < v.n) == (word != "inconclusive")


def test_the_control_nearest_to_failing_is_named():
    rows = {row["name"]: row["distance"] for row in margin_rows(STUDY.outcome) if row["control"]}
    assert set(rows) == {"seen", "unseen"}
    assert weakest_control(STUDY.outcome)["name"] == min(rows, key=rows.get)
    assert "One replicate of 7" not in next(row for row in margin_rows(STUDY.outcome) if row["name"] == "never")["words"]
    assert "It holds in 0 of 7 replicates" in next(row for row in margin_rows(STUDY.outcome) if row["name"] == "never")["words"]


def test_a_heat_map_covers_each_cell_once():
    values = np.array([[0.0, 0.5, 1.0], [1.0, 1.0, np.nan]])
    picture = heat_map("c", values, np.array([0, 1, 2]))
    area = {}
    for d, shade in re.findall(r'<path d="([^"]*)" class="([^"]*)"', picture):
        area[shade] = sum(float(w) for w in re.findall(r"h([\d.]+)v", d)) / 80.0  # a cell is 240 / 3 wide
    assert area == {"shade s4": 1.0, "full": 3.0, "gone": 1.0}


def test_layers_are_drawn_with_their_means():
    trace = STUDY.traces["plain"]
    steps = np.arange(4)
    curves = {f"dead_fraction.layer{k}": np.full((8, 4), k / 10) for k in (1, 2, 10)}
    curves["dead_fraction.layer1"][:4] = 0.5  # mean 0.3
    study = replace(STUDY, traces={"plain": replace(trace, steps=steps, curves=curves), "heavy": STUDY.traces["heavy"]})
    (found,) = layer_maps(study, ORDER)
    assert found["name"] == "plain"
    paths = re.findall(r'<path d="([^"]*)" class="([^"]*)"', found["picture"])
    tops = {shade: float(re.match(r"M[\d.]+ ([\d.]+)h", d).group(1)) for d, shade in paths}
    # 0.3 and 0.2 in eighths, rounded up; layer 10 is all dead, and last
    assert sorted(tops, key=tops.get) == ["shade s3", "shade s2", "full"]
    assert layer_maps(STUDY, ORDER) == []


def test_predictions_are_drawn_where_both_are_measured():
    assert predictions(STUDY, ORDER) == []
    heavy = STUDY.traces["heavy"]
    finals = {**heavy.finals, "coast_predicted": np.arange(8.0), "coast_distance": np.arange(8.0) + 0.25}
    (found,) = predictions(replace(STUDY, traces={**STUDY.traces, "heavy": replace(heavy, finals=finals)}), ORDER)
    assert found["worst"] == 0.25
    assert found["picture"].count("h0") == 8
    assert [name for name, _ in found["conditions"]] == ["heavy"]


def test_the_numbers_in_the_page_are_those_of_the_charts():
    page = render(STUDY)["report.html"].decode()
    numbers = json.loads(re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.S).group(1))
    assert numbers["dead_fraction"] == json.loads(json.dumps(chart(STUDY, "dead_fraction", ORDER)[1]))
    name = "</script><script>alert(1)</script>"
    plan = replace(STUDY.plan, conditions=(replace(STUDY.plan.conditions[0], name=name), STUDY.plan.conditions[1]))
    page = render(replace(STUDY, plan=plan, traces={name: STUDY.traces["plain"], "heavy": STUDY.traces["heavy"]}))["report.html"].decode()
    assert page.count("<script") == page.count("</script>") == 2
    assert name in json.loads(re.search(r'id="numbers">(.*?)</script>', page, re.S).group(1))["dead_fraction"]["series"]


def test_agreement_with_a_prediction_is_said():
    page = " ".join(render(STUDY)["report.html"].decode().split())
    v = decided("closed")
    covered = v.low <= 0.5 <= v.high
    assert f"the interval {'covers' if covered else 'does not cover'} it: off by" in page
    assert "the whole interval lies in the agreed 0.3 to 0.7" in page


def test_a_prediction_of_an_exact_statement_is_not_compared_with_a_share_of_replicates():
    """Its estimate is the share of replicates in which the rule holds, its prediction a value of the metric."""
    h = replace(decided("never").hypothesis, event=Event(">", 0.0), reference=Reference(0.0, "theory"), role="treatment")
    (v,) = decide([h], STUDY.plan.conditions, STUDY.traces, 0.9, 0).verdicts
    assert math.isnan(Mark.of(v).reference)
    outcome = replace(STUDY.outcome, verdicts=(*STUDY.outcome.verdicts[:1], v, *STUDY.outcome.verdicts[2:]))
    page = " ".join(render(replace(STUDY, outcome=outcome))["report.html"].decode().split())
    assert "0<br>&gt; 0 in 7 of 7" in page
    assert "every replicate meets the rule" in page


def test_every_figure_that_a_page_links_lies_beside_it_and_is_whole():
    heavy = STUDY.traces["heavy"]
    finals = {**heavy.finals, "coast_predicted": np.arange(8.0), "coast_distance": np.arange(8.0) + 0.25}
    curves = {**heavy.curves, "moved_norm.layer1": np.cumsum(np.ones((8, 3)), axis=1)}
    moved = replace(decided("never"), hypothesis=replace(decided("never").hypothesis, metric="moved_norm.layer1"))
    outcome = replace(STUDY.outcome, verdicts=tuple(moved if v.hypothesis.name == "never" else v for v in STUDY.outcome.verdicts))
    traces = {**STUDY.traces, "heavy": replace(heavy, finals=finals, curves=curves)}
    files = render(replace(STUDY, outcome=outcome, traces=traces))
    linked = set(re.findall(r'href="(figures/[^"]+)"', files["report.html"].decode()))
    assert {
        "figures/hypothesis_effect.svg",
        "figures/moved_norm.layer1.svg",
        "figures/predicted_coast_distance.svg",
        "figures/dead_fraction.png",
    } <= linked
    assert linked <= set(files)
    for name in linked:
        if name.endswith(".svg") and not name.endswith(("dead_fraction.svg", "train_loss.svg", "verdicts.svg")):
            root = ET.fromstring(files[name])
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert float(root.get("height")) > 50
            assert b"var(" not in files[name]  # programs other than browsers read it too
    assert b">heavy</text>" in files["figures/moved_norm.layer1.svg"]  # the key


def test_a_name_cannot_lead_out_of_the_folder():
    evil = replace(decided("effect"), hypothesis=replace(decided("effect").hypothesis, name="../../../evil name"))
    outcome = replace(STUDY.outcome, verdicts=tuple(evil if v.hypothesis.name == "effect" else v for v in STUDY.outcome.verdicts))
    files = render(replace(STUDY, outcome=outcome))
    assert "figures/hypothesis_.._.._.._evil_name.svg" in files
    assert not any(".." in part for name in files for part in name.split("/") if part == "..")


def test_an_exponent_of_a_clock_is_told_in_words_and_blocks():
    sizes = {"plain": 10.0, "heavy": 100.0}
    traces = {}
    for name, trace in STUDY.traces.items():
        seconds = np.repeat([1.0, 1.1, 0.9, 1.05], 2) * 1e-3 * sizes[name] ** 2
        finals = {**trace.finals, "time.step_seconds": seconds, "parameters": np.full(8, sizes[name])}
        traces[name] = replace(trace, finals=finals, diverged_at=np.full(8, -1))
    h = hypothesis("grows", "treatment", test="exponent", metric="time.step_seconds", over="parameters", treatment={}, value=1.5)
    best = hypothesis("best", "treatment", "boundary", metric="time.step_seconds", treatment={}, best="least", direction="less", value=1.0)
    found = decide([h, best], STUDY.plan.conditions, traces, 0.9, 0, block_size=2).verdicts
    study = replace(STUDY, traces=traces, outcome=replace(STUDY.outcome, verdicts=(*found, *STUDY.outcome.verdicts[3:])))
    page = " ".join(render(study)["report.html"].decode().split())
    assert found[0].estimate == pytest.approx(2.0)
    assert "the estimate 2 is the slope of its logarithm over that of parameters" in page
    assert "replicates of a block share a clock and so a value" in page
    assert "step seconds (seconds)" in page
    # a slope has no place on an axis of seconds
    assert "mean and interval" not in figure_of_test(study, found[0], ["plain", "heavy"])[0]
    assert "mean and interval" in figure_of_test(study, found[1], ["plain", "heavy"])[0]
    assert {row["name"]: row["replicates"] for row in margin_rows(study.outcome)}["best"].endswith("blocks")
