"""The general path with its loss and gradient compiled by torch.compile (Ansel et al. 2024). Knows no probe, study or disk.

Forward and backward pass become a few fused loops beside the same matrix products; updates, whole-set passes and all that is not
a plain step are the general path's. Every width of a block is compiled for itself. On the CPU a replicate has the same bits at
every width: loops are vectorised within a replicate's own elements or, where they run on into the next one's, with the
remainder masked, so no element goes through another implementation of exp.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.nets.mlp import Buffers, Forward, Mlp, Parameters
from suite.probes.views import Watch
from suite.training.eager import EagerSteps, State
from suite.training.evaluate import Task
from suite.training.losses import LOSSES, scaled_gradients

#: Of each replicate the loss, its gradient in the order of the parameters, the last batch's pre-activations, the running statistics after
#: the pass, and the batch variances.
_Seen = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...], Buffers, tuple[Tensor, ...]]
_Pass = Callable[[Parameters, Buffers, Tensor, Tensor], _Seen]


def _prepare() -> None:
    """Compiled code is kept in a folder of the user's own, and compiled in this process: helpers of a worker would outlive it."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(home, "deadzone-suite", "inductor")))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


@lru_cache(maxsize=4)
def available(device: str) -> str | None:
    """None where torch.compile works on this kind of device, else one line that says why not. Tried once per process on a function of two
    operations, which takes some seconds.
    """
    try:
        _prepare()
        values = torch.ones(64, device=device, requires_grad=True)
        torch.autograd.grad(torch.compile(_tried, fullgraph=True)(values), values)
    except Exception as error:  # whatever the compiler or its compiler may raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"torch.compile fails: {lines[0][:200] if lines else type(error).__name__}"
    return None


def _tried(values: Tensor) -> Tensor:
    return values.tanh().sum()


#: What has been compiled in this process, by network, loss, and shapes, types and device of what goes in.
_compiled: dict[tuple[object, ...], _Pass] = {}


def _pass_for(net: Mlp, loss: str, *given: Any) -> _Pass:
    leaves, buffers, inputs, targets = given
    shapes = tuple((tuple(value.shape), value.dtype) for value in (*leaves.values(), *buffers.values(), inputs, targets))
    key = (net, loss, shapes, inputs.device.type)
    if key not in _compiled:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes a second

        _prepare()
        # traced by running it once, gradient included, so that one function without autograd remains
        graph = make_fx(partial(_traced, net, loss))(*given)
        # fullgraph: an error rather than a part that is run uncompiled; dynamic=False: a size is a constant of the code
        _compiled[key] = torch.compile(graph, fullgraph=True, dynamic=False)
    return _compiled[key]


def _traced(net: Mlp, loss: str, parameters: Parameters, buffers: Buffers, inputs: Tensor, targets: Tensor) -> _Seen:
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        forward = net.forward(leaves, buffers, inputs, training=True)
        losses = LOSSES[loss](forward.output, targets).mean(dim=1)
        gradients = scaled_gradients(losses, list(leaves.values()), 1.0)
    return losses.detach(), gradients, tuple(pre.detach() for pre in forward.pre), forward.buffers, forward.variance


class CompiledSteps(EagerSteps):
    """Runs stretches as ``EagerSteps`` does; ``loss`` is the name of the task's."""

    def __init__(self, task: Task, watched: Collection[Watch], loss: str) -> None:
        super().__init__(task, watched)
        self.loss = loss

    @torch.no_grad()
    def backward(self, state: State, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor], Forward]:
        """As ``suite.training.eager.backward``; of the pass there is no output and no activation, which only remedies ask for."""
        given = (state.parameters, state.buffers, *batch)
        losses, gradients, pre, buffers, variance = _pass_for(self.task.net, self.loss, *given)(*given)
        return losses, dict(zip(state.parameters, gradients, strict=True)), Forward(losses[:, None, None], pre, (), buffers, variance)
