"""How many bytes a block holds at its highest point, by arithmetic. Allocates nothing and knows no machine."""

from __future__ import annotations

from suite.config.choices import HALVES
from suite.config.numeric import Numeric
from suite.nets.mlp import Mlp
from suite.nets.passes import replicate_slices
from suite.streams import KEPT_BYTES

INDEX, DOUBLE = 8, 8
ELEMENT = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
#: Tensors the optimizer keeps per parameter.
MEMORIES = {"sgd": 0, "adam": 2}


def predictable(numeric: Numeric) -> bool:
    """Whether ``block_bytes`` knows everything a condition holds: first-order training in one precision, no probe beyond a tier.
    What others hold on top (a Hessian, float32 masters, copies kept by a probe) depends on them.
    """
    small = {"unit_course"}  # a sample of a few replicates, one after the other
    return numeric.optimizer.name in MEMORIES and not set(numeric.probes.extra) - small and numeric.precision not in HALVES


def block_bytes(numeric: Numeric, net: Mlp, train: int, test: int, count: int, path: str) -> dict[str, int]:
    """Bytes of a block of ``count`` replicates on data of ``train`` and ``test`` examples, term by term, at the moment that takes most:
    while the data are made, while steps run or while the whole sets are passed. ``path`` is eager or native. What libraries
    take for themselves is left out.
    """
    element = ELEMENT[numeric.precision]
    parameters = element * count * sum(_product(shape) for shape in net.parameter_shapes().values())
    batch = train if numeric.train.batch_size is None else min(numeric.train.batch_size, train)
    steps = min(numeric.train.steps, numeric.probes.every)
    units = sum(net.held)
    memories = MEMORIES[numeric.optimizer.name] + bool(numeric.optimizer.name == "sgd" and numeric.optimizer.momentum)
    data = element * (train + test) * net.inputs
    held = {
        "data": data,
        "parameters": parameters,
        "optimizer memory": memories * parameters,
        "start, kept by a probe": parameters if numeric.probes.tier in ("default", "full") else 0,
        "batch order": _kept_orders(numeric.train.steps, train, batch, count),
    }
    # what the latest stretch of steps leaves: gradients, the last batch's pre-activations, losses and shares of dead units
    left = parameters + element * count * batch * units + (element + DOUBLE) * count * steps
    several = numeric.train.steps > numeric.probes.every
    stepping = {
        "results of a stretch": left * (1 + several),  # the one before is held until the next is done
        "indices of a stretch": INDEX * count * steps * batch,
    }
    passing = {"results of a stretch": left}
    if path == "eager":
        # with the gradients of the step before
        stepping["a step's batch and activations"] = _step(net, batch, count, element) + parameters
        passing["a pass's activations"] = _pass(net, train, test, count, element)
    most = held | max((stepping, passing), key=lambda terms: sum(terms.values()))
    making = {"data": data, "data in float64, twice": 2 * DOUBLE * train * net.inputs}
    return max((making, most), key=lambda terms: sum(terms.values()))


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _kept_orders(steps: int, train: int, batch: int, count: int) -> int:
    """Permutations drawn so far and kept for the next condition."""
    if batch >= train:
        return 0
    epoch = INDEX * count * train
    epochs = -(-steps // (train // batch))
    return epoch * min(epochs, max(1, KEPT_BYTES // epoch))


def _step(net: Mlp, batch: int, count: int, element: int) -> int:
    """The gathered batch, input and output of every activation, logits and their softmax, the widest gradient on the way back; and
    activations and logits of the step before.
    """
    units, outputs = sum(net.held), net.outputs
    values = net.inputs + 4 * units + 3 * outputs + max((*net.held, outputs))
    return count * batch * (element * values + INDEX)


def _pass(net: Mlp, train: int, test: int, count: int, element: int) -> int:
    """For as many replicates as are passed together: input and output of every activation for both sets, and the absolute
    values of one layer on the training set.
    """
    per_replicate = train * max(net.inputs, net.outputs, sum(net.held))
    together = max(int(part.stop - part.start) for part in replicate_slices(count, per_replicate))
    activations = (train + test) * (2 * sum(net.held) + net.outputs) + train * max(net.held, default=0)
    return element * together * activations
