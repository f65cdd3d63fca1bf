"""Which probes exist and in which cost tier. A new probe is one class in one file and one line here."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from suite.config.schema import Probes
from suite.probes.batches import BatchDead, BatchNormBound
from suite.probes.bias_shift import BiasShift
from suite.probes.collapse import Collapse
from suite.probes.curvature import Curvature, Stationary
from suite.probes.detectors import Detectors
from suite.probes.escape import Escape
from suite.probes.fit import Fit
from suite.probes.gradients import FullGradients, Gradients
from suite.probes.initial_gradients import InitialGradients
from suite.probes.late import Late
from suite.probes.layer_gradients import LayerGradients
from suite.probes.movement import Movement
from suite.probes.plasticity import Plasticity
from suite.probes.plateau import Plateau
from suite.probes.pruning import Pruning
from suite.probes.rollout import Rollout
from suite.probes.sparsity import Sparsity
from suite.probes.stalled import Stalled
from suite.probes.timing import Timing
from suite.probes.underflow import Underflow
from suite.probes.unit_course import UnitCourse
from suite.probes.units import Dead, Dormant
from suite.probes.views import Layout, Probe
from suite.probes.zero_loss import ZeroLoss
from suite.probes.zeros import Zeros
from suite.vocabulary import RequestError

PROBES: dict[str, Callable[[Layout], Probe]] = {
    "fit": Fit,
    "dead": Dead,
    "dormant": Dormant,
    "batch_dead": BatchDead,
    "gradients": Gradients,
    "movement": Movement,
    "full_gradients": FullGradients,
    "batchnorm_bound": BatchNormBound,
    "rollout": Rollout,
    "zeros": Zeros,
    "collapse": Collapse,
    "detectors": Detectors,
    "pruning": Pruning,
    "plasticity": Plasticity,
    "curvature": Curvature,
    "stationary": Stationary,
    "escape": Escape,
    "initial_gradients": InitialGradients,
    "layer_gradients": LayerGradients,
    "plateau": Plateau,
    "underflow": Underflow,
    "zero_loss": ZeroLoss,
    "late": Late,
    "stalled": Stalled,
    "timing": Timing,
    "sparsity": Sparsity,
    "unit_course": UnitCourse,
    "bias_shift": BiasShift,
}

#: What each tier takes: bare the fit alone (for very deep networks, where a column per layer is too much), economy what the
#: evaluation pass shows, default adds what steps have at hand, full adds a full-batch gradient at every evaluation.
#: Predictions are asked for by name (probes.extra).
TIERS: dict[str, tuple[str, ...]] = {
    "bare": ("fit",),
    "economy": ("fit", "dead"),
    "default": ("fit", "dead", "dormant", "batch_dead", "gradients", "movement"),
    "full": ("fit", "dead", "dormant", "batch_dead", "gradients", "movement", "full_gradients"),
}


#: What has no meaning in a network without hidden units, and is left out there.
OF_HIDDEN_UNITS = frozenset({"dead", "dormant", "batch_dead", "sparsity", "unit_course", "bias_shift"})


def names(config: Probes, layout: Layout) -> tuple[str, ...]:
    """The probes a configuration asks for, each once, less those of hidden units where there are none.

    Raises RequestError for a name in ``probes.extra`` that no probe has.
    """
    for name in config.extra:
        if name not in PROBES:
            near = difflib.get_close_matches(name, PROBES, n=1, cutoff=0.0)[0]
            raise RequestError(f"probes.extra: there is no probe {name!r}; the nearest is {near!r} (all: {', '.join(PROBES)})")
    asked = dict.fromkeys((*TIERS[config.tier], *config.extra))
    return tuple(name for name in asked if layout.layers or name not in OF_HIDDEN_UNITS)


def build(config: Probes, layout: Layout) -> tuple[Probe, ...]:
    """Fresh probes for one block."""
    return tuple(PROBES[name](layout) for name in names(config, layout))


def metric_names(config: Probes, layout: Layout) -> tuple[str, ...]:
    """Every final metric the record of this configuration will hold: last values of the curves, then summaries."""
    probes = build(config, layout)
    return tuple(name for probe in probes for name in (*probe.columns(), *probe.summaries()))
