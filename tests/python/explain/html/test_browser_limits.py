"""The pages in a real browser: hostile tokens are text, nothing is requested, all sizes fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import Browser

from heedful.explain import AttentionMap, html

pytestmark = [
    pytest.mark.once, pytest.mark.peer, pytest.mark.slow, pytest.mark.usefixtures("quiet"),
]  # fmt: skip

HOSTILE = [
    "</script><img src=x onerror=alert(1)>", "<script>document.title='run'</script>", "<!--", "]]>",
    '"quoted\'', "&amp;", "مرحبا", "\u202eevil\u202c", "👩‍👩‍👧", "\x00", "\n", "", " ", "x" * 5000,
    "\ud800", "javascript:alert(1)", "{title}",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["tokens", "heads", "model"])
def test_hostile_tokens_are_text(browser: Browser, tmp_path: Path, kind: str) -> None:
    count = len(HOSTILE)
    a_map = AttentionMap.from_numpy(
        np.full((1, 1, count, count), 1 / count), HOSTILE, names=[HOSTILE[0]]
    )
    browser.open(getattr(html, kind)(a_map, title=HOSTILE[0]).save(tmp_path / "page.html"))
    assert browser.driver.title == HOSTILE[0]
    assert browser.driver.find_element("css selector", "h1").text == HOSTILE[0]
    assert browser.all("image", "x") == []
    if kind == "model":
        browser.one("button", HOSTILE[0]).click()
        browser.wait()
    # well-formed: Selenium cannot read half of a pair
    shown = browser.driver.execute_script(
        "return [...document.querySelectorAll('[role=option]')].map((option) =>"
        " option.textContent.toWellFormed())"
    )
    visible = dict(zip(["\x00", "\n", "", " ", "\ud800"], ["␀", "␊", "∅", "␣", "�"], strict=True))
    assert shown[:count] == [visible.get(token, token) for token in HOSTILE]
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= 1000
    assert browser.driver.execute_script("return document.scripts.length") == 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["tokens", "heads", "model"])
def test_it_is_legible_and_fits(browser: Browser, tmp_path: Path, a_map, kind, theme) -> None:
    browser.theme(theme)
    for width in (1000, 360):
        browser.size(width, 740)
        browser.open(getattr(html, kind)(a_map).save(tmp_path / "page.html"))
        page = "return document.documentElement.scrollWidth"
        assert browser.driver.execute_script(page) <= width
        body = browser.driver.find_element("css selector", "body")
        ink, paper = (
            np.mean(eval(browser.style(body, name).removeprefix("rgb")))
            for name in ("color", "background-color")
        )
        assert (ink < 60 and paper > 240) if theme == "light" else (ink > 200 and paper < 40)


def test_a_notebook_shows_it_in_a_frame_of_its_own(browser: Browser, a_map, tmp_path: Path) -> None:
    host = tmp_path / "notebook.html"
    frame = html.tokens(a_map)._repr_html_()
    host.write_text(f"<!doctype html><div id=view></div>{frame}", encoding="utf-8")
    browser.open(host)
    browser.driver.switch_to.frame(browser.driver.find_element("css selector", "iframe"))
    browser.wait()
    find = browser.driver.find_elements  # the driver does not know roles within a sandbox
    browser.hover(find("css selector", "[role=option]")[3])
    assert "sat 3 looks at" in find("css selector", "[role=status]")[0].text
    browser.driver.switch_to.default_content()


def test_a_request_would_be_refused(browser: Browser, tmp_path: Path, a_map) -> None:
    """The page's policy, not the good behaviour of its scripts."""
    browser.open(html.tokens(a_map).save(tmp_path / "page.html"))
    refused = browser.driver.execute_async_script(
        "const done = arguments[0];"
        "document.addEventListener('securitypolicyviolation', (event) => {"
        " done([event.effectiveDirective, event.blockedURI]); });"
        "new Image().src = 'http://192.0.2.1/leak';"
    )
    assert refused == ["img-src", "http://192.0.2.1/leak"]
    assert any("192.0.2.1" in message for message in browser.complaints())
    browser.requests()
