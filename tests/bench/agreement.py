"""Do the rivals train the same model? Same start, same batches, then the loss over the training set beside the engine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.workloads import Workload

REPLICATES, STEPS, EXAMPLES = 3, 12, 1000

#: Relative. Float32 in another order of summation strays by some 1e-7 over so few steps. Over 40 steps one unit that is dead for an
#: example here and alive there, by the last bit, may send a deep network 2e-4 apart: that is chaos, not another model.
TOLERANCE = 1e-5
#: By what share of itself a loss must have changed, or agreement would prove nothing.
MOVED = 0.05


def write_problem(workload: Workload, path: Path) -> tuple[list[float], list[float]]:
    """Save start, batches and data; return the engine's losses [replicate] before and after training on them."""
    import torch

    from suite.config.numeric import Numeric
    from suite.nets.initial import initial_parameters
    from suite.streams import BatchOrder
    from suite.training.engine import network_of, train_block
    from tests.bench.engine import SEED, block_of, dataset_of

    dataset = dataset_of(workload, EXAMPLES)
    block = block_of(workload, REPLICATES, STEPS)
    numeric = Numeric.of(block.condition.config)
    net = network_of(numeric, dataset)
    start, _ = initial_parameters(net, numeric.model, SEED, range(REPLICATES), torch.device("cpu"), torch.float32)
    order = BatchOrder(SEED, range(REPLICATES), len(dataset.train_x), workload.batch)
    data = dataset.tensors(torch.device("cpu"), torch.float32)
    np.savez(
        path,
        x=data.train_x.numpy(),
        y=data.train_y.numpy(),
        order=np.stack([order.indices(step) for step in range(STEPS)]),
        **{f"weight{layer}": start[f"{name}.weight"].numpy() for layer, (name, _, _) in enumerate(net.linears)},
        **{f"bias{layer}": start[f"{name}.bias"].numpy() for layer, (name, _, _) in enumerate(net.linears)},
    )
    losses = train_block(block, dataset).curves["train_loss"]
    return losses[:, 0].tolist(), losses[:, -1].tolist()


def loop_losses(workload: Workload, problem: Mapping[str, Any]) -> list[float]:
    """The loop's losses [replicate] after training on a saved problem."""
    import torch

    from tests.bench.rivals import torch_loop

    x, y = torch.from_numpy(problem["x"]), torch.from_numpy(problem["y"])
    losses = []
    for replicate in range(REPLICATES):
        model = torch_loop.mlp(workload.sizes)
        with torch.no_grad():
            for layer, linear in enumerate(part for part in model if isinstance(part, torch.nn.Linear)):
                linear.weight.copy_(torch.from_numpy(problem[f"weight{layer}"][replicate].T))
                linear.bias.copy_(torch.from_numpy(problem[f"bias{layer}"][replicate]))
        torch_loop.train(model, x, y, torch.from_numpy(problem["order"][:, replicate]), workload.lr, workload.momentum)
        with torch.no_grad():
            losses.append(torch.nn.functional.cross_entropy(model(x), y).item())
    return losses


def jax_losses(workload: Workload, problem: Mapping[str, Any]) -> list[float]:
    """JAX's losses [replicate] after training on a saved problem."""
    import jax

    from tests.bench.rivals import jax_stack

    layers = len(workload.sizes) - 1
    params = [(jax.numpy.asarray(problem[f"weight{k}"]), jax.numpy.asarray(problem[f"bias{k}"])) for k in range(layers)]
    x, y = jax.numpy.asarray(problem["x"]), jax.numpy.asarray(problem["y"])
    trained, _ = jax_stack.train(params, x, y, problem["order"].astype(np.int32), workload.lr, workload.momentum)
    return [float(loss) for loss in jax.vmap(jax_stack.loss, in_axes=(0, None, None))(trained, x, y)]


SOLVERS = {"loop": loop_losses, "jax": jax_losses}


def deviation(before: Sequence[float], ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Largest relative difference of the losses. Raises ValueError where the models differ by more than TOLERANCE, or where
    training moved a loss so little that agreement would prove nothing.
    """
    start, mine, other = (np.asarray(losses, dtype=np.float64) for losses in (before, ours, theirs))
    if not (np.abs(start - mine) > MOVED * start).all():
        raise ValueError(f"the losses hardly moved, from {start} to {mine}: agreement would prove nothing")
    worst = float(np.max(np.abs(other - mine) / mine))
    if not worst <= TOLERANCE:
        raise ValueError(f"the rival trains another model: losses {other} against {mine}")
    return worst
