"""How far parameters have moved from the start, and which have not moved at all."""

from __future__ import annotations

from torch import Tensor

from suite.probes.parts import Parts, layer_members
from suite.probes.views import Evaluation, Gathered, Layout


class Movement(Gathered):
    """``moved_fraction.<part>``: share of elements that differ from the start by any bit of their value;
    ``moved_norm.<part>``: L2 distance from the start, summed in float64. A part is a parameter group, or a layer: ``layerK`` and
    ``output`` hold the weights and biases of that layer together.
    """

    def __init__(self, layout: Layout) -> None:
        self.members = dict(layout.groups) | layer_members(layout)
        self.origin: dict[str, Tensor] | None = None

    def columns(self) -> tuple[str, ...]:
        """Two metrics for each part."""
        return tuple(f"{metric}.{part}" for metric in ("moved_fraction", "moved_norm") for part in self.members)

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """Compares with a copy taken at step 0."""
        if self.origin is None:
            self.origin = {name: value.detach().clone() for name, value in view.parameters.items()}
            self.parts = Parts(self.members, self.origin)
        return (view.differences(view.parameters, self.origin),)

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """From parameters to parts."""
        changed, squared = self.parts.total(noted[0].transpose(0, 1)).unbind(2)
        shares = self.parts.named("moved_fraction", changed / self.parts.elements)
        return shares | self.parts.named("moved_norm", squared.sqrt())
