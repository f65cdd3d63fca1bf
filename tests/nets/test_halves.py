"""Half-precision arithmetic against NumPy, float64 and the closed forms of where a sigmoid's derivative is lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from suite.nets.activations import ACTIVATIONS
from suite.nets.mlp import affine

HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
def test_a_product_is_the_exact_one_rounded_once(dtype):
    """Against float64: no further off than half a unit in the last place, plus float32's own summation error."""
    generator = torch.Generator().manual_seed(1)
    values, weight, bias = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((3, 40, 64), (3, 64, 32), (3, 32)))
    ours = affine(bias, values, weight)
    exact = np.einsum("rbi,rio->rbo", values.double().numpy(), weight.double().numpy()) + bias.double().numpy()[:, None]
    assert ours.dtype == dtype
    ulp = np.exp2(np.floor(np.log2(np.abs(exact)))) * torch.finfo(dtype).eps
    assert (np.abs(ours.double().numpy() - exact) <= 0.5 * ulp + 1e-5).all()
    if dtype == torch.float16:
        wide = values.float().numpy() @ weight.float().numpy() + bias.float().numpy()[:, None]
        agree = (wide.astype(np.float16) == ours.numpy()).mean()
        assert agree > 0.99  # float32 sums in another order may fall on the other side of a tie


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("size", [1, 8, 64])
def test_subnormal_numbers_survive_a_product_of_any_size(dtype, size):
    """Torch's own bfloat16 product flushes them for large sizes on processors with bfloat16 instructions."""
    tiny = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    values = torch.zeros(4, size, size, dtype=dtype)
    values[:, :, 0] = 3 * tiny
    weight = torch.ones(4, size, size, dtype=dtype).requires_grad_()
    product = affine(torch.zeros(4, size, dtype=dtype), values, weight)
    assert (product.double() == 3 * tiny).all()
    (gradient,) = torch.autograd.grad(product, weight, torch.ones_like(product))
    assert (gradient[:, 0].double() == 3 * tiny * size).all()


@pytest.mark.parametrize(("precision", "lost"), [("float16", 11), ("bfloat16", 8), ("float32", 24)])
def test_one_plus_a_power_of_two_is_lost(precision, lost):
    one = torch.ones((), dtype=getattr(torch, precision))
    assert one + 2.0**-lost == one
    assert one + 2.0 ** -(lost - 1) != one
    if precision != "bfloat16":
        assert np.spacing(np.dtype(precision).type(1)) == 2.0 ** -(lost - 1)


@pytest.mark.parametrize(
    ("precision", "above", "below"),
    [
        ("float16", 12 * math.log(2), -25 * math.log(2)),  # 1 - σ < 2^-12 rounds to 1 below it; σ < 2^-25 rounds to 0
        ("bfloat16", 9 * math.log(2), -128 * math.log(2)),  # the rest is computed in float32, where e^-x overflows at 2^128
        ("float32", 24 * math.log(2), -128 * math.log(2)),  # 1 + e^-x is 1 for e^-x ≤ 2^-24
        ("float64", 53 * math.log(2), -1024 * math.log(2)),
    ],
)
def test_where_the_gradient_of_a_sigmoid_is_exactly_zero(precision, above, below):
    dtype = getattr(torch, precision)

    def derivative(x: float) -> float:
        pre = torch.full((2, 1, 1), x, dtype=dtype, requires_grad=True)
        (found,) = torch.autograd.grad(ACTIVATIONS["sigmoid"](pre, 0.0).sum(), pre)
        return found[0].item()

    near = {"float16": 0.01, "bfloat16": 0.4, "float32": 1e-2, "float64": 1e-2}
    step = near[precision]
    assert derivative(above + step) == 0 < derivative(above - step)
    step = max(step, 0.5 if precision == "bfloat16" else 0.05)
    assert derivative(below - step) == 0 < derivative(below + step)


def test_tanh_and_gelu_are_lost_on_both_sides_in_float32():
    """1 - tanh² rounds to 0 once tanh does to 1: 2 e^-2x ≤ 2^-25. GELU's x·φ(x) is below the smallest subnormal at -16."""

    def derivative(name: str, x: float, dtype=torch.float32) -> float:
        pre = torch.full((2, 1, 1), x, dtype=dtype, requires_grad=True)
        (found,) = torch.autograd.grad(ACTIVATIONS[name](pre, 0.0).sum(), pre)
        return found[0].item()

    edge = 13 * math.log(2)
    assert derivative("tanh", edge + 0.1) == derivative("tanh", -edge - 0.1) == 0 < derivative("tanh", -edge + 0.5)
    assert derivative("gelu", -16.0) == 0 > derivative("gelu", -5.5)
    assert derivative("gelu", -16.0, torch.float64) < 0
    assert 16 * math.exp(-128) / math.sqrt(2 * math.pi) < 2.0**-150


def test_the_straight_through_step():
    """Value of a step; derivative 1 on [-1, 1] with both ends, 0 outside. Bit for bit no residue of the estimator in the value."""
    pre = torch.tensor([[[-7.3, -1.0, -0.1, 0.0, 1e-30, 0.7, 1.0, 1.0000001, 3.0]]], requires_grad=True)
    post = ACTIVATIONS["step_ste"](pre, 0.0)
    assert post.flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    (gradient,) = torch.autograd.grad(post.sum(), pre)
    assert gradient.flatten().tolist() == [0, 1, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "prelu"])
def test_an_activation_has_the_same_bits_wherever_in_the_stack(name, dtype):
    """Value and derivative of every element, in a long tensor and in pieces of odd sizes cut from it."""
    generator = torch.Generator().manual_seed(0)
    values = (4 * torch.randn(997, generator=generator)).to(dtype)
    slopes = torch.randn(997, generator=generator).to(dtype)

    def both(part: slice):
        pre = values[part].clone()[None, :, None].requires_grad_()
        post = ACTIVATIONS[name](pre, 0.1)
        (gradient,) = torch.autograd.grad(post, pre, slopes[part][None, :, None])
        return post.detach().flatten(), gradient.flatten()

    whole = both(slice(None))
    for first in (0, 1, 7, 13, 16, 500, 990):
        for found, expected in zip(both(slice(first, first + 17)), whole, strict=True):
            assert torch.equal(found, expected[first : first + 17])
