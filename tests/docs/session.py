"""Runs or checks the blocks of one page in a folder of its own. Every block is dealt with, or the page has a fault."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import hydra
import yaml
from docs.blocks import ROOT, Block, changed, commands

from suite.__main__ import main
from suite.config.compose import FREE_KEYS, StudyRequest, known_keys
from suite.config.meanings import SCENARIO
from suite.study import commands as record_commands
from suite.study import start, verify
from suite.study.plan import datasets_of, make_plan
from suite.study.verify_request import read_request

#: Data that need neither a network nor files.
AT_HAND = ("digits", "gaussian", "blobs", "teacher", "abs", "axes", "constant")


class Session:
    """A page's folder and what its last command said. ``dealt`` counts blocks by what was done with them."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.said: str | None = None
        self.names: dict[str, object] = {"__name__": "docs"}
        self.dealt: dict[str, int] = {}
        self.composed: dict[tuple[str, ...], object] = {}
        monkeypatch.chdir(folder)

    @property
    def copied(self) -> bool:
        """Whether the folder holds a copy of the package, which the page changes."""
        return (self.folder / "suite").is_dir()

    def deal(self, block: Block) -> None:
        """Run, check, apply or write one block."""
        done = self._deal(block)
        self.dealt[done] = self.dealt.get(done, 0) + 1

    def _deal(self, block: Block) -> str:
        kind = block.language
        if kind == "sh" and re.match(r"run(:|$)", block.note):
            for command in commands(block.text):
                self._run(command, block)
            return "run"
        if kind == "sh" and not block.note:
            for command in commands(block.text):
                self._check(command, block)
            return "checked"
        if kind == "text" and block.note == "excerpt":
            assert self.said is not None, f"{block.place}: no command has been run before this excerpt"
            for line in block.text.splitlines():
                assert squeezed(line) in squeezed(self.said), f"{block.place}: not said: {line}\n{self.said}"
            return "compared"
        if kind == "python" and not block.title:
            exec(compile(block.text, block.place, "exec"), self.names)
            return "run"
        if kind in ("python", "yaml") and "." in block.title:
            self._copy_if(block.title.startswith(("suite/", "conf/")))
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            return "written"
        if kind == "yaml" and block.note == "part of a scenario":
            piece = yaml.safe_load(block.text)
            assert set(piece) <= set(SCENARIO), f"{block.place}: {set(piece) - set(SCENARIO)} are no keys of a scenario"
            assert set(piece.get("factors", ())) <= set(known_keys()), f"{block.place}: a factor that is no key"
            return "checked"
        if kind == "diff" and block.title:
            self._copy_if(True)
            path = self.folder / block.title
            path.write_text(changed(path.read_text(), block.text))
            return "applied"
        if kind == "sql":
            from mlflow.utils.search_utils import SearchUtils

            for line in block.text.splitlines():
                SearchUtils.parse_search_filter(line)
            return "checked"
        raise AssertionError(f"{block.place}: nothing says what to do with this block ({kind or 'no language'}, note {block.note!r})")

    def _copy_if(self, wanted: bool) -> None:
        if wanted and not self.copied:
            for name in ("suite", "conf", "scenarios"):
                shutil.copytree(ROOT / name, self.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "LICENSE", self.folder)

    def _run(self, command: str, block: Block) -> None:
        extra = shlex.split(block.note.partition(":")[2])
        code = 0
        if extra[:1] == ["exit"]:
            code, extra = int(extra[1]), extra[2:]
        words = shlex.split(command)
        if words[0] == "sed":
            subprocess.run(command, shell=True, cwd=self.folder, check=True)
            return
        assert words[:3] == ["python", "-m", "suite"], f"{block.place}: only the suite is run here: {command}"
        arguments = [*words[3:], *extra]
        found, self.said = self._in_the_copy(arguments) if self.copied else self._here(arguments)
        assert found == code, f"{block.place}: exit {found}: {self.said}"

    def _here(self, arguments: list[str]) -> tuple[int, str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(arguments)
        return code, said.getvalue()

    def _in_the_copy(self, arguments: list[str]) -> tuple[int, str]:
        env = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-m", "suite", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=env, timeout=240)
        return done.returncode, done.stdout + done.stderr

    def _check(self, command: str, block: Block) -> None:
        words = shlex.split(command)
        if words[:3] == ["python", "-m", "suite"]:
            self._composed(words[3:], block)
        elif words[0] == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(words[1:]) <= set(targets), f"{block.place}: the Makefile has no such target: {command}"
        elif words[:2] == ["mlflow", "ui"]:
            assert importlib.util.find_spec("mlflow")
        elif words[:2] == ["pip", "install"]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert re.fullmatch(r"deadzone-suite\[(\w+)\]", words[2])[1] in extras, f"{block.place}: no such extra: {command}"
        else:
            raise AssertionError(f"{block.place}: nothing says how to check this command: {command}")

    def _composed(self, arguments: list[str], block: Block) -> None:
        """The front door as it is, but that what it would do is asked, not done. A file that the page does not have is the reader's own."""
        for name in arguments[1:] if arguments[:1] == ["check"] else ():
            if name.endswith(".yaml") and not (self.folder / name).exists():
                shutil.copy(ROOT / "scenarios" / "born_dead.yaml", self.folder / name)
        asked: list[object] = []

        def planned(request: StudyRequest) -> int:
            if all(condition.config["data"]["name"] in AT_HAND for condition in request.conditions):
                make_plan(request, datasets_of(request.conditions, request.settings.data_dir))
            asked.append(request)
            return 0

        def of_record(given: object) -> int:
            named = [given] if isinstance(given, str) else [word for word in given if "/" in word]
            assert all((ROOT / path).is_dir() for path in named), f"{block.place}: {named} is not there"
            asked.append(given)
            return 0

        def once(config_name: str, overrides: list[str]) -> object:
            """A condition as Hydra composes it; commands of a page that differ only in what is free share it."""
            free = set(FREE_KEYS) - {"engine"}
            key = tuple(text for text in overrides if re.split(r"[.=/]", text)[0] not in free)
            if key not in self.composed:
                self.composed[key] = hydra.compose(config_name=config_name, overrides=overrides)
            return self.composed[key]

        with self.monkeypatch.context() as patch:
            for name, module in list(sys.modules.items()):
                if name.startswith("suite.config.") and getattr(module, "compose", None) is hydra.compose:
                    patch.setattr(module, "compose", once)
            patch.setattr(start, "start_study", planned)
            for name in ("report", "index", "sync", "export"):
                patch.setattr(record_commands, name, of_record)
            patch.setattr(verify, "verify", lambda request: asked.append(request) or 0)
            code, said = self._here(arguments)
        assert code == 0, f"{block.place}: {said}"
        if arguments and arguments[0] == "verify":
            assert all((ROOT / word).is_dir() for word in arguments[1:] if word.startswith("results/")), block.place
            assert asked == [read_request(arguments[1:])]
        assert asked or said, f"{block.place}: this command did nothing"


def squeezed(text: str) -> str:
    """Text without regard to where lines are broken."""
    return " ".join(text.split())
