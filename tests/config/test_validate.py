"""Combinations of second-order settings that cannot work are refused in one line, before any training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suite.config.choices import FIRST_ORDER, OPTIMIZERS, SECOND_ORDER
from suite.config.schema import Data, Model, Optimizer, Probes, Remedy, Settings, Start, Train
from suite.config.validate import validate
from suite.vocabulary import RequestError

RESNET = Model("resnet18", width=64, depth=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": Optimizer("newton", weight_decay=0.1)}, "has no meaning for newton"),
        ({"optimizer": Optimizer("newton", momentum=0.9)}, "has no meaning for newton"),
        ({"optimizer": Optimizer("newton"), "train": Train(warmup=5)}, "serves the first-order optimizers"),
        ({"optimizer": Optimizer("newton"), "train": Train(clip=1.0)}, "serves the first-order optimizers"),
        ({"optimizer": Optimizer("newton"), "remedy": Remedy("reinit_dead", at=5)}, "remedy serves the first-order optimizers"),
        ({"data": Data(shift="permuted_pixels"), "probes": Probes(extra=["curvature"])}, "the Hessian of fixed data"),
        ({"optimizer": Optimizer("lbfgs", history=0)}, "must be at least 1"),
        ({"optimizer": Optimizer("kfac"), "model": Model(norm="layer")}, "factors for linear layers only"),
        ({"optimizer": Optimizer("kfac"), "model": Model(skip=True)}, "factors for linear layers only"),
        ({"optimizer": Optimizer("kfac"), "model": Model(activation="prelu")}, "factors for linear layers only"),
        ({"optimizer": Optimizer("gauss_newton", damping=-1.0)}, "must not be negative"),
        ({"model": Model(output_unit="sigmoid")}, "needs train.loss=squared_error"),
        ({"model": Model(output_unit="sigmoyd")}, "nearest is 'sigmoid'"),
        ({"start": Start("saddle", distance=-1.0)}, "must not be negative"),
        ({"probes": Probes(critical_below=0.0)}, "must be above zero"),
        ({"probes": Probes(hessian_examples=0)}, "or null for all"),
        ({"model": Model(channels=[4])}, r"model.channels=\[4\] has no meaning in model=mlp"),
        ({"model": Model("cnn")}, "model=cnn needs at least one convolution"),
        ({"model": Model("cnn", channels=[4, 0])}, "every convolution needs at least one channel"),
        ({"model": Model("cnn", channels=[4], kernel=2)}, "model.kernel=2 must be odd"),
        ({"model": Model("cnn", channels=[4], skip=True)}, "model.skip=true joins layers of equal width"),
        ({"model": Model("cnn", channels=[4], init="rai")}, "model.init=rai is for dense layers"),
        ({"model": Model("cnn", channels=[4]), "start": Start("steepest")}, "start=steepest is for dense layers"),
        ({"model": Model("cnn", channels=[4]), "optimizer": Optimizer("kfac")}, "cannot go with model=cnn"),
        ({"model": Model("cnn", channels=[4]), "probes": Probes(extra=["rollout"])}, "cannot go with model=cnn"),
        ({"model": Model("cnnn")}, "nearest is 'cnn'"),
        ({"model": Model("resnet")}, "nearest is 'resnet18'"),
        ({"model": Model("resnet18")}, "model=resnet18 needs model.width and model.depth"),
        ({"model": Model("resnet18", width=8, depth=0)}, "not 8 and 0"),
        ({"model": Model("resnet18", width=200_000, depth=2)}, "makes layers of more than"),
        ({"model": replace(RESNET, kernel=5)}, "model.kernel=5 has no meaning in model=resnet18"),
        ({"model": replace(RESNET, channels=[4])}, "has no meaning in model=resnet18"),
        ({"model": replace(RESNET, skip=True)}, "has no meaning in model=resnet18"),
        ({"model": replace(RESNET, init="rai")}, "has no meaning in model=resnet18"),
        ({"model": RESNET, "start": Start("steepest")}, "use model=mlp"),
        ({"model": RESNET, "optimizer": Optimizer("kfac")}, "cannot go with model=resnet18"),
        ({"model": RESNET, "probes": Probes(extra=["pruning"])}, "a skip cannot be cut"),
        ({"model": RESNET, "probes": Probes(extra=["underflow"])}, "one chain of layers, so it cannot go with model=resnet18"),
        ({"model": RESNET, "probes": Probes(extra=["timing"])}, "counts the operations of dense layers"),
        ({"model": RESNET, "remedy": Remedy("continual_backprop", rate=0.002)}, "at most one of 512 units per step"),
    ],
)
def test_what_cannot_work_is_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        validate(replace(Settings(), **changes))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_may_stand_with_the_defaults(name):
    validate(replace(Settings(), optimizer=Optimizer(name)))
    validate(replace(Settings(), model=Model(output_unit="sigmoid"), train=Train(loss="squared_error"), optimizer=Optimizer(name)))
    assert (name in FIRST_ORDER) != (name in SECOND_ORDER)
