"""Every configuration key with its type and default; what composing may produce and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Data:
    """A dataset. ``subset`` keeps the first so many training examples and ``test_subset`` the first so many test examples (null: all
    of them); ``pool`` replaces every square of so many by so many pixels by its mean, whole squares only (1: images as they are).
    Synthetic families have no pixels and ignore it.

    How it is presented: ``offset`` is added to every normalised input. ``target_scale`` multiplies the targets' deviation
    from their mean over the training set, output by output (labels count as one-hot targets; squared error only).
    ``shift`` is what changes from task to task (train.tasks): none, permuted_pixels or permuted_labels.
    Of images, ``crop`` puts a black border so many pixels wide around every one that a training step sees and takes a random part of the
    image's size; ``flip`` mirrors it with probability ½ (suite/training/augment.py).
    """

    name: str = "digits"
    subset: int | None = None
    test_subset: int | None = None
    pool: int = 1
    offset: float = 0.0
    target_scale: float = 1.0
    shift: str = "none"
    crop: int = 0
    flip: bool = False
    # synthetic families only
    examples: int = 1024
    features: int = 16
    classes: int = 4
    noise: float = 0.1


@dataclass
class Model:
    """A multilayer perceptron (mlp), or one behind convolutions (cnn), see suite/nets/cnn.py: ``channels`` of each convolution,
    ``kernel`` the side of its kernel. ``width`` and ``depth``, where both are set, stand for ``hidden``, and in a cnn for ``channels``.
    In a resnet18 (suite/nets/resnet.py) they are the channels of the first stage and the residual blocks of each stage: 64 and 2 make
    ResNet-18.

    ``norm`` is none, batch or layer; ``norm_position`` before or after the activation;
    ``norm_scale`` and ``norm_shift`` are the initial γ and β. ``skip`` adds to the output of every hidden layer as
    wide as its input that input itself (He et al. 2016, identity skip); ``skip_scale`` multiplies what it is added to.
    ``output_unit`` is linear, or sigmoid for outputs in (0, 1) (with squared error; cross-entropies take linear outputs as logits).
    """

    name: str = "mlp"
    hidden: list[int] = field(default_factory=lambda: [32])
    width: int | None = None
    depth: int | None = None
    activation: str = "relu"
    negative_slope: float = 0.01
    norm: str = "none"
    norm_position: str = "before"
    norm_scale: float = 1.0
    norm_shift: float = 0.0
    skip: bool = False
    skip_scale: float = 1.0
    init: str = "pytorch"
    output_unit: str = "linear"
    channels: list[int] = field(default_factory=list)
    kernel: int = 3


@dataclass
class Start:
    """The state training begins from: ordinary, born_dead, killed, saturated, saddle, saturated_hidden, steepest or zero_loss.

    ``layer`` is the hidden layer (from 1) that is made dead, null for every one; ``units`` how many of its units are
    (the first so many, null for all); ``margin`` is how far below zero
    the unit's largest pre-activation is put; ``alive_on`` leaves exactly that many inputs above zero (born_dead);
    ``scale`` multiplies the weights of the dead units first. ``after`` is the number of ordinary steps before a
    kill, and ``optimizer_state`` (kept or cleared) what becomes of the optimizer's memory then.

    ``saturated`` puts the output unit's pre-activation at -``margin`` on every input; ``saddle`` multiplies every initial
    parameter by ``distance`` (0: the origin itself).
    ``saturated_hidden`` puts the largest pre-activation of every hidden unit at -``saturation``, or, where ``saturation`` is
    negative, the smallest at its absolute value. ``steepest`` makes every hidden layer after the first the mean of the one
    before less ½, where a stack of sigmoids has slope ¼. ``zero_loss`` trains ``after`` ordinary steps, then multiplies the output
    layer by ``scale``, so that margins grow by that factor.
    """

    name: str = "ordinary"
    layer: int | None = None
    units: int | None = None
    margin: float = 1.0
    alive_on: int = 0
    scale: float = 1.0
    after: int = 100
    optimizer_state: str = "kept"
    distance: float = 0.0
    saturation: float = 0.0


@dataclass
class Optimizer:
    """An optimizer. ``decay`` is l2 (in the gradient) or decoupled; ``decay_on`` weights, biases or both.

    Second-order methods know ``lr`` (``trust_region``: the first radius), ``damping`` (added to the eigenvalues) and ``history``
    (pairs L-BFGS remembers) only.
    """

    name: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decay: str = "l2"
    decay_on: str = "both"
    damping: float = 0.001
    history: int = 10


@dataclass
class Train:
    """How long, on what batches and by which loss. ``batch_size: null`` is the full training set.

    ``warmup`` is the number of first steps over which the learning rate rises linearly: step t of them is taken with
    lr · t/warmup (0: none). ``clip`` is the largest L2 norm of one replicate's whole mini-batch gradient, which is scaled
    down to it where it is larger (null: no limit). ``tasks`` cuts the steps into that many equal tasks; what differs between
    them is data.shift.

    ``trainable`` is all, or output (hidden layers keep their starting values: random features). ``loss_scale`` multiplies
    the loss before the backward pass; gradients are divided by it, in float32 at least, before anything uses them.
    For precision float16 and bfloat16, ``rounding`` (nearest or stochastic) brings the updated weights back to that
    precision, and ``master_weights`` keeps a float32 copy that the updates go to.
    """

    steps: int = 300
    batch_size: int | None = 64
    loss: str = "cross_entropy"
    warmup: int = 0
    clip: float | None = None
    tasks: int = 1
    trainable: str = "all"
    loss_scale: float = 1.0
    rounding: str = "nearest"
    master_weights: bool = False


@dataclass
class Remedy:
    """Something done to units or weights while training runs; what each one does is told in suite/training/remedies.py.

    ``at`` is the number of updates after which it is applied once, ``every`` the number of updates between applications
    (one of the two; continual_backprop acts at every step and takes neither). An evaluation due at the same moment comes first.
    ``bump`` (bias_bump) is added to the bias; ``slope`` (leaky_swap) is the new negative slope; ``tau`` (redo) the
    dormancy threshold; ``shrink`` and ``perturb`` (shrink_perturb) multiply the weights and the noise; ``rate``, ``maturity``
    and ``decay`` (continual_backprop) are the share of mature units replaced per step, the steps to maturity, and the decay of the
    running utility.
    """

    name: str = "none"
    at: int | None = None
    every: int | None = None
    bump: float = 1.0
    slope: float = 0.01
    tau: float = 0.025
    shrink: float = 0.5
    perturb: float = 0.1
    rate: float = 1e-4
    maturity: int = 100
    decay: float = 0.99


@dataclass
class Probes:
    """What is measured. ``tier`` is bare, economy, default or full; ``every`` the number of steps between evaluations;
    ``extra`` names further probes; ``dormant_tau`` the threshold of the dormant fraction.

    For extra probes: ``escape_loss`` is the training loss at or below which a network counts as out (``escape``);
    ``critical_below`` the gradient norm at or below which a point counts as critical (``stationary``);
    ``hessian_examples`` takes the Hessian over the first so many training examples (null: all).
    ``escape_share`` is how far below the loss of the best constant predictor, as a share of it, the training
    loss must fall to count as having left the plateau (``plateau``); ``late_steps`` how many of the last steps are the
    late phase (``late``).
    """

    tier: str = "default"
    every: int = 100
    extra: list[str] = field(default_factory=list)
    dormant_tau: float = 0.025
    escape_loss: float = 0.0
    critical_below: float = 1e-8
    hessian_examples: int | None = None
    escape_share: float = 0.1
    late_steps: int = 512


@dataclass
class Engine:
    """Which way through the engine the steps take. ``path`` is auto (the fastest that serves the condition here), eager (the
    general one), native (the fused one for plain ReLU networks on the CPU) or compiled (the general one through torch.compile; pays on
    long runs only, so auto does not choose it). The plan states the outcome.
    """

    path: str = "auto"


@dataclass
class Slurm:
    """How jobs ask Slurm for resources; ``cluster`` local runs them on this machine. ``folder`` must be shared with the nodes."""

    cluster: str = "slurm"
    folder: str = ".submitit"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    timeout_min: int = 60
    mem_gb: float = 4.0


@dataclass
class Executor:
    """Where blocks run. ``block_size`` is the number of replicates trained together (null: chosen); ``workers`` the processes of
    ``local`` on the CPU (null: one per core) and ``devices`` the GPUs it takes with device=cuda, one process each: all, how many,
    or a list of their numbers. ``slurm`` and ``ray`` send jobs of ``blocks_per_job`` blocks, at most ``in_flight`` at once;
    ``address`` is the Ray cluster's (null: one is started here). ``data_parallel`` is the number of processes that train a block
    together, each on its slice of every batch (on GPUs, one GPU each): for networks too large to gain from more replicates.
    """

    name: str = "serial"
    block_size: int | None = None
    workers: int | None = None
    devices: Any = "all"
    in_flight: int = 64
    blocks_per_job: int = 1
    data_parallel: int = 1
    address: str | None = None
    slurm: Slurm = field(default_factory=Slurm)


@dataclass
class Tracking:
    """The MLflow mirror. ``runs`` is conditions or replicates; ``uri`` null means MLFLOW_TRACKING_URI or mlflow.db; a store that
    takes longer than ``patience`` seconds to take a study is given up on.
    """

    enabled: bool = True
    uri: str | None = None
    runs: str = "conditions"
    patience: float = 180.0


@dataclass
class Settings:
    """One fully composed configuration: a condition, and how the study is run."""

    seed: int = 0
    replicates: int = 64
    device: str = "auto"
    precision: str = "float32"
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    start: Start = field(default_factory=Start)
    optimizer: Optimizer = field(default_factory=Optimizer)
    train: Train = field(default_factory=Train)
    remedy: Remedy = field(default_factory=Remedy)
    probes: Probes = field(default_factory=Probes)
    engine: Engine = field(default_factory=Engine)
    executor: Executor = field(default_factory=Executor)
    tracking: Tracking = field(default_factory=Tracking)
    results_dir: str = "results"
    data_dir: str = "data"
    dry_run: bool = False
    quiet: bool = False
    scenario: Any = None


#: Keys whose value can change a number: a condition's config, and part of the cache key.
NUMERIC_KEYS = ("precision", "data", "model", "start", "optimizer", "train", "remedy", "probes", "engine")
#: Keys of ``data`` that say how a dataset is presented to the network, not which one it is.
PRESENTATION_KEYS = ("offset", "target_scale", "shift", "crop", "flip")
