"""The worked example in the documentation is what the simulation says."""

from __future__ import annotations

from tests.bench.measure import ROOT
from tests.bench.scale import table


def test_the_documented_table_is_the_simulated_one():
    assert table() in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
