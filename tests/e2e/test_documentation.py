"""The documentation in a real browser, opened from the file system: both widths, both themes, its search, and no other host."""

from __future__ import annotations

import pytest
from docs.building import build
from e2e.headless import DESKTOP, PHONE


@pytest.fixture(scope="module")
def site(browser_is_here, tmp_path_factory):
    return build(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def browser_is_here(chromium):
    """No site is built where nobody can look at it."""


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_every_page_fits_its_window_under_both_themes(browser, site, size, dark):
    pages = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    assert len(pages) >= 12
    for page in pages:
        browser.open(page.as_uri(), size=size, dark=dark)
        browser.wait("return document.body.getAttribute('data-md-color-scheme') === arguments[0]", "slate" if dark else "default")
        assert browser.fits(), page
        assert (browser.darkness() < 60) == dark
        assert len(browser.text()) > 500
    assert browser.errors() == []
    assert browser.outside() == []


def test_the_search_works_from_the_file_system(browser, site):
    browser.open((site / "index.html").as_uri())
    field = browser.driver.find_element("css selector", ".md-search__input")
    browser.wait("return document.activeElement === arguments[0] || (arguments[0].focus(), false)", field)
    field.send_keys("dormant_fraction")
    found = browser.wait("return document.querySelector('.md-search-result__item')?.innerText")
    assert "Every metric" in found
    assert browser.errors() == []
    assert browser.outside() == []
