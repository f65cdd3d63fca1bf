"""Statistics: from final values of replicates to verdicts. Knows arrays only."""

from suite.inference.decide import decide

__all__ = ["decide"]
