"""The comparison of numbers: counts against NumPy's own reckoning, and places that can be found again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from study_example import trace

from suite.record.verify_facts import compared, differences
from suite.record.verify_numbers import EXACT, TOLERANCES, Comparison, Tolerance, deviation, tolerance_for

RECORDED = trace("heavy", 0.5, diverged=True)


def changed(metric: str, at: tuple[int, int], value: float):
    curve = RECORDED.curves[metric].copy()
    curve[at] = value
    return replace(RECORDED, curves={**RECORDED.curves, metric: curve})


def column(comparison: Comparison, table: str, name: str):
    return comparison.columns[f"{table}.parquet", name]


def test_the_same_numbers_are_identical_to_the_last_bit():
    comparison = Comparison()
    comparison.add(RECORDED, RECORDED, EXACT)
    # 8 replicates: divergence, two finals, two curves of three evaluations
    assert comparison.total("numbers") == comparison.total("identical") == 8 * 3 + 2 * 8 * 3
    assert comparison.different == 0


def test_one_bit_is_seen_and_named_with_its_place():
    value = RECORDED.curves["train_loss"][5, 1]
    comparison = Comparison()
    comparison.add(RECORDED, changed("train_loss", (5, 1), math.nextafter(value, 9.0)), EXACT)
    found = column(comparison, "curves", "train_loss")
    assert (found.identical, found.within, found.different) == (23, 0, 1)
    assert found.named == [found.worst]
    assert found.worst["replicate"] == 5
    assert found.worst["step"] == 10
    assert found.worst["condition"] == "heavy"
    assert found.worst["recorded"] == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_beyond_any_tolerance(value):
    comparison = Comparison()
    comparison.add(RECORDED, changed("dead_fraction", (0, 0), value), Tolerance(0.5, 0.5))
    found = column(comparison, "curves", "dead_fraction")
    assert found.different == 1
    assert found.worst["deviation"] == math.inf


def test_a_zero_that_changed_its_sign_is_not_identical():
    recorded = changed("train_loss", (2, 2), 0.0)
    comparison = Comparison()
    comparison.add(recorded, changed("train_loss", (2, 2), -0.0), TOLERANCES["float32"])
    assert column(comparison, "curves", "train_loss").within == 1


def test_tolerance_counts_as_numpy_counts():
    rng = np.random.default_rng(0)
    noisy = {name: curve * (1 + 0.02 * rng.standard_normal(curve.shape)) for name, curve in RECORDED.curves.items()}
    tolerance = TOLERANCES["float32"]
    comparison = Comparison()
    comparison.add(RECORDED, replace(RECORDED, curves=noisy), tolerance)
    for name, curve in RECORDED.curves.items():
        found = column(comparison, "curves", name)
        larger = np.fmax(np.abs(curve), np.abs(noisy[name]))
        close = np.abs(curve - noisy[name]) <= tolerance.relative * larger + tolerance.absolute
        both = np.isnan(curve) & np.isnan(noisy[name])
        assert found.within == int((close & ~both).sum())
        assert found.different == int((~close & ~both).sum()) > 0
        assert found.worst["deviation"] == np.nanmax(np.abs(curve - noisy[name]))


def test_a_block_is_compared_with_its_own_replicates():
    rows = slice(3, 6)
    block = replace(
        RECORDED,
        first=3,
        curves={name: curve[rows] for name, curve in RECORDED.curves.items()},
        finals={name: final[rows] for name, final in RECORDED.finals.items()},
        diverged_at=RECORDED.diverged_at[rows],
    )
    comparison = Comparison()
    comparison.add(RECORDED, block, EXACT)
    assert comparison.total("identical") == comparison.total("numbers") == 3 * 3 + 2 * 3 * 3
    comparison.add(RECORDED, replace(block, first=2), EXACT)
    assert column(comparison, "replicates", "diverged_at").different == 2  # replicate 3 diverged, and 2 and 3 now differ


def test_other_evaluations_and_a_column_that_only_one_side_has():
    comparison = Comparison()
    comparison.add(RECORDED, replace(RECORDED, steps=np.array([0, 10, 21])), EXACT)
    assert "heavy" in comparison.shape[0]
    comparison = Comparison()
    fewer = {name: final for name, final in RECORDED.finals.items() if name != "train_loss"}
    comparison.add(RECORDED, replace(RECORDED, finals=fewer), EXACT)
    assert column(comparison, "replicates", "train_loss").different == 7  # the eighth had diverged and was missing anyway


def test_a_column_that_only_the_repetition_has_is_missing_or_by_other_code_new():
    fewer = {name: curve for name, curve in RECORDED.curves.items() if name != "train_loss"}
    comparison = Comparison()
    comparison.add(replace(RECORDED, curves=fewer), RECORDED, EXACT)
    found = column(comparison, "curves", "train_loss")
    assert found.different == int(np.isfinite(RECORDED.curves["train_loss"]).sum())
    assert comparison.unrecorded == set()
    comparison = Comparison(other_code=True)
    comparison.add(replace(RECORDED, curves=fewer), RECORDED, EXACT)
    assert comparison.different == 0
    assert comparison.unrecorded == {"train_loss"}


def test_what_a_clock_made_is_counted_and_never_different():
    finals = {**RECORDED.finals, "time.step": np.linspace(1, 2, 8)}
    comparison = Comparison()
    comparison.add(replace(RECORDED, finals=finals), replace(RECORDED, finals={**finals, "time.step": np.linspace(3, 4, 8)}), EXACT)
    assert column(comparison, "replicates", "time.step").measured == 8
    assert comparison.different == 0
    assert comparison.total("measured") == 8


def test_deviation_and_the_wider_of_two_tolerances():
    gap = deviation(np.array([1.0, np.nan, np.inf, np.nan, 1.0]), np.array([1.5, np.nan, np.inf, 2.0, -np.inf]))
    assert gap.tolist() == [0.5, 0.0, 0.0, math.inf, math.inf]
    assert tolerance_for("float64", "float32") == TOLERANCES["float32"]
    assert tolerance_for("float64", "float64") == TOLERANCES["float64"]


def test_differences_are_sorted_by_what_they_can_do():
    facts = {
        "packages": {"torch": "1", "rich": "1"},
        "code_sha256": "a",
        "data": {"digits": {"x": "1"}},
        "started": "then",
        "cpu": {"cores": 2},
    }
    here = {
        "packages": {"torch": "2", "rich": "2"},
        "code_sha256": "b",
        "data": {"digits": {"x": "2"}},
        "started": "now",
        "cpu": {"cores": 8},
    }
    found = differences(facts, here, "cpu")
    assert [(d.fact, d.kind) for d in found] == [
        ("data.digits.x", "data"),
        ("code_sha256", "code"),
        ("packages.torch", "rounding"),
        ("packages.rich", "other"),
        ("cpu.cores", "other"),
    ]
    assert differences(facts, facts, "cpu") == []
    gpu = [{"torch": {"gpus": [name]}} for name in ("one", "another")]
    assert [d.kind for d in differences(*gpu, "cuda")] == ["rounding"]
    assert [d.kind for d in differences(*gpu, "cpu")] == ["other"]


def test_json_values_are_compared_place_by_place():
    assert list(compared({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]})) == []
    assert list(compared({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}], "c": 0})) == [
        "a[1].b: 3, where the recorded plan and numbers give 2",
        "c: does not belong here",
    ]
    assert list(compared({"a": 1.0}, {"a": 1.0001}, slack=1e-3)) == []
    assert len(list(compared({"a": 1.0}, {"a": True}, slack=1e-3))) == 1
