"""What sets two stacks apart, compiled and not, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suite.probes.differences import differences as by_torch
from suite.probes.parts import Parts
from suite.training import native

WAYS = {"torch": by_torch, "compiled": native.differences}
SHAPES = {"layer1.weight": (5, 64, 13), "layer1.bias": (5, 13), "output.weight": (5, 13, 1), "output.bias": (5, 1)}


def stack(seed: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator, dtype=dtype) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_are_exact_and_squares_are_summed_in_float64(way, dtype):
    now, then = stack(1, dtype), stack(1, dtype)
    then["layer1.weight"][:, ::3] += 0.5
    then["layer1.weight"][2, 1, 1] = torch.nextafter(then["layer1.weight"][2, 1, 1], torch.tensor(9.0, dtype=dtype))
    then["output.bias"][3] = 0
    now["output.bias"][4] = -0.0  # differs from 0 in no value
    then["output.bias"][4] = 0.0
    for other in (then, None):
        found = WAYS[way](now, other).numpy()
        for row, name in enumerate(now):
            a = now[name].numpy().reshape(5, -1).astype(np.float64)
            b = np.zeros_like(a) if other is None else other[name].numpy().reshape(5, -1).astype(np.float64)
            np.testing.assert_array_equal(found[row, 0], (a != b).sum(axis=1))
            np.testing.assert_allclose(found[row, 1], ((a - b) ** 2).sum(axis=1), rtol=1e-14)
    assert found[0, 0].min() > 0


@pytest.mark.parametrize("way", WAYS)
def test_subnormal_differences_and_nan_are_seen(way):
    now, then = stack(2, torch.float32), stack(2, torch.float32)
    now["output.bias"][:] = torch.tensor([[1e-45], [float("nan")], [float("inf")], [0.0], [float("nan")]])
    then["output.bias"][:] = torch.tensor([[0.0], [0.0], [float("inf")], [0.0], [float("nan")]])
    counts, squares = WAYS[way](now, then)[-1].numpy()
    assert counts.tolist() == [1, 1, 0, 0, 1]
    assert squares[0] == pytest.approx(2.0**-298, rel=1e-15) and np.isnan(squares[[1, 4]]).all() and squares[3] == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_replicate_has_the_same_bits_in_any_company(way):
    now, then = stack(3, torch.float32), stack(4, torch.float32)
    whole = WAYS[way](now, then)
    for rows in (slice(0, 2), slice(2, 5), slice(1, 4)):
        part = WAYS[way]({name: value[rows] for name, value in now.items()}, {name: value[rows] for name, value in then.items()})
        assert torch.equal(part, whole[..., rows])


def test_compiled_code_wants_like_tensors():
    now = stack(5, torch.float32)
    with pytest.raises(ValueError, match=r"output\.bias"):
        native.differences(now, now | {"output.bias": now["output.bias"].double()})
    with pytest.raises(ValueError, match="float16"):
        native.differences({name: value.half() for name, value in now.items()})


def test_parts_add_up_their_members_and_take_their_largest():
    values = stack(6, torch.float32)
    parts = Parts({"weights": ("layer1.weight", "output.weight"), "bias": ("output.bias",), "all": tuple(SHAPES)}, values)
    figures = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0], [8.0, float("nan")]], dtype=torch.float64)
    assert parts.elements.flatten().tolist() == [64 * 13 + 13, 1, 64 * 13 + 13 + 13 + 1]
    torch.testing.assert_close(
        parts.total(figures), torch.tensor([[5.0, 50.0], [8.0, torch.nan], [15.0, torch.nan]], dtype=torch.float64), equal_nan=True
    )
    torch.testing.assert_close(
        parts.largest(figures), torch.tensor([[4.0, 40.0], [8.0, torch.nan], [8.0, torch.nan]], dtype=torch.float64), equal_nan=True
    )
    single = Parts({name: (name,) for name in SHAPES}, values)
    assert torch.equal(single.total(figures[:3, :1]), figures[:3, :1])
