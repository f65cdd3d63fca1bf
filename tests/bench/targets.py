"""What the benchmarks are meant to show, in numbers set before measuring. A target that is missed is reported, never a failed test."""

from __future__ import annotations

from tests.bench.figures import Target

#: Against the loop at R = 32, per workload. Where networks are small the loop is all overhead, where they are large all arithmetic.
LOOP = {
    "digits": Target("ours / torch loop, R = 32, one core", "at_least", 30.0),
    "wide": Target("ours / torch loop, R = 32, one core", "at_least", 1.0),
    "deep": Target("ours / torch loop, R = 32, one core", "at_least", 1.0),
}
JAX_ONE = Target("ours / JAX, one process of one thread each", "at_least", 1.0)
JAX_BEST = {
    "digits": Target("ours in two processes / JAX in its best setting", "at_least", 1.5),
    "wide": Target("ours in two processes / JAX in its best setting", "at_least", 1.2),
    "deep": Target("ours in two processes / JAX in its best setting", "at_least", 1.2),
}
#: For networks large enough to be all arithmetic.
GEMM = Target("share of the sgemm peak of the same run, one core", "at_least", 0.6)
ALONE = Target("ours / torch loop, R = 1", "at_least", 1.0)
MEMORY = Target("measured bytes of a block off the predicted ones, as a share of these, R = 8 … 128, the worst", "at_most", 0.1)
PROBES = Target("default-tier probes as a share of training time", "at_most", 0.03)
STUDY = Target("Hydra, one process per seed / ours, seconds per seed-run", "at_least", 50.0)
VERDICT = Target("seconds from the command to the verdict of born_dead", "at_most", 15.0)
LIST = Target("seconds of `python -m suite` (the list)", "at_most", 1.0)


def mirror(study: str) -> Target:
    """What surrounds a default study."""
    return Target(f"{study}: record, report and MLflow as a share of the study's wall time", "at_most", 0.05)
