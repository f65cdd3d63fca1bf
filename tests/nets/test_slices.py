"""Slices of the replicate dimension: complete, in order, never a replicate alone."""

from __future__ import annotations

import pytest

from suite.nets import passes


@pytest.mark.parametrize("count", range(1, 14))
@pytest.mark.parametrize("room", [1, 2, 3, 5, 100])
def test_slices_cover_everything_and_leave_nobody_alone(monkeypatch, count, room):
    monkeypatch.setattr(passes, "PASS_ELEMENTS", room)
    parts = list(passes.replicate_slices(count, 1))
    assert [index for part in parts for index in range(count)[part]] == list(range(count))
    assert all(part.stop - part.start >= 2 for part in parts) or count == 1
