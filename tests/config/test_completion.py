"""Shell completion in real shells: what is offered at a place on the line."""

from __future__ import annotations

import subprocess

import pytest

from suite.__main__ import main
from suite.config.choices import DEVICES
from suite.config.completion import SHELLS, script
from suite.config.paths import SCENARIOS

#: Asks bash what it would offer at the end of a line.
ASK = """
source {file}
COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}}
_suite
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(tmp_path, line: str) -> list[str]:
    file = tmp_path / "completion.bash"
    (tmp_path / "mine.yaml").touch()
    file.write_text(script("bash"))
    done = subprocess.run(["bash", "-c", ASK.format(file=file, line=line)], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "command not found" not in done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("suite +scenario=mom", ["momentum"]),
        ("suite +scenario=", sorted(path.stem for path in SCENARIOS.glob("*.yaml"))),
        ("suite +scenario=momentum device=", list(DEVICES)),
        ("suite +scenario=momentum data=fash", ["fashion_mnist"]),
        ("suite +sc", ["+scenario="]),
        ("suite re", ["report", "replicates=", "remedy=", "results_dir="]),
        ("suite che", ["check"]),
        ("suite check born", ["born_dead", "born_dead_depth"]),
        ("suite check --s", ["--strict"]),
        ("suite check mine", ["mine.yaml"]),
        ("suite nothing_like_it", []),
    ],
)
def test_bash_offers_what_fits(tmp_path, line, expected):
    assert sorted(offered(tmp_path, line)) == sorted(expected)


def test_the_front_door_prints_it(capsys):
    for shell in SHELLS:
        assert main(["--completion", shell]) == 0
        shown = capsys.readouterr().out
        assert "momentum" in shown and " check" in shown and "--strict" in shown
    assert main(["--completion", "tcsh"]) == 2
    assert "one of bash, zsh, fish" in capsys.readouterr().err


def test_q_is_quiet(monkeypatch):
    asked = []
    monkeypatch.setattr("suite.__main__._dispatch", lambda arguments: asked.append(arguments) or 0)
    assert main(["+scenario=momentum", "-q"]) == 0
    assert asked == [["+scenario=momentum", "quiet=true"]]
