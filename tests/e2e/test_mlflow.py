"""MLflow's own pages in a real browser, reached by the links that a run prints: what a person sees of a study there."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from e2e.headless import DESKTOP, PHONE
from study_example import make_study

STUDY = make_study()
HEADS = "return [...document.querySelectorAll('.ag-header-cell')].map(e => e.getAttribute('col-id'))"
#: MLflow asks itself who the user is, and says 404 where nobody logs in; its charts let Chromium say that they were resized late.
KNOWN = ("/ajax-api/2.0/mlflow/users/current", "ResizeObserver loop completed")
WIDE = (2600, 1000)


def quiet(browser) -> None:
    assert [error for error in browser.errors() if not any(part in error for part in KNOWN)] == []
    assert browser.outside() == []


@pytest.mark.parametrize("dark", [False, True])
def test_the_view_lists_conditions_with_factors_verdicts_and_metrics(browser, mlflow, dark):
    browser.open(mlflow.page(mlflow.links.view_url), size=WIDE, dark=dark)
    browser.wait("return document.body.innerText.includes('matching runs') && document.querySelectorAll('.ag-row').length >= 2")
    text = browser.text()
    assert "example: C04 supported" in text
    assert "2 matching runs" in text
    # which columns; their order is the front end's own where its saved order loses a race against the columns
    shown = "const k = (() => {" + HEADS + "})();"
    browser.wait(shown + "return ['params', 'tags', 'metrics'].every(kind => k.some(name => name.startsWith(kind + '.')))")
    heads = set(browser.run(HEADS))
    assert heads >= {
        "params.`optimizer.momentum`",
        "params.`model.hidden`",
        "tags.`verdicts`",
        "metrics.`dead_fraction`",
        "metrics.`train_loss`",
    }
    cells = browser.wait(
        "const c = [...document.querySelectorAll('.ag-cell')].map(e => [e.getAttribute('col-id'), e.innerText]);"
        "return c.some(([k]) => k && k.startsWith('metrics')) && c"
    )
    found = {}
    for column, value in cells:
        found.setdefault(column, set()).add(value.strip().split("\n")[-1])
    assert found["attributes.`Run Name`"] >= {"plain", "heavy"}
    assert found["params.`optimizer.momentum`"] == {"0.0", "0.9"}
    assert any("✓ effect" in value and "✗ never" in value for value in found["tags.`verdicts`"])
    quiet(browser)


def test_the_charts_are_those_that_matter_in_groups(browser, mlflow):
    browser.open(mlflow.page(mlflow.links.charts_url), size=(1700, 1600))
    browser.wait("return document.body.innerText.includes('Dead units')")
    browser.wait("return document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length >= 4")
    text = browser.text()
    places = [text.index(name) for name in ("Dead units\n(1)", "Loss and accuracy\n(1)", "Throughput and divergence\n(2)")]
    assert places == sorted(places)
    assert "train_loss" in text
    quiet(browser)


def test_the_note_is_the_first_thing_on_the_study(browser, mlflow):
    browser.open(mlflow.page(mlflow.links.study_url))
    browser.wait("return document.body.innerText.includes('the statement of effect')")
    text = browser.text()
    assert "valid: every control behaved as it must" in text
    rows = browser.run("return [...document.querySelectorAll('table tr')].map(r => r.innerText)")
    names = [
        next(n for n in ("seen", "unseen", "effect", "never", "closed") if f"of {n}" in row) for row in rows if "the statement of" in row
    ]
    assert names == ["seen", "unseen", "effect", "never", "closed"]
    quiet(browser)


def test_the_compare_page_shows_what_differs(browser, mlflow):
    browser.open(mlflow.page(mlflow.links.compare_url))
    browser.wait("return document.body.innerText.includes('Comparing 2 Runs')")
    browser.wait("return document.body.innerText.includes('optimizer.momentum')")
    text = browser.text()
    assert "plain" in text
    assert "heavy" in text
    assert "dead_fraction" in text
    quiet(browser)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_report_opens_inside_the_artifact_viewer(browser, mlflow, size):
    address = mlflow.page(mlflow.links.study_url).split("?")[0] + "/artifacts/report.html"
    browser.open(address, size=size)
    browser.wait("return document.querySelectorAll('iframe').length > 0")
    driver = browser.driver
    driver.switch_to.frame(driver.find_element("css selector", "iframe"))
    try:
        browser.wait("return document.querySelector('h1') && document.querySelector('h1').innerText === 'An example'")
        drawn = browser.run("return [...document.querySelectorAll('[data-chart] path.line')].map(p => p.getTotalLength())")
        assert len(drawn) == 4
        assert min(drawn) > 300
        browser.run("document.querySelector('.choice input[value=plain]').click()")  # scripts run there too
        assert browser.run("return document.querySelectorAll('[data-chart=dead_fraction] [data-series]').length") == 1
        assert browser.run("return document.querySelector('a.home').hasAttribute('href')") is False  # there is no index there
    finally:
        driver.switch_to.default_content()
    quiet(browser)


def test_filters_work_in_the_search_field(browser, mlflow):
    filters = "tags.level = 'condition' and params.`optimizer.momentum` = '0.9'"
    order = quote("tags.`mlflow.runName`")
    address = mlflow.page(mlflow.links.view_url).split("&viewState")[0] + f"&searchFilter={quote(filters)}&orderByKey={order}"
    browser.open(address)
    browser.wait("return document.body.innerText.includes('1 matching run')")
    assert "heavy" in browser.text()
    assert "plain" not in browser.text()
    quiet(browser)
