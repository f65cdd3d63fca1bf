"""Values that no type can exclude: names, ranges and combinations that cannot work. One line each, before any training."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from suite.config import choices
from suite.config.schema import Executor, Settings
from suite.vocabulary import MOST_RANKS, RequestError

FLOAT16_MAX = 65504.0
#: Far above any study, and low enough to be refused before memory is.
MOST_REPLICATES, MOST_STEPS, MOST_NUMBERS, MOST_UNITS, MOST_LAYERS = 10**6, 10**9, 10**8, 10**6, 10**4


def validate(settings: Settings, where: str = "") -> None:
    """Raises RequestError for the first value that cannot be. ``where`` names the condition it belongs to."""
    for text in faults(settings):
        raise RequestError(f"{where}: {text}" if where else text)


def faults(settings: Settings) -> list[str]:
    """Every value that cannot be, a line for each."""
    found: list[str] = []
    s, o, m, t, p = settings, settings.optimizer, settings.model, settings.train, settings.probes

    def need(holds: bool, text: str) -> None:
        if not holds:
            found.append(text)

    _names(settings, need)
    for key, path in (("results_dir", s.results_dir), ("data_dir", s.data_dir)):
        need(bool(path.strip()) and "\0" not in path, f"{key}={path!r} must name a folder")
    need(s.replicates >= 1, f"replicates={s.replicates} must be at least 1")
    need(s.replicates <= MOST_REPLICATES, f"replicates={s.replicates} must be at most {MOST_REPLICATES}")
    need(s.seed >= 0, f"seed={s.seed} must not be negative")
    need(s.seed < 2**63, f"seed={s.seed} must be below 2^63")
    need(o.lr > 0 and math.isfinite(o.lr), f"optimizer.lr={o.lr} must be above zero")
    need(0 <= o.momentum < 1, f"optimizer.momentum={o.momentum} must lie in [0, 1)")
    need(not o.nesterov or (o.momentum > 0 and o.name == "sgd"), "optimizer.nesterov=true needs sgd with optimizer.momentum above 0")
    need(o.name == "sgd" or o.momentum == 0, f"optimizer.momentum={o.momentum} has no meaning for {o.name}, whose memory is set by beta1")
    for key, beta in (("beta1", o.beta1), ("beta2", o.beta2)):
        need(0 <= beta < 1, f"optimizer.{key}={beta} must lie in [0, 1)")
    _second_order(s, need)
    need(o.eps >= 0, f"optimizer.eps={o.eps} must not be negative")
    need(o.weight_decay >= 0 and math.isfinite(o.weight_decay), f"optimizer.weight_decay={o.weight_decay} must not be negative")
    need(t.steps >= 1, f"train.steps={t.steps} must be at least 1")
    need(t.steps <= MOST_STEPS, f"train.steps={t.steps} must be at most {MOST_STEPS}")
    need(t.batch_size is None or t.batch_size >= 1, f"train.batch_size={t.batch_size} must be at least 1, or null for the full set")
    need(
        not (m.norm == "batch" and t.batch_size == 1),
        "model.norm=batch cannot train with train.batch_size=1, which has no variance; use a batch of 2 or more, or model.norm=layer",
    )
    need(
        all(type(width) is int and 1 <= width <= MOST_UNITS for width in m.hidden),
        f"model.hidden={list(m.hidden)}: every layer needs at least one unit, a whole number of at most {MOST_UNITS}",
    )
    _cnn(s, need)
    _resnet(s, need)
    _convolutional(s, need)
    need(m.skip_scale > 0 and math.isfinite(m.skip_scale), f"model.skip_scale={m.skip_scale} must be above zero")
    need(m.skip or m.skip_scale == 1, f"model.skip_scale={m.skip_scale} has no meaning without model.skip=true")
    need((m.width is None) == (m.depth is None), "model.width and model.depth go together: set both or neither")
    need(m.width is None or m.width >= 1, f"model.width={m.width} must be at least 1")
    need(m.depth is None or 0 <= m.depth <= MOST_LAYERS, f"model.depth={m.depth} must lie in [0, {MOST_LAYERS}]")
    need(p.every >= 1, f"probes.every={p.every} must be at least 1")
    need(p.dormant_tau >= 0, f"probes.dormant_tau={p.dormant_tau} must not be negative")
    need(settings.start.margin > 0, f"start.margin={settings.start.margin} must be above zero")
    need(settings.start.scale > 0, f"start.scale={settings.start.scale} must be above zero")
    need(settings.start.units is None or settings.start.units >= 0, f"start.units={settings.start.units} must not be negative")
    need(settings.start.alive_on >= 0, f"start.alive_on={settings.start.alive_on} must not be negative")
    need(settings.start.distance >= 0, f"start.distance={settings.start.distance} must not be negative")
    need(p.critical_below > 0, f"probes.critical_below={p.critical_below} must be above zero")
    examples = p.hessian_examples
    need(examples is None or examples >= 1, f"probes.hessian_examples={examples} must be at least 1, or null for all")
    need(
        m.output_unit == "linear" or t.loss == "squared_error",
        f"model.output_unit=sigmoid needs train.loss=squared_error; {t.loss} takes linear outputs as logits",
    )
    need(settings.start.after >= 0, f"start.after={settings.start.after} must not be negative")
    _precision(s, need)
    need(0 < p.escape_share < 1, f"probes.escape_share={p.escape_share} must lie in (0, 1)")
    need(p.late_steps >= 64, f"probes.late_steps={p.late_steps} must be at least 64")
    need("late" not in p.extra or p.late_steps <= t.steps, f"probes.late_steps={p.late_steps} exceeds train.steps={t.steps}")
    for key in ("examples", "features", "classes", "pool"):
        need(getattr(s.data, key) >= 1, f"data.{key}={getattr(s.data, key)} must be at least 1")
    numbers = 2 * s.data.examples * s.data.features
    need(numbers <= MOST_NUMBERS, f"data.examples and data.features ask for {numbers} numbers, and {MOST_NUMBERS} is the limit")
    need(s.data.crop >= 0, f"data.crop={s.data.crop} must not be negative")
    need(math.isfinite(s.data.offset), f"data.offset={s.data.offset} must be finite")
    need(
        s.data.target_scale > 0 and math.isfinite(s.data.target_scale),
        f"data.target_scale={s.data.target_scale} must be above zero",
    )
    need(
        s.data.target_scale == 1 or t.loss == "squared_error",
        f"data.target_scale={s.data.target_scale} needs train.loss=squared_error, not {t.loss}",
    )
    _schedule(s, need)
    _remedy(s, need)
    need(s.data.noise >= 0, f"data.noise={s.data.noise} must not be negative")
    _executor(s.executor, need)
    patience = s.tracking.patience
    need(0 < patience <= threading.TIMEOUT_MAX, f"tracking.patience={patience} must be above zero, in seconds")
    return found


Need = Callable[[bool, str], None]


def _schedule(s: Settings, need: Need) -> None:
    t = s.train
    need(
        s.data.shift == "none" or not {"curvature", "stationary"} & set(s.probes.extra),
        f"probes.extra={list(s.probes.extra)} takes the Hessian of fixed data and cannot go with data.shift={s.data.shift}",
    )
    need(t.warmup >= 0, f"train.warmup={t.warmup} must not be negative")
    need(t.clip is None or t.clip > 0, f"train.clip={t.clip} must be above zero, or null for no limit")
    need(t.tasks >= 1, f"train.tasks={t.tasks} must be at least 1")
    need(t.steps % max(t.tasks, 1) == 0, f"train.tasks={t.tasks} must divide train.steps={t.steps}")
    need(
        t.tasks == 1 or t.steps // max(t.tasks, 1) % max(s.probes.every, 1) == 0,
        f"probes.every={s.probes.every} must divide the {t.steps // max(t.tasks, 1)} steps of a task, so that every task's end is measured",
    )
    need(
        s.data.shift == "none" or s.data.target_scale == 1,
        f"data.shift={s.data.shift} changes the mean target from task to task and excludes data.target_scale",
    )
    if "rollout" in s.probes.extra:
        need(not s.data.crop and not s.data.flip, "probes.extra=[rollout] predicts fixed inputs and cannot go with data.crop or data.flip")
        need(t.warmup == 0, "probes.extra=[rollout] predicts a constant learning rate and cannot go with train.warmup")
        need(s.remedy.name == "none", f"probes.extra=[rollout] predicts the optimizer alone and cannot go with remedy={s.remedy.name}")
        need(
            s.data.shift != "permuted_pixels", "probes.extra=[rollout] predicts fixed inputs and cannot go with data.shift=permuted_pixels"
        )


def _remedy(s: Settings, need: Need) -> None:
    r = s.remedy
    outgoing = r.name in ("redo", "continual_backprop") or "pruning" in s.probes.extra
    need(not (s.model.skip and outgoing), "model.skip carries other units' signals along a unit's outgoing weights; they cannot be cut")
    timed = (r.at is not None) + (r.every is not None)
    if r.name in ("none", "continual_backprop"):
        need(timed == 0, f"remedy={r.name} has no moment of its own; leave out remedy.at and remedy.every")
    else:
        need(timed == 1, f"remedy={r.name} needs one of remedy.at and remedy.every")
    need(r.name != "leaky_swap" or r.at is not None, "remedy=leaky_swap happens once; give remedy.at")
    need(
        r.name != "leaky_swap" or s.model.activation == "relu",
        f"remedy=leaky_swap replaces ReLU and cannot go with model.activation={s.model.activation}",
    )
    need(r.at is None or 0 <= r.at < s.train.steps, f"remedy.at={r.at} must lie in [0, train.steps={s.train.steps})")
    need(r.every is None or r.every >= 1, f"remedy.every={r.every} must be at least 1")
    need(r.tau >= 0, f"remedy.tau={r.tau} must not be negative")
    need(r.slope > 0, f"remedy.slope={r.slope} must be above zero")
    need(0 <= r.shrink <= 1, f"remedy.shrink={r.shrink} must lie in [0, 1]")
    need(r.perturb >= 0, f"remedy.perturb={r.perturb} must not be negative")
    need(r.maturity >= 0, f"remedy.maturity={r.maturity} must not be negative")
    need(0 <= r.decay < 1, f"remedy.decay={r.decay} must lie in [0, 1)")
    width = (s.model.width or 1) * (8 if s.model.name == "resnet18" else 1)
    widest = max([width, *s.model.hidden, *s.model.channels])
    need(0 < r.rate * widest <= 1, f"remedy.rate={r.rate} must lie above zero and replace at most one of {widest} units per step")


def _cnn(s: Settings, need: Need) -> None:
    m = s.model
    if m.name != "cnn":
        need(not m.channels, f"model.channels={list(m.channels)} has no meaning in model={m.name}; use model=cnn")
        return
    need(bool(m.channels) or bool(m.depth), "model=cnn needs at least one convolution; give model.channels, or use model=mlp")
    need(
        all(type(width) is int and 1 <= width <= MOST_UNITS for width in m.channels),
        f"model.channels={list(m.channels)}: every convolution needs at least one channel, a whole number of at most {MOST_UNITS}",
    )
    need(m.kernel >= 1 and m.kernel % 2 == 1, f"model.kernel={m.kernel} must be odd, so that an image keeps its size")


def _resnet(s: Settings, need: Need) -> None:
    m = s.model
    if m.name != "resnet18":
        return
    need(
        m.width is not None and m.depth is not None and m.depth >= 1,
        f"model=resnet18 needs model.width and model.depth (64 and 2 make ResNet-18), not {m.width} and {m.depth}",
    )
    need(m.width is None or 8 * m.width <= MOST_UNITS, f"model.width={m.width} makes layers of more than {MOST_UNITS} channels")
    need(m.kernel == 3, f"model.kernel={m.kernel} has no meaning in model=resnet18, whose kernels are 3 × 3; use model=cnn")
    for probe, why in (
        ("pruning", "cuts all that a unit passes on, and a skip cannot be cut"),
        ("underflow", "follows a gradient down one chain of layers"),
        ("timing", "counts the operations of dense layers"),
    ):
        need(probe not in s.probes.extra, f"probes.extra=[{probe}] {why}, so it cannot go with model=resnet18")


def _convolutional(s: Settings, need: Need) -> None:
    m, name = s.model, s.model.name
    if name not in choices.CONVOLUTIONAL:
        return
    need(not m.skip, f"model.skip=true joins layers of equal width and has no meaning in model={name}; leave it out, or use model=mlp")
    need(m.init != "rai", f"model.init=rai is for dense layers and has no meaning in model={name}; the nearest is model.init=he")
    need(s.start.name != "steepest", f"start=steepest is for dense layers and has no meaning in model={name}; use model=mlp")
    need(s.optimizer.name != "kfac", f"optimizer.name=kfac has factors for dense layers only and cannot go with model={name}; use lbfgs")
    need(
        "rollout" not in s.probes.extra,
        f"probes.extra=[rollout] predicts a dense first layer and cannot go with model={name}; use model=mlp",
    )


def _second_order(s: Settings, need: Need) -> None:
    o, m = s.optimizer, s.model
    need(o.damping >= 0 and math.isfinite(o.damping), f"optimizer.damping={o.damping} must not be negative")
    need(o.history >= 1, f"optimizer.history={o.history} must be at least 1")
    if o.name in choices.FIRST_ORDER:
        return
    need(o.weight_decay == 0, f"optimizer.weight_decay={o.weight_decay} has no meaning for {o.name}, which follows the loss alone")
    for key, holds in (
        ("train.warmup", s.train.warmup == 0),
        ("train.clip", s.train.clip is None),
        ("remedy", s.remedy.name == "none"),
        ("train.loss_scale", s.train.loss_scale == 1),
        ("precision", s.precision not in choices.HALVES),
        ("train.trainable", s.train.trainable == "all"),
    ):
        need(holds, f"{key} serves the first-order optimizers ({', '.join(choices.FIRST_ORDER)}), not optimizer.name={o.name}")
    if o.name == "kfac":
        need(
            m.norm == "none" and m.activation != "prelu" and not m.skip,
            "optimizer.name=kfac has factors for linear layers only; model.norm must be none, model.skip false, model.activation not prelu",
        )


def _precision(s: Settings, need: Need) -> None:
    t, half = s.train, s.precision in choices.HALVES
    need(t.loss_scale > 0 and math.isfinite(t.loss_scale), f"train.loss_scale={t.loss_scale} must be above zero")
    need(
        s.precision != "float16" or t.loss_scale <= FLOAT16_MAX,
        f"train.loss_scale={t.loss_scale} is infinite in precision=float16, whose largest number is {FLOAT16_MAX}",
    )
    for key, asked in (("rounding=stochastic", t.rounding == "stochastic"), ("master_weights=true", t.master_weights)):
        need(not asked or half, f"train.{key} needs precision float16 or bfloat16; {s.precision} is what it would round from")
    need(
        not (t.master_weights and t.rounding == "stochastic"),
        "train.rounding=stochastic has no meaning with train.master_weights=true, where the weights are the nearest to their master",
    )


def _names(s: Settings, need: Need) -> None:
    for key, value, known in (
        ("device", s.device, choices.DEVICES),
        ("precision", s.precision, choices.PRECISIONS),
        ("data.name", s.data.name, choices.DATASETS),
        ("model.name", s.model.name, choices.MODELS),
        ("model.activation", s.model.activation, choices.ACTIVATIONS),
        ("model.output_unit", s.model.output_unit, choices.OUTPUT_UNITS),
        ("model.norm", s.model.norm, choices.NORMS),
        ("model.norm_position", s.model.norm_position, choices.NORM_POSITIONS),
        ("model.init", s.model.init, choices.INITS),
        ("start.name", s.start.name, choices.STARTS),
        ("start.optimizer_state", s.start.optimizer_state, choices.OPTIMIZER_STATES),
        ("optimizer.name", s.optimizer.name, choices.OPTIMIZERS),
        ("optimizer.decay", s.optimizer.decay, choices.DECAYS),
        ("optimizer.decay_on", s.optimizer.decay_on, choices.DECAY_ON),
        ("train.loss", s.train.loss, choices.LOSSES),
        ("data.shift", s.data.shift, choices.SHIFTS),
        ("remedy.name", s.remedy.name, choices.REMEDIES),
        ("train.trainable", s.train.trainable, choices.TRAINABLE),
        ("train.rounding", s.train.rounding, choices.ROUNDINGS),
        ("probes.tier", s.probes.tier, choices.TIERS),
        ("engine.path", s.engine.path, choices.PATHS),
        ("executor.name", s.executor.name, choices.EXECUTORS),
        ("executor.slurm.cluster", s.executor.slurm.cluster, choices.CLUSTERS),
        ("tracking.runs", s.tracking.runs, choices.TRACKING_RUNS),
    ):
        if value not in known:
            need(False, choices.refusal(key, value, known))
    for probe in s.probes.extra:
        if probe not in choices.PROBES:
            need(False, choices.refusal("probes.extra", probe, choices.PROBES))


def _executor(e: Executor, need: Need) -> None:
    need(e.block_size is None or e.block_size >= 1, f"executor.block_size={e.block_size} must be at least 1")
    need(e.workers is None or e.workers >= 1, f"executor.workers={e.workers} must be at least 1")
    need(_are_devices(e.devices), f"executor.devices={e.devices} is neither all, nor a number of GPUs, nor a list like [0,1]")
    need(e.in_flight >= 1, f"executor.in_flight={e.in_flight} must be at least 1")
    need(1 <= e.data_parallel <= MOST_RANKS, f"executor.data_parallel={e.data_parallel} must lie in [1, {MOST_RANKS}]")
    need(e.blocks_per_job >= 1, f"executor.blocks_per_job={e.blocks_per_job} must be at least 1")
    need(e.slurm.timeout_min >= 1, f"executor.slurm.timeout_min={e.slurm.timeout_min} must be at least 1 (minutes)")
    need(e.slurm.mem_gb > 0, f"executor.slurm.mem_gb={e.slurm.mem_gb} must be above 0")


def _are_devices(given: Any) -> bool:
    if isinstance(given, list):
        return bool(given) and all(type(index) is int and index >= 0 for index in given) and len(set(given)) == len(given)
    return given == "all" or (type(given) is int and given >= 1)
