"""Size of the pages of heedful.explain.html, and how long Chromium takes to open them.

Weights of random queries and keys, which compress worse than those of trained models:
python benchmarks/html_pages.py  (needs selenium, Chromium and its driver)
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from heedful import attention_weights
from heedful.explain import AttentionMap, html

VIEWS = ("tokens", "heads", "model")
_MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=12)
    given = parser.parse_args()
    found = a_map(given.layers, given.heads, given.tokens)
    print(f"{given.layers} layers, {given.heads} heads, {given.tokens} tokens, Chromium")
    with tempfile.TemporaryDirectory() as folder:
        for view in VIEWS:
            begin = time.process_time()
            path = getattr(html, view)(found).save(Path(folder, f"{view}.html"))
            made = time.process_time() - begin
            opened = sorted(open_page(path) for _ in range(3))
            print(
                f"{view:7} {path.stat().st_size / _MIB:5.1f} MiB  made in {made:.1f} s of a core  "
                f"opens in {opened[1][0]:.1f} s  answers a click in {1000 * opened[1][1]:.0f} ms"
            )


def a_map(layers: int, heads: int, tokens: int) -> AttentionMap:
    rng = np.random.default_rng(0)
    weights = np.empty((layers, heads, tokens, tokens), np.float32)
    for layer in weights:
        query, key = rng.standard_normal((2, 1, heads, tokens, 64), np.float32)
        layer[...] = attention_weights(2 * query, key)[0]
    return AttentionMap.from_numpy(weights, [f"token{position}" for position in range(tokens)])


def open_page(path: Path) -> tuple[float, float]:
    """Seconds until the page has drawn, and until it answers a click."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        begin = time.perf_counter()
        driver.get(path.as_uri())
        wait(driver)
        opened = time.perf_counter() - begin
        button = driver.find_element("css selector", "[role=option], .picture")
        begin = time.perf_counter()
        button.click()
        wait(driver)
        return opened, time.perf_counter() - begin
    finally:
        driver.quit()


def wait(driver: Any) -> None:
    while driver.find_element("id", "view").get_attribute("aria-busy") == "true":
        time.sleep(0.01)


if __name__ == "__main__":
    main()
