"""Turns a request into a sealed plan: everything that is decided before the first step of training."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from suite.config.choices import FULL_MATRIX, FULL_MATRIX_LIMIT
from suite.config.compose import StudyRequest
from suite.config.numeric import Numeric
from suite.config.schema import PRESENTATION_KEYS, Data, Executor, Start
from suite.data import Dataset, load
from suite.execution.crew import backend_of
from suite.nets.cnn import Cnn
from suite.nets.passes import PASS_ELEMENTS
from suite.nets.resnet import ResNet
from suite.probes import registry
from suite.selection import select
from suite.study.timed import rounds, timed_block_size
from suite.training import compiled, native
from suite.training.curvature import count_parameters
from suite.training.data_parallel import why_not_parallel
from suite.training.engine import layout_of, network_of
from suite.training.paths import path_of, why_not_compiled, why_not_native
from suite.vocabulary import Block, Condition, Plan, RequestError

#: Replicates trained together where nothing else is asked for: large enough to be quick, small enough to resume from.
BLOCK_SIZE = 32
#: Elements that the maps of a residual network, their gradients included, may take on a GPU: 4 GB in float32; the passes of a step
#: between them take several times as much.
GPU_ELEMENTS = 2**30


def device_of(name: str) -> str:
    """``auto`` is CUDA where there is one. Raises RequestError where CUDA is asked for and absent."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RequestError("device=cuda: this machine has no CUDA device that torch can use; the choice here is device=cpu")
    return name


def datasets_of(conditions: tuple[Condition, ...], data_dir: str) -> dict[str, Dataset]:
    """Every dataset the conditions name, loaded and checked, by its canonical name."""
    found: dict[str, Dataset] = {}
    for condition in conditions:
        numeric = Numeric.of(condition.config)
        key = data_key(numeric)
        if key not in found:
            found[key] = load(numeric.data, data_dir)
    return found


def data_key(numeric: Numeric) -> str:
    """The dataset's name, with its subset or family parameters where they are not the defaults."""
    default = vars(Data())
    unsaid = ("name", *PRESENTATION_KEYS)
    changed = [f"{key}={value}" for key, value in vars(numeric.data).items() if key not in unsaid and value != default[key]]
    return numeric.data.name + (f"[{','.join(changed)}]" if changed else "")


def make_plan(request: StudyRequest, datasets: Mapping[str, Dataset]) -> Plan:
    """The plan of a request. Raises RequestError where a hypothesis rests on something nobody measures, or where
    the data and the configuration do not fit each other.
    """
    spec, settings = request.scenario, request.settings
    device = device_of(settings.device)
    block_size = timed_block_size(request)
    for condition in request.conditions:
        check_fit(condition, datasets[data_key(Numeric.of(condition.config))])
    ranks = ranks_of(settings.executor, device)
    conditions = tuple(_with_path(condition, datasets, device, ranks) for condition in request.conditions)
    for hypothesis in spec.hypotheses:
        for condition in (c for selection in hypothesis.selections.values() for c in select(request.conditions, selection)):
            numeric = Numeric.of(condition.config)
            known = registry.metric_names(numeric.probes, layout_of(numeric, datasets[data_key(numeric)]))
            for metric in (hypothesis.metric, *([] if hypothesis.over is None else [hypothesis.over])):
                if metric not in known:
                    near = difflib.get_close_matches(metric, known, n=1, cutoff=0.0)[0]
                    raise RequestError(
                        f"{request.origin}: hypothesis {hypothesis.name!r} rests on the metric {metric!r}, which no "
                        f"probe measures in condition {condition.name!r}; the nearest is {near!r}"
                    )
    return Plan(
        scenario=spec.name,
        title=spec.title,
        claims=spec.claims,
        question=spec.question,
        method=spec.method,
        factors=request.factors,
        conditions=conditions,
        hypotheses=spec.hypotheses,
        confidence=spec.confidence,
        seed=settings.seed,
        replicates=settings.replicates,
        device=device,
        data={key: dict(dataset.checksums) for key, dataset in datasets.items()},
        deviations=request.deviations,
        references=spec.references,
        block_size=block_size,
    )


def ranks_of(executor: Executor, device: str) -> int:
    """How many processes train a block together. Raises RequestError where there are too few GPUs for them."""
    ranks = executor.data_parallel
    # on a cluster the GPUs are elsewhere
    if ranks > 1 and device == "cuda" and executor.name in ("serial", "local"):
        found = torch.cuda.device_count()
        if found < ranks:
            raise RequestError(f"executor.data_parallel={ranks} takes a GPU per process, and this machine has {found}")
    return ranks


def _with_path(condition: Condition, datasets: Mapping[str, Dataset], device: str, ranks: int) -> Condition:
    """The condition with its way through the engine settled. Raises RequestError where it names one that cannot serve it."""
    numeric = Numeric.of(condition.config)
    dataset = datasets[data_key(numeric)]
    net = network_of(numeric, dataset)
    if ranks > 1:
        if reason := why_not_parallel(numeric, len(dataset.train_x), ranks):
            raise RequestError(f"condition {condition.name!r}: executor.data_parallel={ranks} cannot train it: {reason}")
        return replace(condition, config={**condition.config, "engine": {"path": "eager"}})
    if numeric.engine.path == "native" and (reason := why_not_native(numeric, net, device)):
        raise RequestError(f"condition {condition.name!r}: engine.path=native cannot serve it: {reason}; use engine.path=auto")
    path = path_of(numeric, net, device)
    if path == "compiled":
        if reason := why_not_compiled(numeric, net):
            raise RequestError(f"condition {condition.name!r}: engine.path=compiled cannot serve it: {reason}; use engine.path=auto")
        path = "compiled" if compiled.available(device) is None else "eager"
    return replace(condition, config={**condition.config, "engine": {"path": path}})


def engine_line(plan: Plan, asked: Sequence[Condition] = (), ranks: int = 1) -> str:
    """Which way the conditions take through the engine, in one line; where a compiler is what is missing, the line says so.
    ``asked`` are the conditions as they were requested.
    """
    paths = [condition.config["engine"]["path"] for condition in plan.conditions]
    count = {path: paths.count(path) for path in dict.fromkeys(paths)}
    line = "engine: " + ", ".join(f"{path} for {number} of {len(paths)} conditions" for path, number in count.items())
    if ranks > 1:
        return f"{line}; every batch shared by {ranks} processes ({backend_of(plan.device)})"
    if "native" not in count and plan.device == "cpu" and (reason := native.available()):
        line += f" (the native path is not available: {reason})"
    if any(condition.config["engine"]["path"] == "compiled" for condition in asked) and "compiled" not in count:
        line += f" (the compiled path is not available: {compiled.available(plan.device)})"
    return line


def check_fit(condition: Condition, dataset: Dataset) -> None:
    """Raises RequestError where a condition asks for what its data cannot give."""
    numeric = Numeric.of(condition.config)
    where = f"condition {condition.name!r}"
    if dataset.classes is None and numeric.train.loss in ("cross_entropy", "hinge"):
        raise RequestError(f"{where}: train.loss={numeric.train.loss} needs classes and data={dataset.name} has none; use squared_error")
    examples = len(dataset.train_x)
    batch = numeric.train.batch_size
    if batch is not None and batch > examples:
        raise RequestError(f"{where}: train.batch_size={batch} exceeds the {examples} training examples of data={dataset.name}; take fewer")
    if dataset.classes is None and numeric.data.shift == "permuted_labels":
        raise RequestError(f"{where}: data.shift=permuted_labels needs classes and data={dataset.name} has none; use permuted_pixels")
    if numeric.data.crop or numeric.data.flip:
        if dataset.image is None:
            raise RequestError(f"{where}: data.crop and data.flip need images and data={dataset.name} has none; use data=digits")
        if numeric.data.crop >= min(dataset.image[:2]):
            raise RequestError(
                f"{where}: data.crop={numeric.data.crop} could leave nothing of an image of "
                f"{dataset.image[0]} × {dataset.image[1]}; the largest here is {min(dataset.image[:2]) - 1}"
            )
    net = network_of(numeric, dataset)
    hidden = len(net.widths)
    if hidden == 0 and (
        numeric.start.name in ("born_dead", "killed", "saturated_hidden", "steepest")
        or {"rollout", "batchnorm_bound"} & set(numeric.probes.extra)
    ):
        raise RequestError(
            f"{where}: model.hidden is empty, so there is no hidden layer to make dead or to predict; give it one, such as [32]"
        )
    if dataset.classes is not None and numeric.train.loss == "binary_cross_entropy":
        raise RequestError(f"{where}: train.loss=binary_cross_entropy needs targets and data={dataset.name} has classes; use cross_entropy")
    size = count_parameters(net)
    full = numeric.optimizer.name in FULL_MATRIX or {"curvature", "stationary"} & set(numeric.probes.extra)
    if full and size > FULL_MATRIX_LIMIT:
        raise RequestError(
            f"{where}: a matrix over all {size} parameters is asked for (optimizer.name={numeric.optimizer.name}, "
            f"probes.extra={list(numeric.probes.extra)}) and {FULL_MATRIX_LIMIT} is the limit; take fewer units, or kfac or lbfgs"
        )
    if numeric.start.layer is not None and not 1 <= numeric.start.layer <= hidden:
        raise RequestError(f"{where}: start.layer={numeric.start.layer} is not one of the hidden layers; choose 1 to {hidden}")
    _check_units(numeric.start, net.widths, where)
    if numeric.start.alive_on >= examples:
        raise RequestError(
            f"{where}: start.alive_on={numeric.start.alive_on} needs more than {examples} training examples; take fewer than that"
        )


def _check_units(start: Start, hidden: tuple[int, ...], where: str) -> None:
    for layer in range(1, len(hidden) + 1) if start.layer is None else (start.layer,):
        if start.units is not None and start.units > hidden[layer - 1]:
            raise RequestError(
                f"{where}: start.units={start.units} exceeds the units of hidden layer {layer}; take at most {hidden[layer - 1]}"
            )


def blocks_of(plan: Plan, block_size: int | None, datasets: Mapping[str, Dataset] | None = None, ranks: int = 1) -> tuple[Block, ...]:
    """The plan's units of work, condition by condition. The block size cannot change a number; where none is asked for, ``datasets``
    (the plan's) let it fit the network. Where the plan fixes it, for clocks, blocks come in rounds. ``ranks`` processes train each.
    """
    if plan.block_size is not None:
        order = rounds(plan.conditions, plan.replicates, plan.block_size)
        return tuple(Block(condition, first, plan.block_size, plan.seed, plan.device) for condition, first in order)

    def size(condition: Condition) -> int:
        return block_size or (_block_size(Numeric.of(condition.config), datasets, plan.device) if datasets else BLOCK_SIZE)

    return tuple(
        Block(condition, first, min(size(condition), plan.replicates - first), plan.seed, plan.device, ranks)
        for condition in plan.conditions
        for first in range(0, plan.replicates, size(condition))
    )


def _block_size(numeric: Numeric, datasets: Mapping[str, Dataset], device: str) -> int:
    """BLOCK_SIZE, but for a convolutional network on the CPU as many as its maps, their gradients included, fit into a cache: from
    memory they come more slowly than they are computed. For a residual network on a GPU as many as fit into its memory.
    """
    dataset = datasets[data_key(numeric)]
    net = network_of(numeric, dataset)
    room = PASS_ELEMENTS if device == "cpu" else GPU_ELEMENTS
    if not isinstance(net, Cnn) or (device != "cpu" and not isinstance(net, ResNet)):
        return BLOCK_SIZE
    batch = numeric.train.batch_size or len(dataset.train_x)
    return max(2, min(BLOCK_SIZE, room // (4 * batch * sum(net.held))))
