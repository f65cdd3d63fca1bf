"""The compiled path is settled in the plan, before anything is trained: as it was asked for, or eager with the reason in one line."""

from __future__ import annotations

import pytest

from suite.study import plan as module
from suite.study.plan import datasets_of, engine_line, make_plan
from suite.vocabulary import RequestError
from tests.study.test_estimate import request_of


def plan_of(tmp_path, monkeypatch, reason: str | None, *more: str):
    monkeypatch.setattr(module.compiled, "available", lambda device: reason)
    request = request_of(tmp_path, "tracking=off", *more)
    return make_plan(request, datasets_of(request.conditions, "data")), request.conditions


def paths(plan) -> set[str]:
    return {condition.config["engine"]["path"] for condition in plan.conditions}


def test_the_plan_says_compiled_where_it_was_asked_for(tmp_path, monkeypatch):
    plan, asked = plan_of(tmp_path, monkeypatch, None, "engine.path=compiled")
    assert paths(plan) == {"compiled"}
    assert engine_line(plan, asked).startswith(f"engine: compiled for {len(plan.conditions)} of")
    assert "not available" not in engine_line(plan, asked)


def test_without_torch_compile_the_plan_says_eager_and_one_line_says_why(tmp_path, monkeypatch):
    plan, asked = plan_of(tmp_path, monkeypatch, "torch.compile fails: no C++ compiler", "engine.path=compiled")
    assert paths(plan) == {"eager"}
    line = engine_line(plan, asked)
    assert line.startswith("engine: eager for") and "torch.compile fails: no C++ compiler" in line and "\n" not in line
    plan, asked = plan_of(tmp_path, monkeypatch, "torch.compile fails: no C++ compiler")
    assert "torch.compile" not in engine_line(plan, asked)


def test_a_condition_it_cannot_serve_is_refused(tmp_path, monkeypatch):
    with pytest.raises(RequestError, match="path=compiled cannot serve it: it knows no warm-up, clipping"):
        plan_of(tmp_path, monkeypatch, None, "engine.path=compiled", "train.clip=1.0")
