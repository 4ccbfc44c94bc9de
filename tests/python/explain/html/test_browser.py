"""The pages in a real browser: pointing, clicking, keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attention_maps import WORDS, looks_at
from browser import Browser

from heedful.explain import AttentionMap, LayerWeights, html

pytestmark = [
    pytest.mark.once, pytest.mark.peer, pytest.mark.slow, pytest.mark.usefixtures("quiet"),
]  # fmt: skip


@pytest.fixture
def translation() -> AttentionMap:
    source, target = ("ein", "Hund", "rennt"), ("a", "dog")
    return AttentionMap([
        LayerWeights("encoder", np.full((2, 3, 3), 1 / 3), (0, 1), (0, 1, 2), source, source),
        LayerWeights("cross", looks_at([0, 1], 3)[None], (), (0, 1), target, source),
    ])  # fmt: skip


def test_tokens_point_at_where_they_look(browser: Browser, a_map, tmp_path: Path) -> None:
    browser.open(html.tokens(a_map).save(tmp_path / "page.html"))
    tokens = browser.all("option")
    assert [token.text for token in tokens] == WORDS
    received = a_map.layers[0].weights.mean((0, 1))
    assert [browser.share(token) for token in tokens] == pytest.approx(
        received / received.max(), abs=0.01
    )
    browser.hover(tokens[3])
    row = a_map.layers[0].weights[:, 3].mean(0)
    assert [browser.share(token) for token in tokens] == pytest.approx(row / row.max(), abs=0.01)
    assert "sat 3 looks at" in browser.one("status").text
    assert "cat 2 46 %" in browser.one("status").text.replace("\n", " ")
    browser.leave()
    assert "receives" in browser.one("status").text


def test_a_click_keeps_a_token_and_a_second_lets_it_go(browser, a_map, tmp_path) -> None:
    browser.open(html.tokens(a_map).save(tmp_path / "page.html"))
    token = browser.one("option", "cat")
    token.click()
    browser.leave()
    assert token.get_attribute("aria-selected") == "true"
    assert "cat 2 looks at" in browser.one("status").text
    token.click()
    browser.leave()
    assert token.get_attribute("aria-selected") == "false"
    assert "receives" in browser.one("status").text


def test_keys_move_choose_and_let_go(browser: Browser, a_map, tmp_path: Path) -> None:
    browser.open(html.tokens(a_map).save(tmp_path / "page.html"))
    for _ in range(4):  # layer, head, emphasis, tokens
        browser.press("\ue004")
    browser.press("\ue014", "\ue014")  # to the right
    assert browser.driver.switch_to.active_element.text == "cat"
    assert "cat 2 looks at" in browser.one("status").text
    browser.press("\ue007")  # Enter
    assert browser.one("option", "cat").get_attribute("aria-selected") == "true"
    browser.press("\ue010")  # End
    assert "[SEP] 5 looks at" in browser.one("status").text
    browser.press("\ue00c")  # Escape
    assert browser.one("option", "cat").get_attribute("aria-selected") == "false"


def test_layer_and_head_are_chosen(browser: Browser, a_map, tmp_path: Path) -> None:
    browser.open(html.tokens(a_map).save(tmp_path / "page.html"))
    browser.one("option", "cat").click()
    browser.leave()
    for select, shown in (("Head", "head 0"), ("Layer", "second")):
        browser.one("combobox", select).send_keys(shown)
        browser.wait()
        strongest = browser.driver.find_element("css selector", ".strongest").text
        wanted = {"head 0": "the 1 90 %", "second": "[SEP] 5 90 %"}[shown]
        assert strongest.replace("\n", " ").startswith(wanted)


def test_scores_of_both_signs_have_two_colours(browser: Browser, tmp_path: Path) -> None:
    browser.open(html.tokens(["bad", "so", "good"], [-2.0, 0.0, 1.0]).save(tmp_path / "page.html"))
    bad, so, good = browser.all("option")
    assert [browser.share(token) for token in (bad, so, good)] == [1, 0, 0.5]
    assert "negative" in bad.get_attribute("class")
    assert browser.style(bad, "background-color") == "rgb(80, 150, 240)"
    browser.hover(good)
    assert "score 1.00" in browser.one("status").text


def test_another_text_comes_with_its_layer(browser: Browser, translation, tmp_path: Path) -> None:
    browser.open(html.tokens(translation).save(tmp_path / "page.html"))
    assert [token.text for token in browser.all("option")] == ["ein", "Hund", "rennt"]
    browser.one("combobox", "Layer").send_keys("cross")
    browser.wait()
    assert [token.text for token in browser.all("option")] == ["a", "dog", "ein", "Hund", "rennt"]
    browser.hover(browser.one("option", "dog"))
    assert browser.share(browser.all("option", "Hund")[0]) == 1
    browser.hover(browser.all("option", "ein")[0])
    assert browser.share(browser.one("option", "a")) == 1


def test_lines_are_those_of_the_chosen_heads(browser: Browser, a_map, tmp_path: Path) -> None:
    browser.open(html.heads(a_map, layer=1).save(tmp_path / "page.html"))
    canvas = browser.one("image", "Lines")
    assert lines(browser) == 2 * 6 * 6
    assert painted(browser)
    browser.one("button", "head 1").click()
    assert lines(browser) == 6 * 6
    browser.one("button", "none").click()
    assert lines(browser) == 0
    assert browser.one("status").text == "No head is chosen."
    browser.double_click(browser.one("button", "head 1"))
    query = browser.all("option", "sat")[0]
    browser.hover(query)
    assert lines(browser) == 6
    assert browser.share(browser.all("option", "cat")[1]) == 1
    assert "sat 3 looks at cat 2 90 %" in browser.one("status").text.replace("\n", " ")
    browser.one("slider").send_keys("\ue011")  # Home: one line per token
    browser.leave()
    assert lines(browser) == 6
    assert canvas.size["width"] > 200


def test_a_long_text_scrolls_to_where_a_token_looks(browser: Browser, tmp_path: Path) -> None:
    length = 700
    weights = looks_at([(position + 600) % length for position in range(length)], length)
    words = [f"w{position}" for position in range(length)]
    page = html.heads(AttentionMap.from_numpy(weights[None, None], words))
    browser.open(page.save(tmp_path / "page.html"))
    queries, keys = browser.all("listbox")
    top = "return arguments[0].scrollTop"
    assert browser.driver.execute_script(top, keys) == 0
    queries.find_elements("css selector", "[role=option]")[3].click()
    assert "w3 3 looks at w603 603 90 %" in browser.one("status").text.replace("\n", " ")
    key = keys.find_elements("css selector", "[role=option]")[603]
    assert 0 < key.rect["y"] < 800
    assert browser.share(key) == 1
    browser.driver.execute_script("arguments[0].scrollTop = 4000", queries)
    assert 0 < lines(browser) < 64 * 8


def test_the_model_view_opens_a_head_and_comes_back(browser: Browser, a_map, tmp_path) -> None:
    browser.open(html.model(a_map).save(tmp_path / "page.html"))
    assert len(browser.all("button")) == 4
    # head 1 of the first layer looks at the last token: the last column has the colour
    pixels = browser.driver.execute_script(
        "return [...arguments[0].querySelector('canvas').getContext('2d')"
        ".getImageData(0, 0, 6, 6).data].filter((_, index) => index % 4 === 3)",
        browser.one("button", "first, head 1"),
    )
    opacity = np.array(pixels).reshape(6, 6)
    assert (opacity[:, 5] == 255).all()
    assert (opacity[:, :5] < 10).all()
    browser.one("button", "second, head 1").send_keys("\ue007")
    browser.wait()
    assert browser.one("heading", "second, head 1").is_displayed()
    assert lines(browser) == 6 * 6
    browser.one("button", "head 0").click()
    assert browser.one("heading", "second, 2 heads").is_displayed()
    browser.press("\ue00c")
    assert len(browser.all("button")) == 4
    assert browser.driver.switch_to.active_element.accessible_name == "second, head 1"


def test_a_patch_shows_where_it_looks(browser: Browser, tmp_path: Path) -> None:
    weights = looks_at([4, 2, 3, 4, 1], 5)  # a class token and 2 × 2 patches
    a_map = AttentionMap.from_numpy(weights[None, None], ["[CLS]", "a", "b", "c", "d"])
    browser.open(html.image(a_map, np.eye(6), 3).save(tmp_path / "page.html"))
    patches = browser.all("option")
    assert [patch.accessible_name for patch in patches] == [
        f"row {row}, column {column}" for row in (0, 1) for column in (0, 1)
    ]
    picture = browser.one("image", "The image that the model saw")
    under = browser.driver.find_element("css selector", ".image img")
    assert under.size["width"] == pytest.approx(2 * patches[0].size["width"], abs=1)
    natural = "return [arguments[0].naturalWidth, arguments[0].complete]"
    assert browser.driver.execute_script(natural, picture) == [6, True]
    patches[0].click()
    browser.leave()
    assert [browser.share(patch) for patch in patches].index(1) == 1
    browser.press("\ue015")  # down: the patch below, which looks at the last
    assert [browser.share(patch) for patch in patches].index(1) == 3
    patches[0].click()
    browser.all("button", "[CLS]")[0].click()  # those after it list the strongest
    browser.leave()
    assert [browser.share(patch) for patch in patches].index(1) == 3


def test_the_first_query_is_shown_where_no_patch_is_one(browser: Browser, tmp_path: Path) -> None:
    queries, patches = ["for a 5", "for a 9"], [f"patch {number}" for number in range(4)]
    a_map = AttentionMap.from_numpy(looks_at([1, 3], 4)[None, None], queries, patches)
    browser.open(html.image(a_map, np.eye(6), 3).save(tmp_path / "page.html"))

    def brightest() -> list[int]:
        return [n for n, patch in enumerate(browser.all("option")) if browser.share(patch) == 1]

    first, second = (browser.one("button", name) for name in queries)
    assert first.get_attribute("aria-pressed") == "true"
    assert brightest() == [1]
    second.click()
    assert first.get_attribute("aria-pressed") == "false"
    assert brightest() == [3]
    second.click()  # gives the choice up
    assert brightest() == [1, 3]
    assert browser.one("status").text.startswith("The mean of all queries")


def lines(browser: Browser) -> int:
    """How many lines the canvas has, after the frame that draws them."""
    return int(browser.driver.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() =>"
        " done(document.querySelector('.columns canvas').dataset.lines)))"
    ))  # fmt: skip


def painted(browser: Browser) -> bool:
    return bool(browser.driver.execute_script(
        "const canvas = document.querySelector('.columns canvas');"
        "return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)"
        ".data.some((value) => value > 0)"
    ))  # fmt: skip
