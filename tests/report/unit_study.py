"""The small study by hand with what single units leave: states, pre-activations, coasting, the loss around a dead start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from study_example import make_study

from suite.vocabulary import Study

#: [time, unit]: always alive; dead throughout; dies; comes back; comes back by rounding alone.
PATTERN = np.array([[1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0, 2.0], [1.0, 0.0, 0.0, 1.0, 2.0]])
SHIFTS = (-0.5, 0.0, 0.5, 1.0, 1.5)
FOLLOWED = 4


def unit_study() -> Study:
    """``plain`` follows two layers and starts dead; ``heavy`` follows one layer, and its replicate 3 diverges."""
    made = make_study()
    traces = {}
    for name, layers in {"plain": 2, "heavy": 1}.items():
        trace = made.traces[name]
        units = {}
        for layer in range(1, layers + 1):
            units[f"state.layer{layer}"] = np.broadcast_to(PATTERN, (FOLLOWED, *PATTERN.shape)).copy()
            for k, column in enumerate(("pre_q05", "pre_q25", "pre_q50", "pre_q75", "pre_q95", "pre_max")):
                # the same in every replicate but the last
                units[f"{column}.layer{layer}"] = np.tile(np.array([-1.0, -2.0, -4.0]) + k, (FOLLOWED, 1))
                units[f"{column}.layer{layer}"][-1] = 100.0
        finals = dict(trace.finals)
        if name == "plain":
            finals |= {f"shifted_loss.{shift:g}": np.full(8, 2.0 + max(0.0, shift - 1.0)) for shift in SHIFTS}
            finals["wake_shift"] = np.full(8, 1.0)
            units["coast_distance.layer1"] = np.tile(np.array([0.0, 0.5, 0.75]), (FOLLOWED, 1))
            units["coast_predicted.layer1"] = np.tile(np.array([0.0, 0.5, 0.8]), (FOLLOWED, 1))
        else:
            units |= {f"{column}.layer1": np.zeros((FOLLOWED, 3)) for column in ("coast_distance", "coast_predicted")}
            for course in units.values():
                course[3, 1:] = np.nan
        traces[name] = replace(trace, units=units, finals=finals)
    return replace(made, traces=traces)
