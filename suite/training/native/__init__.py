"""Plain multilayer perceptrons in compiled code, built at first use: training steps, and passes over a whole set. Knows no
study, probe or disk layout.
"""

from __future__ import annotations

from suite.training.native.build import available, fingerprint
from suite.training.native.differences import differences
from suite.training.native.look import Sight, gradients, look
from suite.training.native.orders import permutations
from suite.training.native.steps import Stretch, run_steps, supported

__all__ = ["Sight", "Stretch", "available", "differences", "fingerprint", "gradients", "look", "permutations", "run_steps", "supported"]
