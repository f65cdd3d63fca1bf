"""Whatever stands in a fence in docs/ or the README is run, or checked as far as it can be without training."""

from __future__ import annotations

import re

import pytest
from docs.blocks import PAGES, Block, blocks, changed, commands
from docs.session import Session

from suite.config.compose import known_keys
from suite.config.schema import NUMERIC_KEYS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page(page, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    found = blocks(page)
    session = Session(tmp_path, monkeypatch)
    for block in found:
        session.deal(block)
    assert sum(session.dealt.values()) == len(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_keys_named_in_the_text_exist(page):
    sections = "|".join(key for key in (*NUMERIC_KEYS, "executor", "tracking") if key != "precision")
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    named = re.findall(rf"`((?:{sections})\.[a-z_0-9.]+)", text)
    assert set(named) <= {*known_keys(), *(f"{key}." for key in known_keys())}


def test_every_page_has_been_found():
    assert {"README", "tutorial", "scenario", "extending", "statistics", "engine", "faq", "reading", "scale"} <= {
        page.stem for page in PAGES
    }


@pytest.mark.parametrize(
    ("language", "note", "text", "fault"),
    [
        ("", "", "ls\n", "nothing says what to do"),
        ("text", "", "anything\n", "nothing says what to do"),
        ("sh", "rnu", "python -m suite list\n", "nothing says what to do"),
        ("sh", "", "rm -r results\n", "nothing says how to check"),
        ("sh", "", "make everything\n", "no such target"),
        ("sh", "", "python -m suite +scenario=born_ded\n", "nearest is 'born_dead'"),
        ("sh", "", "python -m suite +scenario=born_dead optimizer.lrr=1\n", "nearest is 'optimizer.lr'"),
        ("sh", "", "python -m suite sync results/nowhere\n", "is not there"),
        ("sh", "run: exit 2", "python -m suite list\n", "exit 0"),
        ("python", "", "assert 1 == 2, 'never'\n", "never"),
        ("text", "excerpt", "never said\n", "no command has been run"),
        ("yaml", "part of a scenario", "hypothesis: {}\n", "no keys of a scenario"),
    ],
)
def test_a_faulty_block_is_found(language, note, text, fault, tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match=fault):
        Session(tmp_path, monkeypatch).deal(Block("here:1", language, "", note, text))


def test_a_change_needs_its_place():
    assert changed("a\nb = (1, 2)\nc\n", "-b = (1, …\n+b = (0, 1, …\n") == "a\nb = (0, 1, 2)\nc\n"
    assert changed("a\nb\n", " a\n+x\n\n b\n+y\n") == "a\nx\nb\ny\n"
    with pytest.raises(ValueError, match="found 0 times"):
        changed("a\n", "-z\n+y\n")
    with pytest.raises(ValueError, match="found 2 times"):
        changed("a\na\n", " a\n+y\n")


def test_comments_of_a_shell_are_taken_off():
    assert commands("# all\npython -m suite list   # the list\n\nmake run\n") == ["python -m suite list", "make run"]


def test_a_fence_that_is_not_understood_is_a_fault(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```sh run\nls\n```\n")
    with pytest.raises(ValueError, match=r"page\.md:1: a fence that is not understood"):
        blocks(page)
    page.write_text("```sh\nls\n")
    with pytest.raises(ValueError, match="never closed"):
        blocks(page)
