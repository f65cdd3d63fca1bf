"""Trains again what a record says was trained, from its own plan and never from the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from suite.config.numeric import Numeric
from suite.config.schema import NUMERIC_KEYS, Executor, Settings
from suite.config.validate import validate
from suite.data import Dataset
from suite.execution import execute
from suite.execution.attempt import Failure, named
from suite.execution.timed import in_turn
from suite.record.canonical import study_id
from suite.report.progress import Progress
from suite.report.progress_rows import replicate_steps
from suite.study.plan import blocks_of, data_key, datasets_of, device_of
from suite.study.work import starting
from suite.training import compiled
from suite.training.data_parallel import why_not_parallel
from suite.training.device import settle
from suite.training.engine import network_of
from suite.training.paths import why_not_compiled, why_not_native
from suite.vocabulary import Block, Condition, Plan, RequestError, RunFailed, Trace, is_timed


@dataclass(frozen=True)
class Repetition:
    """A plan as it is repeated here: device, precision and path may be other ones. ``changes`` says which, in words; ``blocks`` is
    the part to repeat of ``total``, each trained by ``ranks`` processes together.
    """

    plan: Plan
    datasets: Mapping[str, Dataset]
    blocks: tuple[Block, ...]
    total: int
    changes: tuple[str, ...]
    ranks: int = 1


def prepare(
    plan: Plan, device: str | None, precision: str | None, block_size: int | None, sample: int | None, seed: int, data_dir: str, ranks: int
) -> Repetition:
    """Load the data, settle where each condition runs, and choose the blocks. ``ranks`` processes shared the record's batches; the same
    number do here, on GPUs if there are enough.

    Raises RequestError where the plan's configuration is none, or the data are not here.
    """
    for condition in plan.conditions:
        _check(condition)
    changes: list[str] = []
    here = device_of(device or ("auto" if plan.device == "cuda" else plan.device))
    if here != plan.device:
        changes.append(f"on {here} instead of {plan.device}")
    conditions = plan.conditions
    if precision is not None:
        conditions = tuple(replace(condition, config={**condition.config, "precision": precision}) for condition in conditions)
        if any(a.config != b.config for a, b in zip(conditions, plan.conditions, strict=True)):
            changes.append(f"in {precision} throughout")
    datasets = datasets_of(conditions, data_dir)
    settled = []
    for condition in conditions:
        taken = condition.config["engine"]["path"]
        condition, reason = _with_path(condition, datasets, here)
        settled.append(condition)
        if reason and (line := f"on the eager path where the record took the {taken} one ({reason})") not in changes:
            changes.append(line)
    if ranks > 1 and not _shareable(settled, datasets, here, ranks):
        changes.append(f"in one process where the record took {ranks}")
        ranks = 1
    there = replace(plan, conditions=tuple(settled), device=here)
    blocks = blocks_of(there, block_size, datasets, ranks)
    chosen = blocks if sample is None else sampled(plan, blocks, sample, seed)
    return Repetition(there, datasets, chosen, len(blocks), tuple(changes), ranks)


def _shareable(conditions: Sequence[Condition], datasets: Mapping[str, Dataset], device: str, ranks: int) -> bool:
    """Whether so many processes can share the batches here, in the precision that is asked for."""
    numerics = [Numeric.of(condition.config) for condition in conditions]
    fits = all(why_not_parallel(numeric, len(datasets[data_key(numeric)].train_x), ranks) is None for numeric in numerics)
    return fits and (device != "cuda" or torch.cuda.device_count() >= ranks)


def _check(condition: Condition) -> None:
    """Raises RequestError where a condition's configuration is not one that composing could have produced."""
    where = f"plan.json: condition {condition.name!r}"
    unknown = [key for key in condition.config if key not in NUMERIC_KEYS]
    if unknown:
        raise RequestError(f"{where}: there is no key {unknown[0]!r}; repeat it with the version in its provenance.json")
    try:
        settings: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Settings), OmegaConf.create(dict(condition.config))))
        validate(settings, where)
        Numeric.of(condition.config)
    except RequestError:
        raise
    except (OmegaConfBaseException, TypeError, KeyError, ValueError, AttributeError) as error:
        raise RequestError(f"{where}: {' '.join(str(error).split())}; repeat it with the version in its provenance.json") from error


def _with_path(condition: Condition, datasets: Mapping[str, Dataset], device: str) -> tuple[Condition, str | None]:
    numeric = Numeric.of(condition.config)
    if numeric.engine.path not in ("native", "compiled"):
        return condition, None
    net = network_of(numeric, datasets[data_key(numeric)])
    if numeric.engine.path == "native":
        reason = why_not_native(numeric, net, device)
    else:
        reason = why_not_compiled(numeric, net) or compiled.available(device)
    if reason is None:
        return condition, None
    return replace(condition, config={**condition.config, "engine": {"path": "eager"}}), reason


def sampled(plan: Plan, blocks: Sequence[Block], sample: int, seed: int) -> tuple[Block, ...]:
    """So many blocks, drawn by hash: the same study and seed always draw the same."""
    study = study_id(plan)

    def draw(block: Block) -> str:
        return hashlib.sha256(f"{study}/{seed}/{block.condition.name}/{block.first}".encode()).hexdigest()

    drawn = {id(block) for block in sorted(blocks, key=draw)[:sample]}
    return tuple(block for block in blocks if id(block) in drawn)


def train_again(repetition: Repetition, executor: Executor, data_dir: str, progress: Progress) -> Iterator[Trace]:
    """Yield the trace of each block as it is finished."""
    settle(repetition.plan.device)
    if repetition.plan.timed:
        # clocks are compared within one run: one block at a time, in the plan's rounds, whatever the executor
        for block, outcome in in_turn(starting(repetition.blocks, progress), data_dir):
            progress.advance(block, replicate_steps(block), None)
            yield _finished(block, outcome, progress)
        return
    waiting = list(repetition.blocks)

    def take() -> Block | None:
        if waiting:
            progress.start_block(waiting[0])
        return waiting.pop(0) if waiting else None

    def tell(line: str) -> None:
        progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    for block, outcome in execute(take, len(waiting), executor, data_dir, progress.advance, tell):
        yield _finished(block, outcome, progress)


def _finished(block: Block, outcome: Trace | Failure, progress: Progress) -> Trace:
    if isinstance(outcome, Failure):
        raise RunFailed(f"{named(block)} could not be trained again: {outcome.cause}; mend that and run the same command")
    progress.finish_block(block, outcome, cached=False)
    return outcome


def substituted(recorded: Mapping[str, Trace], repeated: Sequence[Trace], clocks: bool) -> dict[str, Trace]:
    """The recorded traces with the repeated replicates put in their places; what a clock made too only where ``clocks``: those of a
    part cannot be set against those of another run.
    """
    found = {name: _copied(trace) for name, trace in recorded.items()}
    for block in repeated:
        whole, rows = found[block.condition], slice(block.first, block.first + block.count)
        for kind in ("curves", "finals"):
            ours: dict[str, Any] = getattr(whole, kind)
            theirs = getattr(block, kind)
            for name, values in theirs.items():
                if name in ours and ours[name][rows].shape == values.shape and (clocks or not is_timed(name)):
                    ours[name][rows] = values
        whole.diverged_at[rows] = block.diverged_at
    return found


def _copied(trace: Trace) -> Trace:
    return replace(
        trace,
        curves={name: values.copy() for name, values in trace.curves.items()},
        finals={name: values.copy() for name, values in trace.finals.items()},
        diverged_at=trace.diverged_at.copy(),
    )
