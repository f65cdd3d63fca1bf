"""Late phases of the map w ← w + lr·w·(1 - w²), whose course is known, run through the probe in several number formats."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_units import LAYOUT, evaluation

from suite.probes.late import Late, zero_one_test
from suite.probes.views import Stretch

STEPS, WINDOW = 6000, 1000
KINDS = ("late_static", "late_periodic", "late_drifting", "late_regular", "late_chaotic")


def course(values: torch.Tensor, advance, loss, steps=STEPS, window=WINDOW) -> dict[str, list[float]]:
    """The probe's verdict on ``values`` [replicate] advanced ``steps`` times."""
    probe = Late(replace(LAYOUT, steps=steps, late_steps=window))
    parameters = {"output.bias": values.clone()[:, None]}
    probe.evaluate(evaluation([[1.0]], parameters=parameters))
    for _ in range(steps):
        losses = loss(parameters["output.bias"])
        parameters["output.bias"] = advance(parameters["output.bias"])
        probe.after_steps(Stretch({}, torch.empty(len(values), 0), {}, (), (), {}, losses, parameters))
    return {name: value.tolist() for name, value in probe.finish().items()}


def kind_of(found: dict[str, list[float]], replicate: int) -> str:
    (kind,) = [name for name in KINDS if found[name][replicate] == 1]
    assert sum(found[name][replicate] for name in KINDS) == 1
    return kind


def test_the_map_is_fixed_then_doubles_then_is_chaotic():
    """Fixed below lr = 1, period 2 up to √5 - 1 = 1.236, then doubling, chaotic at 1.32. The levels lie where convergence is quick."""
    rates = torch.tensor([0.5, 1.1, 1.12, 1.25, 1.32, 1.4], dtype=torch.float64)[:, None]
    found = course(torch.full((6,), 0.3, dtype=torch.float64), lambda w: w + rates * w * (1 - w * w), lambda w: (1 - w * w) ** 2 / 4)
    assert [kind_of(found, i) for i in range(6)] == ["late_static"] + ["late_periodic"] * 3 + ["late_chaotic"] * 2
    assert found["late_period"] == [1, 2, 2, 4, 0, 0]


def test_rounding_alone_makes_a_cycle_where_exact_arithmetic_stands_still():
    """At lr = 0.9 the slope at w = 1 is -0.8, so that the map converges; the last bits of float64 go on alternating."""
    found = course(torch.full((1,), 0.3, dtype=torch.float64), lambda w: w + 0.9 * w * (1 - w * w), lambda w: (1 - w).abs())
    assert kind_of(found, 0) == "late_periodic"
    w = 0.3
    for _ in range(STEPS):
        w = w + 0.9 * w * (1 - w * w)
    assert 0 < abs(w - 1) < 1e-15


def test_the_bounds_of_the_map():
    """On a cycle of two, w₁w₂ = 1/lr and w₁² + w₂² = (1 + lr)/lr, so the product of its slopes is 9 - 2(1 + lr)²: 1 at lr = 1, where the
    cycle is born, -1 at √5 - 1, where it loses its stability. The Lyapunov exponent at 1.32 is about 0.18."""
    rate, w = 1.2, 0.3
    for _ in range(2000):
        w = w + rate * w * (1 - w * w)
    other = w + rate * w * (1 - w * w)
    assert w * other == pytest.approx(1 / rate, rel=1e-12)
    slopes = [1 + rate * (1 - 3 * x * x) for x in (w, other)]
    assert slopes[0] * slopes[1] == pytest.approx(9 - 2 * (1 + rate) ** 2, rel=1e-10)
    assert 9 - 2 * (1 + (math.sqrt(5) - 1)) ** 2 == pytest.approx(-1)
    w, log_slopes = 0.3, []
    for step in range(100_000):
        w = w + 1.32 * w * (1 - w * w)
        if step > 1000:
            log_slopes.append(math.log(abs(1 + 1.32 * (1 - 3 * w * w))))
    assert np.mean(log_slopes) == pytest.approx(0.18, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_few_bits_chaos_is_a_cycle(dtype):
    """A map of at most 2^16 numbers onto themselves soon repeats: in float64 chaotic, here periodic or static, found exactly."""
    found = course(torch.full((1,), 0.3, dtype=dtype), lambda w: w + 1.32 * w * (1 - w * w), lambda w: ((1 - w * w) ** 2).double())
    assert kind_of(found, 0) in ("late_periodic", "late_static")
    w = torch.full((1,), 0.3, dtype=dtype)
    seen: dict[float, int] = {}
    for step in range(STEPS):
        if w.item() in seen:
            break
        seen[w.item()] = step
        w = w + 1.32 * w * (1 - w * w)
    assert found["late_period"] == [step - seen[w.item()]]


def test_going_down_is_drift_and_a_sine_is_regular():
    down = course(torch.ones(1, dtype=torch.float64), lambda w: w * 0.999, lambda w: w**2, 1200, 600)
    assert kind_of(down, 0) == "late_drifting"
    turning = course(torch.zeros(1, dtype=torch.float64), lambda w: w + math.sqrt(2), lambda w: torch.sin(w) ** 2, 1200, 600)
    assert kind_of(turning, 0) == "late_regular"


def test_the_zero_one_test_on_the_logistic_map():
    """Gottwald and Melbourne's own example: K near 0 at μ = 3.55 (period 8), near 1 at μ = 3.97; 0 for a constant, near 1 for noise."""
    rates = np.array([3.55, 3.97])
    x = np.full(2, 0.4)
    series = []
    for _ in range(3000):
        x = rates * x * (1 - x)
        series.append(x)
    periodic, chaotic = zero_one_test(np.array(series[1000:]).T)
    assert abs(periodic) < 0.1
    assert chaotic > 0.9
    assert zero_one_test(np.ones((1, 500)))[0] == 0
    assert zero_one_test(np.random.default_rng(0).standard_normal((1, 2000)))[0] > 0.9


def test_a_window_as_long_as_the_run_begins_before_the_first_step():
    found = course(torch.ones(2, dtype=torch.float32), lambda w: -w, lambda w: w**2, 100, 100)
    assert found["late_period"] == [2, 2]


def test_coming_back_once_is_no_period():
    """0, 0, 1, 2, 0, 3, 4, …: still for a step, back at the fourth, never again."""
    path = iter([0, 1, 2, 0, *range(3, 99)])
    found = course(torch.zeros(1, dtype=torch.float32), lambda w: torch.full_like(w, float(next(path))), lambda w: w**2, 100, 100)
    assert found["late_period"] == [0]


def test_a_trend_does_not_hide_what_rides_on_it():
    """Noise, and a slow turning, on a loss that falls a thousand times as far as either."""
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((2000, 1)))
    steps = iter(range(2000))

    def loss(w: torch.Tensor) -> torch.Tensor:
        step = next(steps)
        return torch.stack([1000 - step + noise[step], 1000 - step + torch.tensor([40 * math.sin(0.3 * step)], dtype=torch.float64)])

    found = course(torch.zeros(2, dtype=torch.float64), lambda w: w + 1.0, loss, 2000, 1000)
    assert [kind_of(found, i) for i in range(2)] == ["late_chaotic", "late_regular"]
