"""No scenario, record or block file runs code, writes outside its folder, or becomes markup."""

from __future__ import annotations

import dataclasses
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from study_example import make_study

from suite.__main__ import main
from suite.record.write import seal, write_record
from suite.report import terminal
from suite.report.index import build_index
from suite.report.page import render
from suite.study.note import title_of
from suite.vocabulary import RequestError
from tests.reliability.inputs import ASKED, outcome, put
from tests.reliability.processes import STUDY

TEXT = STUDY.read_text(encoding="utf-8")
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (TEXT + "x: !!python/object/apply:os.system ['touch pwned']\n", "not valid YAML"),
        (TEXT + "hydra: {callbacks: {x: {_target_: subprocess.check_call, args: [touch, pwned]}}}\n", "'hydra' is not a key"),
        (TEXT.replace("- override /data: blobs", "- override /hydra/launcher: evil"), "override /GROUP: CHOICE"),
        (TEXT.replace("- override /data: blobs", "- override /data: ../../evil"), "not a choice"),
        (TEXT.replace("- override /data: blobs", "- /home/evil"), "override /GROUP: CHOICE"),
        ("# @package hydra.callbacks\n" + TEXT, "belongs to _global_"),
        (TEXT.replace("model: {hidden: [8]}", "model: {_target_: os.system, hidden: [8]}"), "cannot name code"),
        (TEXT.replace("model: {hidden: [8]}", "model: {activation: '${oc.env:HOME}'}"), "holds an interpolation"),
        (TEXT + "results_dir: ../elsewhere\n", "'results_dir' is not a key"),
        (TEXT + "tracking: {uri: 'http://elsewhere'}\n", "'tracking' is not a key"),
        (TEXT.replace("  name: tiny", "  name: ../../tiny"), "names a folder"),
        (TEXT.replace("  name: tiny", "  name: .blocks"), "names a folder"),
        (TEXT.replace("A study of seconds", '"A \\e]0;study\\a of seconds"'), "control character"),
        ("a0: &a0 [x]\n" + BOMB + TEXT, "nodes once its aliases are followed"),
        ("x: " + "- " * 100_000, "levels deep"),
        (TEXT + "train: {steps: 1}\n", ""),
    ],
)
def test_a_scenario_file_is_data_about_numbers_and_nothing_else(tmp_path, text, word):
    put(tmp_path, text.encode())
    code, said, _ = outcome(list(ASKED), tmp_path)
    assert code == 2
    assert word in said
    assert not (tmp_path / "pwned").exists()


def test_nothing_is_written_through_a_symbolic_link(tmp_path):
    study, elsewhere = make_study(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number, link in enumerate(("example", "example/figures")):
        results = tmp_path / f"results{number}"
        (results / link).parent.mkdir(parents=True)
        (results / link).symlink_to(elsewhere)
        with pytest.raises(RequestError, match="is a symbolic link"):
            write_record(study, results, {"figures/a.svg": b"<svg/>"})
    with pytest.raises(RequestError, match="is a symbolic link"):
        seal(study.plan, tmp_path / "results0")
    archive = tmp_path / "results2"
    write_record(study, archive, {})
    (archive / "archive").symlink_to(elsewhere)
    with pytest.raises(RequestError, match="is a symbolic link"):
        seal(make_study(title="Another").plan, archive)
    assert list(elsewhere.iterdir()) == []
    # a results folder that is itself a link is its owner's choice
    (tmp_path / "linked").symlink_to(elsewhere)
    assert write_record(study, tmp_path / "linked", {}).is_dir()


def test_a_record_cannot_show_or_send_what_lies_outside_it(tmp_path, capsys):
    record = write_record(make_study(), tmp_path, {})
    (tmp_path / "secret").write_text("secret")
    (record / "extra.txt").symlink_to(tmp_path / "secret")
    for command in (["report", str(tmp_path)], ["sync", str(record)]):
        assert main(command) == 2
        assert "extra.txt: is a symbolic link" in capsys.readouterr().err


class Tags(HTMLParser):
    """Gathers what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>{{ 7 * 7 }}[bold]$\\frac$'


def evil_study():
    """Our example with markup in every text that comes from a file."""
    study = make_study()
    renamed = {condition.name: f"{condition.name}{EVIL}" for condition in study.plan.conditions}
    conditions = tuple(dataclasses.replace(c, name=renamed[c.name]) for c in study.plan.conditions)
    verdicts = tuple(
        dataclasses.replace(
            v,
            note=EVIL,
            hypothesis=dataclasses.replace(v.hypothesis, name=v.hypothesis.name + EVIL, statement=EVIL, metric=EVIL, claim="C04"),
        )
        for v in study.outcome.verdicts
    )
    plan = dataclasses.replace(
        study.plan,
        title=EVIL,
        question=EVIL,
        method=EVIL,
        claims={"C04": EVIL},
        references=(EVIL,),
        deviations=(EVIL,),
        conditions=conditions,
        hypotheses=tuple(v.hypothesis for v in verdicts),
        data={EVIL: {"x": EVIL}},
    )
    traces = {renamed[name]: dataclasses.replace(trace, condition=renamed[name]) for name, trace in study.traces.items()}
    provenance = {
        **study.provenance,
        "suite": EVIL,
        "python": EVIL,
        "cpu": {"model": EVIL},
        "git": {"commit": EVIL},
        "packages": {EVIL: EVIL},
    }
    outcome_ = dataclasses.replace(study.outcome, verdicts=verdicts)
    return dataclasses.replace(study, plan=plan, outcome=outcome_, traces=traces, provenance=provenance, study_id="abc")


def test_no_text_of_a_record_becomes_markup(tmp_path, monkeypatch):
    plain, evil = Tags(), Tags()
    study = evil_study()
    pages = render(study)
    plain.feed(render(make_study(deviations=("train.steps=1",)))["report.html"].decode())
    evil.feed(pages["report.html"].decode())
    assert evil.tags.count("script") == plain.tags.count("script")  # the page's own
    assert "img" not in evil.tags
    assert set(evil.tags) <= set(plain.tags)
    assert not any(name.startswith("on") for name, _ in evil.attributes)
    assert "<script" not in pages["report.md"].decode()
    assert "<img" not in pages["report.md"].decode()
    assert all(b"<script" not in content for name, content in pages.items() if name.endswith(".svg"))
    # the index reads verdict files, and links to folders by their names
    record = write_record(study, tmp_path, pages)
    record.rename(tmp_path / "javascript:alert(1)")
    index = Tags()
    index.feed(build_index(tmp_path)["index.html"].decode())
    assert index.tags.count("script") == 1
    assert "img" not in index.tags
    links = {value for name, value in index.attributes if name == "href"}
    assert "./javascript%3Aalert%281%29/report.html" in links
    assert not any(value.lower().lstrip().startswith("javascript:") for value in links)
    # brackets are no markup on the terminal, and no error there
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    terminal.print_verdicts(study.outcome, study.plan, terminal.console())
    assert "[bold]" in out.getvalue()
    assert title_of(study)


def test_a_record_that_was_changed_is_not_shown_as_if_it_had_not(tmp_path, capsys):
    record = write_record(make_study(), tmp_path, {})
    path = record / "verdict.json"
    body = json.loads(path.read_text())
    body["hypotheses"]["never"]["verdict"] = "supported"
    path.write_text(json.dumps(body))
    assert main(["report", str(tmp_path)]) == 2
    assert "verdict.json: not the file that the record's manifest names" in capsys.readouterr().err
    assert Path(path).exists()
