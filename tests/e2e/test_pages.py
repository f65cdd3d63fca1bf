"""The written pages in a real browser, from the file system: what a person sees, at both widths, in both themes, by hand and by key."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from e2e.headless import DESKTOP, PHONE
from report.unit_study import unit_study
from study_example import STEPS, make_study

from suite.record.write import write_record
from suite.report.page import render

SHOWN = "return [...document.querySelectorAll('#claims tbody tr')].filter(r => r.offsetParent !== null || r.getClientRects().length)"
NAMES = SHOWN + ".map(r => r.cells[0].innerText.trim())"


def quiet(browser) -> None:
    assert browser.errors() == []
    assert browser.outside() == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("page", ["index.html", "example/report.html", "benchmarks/index.html"])
def test_every_page_fits_its_window_under_both_themes(browser, results, page, size, dark):
    browser.open((results / page).as_uri(), size=size, dark=dark)
    assert browser.fits()
    assert (browser.darkness() < 60) == dark
    ink = browser.run(
        "return [...document.querySelectorAll('h1, td, th')].slice(0, 40).map(e => getComputedStyle(e).color.match(/[0-9.]+/g).map(Number))"
    )
    for colour in ink:  # text against its background, roughly
        assert abs(sum(colour[:3]) / 3 - browser.darkness()) > 80
    quiet(browser)


def test_the_index_tells_a_claim_in_one_row(browser, results):
    browser.open((results / "index.html").as_uri())
    row = browser.run(SHOWN + ".find(r => r.cells[0].innerText.trim() === 'C04').innerText")
    verdict = next(v for v in make_study().outcome.verdicts if v.hypothesis.name == "effect")
    for part in (
        "Momentum keeps moving a weight",
        "✓ supported",
        f"{verdict.estimate:.3g} [{verdict.low:.3g}, {verdict.high:.3g}]",
        "digits",
    ):
        assert part in row
    assert "1 of 2 hold; not never" in row
    box = browser.run("const b = document.querySelector('#claims svg.strip').getBoundingClientRect(); return [b.width, b.height]")
    assert box[0] > 100
    assert box[1] > 15
    browser.run("document.querySelector('#claims tbody a').click()")
    browser.wait("return document.querySelector('h1').innerText === 'An example'")
    quiet(browser)


def test_the_index_filters_by_text_verdict_and_data(browser, results):
    browser.open((results / "index.html").as_uri())
    every = browser.run(NAMES)
    assert len(every) > 30
    assert browser.run("return document.getElementById('shown').textContent") == f"{len(every)} of {len(every)} claims"
    typed = browser.driver.find_element("css selector", "#find")
    typed.send_keys("momentum keeps")
    assert browser.run(NAMES) == ["C04"]
    assert browser.run("return document.getElementById('shown').textContent") == f"1 of {len(every)} claims"
    typed.clear()
    typed.send_keys("no claim says this")
    assert browser.run(NAMES) == []
    browser.driver.find_element("css selector", "button[type=reset]").click()
    browser.wait(NAMES + f".length === {len(every)}")
    browser.driver.find_element("css selector", "#verdict option[value=supported]").click()
    assert browser.run(NAMES) == ["C04"]
    browser.driver.find_element("css selector", "#verdict option[value='']").click()
    browser.driver.find_element("css selector", "#dataset option:nth-child(2)").click()
    assert browser.run(NAMES) == ["C04"]
    quiet(browser)


def test_the_index_sorts_by_mouse_and_by_key_and_says_so(browser, results):
    browser.open((results / "index.html").as_uri())
    order = browser.run(NAMES)
    heading = "#claims thead th[data-key=name]"
    button = browser.driver.find_element("css selector", f"{heading} button")
    button.click()
    assert browser.run(f"return document.querySelector('{heading}').getAttribute('aria-sort')") == "ascending"
    assert browser.run(NAMES) == sorted(order)
    button.send_keys("\ue007")  # Enter
    assert browser.run(f"return document.querySelector('{heading}').getAttribute('aria-sort')") == "descending"
    assert browser.run(NAMES) == sorted(order, reverse=True)
    browser.driver.find_element("css selector", "#claims thead th[data-key=rank] button").click()
    assert browser.run(NAMES)[0] == "C04"  # supported comes first
    assert browser.run(f"return document.querySelector('{heading}').getAttribute('aria-sort')") == "none"
    quiet(browser)


def test_tables_stay_tables_for_a_screen_reader_on_the_phone(browser, results):
    browser.open((results / "index.html").as_uri(), size=PHONE)
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
    rows = browser.run("return document.querySelectorAll('#claims tbody tr').length")
    assert roles.count("table") == 1
    assert roles.count("row") == rows + 1
    assert roles.count("columnheader") == 5
    names = [node["name"]["value"] for node in nodes if node["role"]["value"] == "image" and not node.get("ignored")]
    assert any(name.startswith("estimate") and name.endswith("supported") for name in names)
    fields = [node["name"]["value"] for node in nodes if node["role"]["value"] in ("searchbox", "combobox") and not node.get("ignored")]
    assert fields == ["Search", "Verdict", "Data"]


def test_a_study_shows_claim_test_and_verdicts_in_order(browser, results):
    browser.open((results / "example" / "report.html").as_uri())
    text = browser.text()
    heads = ["The claim and its verdict", "The test", "Verdicts", "Curves", "What would change the verdict", "How it was made"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert "Momentum, they say, carries it out." in text
    assert "C04 as stated: supported; 1 of 2 boundary statements supported" in text
    names = browser.run("return [...document.querySelectorAll('[data-hypothesis]')].map(r => r.dataset.hypothesis)")
    assert names == ["seen", "unseen", "effect", "never", "closed"]
    widths = browser.run("return [...document.querySelectorAll('.verdicts svg.strip')].map(s => s.getBoundingClientRect().width)")
    assert len(widths) == 5
    assert min(widths) > 100
    quiet(browser)


def test_curves_are_drawn_switched_and_read_off(browser, results):
    browser.open((results / "example" / "report.html").as_uri())
    drawn = "return [...document.querySelectorAll('[data-chart=dead_fraction] [data-series]')].map(g => g.dataset.series)"
    assert sorted(browser.run(drawn)) == ["heavy", "plain"]
    lengths = browser.run("return [...document.querySelectorAll('[data-chart] path.line')].map(p => p.getTotalLength())")
    assert len(lengths) == 4
    assert min(lengths) > 300
    browser.driver.find_element("css selector", ".choice input[value=plain]").click()
    assert browser.run(drawn) == ["heavy"]
    browser.driver.find_element("css selector", "#none").click()
    assert browser.run(drawn) == []
    browser.driver.find_element("css selector", "#all").click()
    assert sorted(browser.run(drawn)) == ["heavy", "plain"]
    # the hypothesis that speaks of one condition draws that one
    browser.driver.find_element("css selector", "[data-hypothesis=unseen] [data-draw]").click()
    assert browser.run(drawn) == ["plain"]
    browser.driver.find_element("css selector", "#first").click()
    assert sorted(browser.run(drawn)) == ["heavy", "plain"]
    quiet(browser)


def test_the_script_draws_what_the_server_drew(browser, results):
    """Without a choice nothing may move: both follow the same rules for axes and ticks."""
    page = (results / "example" / "report.html").read_text()
    browser.open((results / "example" / "report.html").as_uri())
    for metric in ("dead_fraction", "train_loss"):
        part = page[page.index(f'data-chart="{metric}"') :]
        ticks = re.findall(r'class="tick"[^>]*>([^<]*)<', part[: part.index("</svg>")])
        found = browser.run(f"return [...document.querySelectorAll('[data-chart={metric}] .tick')].map(t => t.textContent)")
        assert found == ticks
        lines = re.findall(r'<path d="M([^"Z]*)" class="line"', part[: part.index("</svg>")])
        redrawn = browser.run(f"return [...document.querySelectorAll('[data-chart={metric}] path.line')].map(p => p.getAttribute('d'))")
        for before, after in zip(lines, redrawn, strict=True):
            numbers = [np.array(re.findall(r"[\d.]+", text), dtype=float) for text in (before, after)]
            np.testing.assert_allclose(*numbers, atol=1.0)  # pixels; the script has the values to four digits


def test_values_are_read_by_pointer_and_by_key(browser, results):
    from selenium.webdriver import ActionChains

    browser.open((results / "example" / "report.html").as_uri())
    browser.run("document.querySelector('[data-chart=dead_fraction]').scrollIntoView({block: 'center'})")
    svg = browser.driver.find_element("css selector", "[data-chart=dead_fraction] svg")
    read = "const r = document.querySelector('[data-chart=dead_fraction] .read'); return r.hidden ? '' : r.innerText"
    assert browser.run(read) == ""
    ActionChains(browser.driver).move_to_element_with_offset(svg, 5, 0).perform()  # near the middle: step 10
    text = browser.wait(read)
    assert text.startswith("step 10")
    for name, trace in make_study().traces.items():
        low, middle, high = np.nanpercentile(trace.curves["dead_fraction"][:, 1], [10, 50, 90])
        assert f"{name}: {middle:.4g} [{low:.4g}, {high:.4g}]" in text
    ActionChains(browser.driver).move_by_offset(0, 400).perform()
    browser.wait("return document.querySelector('[data-chart=dead_fraction] .read').hidden")
    browser.run("document.querySelector('[data-chart=dead_fraction] svg').focus()")
    svg.send_keys("\ue010")  # End
    assert browser.wait(read).startswith(f"step {STEPS[-1]}")
    svg.send_keys("\ue012")  # one to the left
    assert browser.run(read).startswith("step 10")
    assert "heavy" in browser.run("return document.getElementById('said').textContent")
    quiet(browser)


def test_without_scripts_everything_can_still_be_read(browser, results):
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open((results / "example" / "report.html").as_uri())
        source = browser.driver.page_source
        assert source.count('class="line"') >= 4
        assert "hidden" in re.search(r'<span class="tools"[^>]*>', source).group(0)
        browser.open((results / "index.html").as_uri())
        assert "hidden" in re.search(r'<form class="filters"[^>]*>', browser.driver.page_source).group(0)
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    quiet(browser)


def test_it_prints_without_its_tools(browser, results):
    for page in ("index.html", "example/report.html"):
        browser.open((results / page).as_uri())
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        shown = browser.run("return [...document.querySelectorAll('.tool, .filters')].filter(e => e.getClientRects().length).length")
        assert shown == 0
        assert browser.darkness() == 255
        pdf = browser.driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
        assert len(pdf) > 20_000
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_folder_moved_elsewhere_still_works(browser, results, tmp_path):
    shutil.copytree(results, tmp_path / "a folder with spaces, ü")
    browser.open((tmp_path / "a folder with spaces, ü" / "index.html").as_uri())
    browser.driver.find_element("css selector", "#claims tbody tr:nth-child(4) a").click()
    browser.wait("return document.querySelector('h1').innerText === 'An example'")
    browser.driver.find_element("css selector", "a.home").click()
    browser.wait("return document.querySelectorAll('#claims tbody tr').length > 30")
    browser.driver.find_element("partial link text", "benchmarks").click()
    browser.wait("return document.querySelector('h1').innerText === 'What it costs'")
    quiet(browser)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_single_units_are_read_by_pointer_and_by_key(browser, tmp_path, size):
    study = unit_study()
    folder = write_record(study, tmp_path, render(study))
    browser.open((folder / "report.html").as_uri(), size=size)
    assert browser.fits()
    for part, last in (
        ("units", "step 20\n9 dead\n3 came back\n5 diverged\nof 20 units"),
        ("coasting", "measured 0.75 [0.75, 0.75]\nclosed form 0.8"),
    ):
        browser.run(f"document.querySelector('#{part} ~ * svg[data-at]').scrollIntoView({{block: 'center'}})")
        svg = browser.driver.find_element("css selector", f"#{part} ~ * svg[data-at]")
        figure = f"document.querySelector('#{part} ~ * svg[data-at]').closest('figure')"
        read = f"const r = {figure}.querySelector('.read:not([hidden])'); return r ? r.innerText : ''"
        assert browser.run(read) == ""
        svg.send_keys("\ue010")  # End; sending keys focuses
        assert browser.wait(read).endswith(last)
        svg.send_keys("\ue011")  # Home
        assert browser.run(read).startswith("step 0")
        assert browser.run("return document.getElementById('read-out').textContent").startswith("step 0")
        assert browser.fits()  # the words open no scroll bar
        svg.send_keys("\ue00c")  # Escape
        assert browser.run(read) == ""
    quiet(browser)
