"""The names a configuration may use. Rooms that implement them are tested against these lists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh", "elu", "gelu", "silu", "prelu", "step", "step_ste")
NORMS = ("none", "batch", "layer")
NORM_POSITIONS = ("before", "after")
INITS = ("pytorch", "he", "glorot", "rai")
STARTS = ("ordinary", "born_dead", "killed", "saturated", "saddle", "saturated_hidden", "steepest", "zero_loss")
#: Starts that come after ``start.after`` ordinary steps.
STARTS_LATER = ("killed", "zero_loss")
#: Starts that set the biases of hidden layers.
STARTS_OF_BIASES = ("born_dead", "killed", "saturated_hidden")
OPTIMIZER_STATES = ("kept", "cleared")
FIRST_ORDER = ("sgd", "adam")
SECOND_ORDER = (
    "newton",
    "damped_newton",
    "saddle_free_newton",
    "trust_region",
    "gauss_newton",
    "kfac",
    "lbfgs",
    "cauchy",
    "gradient_norm",
)
#: Those that form a matrix over all parameters, and how many parameters it may have.
FULL_MATRIX, FULL_MATRIX_LIMIT = tuple(name for name in SECOND_ORDER if name not in ("kfac", "lbfgs", "cauchy")), 1024
OPTIMIZERS = (*FIRST_ORDER, *SECOND_ORDER)
OUTPUT_UNITS = ("linear", "sigmoid")
DECAYS = ("l2", "decoupled")
DECAY_ON = ("weights", "biases", "both")
SHIFTS = ("none", "permuted_pixels", "permuted_labels")
REMEDIES = ("none", "reinit_dead", "bias_bump", "leaky_swap", "redo", "shrink_perturb", "continual_backprop")
LOSSES = ("cross_entropy", "squared_error", "binary_cross_entropy", "hinge")
ROUNDINGS = ("nearest", "stochastic")
TRAINABLE = ("all", "output")
DATASETS = ("digits", "fashion_mnist", "mnist", "cifar10", "gaussian", "blobs", "teacher", "abs", "axes", "constant")
PRECISIONS = ("float32", "float64", "float16", "bfloat16")
#: Those narrower than float32.
HALVES = ("float16", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
TIERS = ("bare", "economy", "default", "full")
PROBES = (
    "fit",
    "dead",
    "dormant",
    "batch_dead",
    "gradients",
    "movement",
    "full_gradients",
    "batchnorm_bound",
    "rollout",
    "zeros",
    "collapse",
    "detectors",
    "pruning",
    "plasticity",
    "curvature",
    "stationary",
    "escape",
    "initial_gradients",
    "layer_gradients",
    "plateau",
    "underflow",
    "zero_loss",
    "late",
    "stalled",
    "timing",
    "sparsity",
    "unit_course",
    "bias_shift",
)
PATHS = ("auto", "eager", "native", "compiled")
#: Words that the front door takes in place of a study.
COMMANDS = ("list", "report", "index", "sync", "verify", "export", "check")
#: Flags of the command check.
CHECK_FLAGS = ("--all", "--strict", "--json")
EXECUTORS = ("serial", "local", "slurm", "ray")
CLUSTERS = ("slurm", "local")
TRACKING_RUNS = ("conditions", "replicates")
MODELS = ("mlp", "cnn", "resnet18")
#: Those that read images.
CONVOLUTIONAL = ("cnn", "resnet18")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like the given one."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]


def refusal(key: str, value: object, known: Iterable[str]) -> str:
    """The line about a value that is none of the known names."""
    names = list(known)
    return f"{key}={value}: not a choice; the nearest is {nearest(str(value), names)!r} (all: {', '.join(names)})"
