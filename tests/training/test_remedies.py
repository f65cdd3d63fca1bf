"""Remedies against explicit loops over replicates and units; tasks against NumPy indexing; both alone or together."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Remedy, Start, Train
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.streams import BatchOrder, generator
from suite.training import optimizers
from suite.training.eager import EagerSteps, State
from suite.training.engine import network_of, stretches, train
from suite.training.evaluate import Task, evaluate
from suite.training.losses import LOSSES
from suite.training.paths import needs_eager, path_of
from suite.training.remedies import EachStep, Remedies
from suite.training.shifts import shift_of
from suite.vocabulary import Block, Condition

BASE = Numeric(
    "float32",
    Data(subset=300),
    Model(hidden=[16, 8]),
    Start(),
    Optimizer(name="adam", lr=0.02),
    Train(steps=40, batch_size=16),
    Probes("default", 10),
    Engine("eager"),
)
SEED, REPLICATES = 5, range(3, 7)
PIXELS = Data(subset=300, shift="permuted_pixels")
ENDS = Probes("economy", 10, ["plasticity"])
CPU = torch.device("cpu")


def begun(numeric: Numeric, steps: int = 30):
    """A stack trained for some steps, so that the optimizer has something to forget and some units are dead."""
    dataset = load(numeric.data, "data")
    net = network_of(numeric, dataset)
    data = dataset.tensors(CPU, torch.float32)
    task = Task(net, data, LOSSES["cross_entropy"], True)
    parameters, buffers = initial_parameters(net, numeric.model, SEED, REPLICATES, CPU, torch.float32)
    state = State(parameters, buffers, optimizers.build(numeric.optimizer, parameters), torch.full((len(REPLICATES),), -1))
    order = BatchOrder(SEED, REPLICATES, len(data.train_x), 16)
    EagerSteps(task, frozenset()).run(state, order.stretch(0, steps), 0)
    # two units dead for certain in each layer, one of them shared by all replicates
    for layer in net.layers:
        state.parameters[f"{layer}.bias"][:, 2] = -100.0
        for row in range(len(REPLICATES)):
            state.parameters[f"{layer}.bias"][row, 3 + row] = -100.0
    return dataset, net, task, state


def copied(state: State):
    parameters = {name: value.clone() for name, value in state.parameters.items()}
    return parameters, {name: value.clone() for name, value in state.stepper.state().items()}


def silent(net, before, dataset, replicate: int) -> list[np.ndarray]:
    """[unit] mean activation of each layer over the training set, in float64."""
    values = (dataset.train_x / dataset.scale - dataset.mean) / dataset.std
    found = []
    for layer in net.layers:
        drive = values @ before[f"{layer}.weight"][replicate].double().numpy() + before[f"{layer}.bias"][replicate].double().numpy()
        values = np.maximum(drive, 0)
        found.append(values.mean(axis=0))
    return found


def fresh_one(net, numeric: Numeric, replicate: int, step: int):
    """The fresh network of one replicate, drawn by itself."""
    parameters, _ = initial_parameters(net, numeric.model, SEED, range(replicate, replicate + 1), CPU, torch.float32, f"remedy/{step}")
    return {name: value[0] for name, value in parameters.items()}


@pytest.mark.parametrize("name", ["reinit_dead", "redo", "bias_bump"])
def test_unit_remedies_do_to_each_unit_what_they_say(name):
    numeric = replace(BASE, remedy=Remedy(name, at=30, bump=0.7, tau=0.1))
    dataset, net, task, state = begun(numeric)
    before, memory = copied(state)
    assert Remedies(numeric, SEED, REPLICATES).timed(state, task, 30) is task
    touched = 0
    for row, replicate in enumerate(REPLICATES):
        expected = {key: value[row].clone() for key, value in before.items()}
        recalled = {key: value[row].clone() for key, value in memory.items() if key != "taken"}
        fresh = fresh_one(net, numeric, replicate, 30)
        means = silent(net, before, dataset, row)
        chosen = [mean <= (0.1 * mean.mean() if name == "redo" else 0.0) for mean in means]

        def forget(key, *index, recalled=recalled):
            for kind in ("first", "second"):
                recalled[f"{key}.{kind}"][index] = 0.0

        for layer, flags in zip(net.layers, chosen, strict=True):
            for unit in np.flatnonzero(flags):
                touched += 1
                if name == "bias_bump":
                    expected[f"{layer}.bias"][unit] += 0.7
                    continue
                expected[f"{layer}.weight"][:, unit] = fresh[f"{layer}.weight"][:, unit]
                expected[f"{layer}.bias"][unit] = 0.0 if name == "redo" else fresh[f"{layer}.bias"][unit]
                forget(f"{layer}.weight", slice(None), unit)
                forget(f"{layer}.bias", unit)
        if name == "redo":
            for layer, flags in zip((*net.layers[1:], "output"), chosen, strict=True):
                for unit in np.flatnonzero(flags):
                    expected[f"{layer}.weight"][unit, :] = 0.0
                    forget(f"{layer}.weight", unit)
        for key, value in expected.items():
            assert torch.equal(state.parameters[key][row], value), (key, row)
        for key, value in recalled.items():
            assert torch.equal(state.stepper.state()[key][row], value), (key, row)
    assert touched >= 2 * len(net.layers) * len(REPLICATES)
    assert touched < sum(net.hidden) * len(REPLICATES)


def test_redo_at_tau_zero_leaves_the_outputs_alone():
    """ReDo at τ = 0 touches dead units only, so no output on the training set changes (Sokar et al. 2023)."""
    numeric = replace(BASE, remedy=Remedy("redo", at=30, tau=0.0))
    _, _, task, state = begun(numeric)
    before = evaluate(task, state.parameters, state.buffers)
    Remedies(numeric, SEED, REPLICATES).timed(state, task, 30)
    after = evaluate(task, state.parameters, state.buffers)
    assert torch.equal(before.train_loss, after.train_loss)
    dead = [torch.cat([layer.max_pre <= 0 for layer in seen.units], dim=1).sum() for seen in (before, after)]
    assert dead[1] < dead[0]


def test_shrink_and_perturb_is_a_mixture_with_a_fresh_network():
    numeric = replace(BASE, remedy=Remedy("shrink_perturb", at=30, shrink=0.4, perturb=0.1))
    _, net, task, state = begun(numeric)
    before, _ = copied(state)
    Remedies(numeric, SEED, REPLICATES).timed(state, task, 30)
    for row, replicate in enumerate(REPLICATES):
        fresh = fresh_one(net, numeric, replicate, 30)
        for key in before:
            torch.testing.assert_close(state.parameters[key][row], 0.4 * before[key][row] + 0.1 * fresh[key], rtol=1e-6, atol=1e-7)
    assert not any(value.any() for value in state.stepper.state().values())


def test_fresh_weights_have_the_law_of_the_first_ones_and_other_values():
    numeric = replace(BASE, model=Model(hidden=[400], init="he"), remedy=Remedy("shrink_perturb", at=3, shrink=0.0, perturb=1.0))
    _, net, task, state = begun(numeric, 3)
    Remedies(numeric, SEED, REPLICATES).timed(state, task, 3)
    first, _ = initial_parameters(net, numeric.model, SEED, REPLICATES, CPU, torch.float32)
    weight = state.parameters["layer1.weight"]
    assert weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.02)
    together = torch.stack([weight.flatten(), first["layer1.weight"].flatten()])
    assert abs(torch.corrcoef(together)[0, 1].item()) < 0.02


def test_leaky_swap_changes_the_network_and_no_number():
    numeric = replace(BASE, remedy=Remedy("leaky_swap", at=30, slope=0.2))
    _, net, task, state = begun(numeric)
    before, _ = copied(state)
    swapped = Remedies(numeric, SEED, REPLICATES).timed(state, task, 30)
    assert all(torch.equal(before[key], value) for key, value in state.parameters.items())
    assert (swapped.net.activation, swapped.net.negative_slope) == ("leaky_relu", 0.2)
    drive = torch.tensor([[[-1.0, 2.0]]])
    unit = {"layer1.weight": torch.eye(2)[None], "layer1.bias": torch.zeros(1, 2), "output.weight": torch.eye(2)[None]}
    small = replace(swapped.net, inputs=2, hidden=(2,), outputs=2)
    forward = small.forward(unit | {"output.bias": torch.zeros(1, 2)}, {}, drive, training=False)
    assert forward.post[0].tolist() == torch.nn.functional.leaky_relu(drive, 0.2).tolist()
    assert task.net is net


def test_continual_backprop_follows_a_loop_over_single_units():
    """Dohare's algorithm for one replicate at a time, in plain Python, on the activations the stack saw."""
    config = Remedy("continual_backprop", rate=0.02, maturity=5, decay=0.8)
    numeric = replace(BASE, remedy=config)
    _, net, task, state = begun(numeric)
    numeric = replace(numeric, train=Train(60, 16))
    remedy = EachStep(Remedies(numeric, SEED, REPLICATES), net, state.parameters["output.weight"])
    order = BatchOrder(SEED, REPLICATES, 300, 16, purpose="check")
    ours = {
        row: {layer: {"u": [0.0] * width, "age": [0] * width, "owed": 0.0} for layer, width in zip(net.layers, net.hidden, strict=True)}
        for row in range(len(REPLICATES))
    }
    replaced = 0
    for step in range(1, 60):
        forwards = []
        steps = EagerSteps(task, frozenset(), None, lambda state, forward, at: forwards.append(forward))  # noqa: B023
        steps.run(state, order.stretch(step, 1), step - 1)
        before, memory = copied(state)
        remedy(state, forwards[0], step)
        for row, replicate in enumerate(REPLICATES):
            expected = {key: value[row].clone() for key, value in before.items()}
            recalled = {key: value[row].clone() for key, value in memory.items() if key != "taken"}
            fresh, gone = fresh_one(net, numeric, replicate, step), []
            for index, (layer, following) in enumerate(zip(net.layers, (*net.layers[1:], "output"), strict=True)):
                mine = ours[row][layer]
                post, out = forwards[0].post[index][row].detach(), before[f"{following}.weight"][row]
                for unit in range(net.hidden[index]):
                    mine["age"][unit] += 1
                    contribution = post[:, unit].abs().mean().item() * out[unit].abs().mean().item()
                    mine["u"][unit] = 0.8 * mine["u"][unit] + 0.2 * contribution
                mature = [unit for unit in range(net.hidden[index]) if mine["age"][unit] > 5]
                mine["owed"] += 0.02 * len(mature)
                if mine["owed"] >= 1:
                    mine["owed"] -= 1
                    unit = min(mature, key=lambda u: (mine["u"][u] / (1 - 0.8 ** mine["age"][u]), u))
                    mine["u"][unit], mine["age"][unit] = 0.0, 0
                    gone.append((layer, following, unit))
            replaced += len(gone)
            for layer, _, unit in gone:
                expected[f"{layer}.weight"][:, unit] = fresh[f"{layer}.weight"][:, unit]
                expected[f"{layer}.bias"][unit] = 0.0
                for kind in ("first", "second"):
                    recalled[f"{layer}.weight.{kind}"][:, unit] = 0.0
                    recalled[f"{layer}.bias.{kind}"][unit] = 0.0
            for _, following, unit in gone:
                expected[f"{following}.weight"][unit] = 0.0
                for kind in ("first", "second"):
                    recalled[f"{following}.weight.{kind}"][unit] = 0.0
            for key, value in expected.items():
                assert torch.equal(state.parameters[key][row], value), (step, key, row)
            for key, value in recalled.items():
                assert torch.equal(state.stepper.state()[key][row], value), (step, key, row)
    # 0.02 of 16 and of 8 mature units per step: one every 3 and every 6 steps
    assert replaced >= len(REPLICATES) * 20


def test_renewed_elements_are_new_to_the_optimizer():
    """Against torch.optim with one optimizer per element, made anew when the element is renewed."""
    rng = np.random.default_rng(0)
    for name, make in (
        ("adam", lambda p: torch.optim.Adam([p], lr=0.02)),
        ("sgd", lambda p: torch.optim.SGD([p], lr=0.02, momentum=0.9)),
    ):
        config = Optimizer(name=name, lr=0.02, momentum=0.9 if name == "sgd" else 0.0)
        ours = {"w": torch.from_numpy(rng.standard_normal((2, 3)))}
        stepper = optimizers.build(config, ours)
        alone = [ours["w"].flatten()[k : k + 1].clone().requires_grad_() for k in range(6)]
        theirs = [make(parameter) for parameter in alone]
        for step in range(25):
            if step in (4, 15):
                mask = torch.from_numpy(rng.random((2, 3)) < 0.5)
                stepper.renew({"w": mask})
                for k in np.flatnonzero(mask.flatten().numpy()):
                    theirs[k] = make(alone[k])
            gradient = torch.from_numpy(rng.standard_normal((2, 3)))
            stepper.step(ours, {"w": gradient})
            for k, (parameter, optimizer) in enumerate(zip(alone, theirs, strict=True)):
                parameter.grad = gradient.flatten()[k : k + 1].clone()
                optimizer.step()
        np.testing.assert_allclose(ours["w"].flatten().numpy(), torch.cat(alone).detach().numpy(), rtol=1e-12)


def test_when_remedies_are_due():
    def times(**remedy):
        return Remedies(replace(BASE, remedy=Remedy(**remedy)), SEED, REPLICATES).times()

    assert times(name="redo", every=15) == {15, 30}
    assert times(name="redo", every=20) == {20}
    assert times(name="redo", at=0) == {0}
    assert times(name="continual_backprop") == frozenset()
    assert list(stretches(10, 4, 100, {0, 3, 6, 10})) == [(0, 3, False), (3, 1, True), (4, 2, False), (6, 2, True), (8, 2, True)]


def test_an_evaluation_comes_before_the_remedy_of_the_same_moment():
    frozen = replace(BASE, start=Start("born_dead"), optimizer=Optimizer(lr=1e-30), probes=Probes("economy", 10))
    for at, expected in ((20, [1.0, 1.0, 1.0, 0.0, 0.0]), (0, [1.0, 0.0, 0.0, 0.0, 0.0])):
        numeric = replace(frozen, remedy=Remedy("bias_bump", at=at, bump=2.0))
        trace, _ = train(Block(Condition("c", {}, asdict(numeric)), 0, 2, SEED, "cpu"), load(numeric.data, "data"))
        assert trace.curves["dead_fraction"].tolist() == [expected] * 2


@pytest.mark.parametrize("kind", ["permuted_pixels", "permuted_labels"])
def test_tasks_are_each_replicates_own_permutation(kind):
    numeric = replace(BASE, data=Data(subset=300, shift=kind))
    _, net, task, state = begun(numeric)
    assert shift_of(kind, SEED, REPLICATES, 0, 64, 10, CPU) is None
    shift = shift_of(kind, SEED, REPLICATES, 2, 64, 10, CPU)
    moved = replace(task, shift=shift)
    seen = evaluate(moved, state.parameters, state.buffers)
    orders = []
    for row, replicate in enumerate(REPLICATES):
        order = generator(SEED, replicate, "task/2").permutation(64 if kind == "permuted_pixels" else 10)
        orders.append(tuple(order))
        x, y = task.data.test_x.numpy(), task.data.test_y.numpy()
        x, y = (x[:, order], y) if kind == "permuted_pixels" else (x, order[y])
        alone = {name: value[row : row + 1] for name, value in state.parameters.items()}
        output = net.forward(alone, {}, torch.from_numpy(x)[None], training=False).output[0]
        assert seen.test_accuracy[row].item() == pytest.approx((output.argmax(dim=1).numpy() == y).mean(), abs=1e-9)
        loss = torch.nn.functional.cross_entropy(output, torch.from_numpy(y))
        assert seen.test_loss[row].item() == pytest.approx(loss.item(), rel=1e-5)
    assert len(set(orders)) == len(REPLICATES)


def test_a_step_of_a_later_task_is_a_step_on_permuted_data():
    """Three tasks in one run, against three runs of the plain engine on data that were permuted beforehand."""
    numeric = replace(BASE, data=PIXELS, train=Train(30, 16, tasks=3), probes=ENDS)
    dataset = load(numeric.data, "data")
    trace, state = train(Block(Condition("c", {}, asdict(numeric)), 4, 2, SEED, "cpu"), dataset)
    _, _, task, _ = begun(numeric, 1)
    for row, replicate in enumerate((4, 5)):
        one = range(replicate, replicate + 1)
        parameters, buffers = initial_parameters(task.net, numeric.model, SEED, one, CPU, torch.float32)
        alone = State(parameters, buffers, optimizers.build(numeric.optimizer, parameters), torch.full((1,), -1))
        order = BatchOrder(SEED, one, 300, 16)
        ends = []
        for number in range(3):
            pixels = np.arange(64) if number == 0 else generator(SEED, replicate, f"task/{number}").permutation(64)
            data = replace(task.data, train_x=task.data.train_x[:, pixels], test_x=task.data.test_x[:, pixels])
            EagerSteps(replace(task, data=data), frozenset()).run(alone, order.stretch(10 * number, 10), 10 * number)
            output = task.net.forward(alone.parameters, {}, data.test_x[None], training=False).output[0]
            ends.append((output.argmax(dim=1) == data.test_y).double().mean().item())
        for key, value in alone.parameters.items():
            torch.testing.assert_close(state.parameters[key][row], value[0], rtol=1e-4, atol=1e-5)
        finals = {name: final[row] for name, final in trace.finals.items()}
        assert finals["task_accuracy_first"] == pytest.approx(ends[0], abs=1e-6)
        assert finals["task_accuracy_last"] == pytest.approx(ends[2], abs=0.006)
        assert finals["plasticity_change"] == pytest.approx(finals["task_accuracy_last"] - finals["task_accuracy_first"], abs=1e-9)


VARIANTS = {
    "tasks": replace(BASE, data=PIXELS, train=Train(40, 16, tasks=4), probes=ENDS),
    "labels": replace(BASE, data=Data(subset=299, shift="permuted_labels"), train=Train(40, 16, tasks=4)),
    "redo": replace(BASE, remedy=Remedy("redo", every=7, tau=0.5)),
    "reinit_dead": replace(BASE, start=Start("born_dead", layer=1), remedy=Remedy("reinit_dead", at=0)),
    "shrink_perturb": replace(BASE, remedy=Remedy("shrink_perturb", every=9)),
    "continual_backprop": replace(BASE, remedy=Remedy("continual_backprop", rate=0.02, maturity=5)),
    "clipped": replace(BASE, optimizer=Optimizer(lr=0.3), train=Train(40, 16, clip=0.2, warmup=15)),
    "scaled": replace(BASE, data=Data(subset=300, offset=0.8, target_scale=0.1), train=Train(40, 16, "squared_error")),
    "measured": replace(BASE, probes=Probes("full", 10, ["detectors", "pruning"])),
}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "measured"])
def test_what_the_compiled_step_does_not_know_goes_the_general_way(name):
    numeric = replace(VARIANTS[name], engine=Engine("auto"))
    net = network_of(numeric, load(numeric.data, "data"))
    assert needs_eager(numeric)
    assert path_of(numeric, net, "cpu") == "eager"
    assert not needs_eager(replace(BASE, data=Data(offset=0.8), train=Train(40, 16, tasks=4)))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_replicate_is_the_same_alone_or_together(name):
    numeric = VARIANTS[name]
    dataset = load(numeric.data, "data")

    def trained(first, count, numeric=numeric):
        return train(Block(Condition("c", {}, asdict(numeric)), first, count, SEED, "cpu"), dataset)

    whole_trace, whole = trained(0, 8)
    for first, count in ((5, 1), (2, 3)):
        part_trace, part = trained(first, count)
        rows = slice(first, first + count)
        for key, value in part.parameters.items():
            assert value.numpy().tobytes() == whole.parameters[key][rows].numpy().tobytes(), key
        for key, final in part_trace.finals.items():
            np.testing.assert_array_equal(final, whole_trace.finals[key][rows], err_msg=key)
    # and the remedy, task or schedule did something
    train_, data = replace(numeric.train, tasks=1, clip=None, warmup=0), replace(numeric.data, offset=0.0)
    plain = replace(numeric, remedy=Remedy(), train=train_, data=data)
    if name != "measured":
        assert not torch.equal(trained(0, 8, plain)[1].parameters["layer1.weight"], whole.parameters["layer1.weight"])
