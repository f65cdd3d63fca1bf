"""Malformed input at the real entry points, in this process: what is thrown, and what must come of it.

Everything is either done as asked or refused with exit code 2 and one line; never a traceback, a file, or a default in the
place of what was asked.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from suite.__main__ import main
from suite.config.design import known_keys
from suite.config.paths import groups
from tests.reliability.processes import STUDY

BODY: dict[str, Any] = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
ASKED = ("--config-dir", "my", "+scenario=tiny", "tracking=off", "device=cpu", "dry_run=true")
#: Keys of sections and groups are set as a whole only by a choice; these are the plain ones.
KEYS = tuple(key for key in known_keys() if not any(other.startswith(f"{key}.") for other in known_keys()))
ODD = (
    *("nan", "inf", "-inf", "-1", "0", "1e400", "99999999999999999999", "null", "[]", "{}", "[1,[2]]", "[[[", "true", "''", "'a b'"),
    *(
        "{a: 1}",
        "1,2",
        "é",
        "../../x",
        "/etc/passwd",
        "0x10",
        "1_000",
        "[nan]",
        "relu ",
        "SGD",
        "digits",
        "float16",
        "${seed}",
        "=",
        "\\",
        "%",
    ),
)
JUNK = (
    None,
    [],
    {},
    "",
    "x",
    -1,
    0,
    1,
    2.5,
    math.nan,
    math.inf,
    10**30,
    True,
    [None],
    [[1]],
    {"a": 1},
    "../x",
    "${seed}",
    "\x1b[2J",
    "[/b]",
)


def outcome(arguments: list[str], folder: Path) -> tuple[int, str, Any]:
    """(exit code, error line, (plan, settings) of a study that would have run). Raises AssertionError for anything unseemly."""
    from suite.study import run

    shown: list[Any] = []
    before, real, here = contents(folder), run.show_dry_run, Path.cwd()
    run.show_dry_run = lambda plan, blocks, datasets, settings, console, *more: shown.append((plan, settings))
    out, err = io.StringIO(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        os.chdir(here)
        run.show_dry_run = real
    said = err.getvalue()
    assert code in (0, 2), (arguments, code, said)
    assert "Traceback" not in said + out.getvalue(), (arguments, said)
    assert contents(folder) == before, (arguments, "left files behind")
    if code == 2:
        assert said.startswith("suite: error: ") and len(said.strip().splitlines()) == 1, (arguments, said)
        assert len(said) > len("suite: error: ") + 5, said
    else:
        assert said == "", (arguments, said)
    return code, said, shown[0] if shown else None


def contents(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def put(folder: Path, text: bytes | None = None) -> None:
    """The scenario file, ours or another."""
    (folder / "my" / "scenario").mkdir(parents=True, exist_ok=True)
    (folder / "my" / "scenario" / "tiny.yaml").write_bytes(STUDY.read_bytes() if text is None else text)


@st.composite
def typos(draw: st.DrawFn, words: tuple[str, ...]) -> str:
    """A word with a letter missing, doubled, swapped or changed; never a word of the list."""
    word = draw(st.sampled_from(words))
    at = draw(st.integers(0, len(word) - 1))
    how = draw(st.sampled_from(("drop", "double", "swap", "change")))
    if how == "drop":
        word = word[:at] + word[at + 1 :]
    elif how == "double":
        word = word[: at + 1] + word[at:]
    elif how == "swap":
        word = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    else:
        word = word[:at] + draw(st.sampled_from("abcxyz_.0")) + word[at + 1 :]
    return word


def misspelt_keys() -> st.SearchStrategy[str]:
    """KEY=VALUE with a key that does not exist."""
    words = (*known_keys(), *groups(), "scenario")
    return (
        typos(words)
        .filter(lambda key: key not in words and not key.startswith(("scenario.", "hydra")))
        .flatmap(lambda key: st.sampled_from(("1", "sgd", "[1]", "true")).map(lambda value: f"{key}={value}"))
    )


def odd_values() -> st.SearchStrategy[str]:
    """KEY=VALUE with a key that exists and a value that may not."""
    free = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
    return st.tuples(st.sampled_from(KEYS), st.one_of(st.sampled_from(ODD), free)).map(lambda pair: f"{pair[0]}={pair[1]}")


def took_effect(override: str, seen: tuple[Any, Any]) -> bool:
    """Whether the value of an accepted override is what the study would run with."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(override)
    wanted, node = parsed.value(), asdict(seen[1])
    for part in parsed.key_or_group.split("."):
        node = node[part]
    if isinstance(node, dict):
        node = node.get("name", node.get("tier", node))
    if isinstance(wanted, str) and "${" in wanted:
        return True
    if isinstance(node, bool) and not isinstance(wanted, str):
        return node == bool(wanted)  # a number stands for a flag in OmegaConf
    if isinstance(node, str) or isinstance(wanted, str):
        return str(node) == str(wanted)
    return bool(node == wanted)


def paths_of(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every element of nested mappings and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_of(value, (*path, key))


#: Pieces of YAML that change the meaning of what is around them.
SPLINTERS = (b"\t", b": ", b"- ", b"[", b"}", b"'", b'"', b"&a ", b"*a ", b"!!python/name:os.system ", b"${x}", b"#")
PATHS = tuple(paths_of(BODY))


def _copy(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(value) for value in node] if isinstance(node, list) else node


def _parent(body: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        body = body[key]
    return body


#: Names an author chooses: any other is as good, unless something refers to it.
CHOSEN = (("scenario", "conditions"), ("scenario", "hypotheses"), ("scenario", "claims"))


@st.composite
def misspelt_scenarios(draw: st.DrawFn) -> bytes:
    """The scenario file with one key misspelt that means something to the suite."""
    path = draw(st.sampled_from([p for p in PATHS if isinstance(p[-1], str) and p[:-1] not in CHOSEN]))
    body = _copy(BODY)
    parent = _parent(body, path)
    key = draw(typos((path[-1],)).filter(lambda word: word not in parent))
    body_of = {key if name == path[-1] else name: value for name, value in parent.items()}
    parent.clear()
    parent.update(body_of)
    return yaml.safe_dump(body, sort_keys=False).encode()


@st.composite
def odd_scenarios(draw: st.DrawFn) -> bytes:
    """The scenario file with something else in a place, something missing, or its text damaged."""
    how = draw(st.sampled_from(("replace", "replace", "remove", "text", "bytes")))
    if how in ("text", "bytes"):
        text = bytearray(STUDY.read_bytes())
        at = draw(st.integers(0, len(text) - 1))
        if how == "text":
            text[at:at] = draw(st.sampled_from(SPLINTERS))
        else:
            text[at] ^= 1 << draw(st.integers(0, 7))
        return bytes(text)
    path = draw(st.sampled_from(PATHS))
    body = _copy(BODY)
    parent = _parent(body, path)
    if how == "remove":
        del parent[path[-1]]
    else:
        parent[path[-1]] = _copy(draw(st.sampled_from(JUNK)))
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True).encode()


@st.composite
def damages(draw: st.DrawFn, content: bytes) -> bytes:
    """The content of a file with a bit flipped, cut off, lengthened or replaced; never as it was."""
    how = draw(st.sampled_from(("flip", "flip", "cut", "more", "zeros", "other")))
    if how == "flip":
        found = bytearray(content)
        found[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
        return bytes(found)
    if how == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if how == "more":
        return content + draw(st.binary(min_size=1, max_size=20))
    return bytes(len(content)) if how == "zeros" else draw(st.binary(max_size=40).filter(lambda found: found != content))


@st.composite
def odd_json(draw: st.DrawFn, body: Any) -> Any:
    """A JSON value with something else in one place, or something missing."""
    path = draw(st.sampled_from(tuple(paths_of(body))))
    body = _copy(body)
    parent = _parent(body, path)
    if draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = _copy(draw(st.sampled_from(JUNK)))
    return body
