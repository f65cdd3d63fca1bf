"""The cost page: the committed figures appear with their ratios, and files that are missing or other are told or left out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from suite.report.costs import bar, cost_page
from suite.report.index import build_index
from suite.report.svg import Axis

COMMITTED = Path(__file__).resolve().parents[2] / "results" / "benchmarks"
FILES = sorted(path.stem for path in COMMITTED.glob("*.json"))


def text_of(page: bytes | None) -> str:
    assert page is not None
    return page.decode()


def test_every_ratio_and_target_of_the_committed_figures_is_shown():
    page = text_of(cost_page(COMMITTED))
    engine = json.loads((COMMITTED / "engine.json").read_text())
    for workload in engine["workloads"].values():
        for label, ratio in workload["ratios"].items():
            assert f'<td class="n">{label}</td><td class="n">{ratio["minimum"]:.3g} ({ratio["median"]:.3g})</td>' in page
        for target in workload["targets"]:
            assert f'<td class="n">{target["measured"]:.3g}</td>' in page
    assert page.count("✓ yes") + page.count("✗ no") == sum(
        len(re.findall(r'"met":', (COMMITTED / f"{name}.json").read_text())) for name in FILES
    )
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_takes_its_section_with_it(tmp_path, missing):
    for name in FILES:
        if name != missing:
            shutil.copy(COMMITTED / f"{name}.json", tmp_path)
    page = text_of(cost_page(tmp_path))
    assert f'id="{missing}"' not in page
    assert page.count("<h2 id=") == len(FILES) - 1


def test_damaged_and_unknown_files_break_nothing(tmp_path):
    assert cost_page(tmp_path) is None
    (tmp_path / "engine.json").write_text('{"workloads": {"digits": 3}, "what": "<b>new</b>"}')
    (tmp_path / "scaling.json").write_text("{")
    (tmp_path / "gpu_cost.json").write_text('{"a": {"targets": [{"figure": "x / y", "measured": 2.0, "at_most": 3, "met": true}]}}')
    page = text_of(cost_page(tmp_path))
    assert "&lt;b&gt;new&lt;/b&gt;" in page
    assert 'id="scaling"' not in page
    assert "gpu cost" in page
    assert "x / y" in page


def test_a_bar_has_the_length_of_its_number():
    axis = Axis(0.0, 10.0, 0.0, 200.0)
    assert 'width="50"' in bar(2.5, axis)
    ratios = Axis(0.1, 10.0, 0.0, 200.0, True)
    assert 'x="100" y="2" width="100"' in bar(10.0, ratios, 1.0)
    assert 'class="bar less"' in bar(0.5, ratios, 1.0)


def test_the_index_links_to_it_only_where_there_is_one(tmp_path):
    assert "benchmarks/index.html" not in build_index(tmp_path)
    assert "benchmarks" not in build_index(tmp_path)["index.html"].decode()
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(COMMITTED / "study.json", tmp_path / "benchmarks")
    files = build_index(tmp_path)
    assert 'href="benchmarks/index.html"' in files["index.html"].decode()
    assert files["benchmarks/index.html"] == cost_page(tmp_path / "benchmarks")
