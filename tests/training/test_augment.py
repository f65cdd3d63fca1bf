"""Crops and mirror images against torchvision's own pad, crop and hflip, given the same draws."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from test_invariants import same_bits, trained
from torchvision.transforms import functional

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Settings, Start, Train
from suite.config.validate import validate
from suite.data import load
from suite.nets.mlp import Mlp
from suite.streams import generator
from suite.study.plan import check_fit
from suite.training.augment import CHUNK, Augment
from suite.training.paths import why_not_native
from suite.vocabulary import Condition, RequestError

BASE = Numeric(
    "float32",
    Data(subset=100, crop=2, flip=True),
    Model(hidden=[8]),
    Start(),
    Optimizer(lr=0.1),
    Train(5, 16),
    Probes(),
    Engine("eager"),
)


@pytest.mark.parametrize(("crop", "flip"), [(4, True), (3, False), (0, True)])
def test_every_image_is_torchvisions(crop, flip):
    """Colour images that are not square, 40 steps of batches of 9, for replicates 2 and 3."""
    values = torch.randn(2, 9, 7 * 10 * 3, generator=torch.Generator().manual_seed(1))
    augment = Augment(5, range(2, 4), (7, 10, 3), crop, flip, black=-1.5)
    tops, mirrors = set(), set()
    for step in (0, 1, CHUNK - 1, CHUNK, 39, 3):
        found = augment.inputs(values, step).reshape(2, 9, 7, 10, 3)
        for row, replicate in enumerate((2, 3)):
            chunk, place = divmod(step, CHUNK)
            corners = generator(5, replicate, f"augment/crop/chunk{chunk}").integers(0, 2 * crop + 1, (CHUNK, 9, 2))[place]
            mirrored = generator(5, replicate, f"augment/flip/chunk{chunk}").integers(0, 2, (CHUNK, 9))[place]
            for example in range(9):
                image = values[row, example].reshape(7, 10, 3).permute(2, 0, 1)
                top, left = corners[example]
                expected = functional.crop(functional.pad(image, [crop] * 4, fill=-1.5), top, left, 7, 10)
                if flip and mirrored[example]:
                    expected = functional.hflip(expected)
                assert torch.equal(found[row, example].permute(2, 0, 1), expected)
                tops.add(int(top))
                mirrors.add(int(mirrored[example]))
    assert tops == set(range(2 * crop + 1)) and mirrors == {0, 1}


def test_the_border_is_a_black_pixel_as_the_network_sees_it():
    numeric = replace(BASE, data=replace(BASE.data, offset=0.25))
    dataset = load(numeric.data, "nowhere")
    augment = Augment.of(numeric, dataset, 0, range(2))
    values = dataset.tensors(torch.device("cpu"), torch.float32, 0.25).train_x
    assert (dataset.train_x[:, 0] == 0).all()
    assert torch.tensor(augment.black, dtype=torch.float32) == values[0, 0]
    assert Augment.of(replace(BASE, data=Data(subset=100)), dataset, 0, range(2)) is None


def test_training_sees_them_alone_or_together_and_evaluation_does_not():
    plain = replace(BASE, data=Data(subset=100))
    traces, states = {}, {}
    for name, numeric in {"plain": plain, "both": BASE, "flip": replace(BASE, data=Data(subset=100, flip=True))}.items():
        traces[name], states[name] = trained(numeric, 0, 4)
        alone, part = trained(numeric, 2, 1)
        assert same_bits(part.parameters["layer1.weight"], states[name].parameters["layer1.weight"][2:3])
        np.testing.assert_array_equal(alone.curves["train_loss"], traces[name].curves["train_loss"][2:3])
        # before the first step nothing has been augmented, so losses and dead units over the training set are the same
        for metric in ("train_loss", "dead_fraction"):
            np.testing.assert_array_equal(traces[name].curves[metric][:, 0], traces["plain"].curves[metric][:, 0])
    weights = [state.parameters["layer1.weight"] for state in states.values()]
    assert not any(same_bits(weights[a], weights[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_the_steps_before_a_kill_have_draws_of_their_own(monkeypatch):
    seen = []
    original = Augment.inputs

    def noted(self, values, step):
        seen.append((self.purpose, step, self.draws(step, values.shape[1]).tobytes()))
        return original(self, values, step)

    monkeypatch.setattr(Augment, "inputs", noted)
    trained(replace(BASE, start=Start("killed", after=3)), 0, 2)
    assert [call[:2] for call in seen] == [("prelude", step) for step in range(3)] + [("augment", step) for step in range(5)]
    assert len({draws for *_, draws in seen}) == 8


def test_what_cannot_be_cropped_is_refused():
    blobs = load(Data("blobs"), "nowhere")
    with pytest.raises(RequestError, match="need images and data=blobs has none"):
        check_fit(Condition("c", {}, asdict(replace(BASE, data=Data("blobs", flip=True)))), blobs)
    digits = load(BASE.data, "nowhere")
    check_fit(Condition("c", {}, asdict(replace(BASE, data=replace(BASE.data, crop=7)))), digits)
    with pytest.raises(RequestError, match="the largest here is 7"):
        check_fit(Condition("c", {}, asdict(replace(BASE, data=replace(BASE.data, crop=8)))), digits)
    for data, extra, message in ((Data(crop=-1), [], "must not be negative"), (Data(flip=True), ["rollout"], "predicts fixed inputs")):
        with pytest.raises(RequestError, match=message):
            validate(replace(Settings(), data=data, probes=Probes(extra=extra)))
    assert "augmentation" in why_not_native(BASE, Mlp.of(BASE.model, 64, 10), "cpu")
