"""The small drawings: marks lie where the numbers say, on every kind of rule, and words tell the same."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.report.rows import boundary
from suite.report.strips import Mark, domain, strip
from suite.report.svg import Axis, axis_over, round_values, tag


def drawn(mark: Mark, width: float = 200.0) -> dict[str, list[ET.Element]]:
    found: dict[str, list[ET.Element]] = {}
    for element in ET.fromstring(str(strip(mark, width))).iter():
        found.setdefault(element.get("class", ""), []).append(element)
    return found


def number_at(x: float, mark: Mark, width: float = 200.0) -> float:
    """The value at a pixel, by the rule of three."""
    low, high = domain(mark)
    return low + (x - 6) / (width - 12) * (high - low)


@pytest.mark.parametrize("direction", ["greater", "less"])
def test_interval_estimate_and_threshold_lie_where_their_numbers_say(direction):
    mark = Mark("mean", direction, 0.1, 0.0, 0.5, 0.4, 0.7, "supported")
    parts = drawn(mark)
    (span,), (dot,), (threshold,), (aim,) = parts["span"], parts["dot"], parts["threshold"], parts["aim"]
    unit = (domain(mark)[1] - domain(mark)[0]) / 188 * 0.06  # coordinates are rounded to a tenth of a pixel
    assert number_at(float(span.get("x1")), mark) == pytest.approx(0.4, abs=unit)
    assert number_at(float(span.get("x2")), mark) == pytest.approx(0.7, abs=unit)
    assert number_at(float(dot.get("cx")), mark) == pytest.approx(0.5, abs=unit)
    assert number_at(float(threshold.get("x1")), mark) == pytest.approx(0.1, abs=unit)
    left, right = float(aim.get("x")), float(aim.get("x")) + float(aim.get("width"))
    assert (left if direction == "greater" else right) == pytest.approx(float(threshold.get("x1")), abs=0.11)
    assert (right if direction == "greater" else left) == (194.0 if direction == "greater" else 6.0)


def test_equality_is_a_region_around_its_value():
    mark = Mark("mean", "equal", 1.0, 0.01, 0.999, 0.998, 1.0, "supported", reference=1.0)
    parts = drawn(mark)
    edges = sorted(number_at(float(line.get("x1")), mark) for line in parts["threshold"])
    np.testing.assert_allclose(edges, [0.99, 1.01], atol=2e-5)
    assert len(parts["reference"]) == 1
    assert "supported within 0.99 to 1.01" in mark.words()


@pytest.mark.parametrize(("verdict", "shape"), [("supported", "dot"), ("refuted", "cross"), ("inconclusive", "open")])
def test_the_shape_alone_tells_the_verdict(verdict, shape):
    parts = drawn(Mark("mean", "greater", 0.1, 0.0, 0.5, 0.4, 0.6, verdict))
    assert {name for name in ("dot", "cross", "open") if name in parts} == {shape}


def test_what_has_no_number_is_not_drawn():
    parts = drawn(Mark("mean", "greater", 0.1, 0.0, math.nan, math.nan, math.nan, "inconclusive"))
    assert not {"span", "dot", "cross", "open"} & set(parts)
    assert "threshold" in parts


def test_a_statement_about_every_replicate_is_held_against_one():
    mark = Mark("exact", "greater", 0.0, 0.0, 0.75, 0.6, 0.85, "refuted")
    assert domain(mark) == (0.0, 1.0)
    (threshold,) = drawn(mark)["threshold"]
    assert float(threshold.get("x1")) == 194.0


finite = st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-6)


@given(finite, finite, st.sampled_from(["greater", "less", "equal"]))
def test_everything_drawn_lies_inside_the_picture(value, estimate, direction):
    low, high = sorted((estimate - abs(estimate) / 3, estimate + abs(estimate) / 7))
    mark = Mark("mean", direction, value, abs(value) / 10, estimate, low, high, "inconclusive")
    for element in ET.fromstring(str(strip(mark, 200.0))).iter():
        for key in ("x", "x1", "x2", "cx"):
            if element.get(key) is not None:
                assert 0 <= float(element.get(key)) <= 200


@given(st.floats(-1e5, 1e5), st.floats(1e-4, 1e5))
def test_ticks_are_round_and_within(low, width):
    ticks = round_values(low, low + width)
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)
    steps = np.diff(ticks)
    if len(steps):
        assert f"{steps[0]:.3g}".lstrip("0.").rstrip("0.")[0] in "125"


def test_a_wide_range_above_zero_is_drawn_by_its_logarithm():
    axis = axis_over([1e-6, 1.0], 0.0, 100.0)
    assert axis.log
    assert axis.at(1e-3) == pytest.approx(50.0, abs=1e-6)
    assert not axis_over([0.0, 1.0], 0.0, 100.0).log
    assert Axis(0.0, 1.0, 0.0, 10.0).at(0.5) == 5.0


def test_text_is_escaped_in_elements_and_attributes():
    assert tag("text", "<b>", title='"&') == '<text title="&#34;&amp;">&lt;b&gt;</text>'


def test_the_boundary_names_the_exceptions():
    def statements(held, rest):
        return [{"name": f"h_{k}", "verdict": "supported"} for k in range(held)] + [
            {"name": f"r_{k}", "verdict": "refuted"} for k in range(rest)
        ]

    assert boundary([]) == ""
    assert boundary(statements(2, 0)) == "2 of 2 hold"
    assert boundary(statements(3, 1)) == "3 of 4 hold; not r 0"
    assert boundary(statements(1, 4)) == "1 of 5 hold; only h 0"
    assert boundary(statements(5, 3)) == "5 of 8 hold; not r 0, r 1 and 1 more"
