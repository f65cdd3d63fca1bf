"""A small finished study made by hand, for tests of what is written and shown."""

from __future__ import annotations

import numpy as np

from suite.inference import decide
from suite.record.canonical import plan_sha256, study_id
from suite.vocabulary import Condition, Event, Hypothesis, Outcome, Plan, Reference, Study, Trace

STEPS = np.array([0, 10, 20])


def trace(name: str, level: float, diverged: bool = False) -> Trace:
    rng = np.random.default_rng(int(level * 100))
    at = np.full(8, -1)
    curve = level + 0.05 * rng.standard_normal((8, 3))
    loss = 2 - curve
    if diverged:
        at[3] = 10
        curve[3, 1:] = np.nan
        loss[3, 1:] = np.nan
    curves = {"dead_fraction": curve, "train_loss": loss}
    timings = {
        "train_seconds": 1.5,
        "evaluate_seconds": 0.5,
        "probe_seconds": 0.25,
        "replicate_steps_per_second": 106.7,
        "samples_per_second": 6826.0,
        "step_seconds": 0.075,
    }
    return Trace(name, 0, STEPS, curves, {name: values[:, -1].copy() for name, values in curves.items()}, at, timings)


def hypothesis(name: str, role: str, part: str = "as_stated", **changes) -> Hypothesis:
    fields = {
        "claim": "C04",
        "statement": f"the statement of {name}",
        "metric": "dead_fraction",
        "test": "mean",
        "treatment": {"optimizer.momentum": 0.9},
    }
    return Hypothesis(name=name, role=role, part=part, **(fields | changes))


def make_study(
    *, title: str = "An example", deviations: tuple[str, ...] = (), broken_control: bool = False, diverged: bool = True
) -> Study:
    config = {"data": {"name": "digits"}, "model": {"hidden": [4, 4]}, "optimizer": {"momentum": 0.0}, "train": {"steps": 20}}
    conditions = (
        Condition("plain", {"optimizer.momentum": 0.0, "model.hidden": [4, 4]}, config),
        Condition("heavy", {"optimizer.momentum": 0.9, "model.hidden": [4, 4]}, {**config, "optimizer": {"momentum": 0.9}}),
    )
    hypotheses = (
        hypothesis("effect", "treatment", contrast={"optimizer.momentum": 0.0}, value=0.1, diverged="exclude"),
        hypothesis("never", "treatment", "boundary", test="exact", event=Event("<", 0.0), diverged="exclude"),
        hypothesis(
            "closed",
            "treatment",
            "boundary",
            direction="equal",
            value=0.5,
            margin=0.2,
            diverged="exclude",
            reference=Reference(0.5, "a closed form"),
        ),
        hypothesis("seen", "positive_control", value=9.0 if broken_control else 0.1, diverged="exclude"),
        hypothesis("unseen", "negative_control", treatment={"condition": "plain"}, direction="less", value=0.9),
    )
    plan = Plan(
        scenario="example",
        title=title,
        claims={"C04": "Momentum, they say, carries it out."},
        question="Does it?",
        method="We look.",
        factors=("optimizer.momentum", "model.hidden"),
        conditions=conditions,
        hypotheses=hypotheses,
        confidence=0.9,
        seed=0,
        replicates=8,
        device="cpu",
        data={"digits": {"train_x": "ab" * 32}},
        deviations=deviations,
        references=("Polyak (1964).",),
    )
    traces = {"plain": trace("plain", 0.25), "heavy": trace("heavy", 0.5, diverged)}
    outcome = decide(plan.hypotheses, conditions, traces, plan.confidence, 0)
    if plan.exploratory and outcome.status == "valid":
        outcome = Outcome("exploratory", outcome.verdicts, outcome.failed_controls)
    provenance = {
        "plan_sha256": plan_sha256(plan),
        "suite": "0.1.0",
        "git": {"commit": "c0ffee", "dirty": False},
        "python": "3.12.1",
        "packages": {"torch": "2.11.0", "jax": None},
        "cpu": {"model": "a processor", "cores": 2},
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:05+00:00",
        "seconds": 60.0,
    }
    return Study(study_id(plan), plan, outcome, traces, provenance)
