"""The story of one study, top to bottom: plan, seal, run what is missing, decide, record, show."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console

from suite.config.compose import StudyRequest
from suite.config.numeric import Numeric
from suite.data import Dataset
from suite.execution import execute
from suite.inference import decide
from suite.record import cache, provenance
from suite.record.canonical import study_id
from suite.record.write import seal, write_record
from suite.report import terminal
from suite.report.index import build_index
from suite.report.page import render
from suite.study.dry_run import show_dry_run
from suite.study.merge import merged
from suite.study.mirror import MirrorProcess, tell_unavailable
from suite.study.plan import blocks_of, data_key, datasets_of, engine_line, make_plan
from suite.study.publish import write_index
from suite.tracking.links import Links, TrackingUnavailable
from suite.training import native
from suite.vocabulary import Block, Outcome, Plan, Study, Trace

DONE, INVALID = 0, 3

log = logging.getLogger(__name__)


def run_study(request: StudyRequest) -> int:
    """Run a composed request to its verdict. Returns the exit code: 0, or 3 where a control failed.

    Raises RequestError for a wrong request before anything is trained or written. An interrupted run keeps every finished
    block; the same command goes on from there.
    """
    settings = request.settings
    console = terminal.console(settings.quiet)
    torch.set_num_threads(1)
    datasets = datasets_of(request.conditions, settings.data_dir)
    plan = make_plan(request, datasets)
    if plan.device == "cuda":
        # on the CPU every kernel used here is deterministic; there the switch only costs (it imports the compiler)
        torch.use_deterministic_algorithms(True)
    blocks = blocks_of(plan, settings.executor.block_size)
    if settings.dry_run:
        show_dry_run(plan, blocks, datasets, settings, console)
        return DONE

    results_dir = Path(settings.results_dir)
    seal(plan, results_dir)
    console.print(engine_line(plan), highlight=False, soft_wrap=True)
    started = datetime.now(UTC)
    waiting = MirrorProcess(settings.tracking) if settings.tracking.enabled else None
    try:
        traces = list(_traces(plan, blocks, datasets, request, console))
        study = _decided(plan, merged(plan.conditions, traces), started)
        record = write_record(study, results_dir, render(study))
        write_index(results_dir, build_index(results_dir))
    except BaseException:
        if waiting is not None:
            waiting.abandon()
        raise
    console.print()
    terminal.print_verdicts(study.outcome, plan, console)
    terminal.print_where_to_look(record, _mirrored(waiting, record, console), console)
    return INVALID if study.outcome.status == "invalid" else DONE


def _mirrored(waiting: MirrorProcess | None, record: Path, console: Console) -> Links | None:
    if waiting is None:
        return None
    try:
        return waiting.write(record)
    except TrackingUnavailable as reason:
        tell_unavailable(reason, record, console)
        return None


def _traces(
    plan: Plan, blocks: Sequence[Block], datasets: Mapping[str, Dataset], request: StudyRequest, console: Console
) -> Iterator[Trace]:
    """Every block's trace: from the cache where an earlier run left it, trained and stored where not."""
    settings, results_dir = request.settings, Path(request.settings.results_dir)
    code = cache.code_fingerprint()
    keys = {id(block): _key(block, datasets, code) for block in blocks}
    total = sum(map(_replicate_steps, blocks))
    with terminal.Progress(total, len(blocks), console, settings.quiet) as progress:
        missing: list[Block] = []
        for block in blocks:
            kept = cache.load(results_dir, keys[id(block)])
            if kept is None:
                missing.append(block)
                continue
            progress.finish_block(block.condition.name, _replicate_steps(block), cached=True)
            # the key knows no names: the same numbers may serve a condition under another name
            yield replace(kept, condition=block.condition.name)

        def report(block: Block, steps: int, dead: float | None) -> None:
            progress.advance(block.condition.name, steps, dead)

        for block, trace in execute(missing, settings.executor, settings.data_dir, report):
            cache.store(results_dir, keys[id(block)], trace)
            progress.finish_block(block.condition.name, _replicate_steps(block), cached=False)
            yield trace


def _replicate_steps(block: Block) -> int:
    return int(block.condition.config["train"]["steps"]) * block.count


def _key(block: Block, datasets: Mapping[str, Dataset], code: str) -> str:
    checksums = datasets[data_key(Numeric.of(block.condition.config))].checksums
    return cache.block_key(block, checksums, code, torch.__version__, native.fingerprint())


def _decided(plan: Plan, traces: Mapping[str, Trace], started: datetime) -> Study:
    outcome = decide(plan.hypotheses, plan.conditions, traces, plan.confidence, plan.seed)
    if plan.exploratory and outcome.status == "valid":
        outcome = Outcome("exploratory", outcome.verdicts, outcome.failed_controls)
    facts = provenance.gather(plan, started, datetime.now(UTC), torch_facts())
    if any(condition.config["engine"]["path"] == "native" for condition in plan.conditions):
        facts["native"] = native.fingerprint()
    return Study(study_id(plan), plan, outcome, traces, facts)


def torch_facts() -> dict[str, object]:
    """What torch knows of the machine, for the record, which does not import torch itself."""
    return {
        "threads": torch.get_num_threads(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cuda_available": torch.cuda.is_available(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cuda_version": torch.version.cuda,
    }
