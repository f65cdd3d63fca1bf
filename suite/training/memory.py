"""How many bytes a block holds at its highest point, by arithmetic. Allocates nothing and knows no machine."""

from __future__ import annotations

from suite.config.choices import HALVES
from suite.config.numeric import Numeric
from suite.nets.mlp import Mlp
from suite.nets.passes import example_slices, pass_elements, replicate_slices
from suite.streams import KEPT_BYTES

INDEX, DOUBLE = 8, 8
ELEMENT = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
#: Tensors the optimizer keeps per parameter.
MEMORIES = {"sgd": 0, "adam": 2}


def predictable(numeric: Numeric) -> bool:
    """Whether ``block_bytes`` knows everything a condition holds: first-order training in one precision, no probe beyond a tier, no skips.
    What others hold on top (a Hessian, float32 masters, copies kept by a probe) depends on them.
    """
    small = {"unit_course"}  # a sample of a few replicates, one after the other
    plain = not set(numeric.probes.extra) - small and numeric.precision not in HALVES and numeric.model.name != "resnet18"
    return numeric.optimizer.name in MEMORIES and plain


def block_bytes(numeric: Numeric, net: Mlp, train: int, test: int, count: int, path: str) -> dict[str, int]:
    """Bytes of a block of ``count`` replicates on data of ``train`` and ``test`` examples, term by term, at the moment that takes most:
    while the data or the start are made, while steps run or while the stack is evaluated. ``path`` is eager or native. What
    libraries take for themselves is left out.
    """
    element = ELEMENT[numeric.precision]
    sizes = [count * _product(shape) for shape in net.parameter_shapes().values()]
    parameters, widest = element * sum(sizes), max(sizes)
    batch = train if numeric.train.batch_size is None else min(numeric.train.batch_size, train)
    steps = min(numeric.train.steps, numeric.probes.every)
    data = {"data": element * (train + test) * net.inputs}
    stack = data | {
        "parameters": parameters,
        "optimizer memory": _memories(numeric) * parameters,
        "start, kept by a probe": parameters if numeric.probes.tier in ("default", "full") else 0,
    }
    training = stack | {"batch order": _kept_orders(numeric.train.steps, train, batch, count)}
    # what the latest stretch of steps leaves: gradients, the last batch's pre-activations, losses and shares of dead units
    left = parameters + element * count * batch * sum(net.held) + (element + DOUBLE) * count * steps
    several = numeric.train.steps > numeric.probes.every
    moments = [
        # the training set is normalised from one copy into another and then cast; after it the test set
        {"data": element * train * net.inputs, "data in float64, twice": 2 * DOUBLE * train * net.inputs},
        data | {"data in float64, twice": 2 * DOUBLE * test * net.inputs},
        # every weight is drawn into one copy and scaled into another, beside those that are done; all are cast at the end
        data | {"start in float64": max(DOUBLE * (sum(sizes[:k]) + 2 * size) for k, size in enumerate(sizes))},
        data | {"start in float64": DOUBLE * sum(sizes), "parameters": parameters},
        training
        | {
            "results of a stretch": left * (1 + several),  # the one before is held until the next is done
            "indices of a stretch": INDEX * count * steps * batch,
        }
        # with the gradients of the step before
        | ({"a step's batch and activations": _step(net, batch, count, element) + parameters} if path == "eager" else {}),
        # whether a number is finite is asked of its magnitude, with a byte for each of two answers and for both together
        training | {"results of a stretch": left, "check for divergence": (element + 3) * widest},
    ]
    if path == "eager":
        moments.append(training | {"results of a stretch": left, "a pass's activations": _pass(net, train, test, count, element)})
    return max(moments, key=lambda terms: sum(terms.values()))


def _product(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def _memories(numeric: Numeric) -> int:
    return MEMORIES[numeric.optimizer.name] + bool(numeric.optimizer.name == "sgd" and numeric.optimizer.momentum)


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
    """For as many replicates as are passed together, input and output of every activation of one slice of the examples: of the training
    set with the absolute values of one layer, or of the test set beside the training set's outputs. The slice before is held until
    the next is done.
    """
    together = max(int(part.stop - part.start) for part in replicate_slices(count, pass_elements(net, train)))
    activations, outputs, largest = 2 * sum(net.held), net.outputs, max(net.held, default=0)

    def at_once(examples: int, extra: int) -> int:
        slices = [int(part.stop - part.start) for part in example_slices(net, examples)]
        before = slices[0] if len(slices) > 1 else 0
        return (slices[0] + before) * activations + slices[0] * extra + examples * outputs

    values = max(at_once(train, largest), at_once(test, 0) + train * outputs)
    return element * together * values
