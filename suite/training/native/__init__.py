"""A fused training step for plain multilayer perceptrons, compiled at first use. Knows no study, probe or disk layout."""

from __future__ import annotations

from suite.training.native.build import available, fingerprint
from suite.training.native.steps import Stretch, run_steps, supported

__all__ = ["Stretch", "available", "fingerprint", "run_steps", "supported"]
