"""The residual network in the engine: torch.optim's steps on torchvision's network, replicates alone or together, dead channels."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torchvision_resnet as witness
from test_against_torch import OPTIMIZERS, trained_stack
from test_invariants import same_bits, trained
from torch import nn

from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Remedy, Start, Train
from suite.data import load
from suite.nets import passes
from suite.nets.resnet import ResNet
from suite.probes.batches import BatchNormBound
from suite.probes.views import Stretch
from suite.study.plan import blocks_of, data_key
from suite.training.engine import layout_of, network_of
from suite.training.evaluate import evaluate, full_gradients, pre_activations
from suite.vocabulary import Condition, Plan, RequestError

BASE = Numeric(
    "float64",
    Data(subset=40),
    Model(name="resnet18", width=2, depth=1, norm="batch"),
    Start(),
    OPTIMIZERS["momentum"],
    Train(steps=4, batch_size=8),
    Probes(),
)
PLAIN = replace(BASE, model=replace(BASE.model, norm="none"))


def with_biases(net: ResNet, model: Model) -> nn.Module:
    """Torchvision's network, its convolutions with biases where the suite's have them."""
    network = witness.torchvisions(model.width, model.depth, net.image[2], model.norm)
    for name, (linear, _) in witness.owners(network).items():
        if name.startswith("layer") and net.biased:
            linear.bias = nn.Parameter(torch.zeros(linear.out_channels, dtype=torch.float64))
    return network


def images(net: ResNet, x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, *net.image).permute(0, 3, 1, 2)


@pytest.mark.parametrize("numeric", [BASE, PLAIN])
def test_steps_follow_torch_optim_on_torchvisions_network(numeric):
    net, task, state, first, _, order = trained_stack(numeric)
    assert isinstance(net, ResNet) and net.biased == (numeric.model.norm == "none")
    seen = evaluate(task, state.parameters, state.buffers)
    for replicate in range(3):
        network = with_biases(net, numeric.model)
        witness.filled(network, first, replicate)
        steps = torch.optim.SGD(network.parameters(), lr=numeric.optimizer.lr, momentum=numeric.optimizer.momentum)
        for step in range(numeric.train.steps):
            chosen = torch.from_numpy(order.indices(step)[replicate].copy())
            steps.zero_grad()
            nn.functional.cross_entropy(network(images(net, task.data.train_x[chosen])), task.data.train_y[chosen]).backward()
            steps.step()
        for name, value in witness.tensors(network).items():
            after = state.parameters[name][replicate].numpy()
            np.testing.assert_allclose(after, witness.theirs(value.detach()).numpy(), rtol=1e-8, atol=1e-9, err_msg=name)
            assert not np.array_equal(after, first[name][replicate].numpy())
        network.eval()
        with torch.no_grad():
            expected = nn.functional.cross_entropy(network(images(net, task.data.test_x)), task.data.test_y)
        np.testing.assert_allclose(seen.test_loss[replicate].item(), expected.item(), rtol=1e-8)


FLOAT32 = replace(BASE, precision="float32")
VARIANTS = {
    "batchnorm": replace(FLOAT32, probes=Probes("full", 2, ["batchnorm_bound", "layer_gradients", "zeros"])),
    "plain": replace(PLAIN, precision="float32", probes=Probes("full", 2, ["collapse", "detectors", "layer_gradients"])),
    "layernorm_after": replace(FLOAT32, model=replace(BASE.model, norm="layer", norm_position="after")),
    "augmented": replace(FLOAT32, data=Data(subset=40, crop=2, flip=True)),
    "bfloat16": replace(BASE, precision="bfloat16"),
    "float16_scaled": replace(BASE, precision="float16", train=Train(4, 8, loss_scale=256.0, master_weights=True)),
    "killed_prelu": replace(
        PLAIN, precision="float32", start=Start("killed", layer=3, after=2), model=replace(PLAIN.model, activation="prelu")
    ),
    "redo": replace(PLAIN, precision="float32", remedy=Remedy("redo", every=2, tau=0.3)),
    "continual": replace(FLOAT32, remedy=Remedy("continual_backprop", maturity=1, rate=0.05)),
    "lbfgs": replace(FLOAT32, optimizer=Optimizer("lbfgs", lr=0.1), train=Train(2, 8)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_replicate_is_the_same_alone_or_together(name):
    numeric = VARIANTS[name]
    whole_trace, whole = trained(numeric, 0, 4)
    for first, count in ((2, 1), (1, 3)):
        part_trace, part = trained(numeric, first, count)
        rows = slice(first, first + count)
        for key, value in (part.parameters | part.buffers).items():
            assert same_bits(value, (whole.parameters | whole.buffers)[key][rows]), (key, first, count)
        for key, final in part_trace.finals.items():
            np.testing.assert_array_equal(final, whole_trace.finals[key][rows], err_msg=f"{key} {first} {count}")
    assert not same_bits(whole.parameters["output.weight"][0], whole.parameters["output.weight"][1])
    assert (whole_trace.diverged_at == -1).all()


def test_half_precision_follows_double_within_its_rounding():
    """After one step at a small rate the training losses agree to the 8 (bfloat16) or 11 bits of a number, some lost on the way."""
    losses = {}
    for precision in ("float64", "bfloat16", "float16"):
        numeric = replace(BASE, precision=precision, optimizer=Optimizer(lr=0.01), train=Train(1, 8))
        losses[precision] = trained(numeric, 0, 2)[0].finals["train_loss"]
    np.testing.assert_allclose(losses["bfloat16"], losses["float64"], rtol=0.03)
    np.testing.assert_allclose(losses["float16"], losses["float64"], rtol=0.004)
    assert not np.array_equal(losses["bfloat16"], losses["float16"])


@pytest.mark.parametrize("layer", [None, 2, 3])
def test_dead_channels_are_dead_by_torchvision_and_have_exactly_zero_gradients(layer):
    numeric = replace(PLAIN, precision="float32", optimizer=Optimizer(lr=0.1), start=Start("born_dead", layer=layer))
    trace, state = trained(replace(numeric, probes=Probes("full", 2, ["layer_gradients", "collapse"])), 0, 2)
    dataset = load(numeric.data, "data")
    net = network_of(numeric, dataset)
    dead = range(1, len(net.layers) + 1) if layer is None else (layer,)
    x = images(net, dataset.tensors(torch.device("cpu"), torch.float64).train_x)
    for k in dead:
        np.testing.assert_array_equal(trace.curves[f"dead_fraction.layer{k}"], 1.0)
        np.testing.assert_array_equal(trace.finals[f"layer_grad_max_abs.layer{k}"], 0.0)
    assert (trace.finals["dead_fraction.layer1"] < 1).all() == (layer is not None)
    # a skip carries the signal past a dead convolution inside a block, nothing past a dead block's end
    assert (trace.finals["constant_output"] == (layer in (None, 3))).all()
    for replicate in range(2):
        network = with_biases(net, numeric.model)
        witness.filled(network, {name: value.double() for name, value in state.parameters.items()}, replicate)
        given = []
        for part in network.modules():
            if isinstance(part, nn.ReLU):
                part.inplace = False
                part.register_forward_pre_hook(lambda _, values, given=given: given.append(values[0].detach().amax().item()))
        with torch.no_grad():
            network(x)
        for k in dead:
            # layers before it go on learning and move what it is given a little
            np.testing.assert_allclose(given[k - 1], -1.0, atol=1e-2)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_slices_of_the_examples_add_up_to_the_whole(monkeypatch, norm):
    numeric = replace(BASE, model=replace(BASE.model, norm=norm, norm_position="before"))
    net, task, state, *_ = trained_stack(numeric)
    found = []
    for room, least in ((2**40, 64), (1, 16)):
        monkeypatch.setattr(passes, "PASS_ELEMENTS", room)
        monkeypatch.setattr(ResNet, "least_slice", least)
        slopes = full_gradients(task, state.parameters, state.buffers) if norm == "none" else {}
        pre = [torch.cat(layer) for layer in zip(*pre_activations(task, state.parameters, state.buffers), strict=True)]
        found.append((evaluate(task, state.parameters, state.buffers), slopes, pre))
    assert len(passes.example_slices(net, 40)) == 3
    (whole, slopes, pre), (pieces, slopes_pieces, pre_pieces) = found
    np.testing.assert_allclose(pieces.train_loss.numpy(), whole.train_loss.numpy(), rtol=1e-11)
    for mine, theirs in zip(pieces.units + pieces.units_eval, whole.units + whole.units_eval, strict=True):
        np.testing.assert_allclose(mine.max_pre.numpy(), theirs.max_pre.numpy(), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(mine.mean_abs_post.numpy(), theirs.mean_abs_post.numpy(), rtol=1e-9, atol=1e-11)
    for name, slope in slopes.items():
        np.testing.assert_allclose(slopes_pieces[name].numpy(), slope.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    for mine, theirs in zip(pre_pieces, pre, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-11)


def test_biases_are_there_where_a_start_or_a_remedy_sets_them_or_no_batchnorm_follows():
    data = load(BASE.data, "data")
    for numeric, biased in (
        (BASE, False),
        (PLAIN, True),
        (replace(BASE, model=replace(BASE.model, norm_position="after")), True),
        (replace(BASE, start=Start("born_dead")), True),
        (replace(BASE, remedy=Remedy("bias_bump", at=1)), True),
    ):
        assert ("layer1.bias" in network_of(numeric, data).parameter_shapes()) == biased
    with pytest.raises(RequestError, match="model=resnet18 needs images and data=blobs has none"):
        network_of(BASE, load(Data("blobs"), "data"))


def test_blocks_on_a_gpu_are_bounded_by_its_memory():
    """ResNet-18 on digits holds 64·(1 + 4 + 4/2 + 4/4 + 4/8)·64 = 34,816 values of an example; 2^30 / (4 · 1000 · that) is 7."""
    numeric = replace(BASE, model=Model(name="resnet18", width=64, depth=2), data=Data(), train=Train(1, 1000))
    plan = Plan("s", "t", {}, "", "", (), (Condition("c", {}, asdict(numeric)),), (), 0.95, 0, 15, "cuda", {}, ())
    dataset = load(Data(), "data")
    assert sum(network_of(numeric, dataset).held) == 34_816
    assert [block.count for block in blocks_of(plan, None, {data_key(numeric): dataset})] == [7, 7, 1]
    assert {block.count for block in blocks_of(replace(plan, device="cpu"), None, {data_key(numeric): dataset})} == {2, 1}


def test_the_bounds_of_batchnorm_leave_out_layers_that_a_skip_is_added_to():
    """Layer 3 ends a block: its β of -100 is far below the bound, and the skip keeps it alive, which contradicts nothing."""
    layout = layout_of(FLOAT32, load(FLOAT32.data, "data"))
    pre = tuple(torch.ones(1, 50, width) for width in layout.widths)
    affine = {}
    for layer, width in zip(layout.layers, layout.widths, strict=True):
        affine[f"{layer}.scale"] = torch.ones(1, width)
        affine[f"{layer}.shift"] = torch.full((1, width), -100.0 if layer in layout.joined else 0.0)
    variance = tuple(torch.ones(1, width) for width in layout.widths)
    stretch = Stretch({}, torch.empty(1, 0), {}, pre, variance, affine, torch.zeros(1, 1), {})
    found = {}
    for joined in (layout.joined, frozenset()):
        probe = BatchNormBound(replace(layout, joined=joined))
        probe.after_steps(stretch)
        found[bool(joined)] = probe.finish()
    assert found[True]["bound_dead_broken"].item() == 0 and found[True]["bound_alive_share"].item() == 1
    # each of the four blocks ends in one such layer, of 2, 4, 8 and 16 channels
    assert found[False]["bound_dead_broken"].item() == 2 + 4 + 8 + 16
