"""What the tests ask of a browser: pages under a width and a theme, what can be read, what went wrong, what would have left the machine."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from urllib.parse import urlparse

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
DESKTOP, PHONE = (1280, 900), (390, 844)


def need_browser() -> None:
    """Skips, in plain words, where there is none; where BROWSER_TESTS=required that is a failure."""
    if CHROMIUM and DRIVER:
        return
    words = "there is no browser here: install Debian's chromium and chromium-driver (.ci/run does)"
    if os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(words)
    pytest.skip(words)


@dataclass
class Browser:
    """Selenium's driver with what these tests ask of it."""

    driver: object

    def open(self, address: str, *, size=DESKTOP, dark: bool = False) -> None:
        """A page at a width and under a theme. A blank page in between, so that an address with another fragment is loaded anew."""
        self.driver.get("about:blank")
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
        self.driver.get(address)

    def run(self, script: str, *arguments: object) -> object:
        """JavaScript's answer."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: object, seconds: float = 60.0) -> object:
        """Until the script answers with something true; that answer."""
        end = time.monotonic() + seconds
        while True:
            found = self.run(script, *arguments)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"after {seconds} s still nothing from: {script}\n{self.text()[:2000]}")
            time.sleep(0.1)

    def text(self) -> str:
        """What a person can read."""
        return str(self.run("return document.body.innerText"))

    def errors(self) -> list[str]:
        """Errors on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def outside(self) -> list[str]:
        """Requests since the last call that would have left the machine; what a new tab asks of the browser itself does not."""
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        return [
            url
            for url in asked
            if urlparse(url).scheme not in ("file", "data", "blob", "about", "chrome") and urlparse(url).hostname != "127.0.0.1"
        ]

    def fits(self) -> bool:
        """Whether nothing makes the page wider than the window."""
        return bool(self.run("return document.documentElement.scrollWidth <= document.documentElement.clientWidth"))

    def darkness(self) -> float:
        """How light the page's background is, from 0 to 255."""
        colour = str(self.run("return getComputedStyle(document.body).backgroundColor"))
        return sum(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3
