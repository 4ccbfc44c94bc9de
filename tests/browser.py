"""A headless Chromium, and elements of its pages by role and name."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NEEDED = "needs Chromium and its driver: apt install chromium chromium-driver, pip install selenium"


class Browser:
    """One window; `driver` is Selenium's."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get(path.as_uri())
        self.wait()

    def wait(self) -> None:
        """Until the page has drawn what was asked for last."""
        until = time.monotonic() + 20
        while self.driver.find_element("id", "view").get_attribute("aria-busy") == "true":
            assert time.monotonic() < until, "the page is still busy"
            time.sleep(0.01)

    def all(self, role: str, name: str | None = None) -> list[Any]:
        """Elements in sight, of a role and with a name that contains this, as the accessibility
        tree has them: Chromium computes both."""
        candidates = self.driver.find_elements("css selector", _CANDIDATES[role])
        return [
            found
            for found in candidates
            if found.is_displayed()
            and found.aria_role == role
            and (name is None or name in found.accessible_name)
        ]

    def one(self, role: str, name: str | None = None) -> Any:
        found = self.all(role, name)
        assert len(found) == 1, f"{len(found)} of role {role!r}, name {name!r}"
        return found[0]

    def hover(self, element: Any) -> None:
        self._actions().move_to_element(element).perform()

    def leave(self) -> None:
        self.hover(self.driver.find_element("css selector", "h1"))

    def press(self, *keys: str) -> None:
        self._actions().send_keys(*keys).perform()

    def double_click(self, element: Any) -> None:
        self._actions().double_click(element).perform()

    def theme(self, name: str) -> None:
        """What the reader's system prefers, "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def size(self, width: int, height: int) -> None:
        """Of the page, in pixels of its styles: a window cannot be as narrow as a telephone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def style(self, element: Any, name: str) -> str:
        return str(
            self.driver.execute_script(
                "return getComputedStyle(arguments[0]).getPropertyValue(arguments[1])",
                element, name,
            )
        )  # fmt: skip

    def share(self, element: Any) -> float:
        """How opaque its colour is."""
        return float(self.style(element, "--share"))

    def complaints(self) -> list[str]:
        """What the page logged since the last call: errors, and what its policy forbade."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call, but for images in the page itself."""
        import json

        messages = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        sent = [
            message["message"]["params"]["request"]["url"]
            for message in messages
            if message["message"]["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in sent if not address.startswith("data:")]

    def _actions(self) -> Any:
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.driver, duration=0)


@contextmanager
def browser() -> Iterator[Browser]:
    pytest.importorskip("selenium", reason=NEEDED)
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip(NEEDED)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # no sandbox: its own needs rights that containers do not give
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield Browser(opened)
    finally:
        opened.quit()


# what to ask Chromium about: each question costs a round trip
_CANDIDATES = {
    "alert": "[role=alert]",
    "button": "button",
    "checkbox": "input[type=checkbox]",
    "combobox": "select",
    "heading": "h1, h2",
    "image": "img, canvas",
    "listbox": "[role=listbox]",
    "option": "[role=option]",
    "slider": "input[type=range]",
    "status": "[role=status]",
}
