"""Combinations of second-order settings that cannot work are refused in one line, before any training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suite.config.choices import FIRST_ORDER, OPTIMIZERS, SECOND_ORDER
from suite.config.schema import Data, Model, Optimizer, Probes, Remedy, Settings, Start, Train
from suite.config.validate import validate
from suite.vocabulary import RequestError


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
