"""Holm's step-down correction for three-way decisions. Knows intervals' decisions and levels, nothing of their origin.

*What is controlled.* A decision is false when a hypothesis is supported that does not hold, or refuted that does. The
probability of any false decision in a scenario is at most alpha = 1 - confidence, whatever the dependence between
hypotheses, if each end of each interval of confidence 1 - a misses the truth with probability at most a/2.

*Why one pass over both directions would not do.* Holm's proof (1979) counts null hypotheses fixed in advance. Of a
three-way decision only one direction is an error, a right decision in the other would hand its share on, and nothing
then bounds the later errors under arbitrary dependence. So supports and refutations go through Holm apart, each over
all m hypotheses.

*Proof.* Let A be the hypotheses that do not hold, B the others; only supports in A and refutations in B are false.
Holm on supports: let the first false one come k-th. The k - 1 before it are outside A, so its share is alpha/(m - k +
1) ≤ alpha/|A|. It is supported by one end of its interval, which misses with probability at most alpha/(2|A|); over A
that sums to alpha/2. The same for refutations in B, where ``equal`` can be refuted by either end and therefore uses
half its share. Together alpha/2 + alpha/2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from suite.vocabulary import Decision

#: Levels are searched from here up; an interval decisive at this one is decisive at any level a study can ask for.
SMALLEST_ALPHA = 1e-12

#: What an interval of confidence 1 - alpha leads to.
Rule = Callable[[float], Decision]


def decisive_alpha(rule: Rule, decision: Decision) -> float:
    """The smallest alpha at which ``rule`` comes to ``decision``, to 0.1 % and from above; 1 where none does, and
    ``SMALLEST_ALPHA`` where that is enough. Requires nested intervals.
    """
    if rule(0.999) != decision:
        return 1.0
    if rule(SMALLEST_ALPHA) == decision:
        return SMALLEST_ALPHA
    low, high = SMALLEST_ALPHA, 0.999
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if rule(middle) == decision else (middle, high)
    return high


def holm_levels(rules: Mapping[str, Rule], two_ended: frozenset[str], alpha: float) -> dict[str, float]:
    """The alpha each hypothesis's interval is taken at. ``rules`` has every hypothesis that takes a share, by name;
    ``two_ended`` those that either end can refute.

    Among the hypotheses decided the same way the k-th, in order of the smallest alpha that decides them (ties by name,
    so that the order they are listed in changes nothing), has the share alpha/(m - k + 1). One that stays
    undecided gets the smaller of the two shares at which the passes stopped, where its interval is undecided too.
    """
    levels: dict[str, float] = {}
    stops = []
    decisions: tuple[Decision, Decision] = ("supported", "refuted")
    for decision in decisions:
        ends = {name: 2 if decision == "refuted" and name in two_ended else 1 for name in rules}
        p = {name: ends[name] * decisive_alpha(rule, decision) for name, rule in rules.items()}
        waiting = sorted(rules, key=lambda name: (p[name], name))
        share = alpha / max(len(rules), 1)
        # the rule itself is asked at the share, not p, which is known to 0.1 % only: verdict and interval always agree
        while decided := [name for name in waiting if rules[name](share / ends[name]) == decision]:
            levels[decided[0]] = share / ends[decided[0]]
            waiting.remove(decided[0])
            if not waiting:
                break
            share = alpha / len(waiting)
        stops.append(share)
    for name in rules:
        levels.setdefault(name, min(stops[0], stops[1] / (2 if name in two_ended else 1)))
    return levels
