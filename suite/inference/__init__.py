"""Statistics: from final values of replicates to verdicts. Knows arrays only."""

from suite.inference.bounds import share_bounds
from suite.inference.decide import decide
from suite.inference.power import detectable_effect, identical_reach

__all__ = ["decide", "detectable_effect", "identical_reach", "share_bounds"]
