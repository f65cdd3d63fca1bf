"""The site builds without a warning, links and anchors included; it asks nothing of any other host; the reference says everything."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from html.parser import HTMLParser

import pytest
from docs.blocks import ROOT
from docs.building import build

from suite.config import choices
from suite.config.compose import known_keys
from suite.config.meanings import HYPOTHESIS, KEYS, SCENARIO
from suite.config.scenario import ScenarioSpec
from suite.report.formulas import FORMULAS, family
from suite.report.labels import name_and_unit
from suite.vocabulary import Hypothesis


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "scripts" / "site_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Fetched(HTMLParser):
    """What a browser would fetch to show a page: sources, styles, frames, forms; a link to be clicked is not."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("src", "srcset", "poster", "data") or (key == "href" and tag in ("link", "base", "use")):
                self.addresses.append(value)


def test_nothing_is_fetched_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 12
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        assert not [address for address in parser.addresses if re.match(r"(https?:)?//", address or "")], page
    for style in site.rglob("*.css"):
        assert not re.search(r"""(@import|url\()\s*["']?(https?:)?//""", style.read_text(encoding="utf-8")), style


def test_every_link_of_the_built_pages_leads_somewhere(site):
    """Once more on what was built, relative links and anchors of the generated pages included."""
    texts = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html") if page.name != "404.html"}
    anchors = {page: set(re.findall(r'\b(?:id|name)="([^"]+)"', text)) for page, text in texts.items()}
    followed = 0
    for page, text in texts.items():
        for address in re.findall(r'<a [^>]*href="([^"]+)"', text):
            if re.match(r"[a-z]+:", address):
                continue
            path, _, anchor = address.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {address}"
            assert not anchor or anchor in anchors[target], f"{page.name}: {address}"
            followed += 1
    assert followed > 200


def test_every_key_has_a_meaning_and_every_meaning_a_key():
    assert set(KEYS) == set(known_keys()), "suite/config/meanings.py has a line for every key of the schema"
    assert set(SCENARIO) == {field.name for field in fields(ScenarioSpec)}
    assert set(HYPOTHESIS) == {field.name for field in fields(Hypothesis)} - {"name"}


def test_the_page_of_keys_has_every_key_its_default_and_its_choices(reference):
    page = reference.keys()
    for key in known_keys():
        assert f"`{key}`" in page or f"## {key}\n" in page
    row = next(line for line in page.splitlines() if "`model.activation`" in line)
    assert "`relu`" in row and all(f"`{name}`" in row for name in choices.ACTIVATIONS)
    row = next(line for line in page.splitlines() if "`probes.extra`" in line)
    assert "`[]`" in row and all(f"`{name}`" in row for name in choices.PROBES)
    row = next(line for line in page.splitlines() if "`train.batch_size`" in line)
    assert "`64`" in row and "whole number or null" in row
    assert "`optimizer=adam` | `optimizer.name: adam`, `optimizer.lr: 0.001`" in page


def test_every_metric_has_a_name_a_unit_and_a_formula_and_no_formula_is_left_over(reference):
    found = reference.measured()
    assert set(found) == set(choices.PROBES)
    families = {family(name) for when in found.values() for names in when.values() for name in names}
    assert families == set(FORMULAS), "suite/report/formulas.py has a line for every metric of the probes"
    for metric in families:
        said, unit = name_and_unit(metric)
        assert unit != "as measured", f"suite/report/labels.py has no entry for {metric}"
        assert said
    page = reference.metrics()
    assert all(f"## {name}\n" in page for name in choices.PROBES)
    assert all(f"`{metric}" in page for metric in families)


def test_every_metric_that_a_committed_record_holds_is_in_the_reference():
    """From the other side: names of columns in tables that were written by real studies."""
    import pyarrow.parquet as pq

    names = set()
    for path in (ROOT / "results").glob("*/curves.parquet"):
        names |= set(pq.read_schema(path).names) - {"condition", "replicate", "step"}
    assert len(names) > 50
    assert {family(name) for name in names} <= set(FORMULAS)
