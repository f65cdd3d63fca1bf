"""Values that no type can exclude: names, ranges and combinations that cannot work. One line each, before any training."""

from __future__ import annotations

import math
from collections.abc import Callable

from suite.config import choices
from suite.config.schema import Settings
from suite.vocabulary import RequestError


def validate(settings: Settings, where: str = "") -> None:
    """Raises RequestError for the first value that cannot be. ``where`` names the condition it belongs to."""
    prefix = f"{where}: " if where else ""
    _names(settings, prefix)
    s, o, m, t, p = settings, settings.optimizer, settings.model, settings.train, settings.probes

    def need(holds: bool, text: str) -> None:
        if not holds:
            raise RequestError(prefix + text)

    need(s.replicates >= 1, f"replicates={s.replicates} must be at least 1")
    need(s.seed >= 0, f"seed={s.seed} must not be negative")
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
    need(t.batch_size is None or t.batch_size >= 1, f"train.batch_size={t.batch_size} must be at least 1, or null for the full set")
    need(
        not (m.norm == "batch" and t.batch_size == 1),
        "model.norm=batch cannot train with train.batch_size=1, which has no variance; use a batch of 2 or more, or model.norm=layer",
    )
    need(all(width >= 1 for width in m.hidden), f"model.hidden={list(m.hidden)}: every layer needs at least one unit")
    need(m.skip_scale > 0 and math.isfinite(m.skip_scale), f"model.skip_scale={m.skip_scale} must be above zero")
    need(m.skip or m.skip_scale == 1, f"model.skip_scale={m.skip_scale} has no meaning without model.skip=true")
    need((m.width is None) == (m.depth is None), "model.width and model.depth go together: set both or neither")
    need(m.width is None or m.width >= 1, f"model.width={m.width} must be at least 1")
    need(m.depth is None or m.depth >= 0, f"model.depth={m.depth} must not be negative")
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
    for key in ("examples", "features", "classes"):
        need(getattr(s.data, key) >= 1, f"data.{key}={getattr(s.data, key)} must be at least 1")
    need(s.data.noise >= 0, f"data.noise={s.data.noise} must not be negative")
    need(s.executor.block_size is None or s.executor.block_size >= 1, f"executor.block_size={s.executor.block_size} must be at least 1")
    need(s.executor.workers is None or s.executor.workers >= 1, f"executor.workers={s.executor.workers} must be at least 1")


def _second_order(s: Settings, need: Callable[[bool, str], None]) -> None:
    o, m = s.optimizer, s.model
    need(o.damping >= 0 and math.isfinite(o.damping), f"optimizer.damping={o.damping} must not be negative")
    need(o.history >= 1, f"optimizer.history={o.history} must be at least 1")
    if o.name in choices.FIRST_ORDER:
        return
    need(o.weight_decay == 0, f"optimizer.weight_decay={o.weight_decay} has no meaning for {o.name}, which follows the loss alone")
    if o.name == "kfac":
        need(
            m.norm == "none" and m.activation != "prelu",
            "optimizer.name=kfac has factors for linear layers only; model.norm must be none and model.activation not prelu",
        )


def _names(s: Settings, prefix: str) -> None:
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
        ("probes.tier", s.probes.tier, choices.TIERS),
        ("engine.path", s.engine.path, choices.PATHS),
        ("executor.name", s.executor.name, choices.EXECUTORS),
        ("tracking.runs", s.tracking.runs, choices.TRACKING_RUNS),
    ):
        choices.require(key, value, known, prefix)
    for probe in s.probes.extra:
        choices.require("probes.extra", probe, choices.PROBES, prefix)
