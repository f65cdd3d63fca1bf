"""Minimum, median, rates, ratios and targets, against NumPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench import compare, observation, overhead, phases, scaling, study
from tests.bench.contestants import PEAK_FLOPS
from tests.bench.figures import Target, fastest, processor_seconds, processor_share, rates, ratios, significant, summary
from tests.bench.workloads import WORKLOADS


def test_summary_is_minimum_and_median():
    seconds = [0.4, 0.1, 0.3, 0.7]
    found = summary(seconds)
    assert found["minimum"] == np.min(seconds)
    assert found["median"] == pytest.approx(np.median(seconds))
    assert found["rounds"] == seconds


@pytest.mark.parametrize("seconds", [[], [0.1, 0.0], [-1.0]])
def test_summary_refuses_what_cannot_be_a_time(seconds):
    with pytest.raises(ValueError, match="positive"):
        summary(seconds)


def test_ratio_above_one_means_that_ours_is_faster():
    ours, theirs = rates(100, summary([2.0, 1.0, 4.0])), rates(100, summary([3.0, 5.0, 4.0]))
    assert ratios(ours, theirs) == {"minimum": 3.0, "median": 2.0}


def test_figures_keep_four_significant_digits():
    assert significant(1234.567) == 1235.0
    assert significant(0.000123456) == 0.0001235


def test_fastest_is_by_rate():
    assert fastest({"a": {"minimum": 1.0, "median": 9.0}, "b": {"minimum": 2.0, "median": 3.0}}) == "b"
    assert fastest({"a": {"minimum": 1.0, "median": 9.0}, "b": {"minimum": 2.0, "median": 3.0}}, "median") == "a"


def test_processor_share_is_of_the_whole_call():
    assert processor_share({"seconds": [1.0, 1.0], "wall": [2.0, 4.0], "cpu": [1.0, 4.0]}) == 0.75
    assert processor_share({"seconds": [1.0], "cpu": [0.5]}) == 0.5


def test_processor_time_of_a_part_of_the_call():
    """Half of a call of one processor second is half a second; the least round counts."""
    assert processor_seconds({"seconds": [1.0, 3.0], "wall": [2.0, 4.0], "cpu": [1.0, 1.0]}) == 0.5
    assert processor_seconds({"seconds": [1.0, 3.0], "cpu": [0.7, 0.6]}) == 0.6


def test_targets_are_computed():
    assert Target("x", "at_least", 2.0).check(2.0) == {"figure": "x", "measured": 2.0, "at_least": 2.0, "met": True}
    assert not Target("x", "at_least", 2.0).check(1.999)["met"]
    assert Target("x", "at_most", 2.0).check(1.0)["met"]
    assert not Target("x", "at_most", 2.0).check(2.001)["met"]
    with pytest.raises(ValueError, match="at_least"):
        Target("x", "exactly", 2.0).check(1.0)


def once(seconds: float) -> dict[str, list[float]]:
    return {"seconds": [seconds], "cpu": [seconds]}


def test_comparison_counts_the_work_of_every_process():
    """Two processes in the same time are twice as fast; the loop trains four networks of the 32."""
    workload = WORKLOADS["digits"]
    peak = PEAK_FLOPS / 1e11  # seconds at 100 GFLOP/s
    timed = {"ours": once(1.0), "ours eager": once(2.0), "loop": once(1.0), "sgemm": once(peak)}
    timed |= {"ours ×2": once(1.0), "sgemm ×2": once(peak), "jax": once(2.0), "jax ×2": once(4.0), "jax default": once(1.6)}
    processes = {name: 2 if name.endswith("×2") else 1 for name in timed}
    found = compare.assess(workload, timed, processes)
    assert found["ratios"]["ours / loop"]["minimum"] == pytest.approx(8.0)
    assert found["ratios"]["ours / ours eager"]["minimum"] == pytest.approx(2.0)
    assert found["ratios"]["ours / jax"]["minimum"] == pytest.approx(2.0)
    assert found["ratios"]["ours ×2 / best jax (jax default)"]["minimum"] == pytest.approx(3.2)
    assert found["ratios_by_processor_time"] == {"ours / ours eager": 2.0, "ours / loop": 8.0, "ours / jax": 2.0}
    expected = 32 * workload.steps * workload.flops / 1e11
    assert found["share_of_sgemm_peak"]["ours"]["minimum"] == pytest.approx(expected, rel=1e-3)
    assert found["share_of_sgemm_peak_by_processor_time"]["ours"] == pytest.approx(expected, rel=1e-3)
    assert found["share_of_sgemm_peak_by_processor_time"]["loop"] == pytest.approx(expected / 8, rel=1e-3)
    assert found["share_of_sgemm_peak"]["ours ×2"]["minimum"] == pytest.approx(expected, rel=1e-3)
    assert found["contestants"]["sgemm ×2"]["gflops_per_second"]["minimum"] == pytest.approx(200.0)
    # the loop's target is 30; JAX's 1 and 1.5
    assert [check["met"] for check in found["targets"]] == [False, True, True]


def test_comparison_without_jax_leaves_it_out():
    timed = {name: once(1.0) for name in ("ours", "ours eager", "loop", "sgemm", "ours ×2", "sgemm ×2")}
    found = compare.assess(WORKLOADS["wide"], timed, dict.fromkeys(timed, 1))
    assert not any("jax" in label for label in found["ratios"])
    assert [check["figure"].split(",")[0] for check in found["targets"]] == ["ours / torch loop", "share of the sgemm peak of the same run"]


def test_cost_per_replicate_step():
    timed = {("loop", "1"): once(0.3), **{("ours", str(count)): once(0.15) for count in scaling.REPLICATES}}
    found = scaling.assess_speed(timed)
    by_count = {row["replicates"]: row for row in found["rows"] if row["contestant"] == "ours"}
    assert by_count[1]["microseconds_per_replicate_step"]["minimum"] == pytest.approx(100.0)
    assert by_count[128]["microseconds_per_replicate_step"]["minimum"] == pytest.approx(0.15e6 / 12800, rel=1e-3)
    assert found["ours / loop at R = 1"]["minimum"] == pytest.approx(2.0)


def test_memory_is_judged_by_the_worst_block_of_those_it_names():
    sizes = ((2, 9.0), (8, 1.2), (128, 0.95))
    points = [
        {"workload": "digits", "replicates": count, "path": "eager", "growth": 100 * off, "terms": {"a": 60, "b": 40}}
        for count, off in sizes
    ]
    found = scaling.assess_memory(points)
    assert [row["off"] for row in found["rows"]] == pytest.approx([8.0, 0.2, -0.05])
    assert found["targets"][0]["measured"] == pytest.approx(0.2)
    assert found["targets"][0]["met"] is False


def test_observation_is_a_share_of_the_unobserved_training():
    readings = {"seconds": [2.0, 1.0], "probes": [0.2, 0.3], "evaluation": [0.5, 0.6], "wall": [3.0, 2.0], "cpu": [3.0, 2.0]}
    found = observation.assess({"none": readings, "default": readings | {"probes": [0.02, 0.3]}})
    assert found["tiers"]["default"]["share_of_training"] == {"training": 1.0, "probes": 0.02, "evaluation": 0.5, "wall": 2.0}
    assert found["targets"][0]["met"] is True


def test_parts_of_a_study_add_up_to_it():
    few, more = f"multirun of {study.FEW}", f"multirun of {study.MORE}"
    walls = {"study": [10.0, 11.0], "study, tracking off": [9.0, 9.5], "imports": [2.0, 3.0], "list": [0.5, 0.4]}
    walls |= {few: [20.0, 21.0], more: [28.0, 30.0], "one process": [15.0, 16.0], "three processes": [27.0, 35.0]}
    found = study.assess(walls, {"training": 3.0, "probes": 1.0, "evaluation": 1.0}, 100)
    assert sum(found["parts_seconds"].values()) == pytest.approx(10.0)
    assert found["parts_seconds"]["record and report"] == pytest.approx(2.0)
    assert found["parts_share"]["MLflow"] == pytest.approx(0.1)
    assert found["seconds_per_seed_run"] == {"ours": 0.1, "multirun (extrapolated)": 2.0, "a process per seed (extrapolated)": 6.0}
    assert found["extrapolated_rival_study_seconds"] == pytest.approx(600.0)
    assert found["targets"][0]["measured"] == pytest.approx(60.0)


def reading(wall, **changes):
    """A run of a study of 4 blocks whose clocks read these."""
    seconds = {"imports": [2.0, 1.0], "data and plan": [0.5, 0.5], "training": [9.0, 8.0], "deciding": [0.5, 0.5]}
    seconds |= {"record": [0.5, 0.25], "report": [1.0, 0.75], "MLflow": [0.5, 3.0]}
    return {"wall": wall, "processor": 15.0, "seconds": seconds, "blocks": 4, "engine": 8.0, "code": 0} | changes


def test_overhead_is_what_no_engine_clock_saw():
    busy = (reading(99.0, processor=16.0), reading(99.0))
    found = overhead.assess({"momentum": [busy, (reading(20.0), reading(15.0, blocks=5))]})
    study_ = found["studies"]["momentum"]
    # the least processor time in all chooses the round
    assert study_["wall_seconds"]["whole"] == 20.0
    assert study_["wall_seconds"]["start and composing"] == pytest.approx(6.0)
    assert study_["share_of_wall"] == pytest.approx((0.5 + 1.0 + 0.5) / 20)
    assert study_["share_of_processor"] == pytest.approx((0.25 + 0.75 + 3.0) / 15, rel=1e-2)
    assert study_["executor_milliseconds_per_block"] == pytest.approx(1000 * (9.0 - 8.0) / 4)
    assert study_["resumed"]["milliseconds_per_block"] == pytest.approx(1000 * 9.0 / 5)
    assert study_["resumed"]["share_of_fresh"] == pytest.approx(0.75)
    assert found["targets"] == [
        {
            "figure": "momentum: record, report and MLflow as a share of the study's wall time",
            "measured": 0.1,
            "at_most": 0.05,
            "met": False,
        }
    ]


def test_of_two_phases_the_inner_one_counts(monkeypatch):
    readings = iter([(0.0, 0.0), (2.0, 1.0), (5.0, 3.0), (10.0, 4.0)])
    monkeypatch.setattr(phases, "now", lambda: next(readings))
    clocks = phases.Clocks()
    with clocks.phase("report"), clocks.phase("MLflow"):
        pass
    assert clocks.seconds == {"MLflow": [3.0, 2.0], "report": [7.0, 2.0]}


def test_a_phase_whose_function_is_gone_stops_the_benchmark():
    import suite.study.run

    for name in (*phases.CALLS, *phases.TRAINING):
        assert callable(getattr(suite.study.run, name))
    with pytest.raises(AttributeError):
        phases.Clocks().around(suite.study.run, "gone", "report")


def test_clocks_of_a_record_are_summed_over_conditions():
    timings = {
        "a": {"train_seconds": 1.0, "probe_seconds": 0.5},
        "b": {"train_seconds": 2.0, "probe_seconds": 0.5, "evaluate_seconds": 1.0},
    }
    assert study.clocks_of(timings) == {"training": 3.0, "probes": 1.0, "evaluation": 1.0}


def test_the_study_is_counted_as_it_stands():
    """Five conditions of 64 replicates."""
    assert study.seed_runs_of_study() == 320
