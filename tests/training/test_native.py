"""The compiled step against torch.nn and torch.optim, against the stacked engine, and bit for bit against itself."""

from __future__ import annotations

import copy
import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from test_against_torch import BASE, OPTIMIZERS, flat_module, flat_stack

from suite.config.schema import Model, Optimizer, Start
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.nets.starts import make_dead
from suite.training import optimizers
from suite.training.losses import LOSSES
from suite.training.native import available, build, fingerprint, run_steps, supported

#: The losses the compiled step has.
SERVED = ("cross_entropy", "squared_error")

CPU = torch.device("cpu")
FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}
#: 40 steps of float32 with other orders of summation
FLOAT32 = {"rtol": 2e-4, "atol": 2e-5}


@dataclass
class Problem:
    """Numbers of everything a call takes; ``run`` works on copies."""

    net: Mlp
    optimizer: Optimizer
    loss: str
    parameters: dict[str, torch.Tensor]
    x: torch.Tensor
    y: torch.Tensor
    indices: np.ndarray

    def run(self, pieces: int = 1, rows: slice = slice(None), shift: int = 0):
        """All steps in so many calls, for these replicates; every tensor begins ``shift`` elements past an aligned address."""
        parameters = {name: moved(value[rows], shift) for name, value in self.parameters.items()}
        stepper = optimizers.build(self.optimizer, parameters)
        memory = {name: moved(value, shift) for name, value in stepper.memory.items()}
        x, y = moved(self.x, shift), moved(self.y, shift)
        seen, taken = [], 0
        for part in np.array_split(self.indices[rows], pieces, axis=1):
            seen.append(run_steps(self.net, self.optimizer, self.loss, parameters, memory, taken, x, y, part))
            taken += part.shape[1]
        return parameters, memory, seen


def moved(tensor: torch.Tensor, shift: int) -> torch.Tensor:
    room = torch.full((tensor.numel() + shift,), 7, dtype=tensor.dtype)
    result = room[shift:].view(tensor.shape)
    result.copy_(tensor)
    return result


def problem(
    sizes=(16, 12, 7, 4),
    activation="relu",
    optimizer="momentum",
    loss="cross_entropy",
    batch=32,
    examples=200,
    steps=40,
    count=3,
    dtype=torch.float64,
    labels=True,
) -> Problem:
    net = Mlp(sizes[0], tuple(sizes[1:-1]), sizes[-1], activation, 0.1, "none", "before")
    parameters, _ = initial_parameters(net, Model(), 5, range(count), CPU, dtype)
    rng = np.random.default_rng(8)
    x = torch.from_numpy(rng.normal(size=(examples, sizes[0]))).to(dtype)
    y = torch.from_numpy(rng.integers(0, sizes[-1], examples))
    if not labels:
        y = torch.from_numpy(rng.normal(size=(examples, sizes[-1]))).to(dtype)
    batch = examples if batch is None else batch
    indices = np.stack([[rng.permutation(examples)[:batch] for _ in range(steps)] for _ in range(count)])
    chosen = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    return Problem(net, chosen, loss, parameters, x, y, indices)


def witness(p: Problem, replicate: int):
    """The same steps by torch.nn, torch.autograd and torch.optim."""
    numeric = replace(BASE, optimizer=p.optimizer)
    network = reference.module(p.net, p.parameters, replicate, p.x.dtype)
    optimizer = reference.optimizer_of(network, numeric)
    losses, dead, peaks = [], [], []
    for chosen in p.indices[replicate]:
        optimizer.zero_grad(set_to_none=False)
        pre, values = [], p.x[torch.from_numpy(chosen)]
        for layer in network:
            values = layer(values)
            if isinstance(layer, torch.nn.Linear):
                pre.append(values.detach())
        loss = reference.loss_of(p.loss, values, p.y[torch.from_numpy(chosen)])
        loss.backward()
        losses.append(loss.item())
        off = torch.cat([(layer <= 0).all(dim=0) for layer in pre[:-1]])
        dead.append(off.double().mean().item())
        peaks.append([q.grad.abs().amax() for q in network.parameters()])
        gradients = [q.grad.clone() for q in network.parameters()]
        reference.shrink(network, numeric)
        optimizer.step()
    return network, losses, gradients, pre[:-1], [torch.stack(each).amax().item() for each in zip(*peaks)], dead


def compare(p: Problem, rtol: float, atol: float) -> None:
    parameters, _, (seen,) = p.run()
    for r in range(len(p.indices)):
        network, losses, gradients, pre, peaks, dead = witness(p, r)
        np.testing.assert_allclose(flat_stack(p.net, parameters, r), flat_module(p.net, network), rtol=rtol, atol=atol)
        assert not np.array_equal(flat_stack(p.net, parameters, r), flat_stack(p.net, p.parameters, r))
        np.testing.assert_allclose(flat_stack(p.net, seen.gradients, r), flat_module(p.net, network, gradients), rtol=rtol, atol=atol)
        np.testing.assert_allclose(seen.losses[r], losses, rtol=rtol, atol=atol)
        for mine, theirs in zip(seen.pre, pre, strict=True):
            np.testing.assert_allclose(mine[r], theirs, rtol=rtol, atol=atol)
        np.testing.assert_allclose([peak[r].item() for peak in seen.grad_peak.values()], peaks, rtol=rtol, atol=atol)
        for row, (name, gradient) in enumerate(seen.gradients.items()):
            flat = gradient[r].double().flatten().numpy()
            filled, squared, largest = seen.tally[row, :, r].tolist()
            assert (filled, largest) == (np.count_nonzero(flat), seen.grad_peak[name][r].item())
            assert squared == pytest.approx(flat @ flat, rel=1e-13)
        np.testing.assert_array_equal(seen.batch_dead[r], dead)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()


def same_everywhere(a, b) -> bool:
    return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)


def test_it_is_available_here():
    assert available() is None


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_follows_torch_optim(optimizer, activation):
    compare(problem(optimizer=optimizer, activation=activation), **FLOAT64)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float32_follows_within_its_rounding(optimizer):
    compare(problem(optimizer=optimizer, dtype=torch.float32), **FLOAT32)


@pytest.mark.parametrize("lerp", [0.0, 0.3])
def test_adam_with_a_short_memory(lerp):
    """Below β₁ = ½ torch's lerp takes its other form."""
    compare(problem(optimizer=Optimizer(name="adam", lr=0.01, beta1=lerp, beta2=0.9)), **FLOAT64)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("labels", [True, False])
def test_squared_error(labels, dtype):
    p = problem(loss="squared_error", labels=labels, dtype=dtype, activation="leaky_relu")
    compare(p, **(FLOAT64 if dtype == torch.float64 else FLOAT32))


SIZES = {
    "nearly_nothing": (1, 1, 2),
    "one_hidden": (3, 13, 2),
    "past_a_vector": (33, 17, 33, 9),
    "classes_past_two_vectors": (5, 33, 37),
    "three_hidden": (13, 33, 1, 33, 3),
    "past_a_block": (300, 70, 270, 10),
}


@pytest.mark.parametrize("batch", [1, 5, 64, None])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_odd_sizes(sizes, batch):
    """Every remainder of a tile; more than 256 inputs, units or examples are reduced in several blocks."""
    compare(problem(sizes, batch=batch, examples=301, steps=4, count=2, activation="leaky_relu"), **FLOAT64)
    single = problem(sizes, batch=batch, examples=301, steps=4, count=2, dtype=torch.float32, optimizer="momentum_decoupled_weights")
    compare(single, **FLOAT32)


@pytest.mark.parametrize("loss", SERVED)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_it_follows_the_stacked_engine(activation, loss):
    p = problem(activation=activation, loss=loss, optimizer="momentum_l2_biases")
    parameters, memory, (seen,) = p.run()
    stacked = {name: value.clone() for name, value in p.parameters.items()}
    stepper = optimizers.build(p.optimizer, stacked)
    for step in range(p.indices.shape[1]):
        chosen = torch.from_numpy(p.indices[:, step])
        leaves = {name: value.clone().requires_grad_() for name, value in stacked.items()}
        forward = p.net.forward(leaves, {}, p.x[chosen], training=True)
        losses = LOSSES[p.loss](forward.output, p.y[chosen]).mean(dim=1)
        gradients = dict(zip(leaves, torch.autograd.grad(losses.sum(), list(leaves.values()))))
        np.testing.assert_allclose(seen.losses[:, step], losses.detach(), **FLOAT64)
        stepper.step(stacked, gradients)
    for name, value in stacked.items():
        np.testing.assert_allclose(parameters[name], value, **FLOAT64)
        np.testing.assert_allclose(memory[f"{name}.velocity"], stepper.memory[f"{name}.velocity"], **FLOAT64)


VARIANTS = {
    "plain": {"optimizer": "sgd"},
    "momentum": {},
    "adamw": {"optimizer": "adamw"},
    "nesterov": {"optimizer": "nesterov", "activation": "leaky_relu"},
    "decoupled": {"optimizer": "momentum_decoupled_weights"},
    "l2": {"optimizer": "sgd_l2", "loss": "squared_error"},
    "odd": {"sizes": (33, 13, 3), "batch": 5},
    "many_classes": {"sizes": (9, 33, 37), "batch": 7},
    "blocks": {"sizes": (300, 33, 4), "examples": 301, "batch": None},
    "targets": {"loss": "squared_error", "labels": False},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_replicate_has_its_bits_in_any_company_call_and_place(name, dtype):
    p = problem(**({"steps": 12, "count": 8, "dtype": dtype} | VARIANTS[name]))
    parameters, memory, (seen,) = p.run()
    assert not same(parameters["output.weight"][0], parameters["output.weight"][1])
    for rows in (slice(0, 1), slice(5, 6), slice(5, 8)):
        for pieces, shift in ((1, 1), (5, 0), (12, 3)):
            some, kept, parts = p.run(pieces, rows, shift)
            assert same_everywhere(some, {key: value[rows] for key, value in parameters.items()}), (rows, pieces, shift)
            assert same_everywhere(kept, {key: value[rows] for key, value in memory.items()})
            assert same(torch.cat([part.losses for part in parts], dim=1), seen.losses[rows])
            assert same(torch.cat([part.batch_dead for part in parts], dim=1), seen.batch_dead[rows])
            assert same_everywhere(parts[-1].gradients, {key: value[rows] for key, value in seen.gradients.items()})
            assert all(same(mine, whole[rows]) for mine, whole in zip(parts[-1].pre, seen.pre, strict=True))
            for key, peak in seen.grad_peak.items():
                assert same(torch.stack([part.grad_peak[key] for part in parts]).amax(dim=0), peak[rows]), key


def test_a_unit_has_its_bits_whatever_tile_it_falls_into():
    """More units without any outgoing weight leave the bits of the others alone."""
    narrow = problem((20, 9, 4), steps=3, dtype=torch.float32)
    wide = copy.deepcopy(narrow)
    wide.net = replace(narrow.net, hidden=(41,))
    for name, axis in (("layer1.weight", 2), ("layer1.bias", 1), ("output.weight", 1)):
        value = narrow.parameters[name]
        shape = list(value.shape)
        shape[axis] = 41 - 9
        extra = torch.zeros(shape, dtype=value.dtype)
        if name == "layer1.bias":
            extra -= 1.0
        wide.parameters[name] = torch.cat([value, extra], dim=axis)
    one, _, _ = narrow.run()
    two, _, _ = wide.run()
    assert same(one["layer1.weight"], two["layer1.weight"][:, :, :9])
    assert same(one["output.weight"], two["output.weight"][:, :9])


def test_copies_of_tensors_that_are_not_dense_are_handed_back():
    p = problem(steps=3)
    expected, _, _ = p.run()
    strided = {name: value.transpose(0, 1).contiguous().transpose(0, 1) for name, value in p.parameters.items()}
    memory = {f"{name}.velocity": torch.zeros_like(value) for name, value in strided.items()}
    assert not strided["layer1.weight"].is_contiguous()
    run_steps(p.net, p.optimizer, p.loss, strided, memory, 0, p.x, p.y, p.indices[:, ::1])
    assert same_everywhere(strided, expected)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_born_dead_layer_has_exactly_zero_gradients(activation):
    p = problem((16, 12, 7, 5, 4), activation=activation, optimizer="sgd")
    p.net = replace(p.net, negative_slope=0.0)
    p.parameters = make_dead(p.net, p.parameters, {}, p.x, Start(name="born_dead", layer=2))
    parameters, _, (seen,) = p.run()
    for layer in ("layer1", "layer2"):
        for name in (f"{layer}.weight", f"{layer}.bias"):
            assert not seen.gradients[name].any() and not seen.grad_peak[name].any()
            assert same(parameters[name], p.parameters[name])
    assert not seen.gradients["layer3.weight"].any()
    assert seen.gradients["output.bias"].all()
    assert (seen.pre[1] < 0).all() and (seen.batch_dead >= 7 / 24).all()


def test_zero_is_off():
    """At a pre-activation of exactly 0 the derivative is 0 (relu) or the slope (leaky), and the unit counts as dead."""
    for activation, slope in (("relu", 0.0), ("leaky_relu", 0.1)):
        p = problem((2, 1, 1), activation=activation, optimizer="sgd", loss="squared_error", labels=False, steps=1, batch=1, count=1)
        p.parameters = {name: torch.zeros_like(value) for name, value in p.parameters.items()}
        p.parameters["output.weight"] += 3.0
        _, _, (seen,) = p.run()
        chosen = p.indices[0, 0, 0]
        assert seen.batch_dead.item() == 1.0
        assert seen.gradients["layer1.bias"].item() == pytest.approx(-2 * p.y[chosen].item() * 3.0 * slope, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("optimizer", ["momentum", "adam_l2"])
def test_a_broken_replicate_leaves_the_others_alone(optimizer, broken):
    p = problem(optimizer=optimizer, steps=5, dtype=torch.float32)
    parameters, _, (seen,) = p.run()
    spoilt = copy.deepcopy(p)
    spoilt.parameters["layer1.weight"][1, 0, 0] = broken
    others, _, (broke,) = spoilt.run()
    for name in parameters:
        for r in (0, 2):
            assert same(parameters[name][r], others[name][r])
            assert same(seen.grad_peak[name][r], broke.grad_peak[name][r])
    assert same(seen.losses[[0, 2]], broke.losses[[0, 2]]) and same(seen.batch_dead[[0, 2]], broke.batch_dead[[0, 2]])
    assert broke.losses[1].isnan().all()
    assert broke.grad_peak["layer1.weight"][1].isnan() and broke.grad_peak["output.bias"][1].isnan()


def test_nan_where_torch_has_nan():
    """One NaN weight: the same elements become NaN as in torch after one step, dead units' gradients stay 0."""
    p = problem(optimizer="sgd", steps=1, count=2)
    p.parameters["layer2.weight"][1, 0, 0] = float("nan")
    parameters, _, (seen,) = p.run()
    network, losses, gradients, pre, peaks, dead = witness(p, 1)
    np.testing.assert_array_equal(np.isnan(flat_stack(p.net, parameters, 1)), np.isnan(flat_module(p.net, network)))
    np.testing.assert_array_equal(np.isnan(flat_stack(p.net, seen.gradients, 1)), np.isnan(flat_module(p.net, network, gradients)))
    np.testing.assert_array_equal([peak[1].item() for peak in seen.grad_peak.values()], peaks)
    np.testing.assert_array_equal(np.isnan(seen.pre[1][1].numpy()), np.isnan(pre[1].numpy()))
    assert seen.batch_dead[1].item() == dead[0]
    assert np.isnan(losses[0]) and seen.losses[1].isnan()


def test_the_smallest_losses_and_extreme_logits():
    """Cross-entropy against torch where softmax saturates on either side."""
    p = problem((4, 6, 5), steps=1, optimizer="sgd")
    for scale in (1e-3, 30.0, 3e3):
        wide = copy.deepcopy(p)
        wide.parameters["output.weight"] *= scale
        compare_once(wide)


def compare_once(p: Problem) -> None:
    _, _, (seen,) = p.run()
    for r in range(len(p.indices)):
        _, losses, gradients, *_ = witness(p, r)
        np.testing.assert_allclose(seen.losses[r], losses, rtol=1e-12)
        for name, theirs in zip((n for n in p.net.parameter_shapes()), gradients, strict=True):
            mine = seen.gradients[name][r]
            np.testing.assert_allclose(mine.T if mine.ndim == 2 else mine, theirs, rtol=1e-9, atol=1e-14 * float(theirs.abs().max()))


@pytest.mark.parametrize(("dtype", "least"), [(np.float32, -103.0), (np.float64, -745.0)])
def test_exp_is_within_two_units_in_the_last_place(dtype, least):
    rng = np.random.default_rng(0)
    values = np.concatenate([np.linspace(least, 0, 100_003), -rng.exponential(1.0, 100_000), -rng.exponential(1e-4, 1000), [0.0, -0.0]])
    values = values.astype(dtype)
    found = np.empty_like(values)
    function = getattr(build.built().library, f"exp_{values.dtype}")
    function(ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(found.ctypes.data), ctypes.c_int64(len(values)))
    exact = np.exp(values.astype(np.longdouble))
    error = np.abs(found.astype(np.longdouble) - exact) / np.spacing(exact.astype(dtype)).astype(np.longdouble)
    assert error.max() <= 2.0
    assert found[-1] == found[-2] == 1.0
    special = np.array([-np.inf, np.nan, -1e30], dtype=dtype)
    result = np.empty_like(special)
    function(ctypes.c_void_p(special.ctypes.data), ctypes.c_void_p(result.ctypes.data), ctypes.c_int64(3))
    assert result[0] == 0 and np.isnan(result[1]) and result[2] == 0


def test_wrong_requests_change_nothing_and_say_what_is_wrong():
    p = problem(steps=2)
    memory = {f"{name}.velocity": torch.zeros_like(value) for name, value in p.parameters.items()}
    before = {name: value.clone() for name, value in p.parameters.items()}

    def attempt(**changed):
        call = {
            "net": p.net,
            "optimizer": p.optimizer,
            "loss": p.loss,
            "parameters": p.parameters,
            "memory": memory,
            "taken": 0,
            "train_x": p.x,
            "train_y": p.y,
            "indices": p.indices,
        }
        run_steps(**(call | changed))

    for bad in (200, -1):
        indices = p.indices.copy()
        indices[2, 1, 31] = bad
        with pytest.raises(IndexError, match="training examples"):
            attempt(indices=indices)
    for bad in (4, -100):
        labels = p.y.clone()
        labels[p.indices[2, 1, 31]] = bad
        with pytest.raises(IndexError, match="label"):
            attempt(train_y=labels)
    with pytest.raises(ValueError, match="train_x"):
        attempt(train_x=p.x.float())
    with pytest.raises(ValueError, match="integer labels"):
        attempt(train_y=torch.zeros(200, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"layer1\.weight"):
        attempt(net=replace(p.net, hidden=(13, 7)))
    with pytest.raises(ValueError, match="not covered"):
        attempt(net=replace(p.net, activation="tanh"))
    with pytest.raises(ValueError, match="at least one"):
        attempt(indices=p.indices[:, :0])
    assert same_everywhere(before, p.parameters) and not any(value.any() for value in memory.values())


def test_what_is_supported_is_a_rule_on_the_configuration():
    net, sgd = problem().net, OPTIMIZERS["momentum"]
    for activation in ("relu", "leaky_relu"):
        for dtype in (torch.float32, torch.float64):
            assert all(supported(replace(net, activation=activation), sgd, loss, dtype) for loss in SERVED)
    assert all(supported(net, optimizer, "cross_entropy", torch.float32) for optimizer in OPTIMIZERS.values())
    assert not supported(replace(net, activation="prelu"), sgd, "cross_entropy", torch.float32)
    assert not supported(replace(net, skip=True), sgd, "cross_entropy", torch.float32)
    assert not supported(replace(net, norm="batch"), sgd, "cross_entropy", torch.float32)
    assert not supported(replace(net, hidden=()), sgd, "cross_entropy", torch.float32)
    assert not supported(net, sgd, "hinge", torch.float32)
    assert not supported(net, sgd, "cross_entropy", torch.bfloat16)
    assert not supported(net, Optimizer(name="lion"), "cross_entropy", torch.float32)


def test_without_a_compiler_or_switched_off_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "no C++ compiler" in available() and "\n" not in available()
    assert fingerprint() == "none"
    with pytest.raises(RuntimeError, match="no C"):
        problem(steps=1).run()
    monkeypatch.setenv("DEADZONE_NATIVE", "off")
    assert available() == "switched off by DEADZONE_NATIVE=off"
    monkeypatch.undo()
    assert available() is None and len(fingerprint()) == 64


@pytest.mark.parametrize(
    ("body", "line"), [("echo 'boom: error: no such flag' >&2; exit 1", "no such flag"), ("exit 0", "cannot be loaded")]
)
def test_a_compiler_that_fails_gives_one_line(monkeypatch, tmp_path, body, line):
    compiler = tmp_path / "failing"
    compiler.write_text(f"#!/bin/sh\n{body}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert line in available() and "\n" not in available()
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_that_cannot_be_written_gives_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "cannot be written" in available() and "\n" not in available()


PROGRAM = "from suite.training.native import available, fingerprint; print(available(), fingerprint())"


def test_processes_that_build_at_once_agree_and_a_damaged_library_is_built_again(tmp_path):
    quick = tmp_path / "quick"  # the compiler, not optimising: what is tested is how the file comes into being
    quick.write_text('#!/bin/sh\nfor a; do [ "$a" = -O3 ] && a=-O0; set -- "$@" "$a"; shift; done\nexec c++ "$@"\n')
    quick.chmod(0o755)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "CXX": str(quick)}
    root = Path(__file__).parents[2]

    def start():
        return subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, cwd=root, stdout=subprocess.PIPE, text=True)

    first, second = (process.communicate()[0].split() for process in [start(), start()])
    assert first == second and first[0] == "None" and len(first[1]) == 64
    libraries = list(tmp_path.rglob("*.so"))
    assert libraries and not list(tmp_path.rglob("*.tmp"))
    sound = [path.read_bytes() for path in libraries]
    for path in libraries:
        path.write_bytes(path.read_bytes()[:20_000])
    assert start().communicate()[0].split() == first
    assert any(path.read_bytes() in sound for path in tmp_path.rglob("*.so"))
