"""Starts a study: first the process that will write MLflow, then torch, whose import takes as long. Imports neither."""

from __future__ import annotations

from suite.config.compose import StudyRequest
from suite.study.mirror import MirrorProcess
from suite.vocabulary import TIMING


def start_study(request: StudyRequest) -> int:
    """Run a composed request; see ``run_study`` for the exit code and the errors."""
    waiting = early_process(request)
    try:
        from suite.study.run import run_study

        return run_study(request, waiting)
    except BaseException:
        if waiting is not None:
            waiting.abandon()
        raise


def early_process(request: StudyRequest) -> MirrorProcess | None:
    """The process that will write MLflow; None where nothing is to be written, or where clocks are read, beside which nothing may run."""
    settings = request.settings
    timed = any(TIMING in condition.config["probes"]["extra"] for condition in request.conditions)
    return MirrorProcess(settings.tracking) if settings.tracking.enabled and not settings.dry_run and not timed else None
