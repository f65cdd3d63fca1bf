"""How well cheap signs of death agree with death itself: silence on a batch, dormancy, rare activity. All from one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet

BATCHES = (8, 32, 128, 512)
TAUS = (0.0, 0.025, 0.1)
#: Dohare et al. (2024) also count a unit as dead that is active on less than this share of the inputs.
RARE = 0.01


def silent_probability(active: Tensor, examples: int, batch: int) -> Tensor:
    """Probability that a batch of ``batch`` inputs, drawn without replacement, holds none of the ``active`` inputs of
    ``examples`` on which a unit is active: C(N-k, n)/C(N, n), close to (1 - k/N)^n. Float64.

    >>> round(float(silent_probability(torch.tensor(10), 100, 8)), 6)
    0.416661
    """
    k = active.to(torch.float64)
    n_total, n = float(examples), float(batch)
    rest = (n_total - k).clamp(min=n)
    log = torch.lgamma(rest + 1) - torch.lgamma(rest - n + 1)
    whole = torch.tensor(n_total, dtype=torch.float64, device=k.device)
    log = log - torch.lgamma(whole + 1) + torch.lgamma(whole - n + 1)
    return torch.where(n_total - k < n, 0.0, log.exp())


def _share(count: Tensor, among: Tensor) -> Tensor:
    """Their quotient per replicate, 0 where there is nothing to share."""
    return torch.where(among > 0, count / among.clamp(min=1), 0.0)


class Detectors(Quiet):
    """The truth is *dead*: never above zero on the whole training set. Each detector has a ``false_positive_fraction.<d>`` (of
    the units alive, the share it takes for dead) and a ``false_negative_fraction.<d>`` (of the dead, the share it misses); 0
    where there are none.

    ``batch_<n>``: at or below zero on all of one batch, the batches being consecutive runs of n training examples in the
    data's own order, the remainder left out; shares are over unit-batch pairs. ``predicted_false_positive_fraction.batch_<n>`` is what
    batches drawn without replacement would give on average, from how many inputs each unit is active on, and
    ``false_positive_excess.batch_<n>`` the measured less the predicted. ``dormant_<τ>``: mean activation at most τ times the
    layer's mean. ``rare_0.01``: above zero on less than 1 % of the inputs. Batches larger than the data are left out.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.batches = [n for n in BATCHES if n <= layout.examples]

    def columns(self) -> tuple[str, ...]:
        """Both error rates of each detector, and the prediction for batches."""
        kinds = [f"batch_{n}" for n in self.batches] + [f"dormant_{tau:g}" for tau in TAUS] + [f"rare_{RARE:g}"]
        rates = [f"false_{side}_fraction.{kind}" for kind in kinds for side in ("positive", "negative")]
        foretold = [f"{name}.batch_{n}" for n in self.batches for name in ("predicted_false_positive_fraction", "false_positive_excess")]
        return (*rates, *foretold)

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """One pass over the training set for the activity of every unit; dormancy is at hand already."""
        active, silent = self._activity(view)
        dead = active == 0
        values: dict[str, Tensor] = {}
        for n in self.batches:
            positive = self._rates(values, f"batch_{n}", silent[n], dead)
            expected = silent_probability(active, self.layout.examples, n)
            predicted = _share((expected * ~dead).sum(dim=1), (~dead).sum(dim=1))
            values[f"predicted_false_positive_fraction.batch_{n}"] = predicted
            values[f"false_positive_excess.batch_{n}"] = positive - predicted
        for tau in TAUS:
            flags = [layer.mean_abs_post <= tau * layer.mean_abs_post.mean(dim=1, keepdim=True) for layer in view.units]
            self._rates(values, f"dormant_{tau:g}", torch.cat(flags, dim=1).to(torch.float64), dead)
        self._rates(values, f"rare_{RARE:g}", (active < RARE * self.layout.examples).to(torch.float64), dead)
        return values

    def _activity(self, view: Evaluation) -> tuple[Tensor, dict[int, Tensor]]:
        """[replicate, unit] the number of inputs it is active on, and per batch size the share of batches it is silent on."""
        counts: list[Tensor] = []
        shares: dict[int, list[Tensor]] = {n: [] for n in self.batches}
        for pre in view.pre_activations():
            above = [layer > 0 for layer in pre]
            counts.append(torch.cat([layer.sum(dim=1) for layer in above], dim=1))
            for n in self.batches:
                used = self.layout.examples // n * n
                quiet = [~layer[:, :used].reshape(len(layer), -1, n, layer.shape[2]).any(dim=2) for layer in above]
                shares[n].append(torch.cat([layer.to(torch.float64).mean(dim=1) for layer in quiet], dim=1))
        return torch.cat(counts), {n: torch.cat(found) for n, found in shares.items()}

    def _rates(self, values: dict[str, Tensor], kind: str, flagged: Tensor, dead: Tensor) -> Tensor:
        """Notes both error rates of a detector that flags this share of its looks at each unit; returns the false positives."""
        positive = _share((flagged * ~dead).sum(dim=1), (~dead).sum(dim=1))
        values[f"false_positive_fraction.{kind}"] = positive
        values[f"false_negative_fraction.{kind}"] = _share(((1 - flagged) * dead).sum(dim=1), dead.sum(dim=1))
        return positive
