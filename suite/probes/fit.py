"""How well the network fits: losses, accuracies, and the distance from the best constant predictor."""

from __future__ import annotations

from torch import Tensor

from suite.probes.views import Evaluation, Gathered, Layout


class Fit(Gathered):
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

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """Values in inference mode over the whole training and test sets."""
        losses = view.train_loss, view.test_loss
        if view.train_accuracy is None or view.test_accuracy is None:
            return losses
        return (*losses, view.train_accuracy, view.test_accuracy)

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """The excess beside them."""
        names = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")[: len(noted)]
        return {"excess_loss": noted[0] - self.layout.constant_loss, **dict(zip(names, noted, strict=True))}
