"""What people see of a study: words, pages, figures, the index and the terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml
from rich.console import Console
from study_example import make_study

from suite.config.paths import SCENARIOS
from suite.report import terminal, words
from suite.report.claims import claims_register
from suite.report.index import BEGIN, END, build_index, markdown_table, update_readme
from suite.report.page import render
from suite.vocabulary import RequestError, Versus

STUDY = make_study()
HOSTILE = '<script>alert("x")</script> & <img src=x onerror=alert(1)>'


class Reader(HTMLParser):
    """Collects tags, outside addresses, words and table rows of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.outside += [value for key, value in attributes if key in ("src", "href") and value and "://" in value]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        self.words.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def page_of(study) -> str:
    return render(study)["report.html"].decode()


def test_numbers_read_well():
    assert [words.number(x) for x in (0.123456, 0.0, -0.0, 1234567.0, float("nan"))] == ["0.1235", "0", "0", "1.235e+06", "—"]
    assert words.interval(float("nan"), 1.0) == "—"


def test_the_rule_of_an_interaction_is_told():
    effect = next(v for v in STUDY.outcome.verdicts if v.hypothesis.name == "effect")
    assert words.rule(effect) == "mean difference > 0.1"
    crossed = replace(effect.hypothesis, versus=Versus({"condition": "plain"}, {"condition": "heavy"}))
    assert words.rule(replace(effect, hypothesis=crossed)) == "mean difference of differences > 0.1"


def test_the_page_tells_claim_verdict_interval_and_how_to_repeat():
    page = page_of(STUDY)
    reader = Reader(page)
    text = " ".join(" ".join(reader.words).split())
    assert "Momentum, they say, carries it out." in text
    assert "C04 as stated: supported; 1 of 2 boundary statements supported" in text
    assert "valid: every control behaved as it must" in text
    assert "python -m suite +scenario=example replicates=8 seed=0 data=digits" in text
    effect = next(row for row in reader.rows if row and row[0].startswith("effect"))
    verdict = next(v for v in STUDY.outcome.verdicts if v.hypothesis.name == "effect")
    assert "dead_fraction: mean difference > 0.1" in effect[1]
    assert words.number(verdict.estimate) in effect[2]
    assert words.interval(verdict.low, verdict.high) in effect[2]
    assert "1 diverged" in effect[3]
    assert "supported" in effect[4]
    assert "python -m suite verify results/example" in text
    assert f"study {STUDY.study_id}. deadzone-suite 0.1.0, plan SHA-256 {STUDY.provenance['plan_sha256']}" in text
    names = [row[0].split()[0] for row in reader.rows if row and "the statement of" in row[0]]
    assert names == ["seen", "unseen", "effect", "never", "closed"]
    assert reader.tags.count("script") == 2  # the numbers, and what reads them
    assert [link for link in reader.outside if "w3.org" not in link] == []
    assert len(page) < 600_000


def test_everything_from_a_file_is_escaped():
    page = page_of(make_study(title=HOSTILE))
    reader = Reader(page)
    assert reader.tags.count("script") == 2
    assert "img" not in reader.tags
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"deviations": ("train.steps=3",)}, "EXPLORATORY"), ({"broken_control": True}, "INVALID: control not supported: seen")],
)
def test_invalid_and_exploratory_are_said_first(changes, expected):
    study = make_study(**changes)
    page = page_of(study)
    assert expected in page
    assert page.index(expected) < page.index("<h2>")
    assert expected in render(study)["report.md"].decode()


def test_an_invalid_study_gives_no_verdict():
    study = make_study(broken_control=True)
    assert "no verdict, the study is invalid" in words.claim_sentence("C04", study.outcome)


def test_the_same_study_gives_the_same_bytes():
    assert render(STUDY) == render(make_study())


def test_a_network_that_is_no_perceptron_is_named_and_repeated():
    study = make_study(deviations=("model=cnn", "model.channels=[4]"))
    shown = {"model": {"name": "cnn", "channels": [4]}}
    conditions = tuple(replace(condition, config={**condition.config, **shown}) for condition in study.plan.conditions)
    files = render(replace(study, plan=replace(study.plan, conditions=conditions)))
    for name in ("report.md", "report.html"):
        assert "data digits, model cnn" in files[name].decode()
    assert "seed=0 data=digits model=cnn model.channels=[4]`" in files["report.md"].decode()
    assert "model cnn" not in render(study)["report.md"].decode()


def test_markdown_tables_have_a_cell_for_every_column():
    text = render(STUDY)["report.md"].decode()
    tables = [[line for line in block.splitlines() if line.startswith("|")] for block in text.split("\n\n")]
    assert sum(bool(lines) for lines in tables) == 3
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) <= 1, lines


def record(folder, name, verdict="supported", status="valid", dataset="digits", boundary="supported"):
    folder.mkdir(parents=True, exist_ok=True)
    h = {"claim": "C04", "metric": "m", "test": "mean", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 64}
    h |= {"direction": "greater", "value": 0.1, "margin": 0.0, "confidence": 0.95, "diverged": 0}
    body = {
        "scenario": "momentum",
        "study": name,
        "status": status,
        "datasets": [dataset],
        "claims": {"C04": HOSTILE},
        "hypotheses": {
            "a": {**h, "part": "as_stated", "role": "treatment", "verdict": verdict, "statement": "s"},
            "b": {**h, "part": "boundary", "role": "treatment", "verdict": boundary, "statement": HOSTILE},
            "c": {**h, "part": "as_stated", "role": "negative_control", "verdict": "supported", "statement": "s"},
        },
    }
    (folder / "verdict.json").write_text(json.dumps(body))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], "not yet tested"),
        ([("supported", "valid")], "supported"),
        ([("refuted", "valid")], "refuted"),
        ([("inconclusive", "valid")], "inconclusive"),
        ([("supported", "invalid")], "invalid"),
        ([("supported", "exploratory")], "exploratory only"),
        ([("supported", "valid"), ("supported", "valid")], "supported"),
        ([("supported", "valid"), ("refuted", "valid")], "depends on the data"),
        ([("inconclusive", "valid"), ("supported", "valid")], "supported on data1; inconclusive on data0"),
        ([("inconclusive", "valid"), ("supported", "valid"), ("refuted", "valid")], "depends on the data"),
        ([("supported", "valid"), ("refuted", "exploratory")], "supported"),
        ([("supported", "valid"), ("refuted", "invalid")], "supported"),
    ],
)
def test_the_verdict_on_a_claim_over_its_studies(tmp_path, records, expected):
    for index, (verdict, status) in enumerate(records):
        record(tmp_path / f"d{index}" / "momentum", str(index), verdict, status, f"data{index}")
    assert claims_register(tmp_path)["C04"]["verdict"] == expected


def test_the_network_is_named_where_it_is_no_perceptron(tmp_path):
    """The same data under two networks: the disagreement is the network's, not the data's."""
    record(tmp_path / "momentum", "a", boundary="supported")
    record(tmp_path / "cnn" / "momentum", "b", "refuted", boundary="inconclusive", dataset="digits[subset=9]")
    record(tmp_path / "other" / "momentum", "c", boundary="supported", dataset="other")
    plan = {"conditions": [{"name": "c", "config": {"model": {"name": "cnn"}}}]}
    (tmp_path / "cnn" / "momentum" / "plan.json").write_text(json.dumps(plan))
    body = claims_register(tmp_path)["C04"]
    assert [study["datasets"] for study in body["studies"]] == [["digits"], ["digits (cnn)[subset=9]"], ["other"]]
    assert body["verdict"] == "depends on the data"
    record(tmp_path / "cnn" / "momentum", "b", "refuted", boundary="inconclusive")
    body = claims_register(tmp_path)["C04"]
    assert body["verdict"] == "depends on the network"
    assert body["narrower"][0]["verdict"] == "supported on digits, other; inconclusive on digits (cnn)"
    assert "| digits, digits (cnn), other |" in markdown_table(tmp_path)


def test_a_claim_names_the_data_that_its_test_looked_at_and_no_other_of_the_study(tmp_path):
    record(tmp_path / "momentum", "a", dataset="abs[subset=1]")
    path = tmp_path / "momentum" / "verdict.json"
    body = json.loads(path.read_text()) | {"datasets": ["abs[subset=1]", "digits", "blobs"]}
    path.write_text(json.dumps(body))
    conditions = [{"name": name, "factors": {"data": name}, "config": {"data": {"name": name}}} for name in ("abs", "digits", "blobs")]
    asks = {"claim": "C04", "role": "treatment", "contrast": None}
    plan = {
        "conditions": conditions,
        "hypotheses": [
            {**asks, "part": "as_stated", "treatment": {"condition": "abs"}, "contrast": {"data": "blobs"}},
            {**asks, "part": "boundary", "treatment": {"condition": "digits"}},
            {**asks, "part": "as_stated", "role": "negative_control", "treatment": {"condition": "digits"}},
        ],
    }
    (path.parent / "plan.json").write_text(json.dumps(plan))
    assert claims_register(tmp_path)["C04"]["studies"][0]["datasets"] == ["abs[subset=1]", "blobs"]
    (path.parent / "plan.json").write_text(json.dumps(plan | {"hypotheses": plan["hypotheses"][1:2]}))
    assert claims_register(tmp_path)["C04"]["studies"][0]["datasets"] == ["digits"]


def test_the_index_holds_every_claim_links_records_and_skips_the_archive(tmp_path):
    record(tmp_path / "momentum", "new")
    record(tmp_path / "archive" / "momentum-old", "old", "refuted")
    files = build_index(tmp_path)
    register = json.loads(files["claims.json"])
    assert [claim for claim in sorted(register) if claim[0] == "C"] == [f"C{k:02}" for k in range(1, 23)]
    beyond = [claim for claim in sorted(register) if claim[0] in "FL"]  # the design card, the literature
    assert len(beyond) >= 12
    for claim in beyond:  # each has a scenario that tests it under that very name
        body = yaml.safe_load((SCENARIOS / f"{register[claim]['scenario']}.yaml").read_text())
        assert claim in body["scenario"]["claims"]
    assert len(register) == 22 + len(beyond)
    assert register["C04"]["verdict"] == "supported"
    assert [study["study"] for study in register["C04"]["studies"]] == ["new"]
    page = files["index.html"].decode()
    assert 'href="./momentum/report.html"' in page
    assert Reader(page).tags.count("script") == 1  # our own; nothing from a file becomes one
    assert "img" not in Reader(page).tags
    (row,) = [" ".join(" ".join(row).split()) for row in Reader(page).rows if row and row[0].strip() == "C04"]
    for part in ("✓ supported", "digits: 0.5 [0.4, 0.6]", "n = 64", "1 of 1 hold"):
        assert part in row
    assert sum("· not yet tested" in "".join(row[2:3]) for row in Reader(page).rows) == len(register) - 1


def test_a_dataset_with_a_space_in_its_name_can_be_filtered(tmp_path):
    record(tmp_path / "momentum", "a", dataset="digits (cnn)[subset=100]")
    page = build_index(tmp_path)["index.html"].decode()
    assert 'data-datasets="digits (cnn)"' in page
    assert "<option>digits (cnn)</option>" in page


def test_markdown_lets_no_tag_of_a_record_through():
    assert "<script" not in render(make_study(title=HOSTILE))["report.md"].decode()


def test_a_narrower_statement_must_hold_in_every_valid_study(tmp_path):
    record(tmp_path / "momentum", "a", boundary="supported", dataset="one")
    record(tmp_path / "x" / "momentum", "b", boundary="inconclusive", dataset="two")
    record(tmp_path / "y" / "momentum", "c", status="invalid", boundary="refuted", dataset="three")
    (statement,) = claims_register(tmp_path)["C04"]["narrower"]
    assert statement == {"name": "b", "statement": HOSTILE, "verdict": "supported on one; inconclusive on two"}
    assert "| 0 of 1 |" in markdown_table(tmp_path)
    record(tmp_path / "x" / "momentum", "b", boundary="supported", dataset="two")
    assert "| 1 of 1 |" in markdown_table(tmp_path)


def test_the_readme_table_is_made_between_its_markers(tmp_path):
    record(tmp_path / "momentum", "new")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    text = update_readme(readme, tmp_path)
    assert text == f"before\n{BEGIN}\n{markdown_table(tmp_path)}{END}\nafter\n"
    assert "| C04 |" in text
    readme.write_text("no markers")
    with pytest.raises(RequestError, match="markers"):
        update_readme(readme, tmp_path)


def test_the_terminal_table_fits_100_columns_without_colour():
    out = io.StringIO()
    study = make_study(title="A very long title " * 6)
    terminal.print_verdicts(study.outcome, study.plan, Console(file=out, width=300, force_terminal=False))
    text = out.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "✓ supported" in text
    assert "✗ refuted" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 60, 40])
def test_on_a_narrow_terminal_each_hypothesis_has_two_lines(width):
    out = io.StringIO()
    terminal.print_verdicts(STUDY.outcome, STUDY.plan, Console(file=out, width=width, force_terminal=False))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for v in STUDY.outcome.verdicts:
        at = next(index for index, line in enumerate(lines) if line.startswith(f"{v.hypothesis.name} ("))
        assert f"{words.SYMBOLS[v.verdict]} {v.verdict}: " in " ".join(lines[at : at + 3])


def test_a_study_without_a_verdict_says_what_to_do_next():
    refuted = make_study(broken_control=True)
    assert "seen came out against what is known" in terminal.next_step(refuted.outcome, refuted.plan)
    verdicts = tuple(replace(v, verdict="inconclusive") if v.hypothesis.name == "seen" else v for v in refuted.outcome.verdicts)
    assert "replicates=16" in terminal.next_step(replace(refuted.outcome, verdicts=verdicts), refuted.plan)
    changed = make_study(deviations=("train.steps=3",))
    assert terminal.next_step(changed.outcome, changed.plan).endswith("run it without: train.steps=3")
    assert terminal.next_step(STUDY.outcome, STUDY.plan) == ""
    out = io.StringIO()
    terminal.print_verdicts(refuted.outcome, refuted.plan, Console(file=out, width=100, force_terminal=False))
    assert out.getvalue().strip().splitlines()[-1].startswith(("→", "look", "curves", "settings"))
