"""The story of one study, top to bottom: plan, seal, run what is missing, decide, record, show."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from suite.config.compose import StudyRequest
from suite.config.numeric import Numeric
from suite.data import Dataset
from suite.execution.crew import backend_of
from suite.record import cache, provenance
from suite.record.canonical import study_id
from suite.record.lease import Holder, Leases
from suite.record.write import RECORDS, number_files, seal, write_record
from suite.report import terminal
from suite.report.index import build_index
from suite.report.page import render
from suite.study.dry_run import show_dry_run
from suite.study.merge import merged
from suite.study.mirror import MirrorProcess, tell_unavailable
from suite.study.outcome import outcome_of
from suite.study.plan import blocks_of, data_key, datasets_of, engine_line, make_plan
from suite.study.publish import write_index
from suite.study.timed import timed_line
from suite.study.work import timed_traces, traces_of
from suite.tracking.links import Links, TrackingUnavailable
from suite.training import clock, native
from suite.training.device import settle, settled_flags
from suite.vocabulary import Block, Plan, RequestError, Study, Trace

DONE, INVALID = 0, 3


def run_study(request: StudyRequest, waiting: MirrorProcess | None = None) -> int:
    """Run a composed request to its verdict. Returns the exit code: 0, or 3 where a control failed. ``waiting`` is the process that will
    write MLflow, where it has been started already.

    Raises RequestError for a wrong request before anything is trained or written. An interrupted run keeps every finished
    block; the same command goes on from there, but for a study that reads clocks, which starts afresh.
    """
    settings = request.settings
    console = terminal.console(settings.quiet)
    torch.set_num_threads(1)
    datasets = datasets_of(request.conditions, settings.data_dir)
    plan = make_plan(request, datasets)
    settle(plan.device)
    ranks = settings.executor.data_parallel
    blocks = blocks_of(plan, settings.executor.block_size, datasets, ranks)
    if settings.dry_run:
        show_dry_run(plan, blocks, datasets, settings, console, request.conditions)
        return DONE

    results_dir, study = Path(settings.results_dir), study_id(plan)
    tracked = settings.tracking.enabled
    try:
        with Leases(cache.folder(results_dir) / "leases", study) as leases:
            _announce(plan, leases.take(f"study-{plan.scenario}"), study, console)
            with leases.hold(RECORDS, lambda holder: _wait_for(holder, console)):
                sealed = provenance.sealing_of(seal(plan, results_dir), plan) or provenance.sealed_now()
            console.print(engine_line(plan, request.conditions, ranks), highlight=False, soft_wrap=True)
            if plan.timed:
                console.print(timed_line(plan, settings.executor), highlight=False, soft_wrap=True)
            started = datetime.now(UTC)
            if plan.timed:  # nothing else runs while clocks are read
                traces = list(timed_traces(blocks, settings, console))
                waiting = MirrorProcess(settings.tracking) if tracked else None
            else:
                waiting = waiting or (MirrorProcess(settings.tracking) if tracked else None)
                if waiting is not None:
                    waiting.open()
                traces = list(traces_of(blocks, _keys(blocks, datasets), settings, leases, console))
            finished = _decided(plan, merged(plan.conditions, traces), started, sealed, ranks)
            numbers = number_files(finished)
            if waiting is not None:
                waiting.begin(numbers, results_dir / plan.scenario)
            pages = render(finished)
            with leases.hold(RECORDS, lambda holder: _wait_for(holder, console)):
                record = write_record(finished, results_dir, pages, numbers)
                _index(results_dir, console)
        console.print()
        terminal.print_verdicts(finished.outcome, plan, console)
        terminal.print_where_to_look(record, _mirrored(waiting, record, console), console)
    except BaseException:
        if waiting is not None:
            waiting.abandon()
        raise
    return INVALID if finished.outcome.status == "invalid" else DONE


def _announce(plan: Plan, other: Holder | None, study: str, console: Console) -> None:
    """One line where another process is at work on the same scenario in the same folder."""
    if other is None:
        return
    what = (
        "this very study; the two share its blocks and end with the same record"
        if other.plan == study
        else f"another study of {plan.scenario} ({other.plan}); of the two records the one finished first is moved to archive/"
    )
    console.print(f"{other} is running {what}", highlight=False, soft_wrap=True)


def _wait_for(holder: Holder, console: Console) -> None:
    console.print(f"waiting for {holder}, which is writing a record here", highlight=False, soft_wrap=True)


def _index(results_dir: Path, console: Console) -> None:
    """Rebuild the index. The study is done by now: another record that cannot be read is told, not the study's failure."""
    try:
        write_index(results_dir, build_index(results_dir))
    except RequestError as error:
        console.print(f"the index was not rebuilt: {error}", highlight=False, soft_wrap=True)


def _mirrored(waiting: MirrorProcess | None, record: Path, console: Console) -> Links | None:
    if waiting is None:
        return None
    try:
        return waiting.write(record)
    except TrackingUnavailable as reason:
        tell_unavailable(reason, record, console)
        return None


def _keys(blocks: Sequence[Block], datasets: Mapping[str, Dataset]) -> dict[int, str]:
    """Every block's cache key, by the block's ``id``."""
    code, compiled = cache.code_fingerprint(), native.fingerprint()

    def key(block: Block) -> str:
        checksums = datasets[data_key(Numeric.of(block.condition.config))].checksums
        return cache.block_key(block, checksums, code, torch.__version__, compiled)

    return {id(block): key(block) for block in blocks}


def _decided(plan: Plan, traces: Mapping[str, Trace], started: datetime, sealed: Mapping[str, Any], ranks: int) -> Study:
    return Study(study_id(plan), plan, outcome_of(plan, traces), traces, {**facts_of(plan, started, ranks), "sealed": dict(sealed)})


def facts_of(plan: Plan, started: datetime, ranks: int = 1) -> dict[str, Any]:
    """How and where the plan is run, now, by so many processes to a batch: what the record keeps as its provenance."""
    facts = provenance.gather(plan, started, datetime.now(UTC), torch_facts())
    if any(condition.config["engine"]["path"] in ("native", "compiled") for condition in plan.conditions):
        facts["native"] = native.fingerprint()
    if ranks > 1:
        # sums in another order: no part of the plan, but what a number's last digits depend on
        facts["data_parallel"] = {"ranks": ranks, "backend": backend_of(plan.device)}
    if plan.timed:
        facts["timing"] = {**clock.described(plan.device), "block_size": plan.block_size, "load": round(os.getloadavg()[0], 2)}
    return facts


def torch_facts() -> dict[str, object]:
    """What torch knows of the machine, for the record, which does not import torch itself."""
    return {
        "threads": torch.get_num_threads(),
        **settled_flags(),
        "cuda_available": torch.cuda.is_available(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda_version": torch.version.cuda,
    }
