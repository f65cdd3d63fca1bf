"""What the benchmarks are meant to show, in numbers set before measuring. A target that is missed is reported, never a failed test."""

from __future__ import annotations

from tests.bench.figures import Target

#: Against the loop at R = 32, per workload. Where networks are small the loop is all overhead, where they are large all arithmetic.
LOOP = {
    "digits": Target("ours / torch loop, R = 32, one core", "at_least", 10.0),
    "wide": Target("ours / torch loop, R = 32, one core", "at_least", 1.0),
    "deep": Target("ours / torch loop, R = 32, one core", "at_least", 1.0),
}
JAX_ONE = Target("ours / JAX, one process of one thread each", "at_least", 1.0)
JAX_BEST = Target("ours in two processes / JAX in its best setting", "at_least", 1.0)
ALONE = Target("ours / torch loop, R = 1", "at_least", 1.0)
MEMORY = Target("measured / predicted bytes of a block, R = 128", "at_most", 1.5)
PROBES = Target("default-tier probes as a share of training time", "at_most", 0.1)
STUDY = Target("Hydra multirun / ours, seconds per seed-run", "at_least", 20.0)
MIRROR = Target("MLflow as a share of the study's wall time", "at_most", 0.25)
LIST = Target("seconds of `python -m suite` (the list)", "at_most", 1.0)
