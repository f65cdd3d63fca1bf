"""How well the network fits: losses, accuracies, and the distance from the best constant predictor."""

from __future__ import annotations

from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class Fit(Quiet):
    """``train_loss``, ``test_loss`` (units of the loss), ``train_accuracy``, ``test_accuracy`` (shares, classification
    only) and ``excess_loss`` = train_loss - loss of the best constant predictor (the class prior's entropy for
    cross-entropy, the target variance for squared error): zero or more means nothing about the inputs was learned.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """Losses, and accuracies where there are classes."""
        names = ("train_loss", "test_loss", "excess_loss")
        return (*names, "train_accuracy", "test_accuracy") if self.layout.classification else names

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Values in inference mode over the whole training and test sets."""
        values = {
            "train_loss": view.train_loss,
            "test_loss": view.test_loss,
            "excess_loss": view.train_loss - self.layout.constant_loss,
        }
        if view.train_accuracy is not None and view.test_accuracy is not None:
            values |= {"train_accuracy": view.train_accuracy, "test_accuracy": view.test_accuracy}
        return values
