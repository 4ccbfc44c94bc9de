"""Pages as text: what they hold, how they are written, what they refuse."""

from __future__ import annotations

import base64
import hashlib
import html as standard_html
import io
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from heedful.explain import AttentionMap, LayerWeights, html
from heedful.explain._png import png
from heedful.explain._thumbnails import thumbnails
from heedful.explain.html._quantised import encoded

pytestmark = pytest.mark.once


def softmax(rng: np.random.Generator, *shape: int) -> np.ndarray:
    weights = np.exp(3 * rng.standard_normal(shape))
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture
def a_map(rng: np.random.Generator) -> AttentionMap:
    return AttentionMap.from_numpy(softmax(rng, 2, 3, 5, 5), list("abcde"))


def decoded(blob: str, queries: int, keys: int) -> np.ndarray:
    """What the page's script computes, with other means."""
    data = zlib.decompress(base64.b64decode(blob))
    maximum = np.frombuffer(data, "<f4", queries).astype(np.float64)
    codes = np.frombuffer(data, np.uint8, offset=4 * queries).reshape(queries, keys)
    return maximum[:, None] * (codes / 255.0) ** 2


def test_weights_are_kept_within_the_error_that_is_stated(rng) -> None:
    weights = softmax(rng, 7, 131)
    weights[3] = 0  # a query that attends to nothing
    found, maximum = decoded(encoded(weights), 7, 131), weights.max(1, keepdims=True)
    assert (abs(found - weights) <= np.sqrt(weights * maximum) / 255 + maximum / 510**2).all()
    assert (found[3] == 0).all()


def test_every_head_is_in_the_page(a_map: AttentionMap) -> None:
    for page in (html.heads(a_map), html.model(a_map), html.tokens(a_map)):
        for layer in range(2):
            for head in range(3):
                (blob,) = re.findall(f'id="weights-{layer}-{head}">([^<]*)<', str(page))
                found = decoded(blob, 5, 5)
                assert found == pytest.approx(a_map.layers[layer].weights[head], abs=0.003)


def test_a_thumbnail_keeps_a_thin_diagonal() -> None:
    layer = LayerWeights("", np.eye(1000)[None], (0,), tuple(range(1000)), ("",), ("",))
    (picture,) = thumbnails(layer, 64)
    assert picture.shape == (64, 64)
    assert (picture.diagonal() == 255).all()
    assert np.count_nonzero(picture) == 64


def test_the_policy_names_exactly_the_scripts_of_the_page(a_map: AttentionMap) -> None:
    document = str(html.heads(a_map))
    for name in ("script", "style"):
        (text,) = re.findall(f"<{name}>(.*?)</{name}>", document, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in document
    assert "default-src 'none'" in document
    assert not re.search(r"https?:|@import|url\(|\bimport\b|fetch\(|XMLHttp|innerHTML", document)


def test_markup_in_tokens_names_and_titles_is_no_markup() -> None:
    bad = "</script><script>alert(1)</script><!--"
    a_map = AttentionMap.from_numpy(np.ones((1, 1, 1, 1)), [bad], names=[bad])
    document = str(html.tokens(a_map, title=bad))
    assert bad not in document
    assert len(re.findall("<script", document)) == 3  # data, weights, code
    (data,) = re.findall(r'id="data">(.*?)</script>', document)
    assert json.loads(data)["texts"] == [[bad]]


def test_it_is_one_file_that_a_notebook_shows_and_that_can_be_saved(a_map, tmp_path: Path) -> None:
    page = html.tokens(a_map, title="a\ud800b")
    path = page.save(tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == str(page)
    frame = page._repr_html_()
    (srcdoc,) = re.findall('srcdoc="([^"]*)"', frame)
    assert standard_html.unescape(srcdoc) == str(page)
    assert 'sandbox="allow-scripts"' in frame
    assert len(repr(page)) < 80
    with pytest.raises(FileNotFoundError, match="path must be in an existing folder"):
        page.save(tmp_path / "none" / "page.html")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_png(rng: np.random.Generator, tmp_path: Path, channels: int) -> None:
    image = pytest.importorskip("matplotlib.image")
    pixels = rng.integers(0, 256, (5, 7, channels), np.uint8)
    (tmp_path / "a.png").write_bytes(png(pixels))
    read = np.rint(255 * image.imread(tmp_path / "a.png")).astype(np.uint8)
    np.testing.assert_array_equal(read.reshape(pixels.shape), pixels)


def test_one_channel_is_scaled_to_its_range_and_colours_are_not() -> None:
    image = pytest.importorskip("matplotlib.image")
    one_key = AttentionMap.from_numpy(np.ones((1, 1, 1, 1)))

    def shown(pixels: np.ndarray) -> np.ndarray:
        (text,) = re.findall('data:image/png;base64,([^"]*)"', str(html.image(one_key, pixels, 2)))
        read = image.imread(io.BytesIO(base64.b64decode(text)), "png")
        return np.rint(255 * read).astype(int)

    digit = np.array([[0, 16], [4, 8]], np.uint8)  # as scikit-learn's digits
    assert shown(digit).tolist() == shown(digit / -16 * -3).tolist() == [[0, 255], [64, 128]]
    assert shown(np.full((2, 2), 7)).tolist() == [[0, 0], [0, 0]]
    colours = np.full((2, 2, 3), [0, 0.2, 0.4])
    assert shown(colours)[0, 0].tolist() == [0, 51, 102]
    assert shown((5 * colours).astype(np.uint8))[0, 0].tolist() == [0, 1, 2]


def test_what_is_no_map_is_refused_in_one_sentence(a_map: AttentionMap) -> None:
    (first, second) = a_map.layers
    for function in (html.heads, html.model):
        with pytest.raises(TypeError, match=r"^map must be an AttentionMap .*got an array"):
            function(np.ones((1, 1, 2, 2)))
        with pytest.raises(ValueError, match=r"^map must have a layer: got none"):
            function(AttentionMap([]))
        for value in (-1, np.nan):
            wrong = first._replace(weights=np.full((3, 5, 5), value))
            with pytest.raises(ValueError, match="weights of at least 0: those of layer '0'"):
                function(AttentionMap([second, wrong]))
        huge = AttentionMap.from_numpy(np.broadcast_to(np.float32(0), (1, 20, 4096, 4096)))
        with pytest.raises(ValueError, match=r"^map must have at most 268435456 weights"):
            function(huge)
    with pytest.raises(ValueError, match=r"^layer must be an integer below 2.*got 2"):
        html.heads(a_map, layer=2)
    with pytest.raises(TypeError, match=r"^title must be a str: got 3"):
        html.heads(a_map, title=3)


def test_tokens_and_scores_must_fit(a_map: AttentionMap) -> None:
    for scores in ([1, 2], np.ones((5, 1))):
        with pytest.raises(ValueError, match=r"^scores must be one for each token, 5: got"):
            html.tokens(a_map, scores)
    with pytest.raises(ValueError, match=r"^scores must be finite"):
        html.tokens(["a"], [np.nan])
    with pytest.raises(ValueError, match=r"^scores must be given"):
        html.tokens(["a"])
    with pytest.raises(TypeError, match=r"^text must be an AttentionMap or a sequence"):
        html.tokens("a text", [1])
    with pytest.raises(TypeError, match=r"^text must have tokens of type str: got 1"):
        html.tokens(["a", 1], [1, 2])
    with pytest.raises(ValueError, match=r"^text must have a token"):
        html.tokens([], [])


def test_images_and_patches_must_fit(a_map: AttentionMap) -> None:
    for image in (np.ones(4), np.ones((4, 4, 2)), np.ones((0, 4))):
        with pytest.raises(ValueError, match=r"^image must be .height, width. or"):
            html.image(a_map, image, 2)
    with pytest.raises(ValueError, match=r"^image must have colours between 0 and 1"):
        html.image(a_map, np.full((4, 4, 3), 2.0), 2)
    with pytest.raises(ValueError, match=r"^image must be finite"):
        html.image(a_map, np.full((4, 4), np.nan), 2)
    with pytest.raises(TypeError, match=r"^image must be of numbers"):
        html.image(a_map, np.full((4, 4), "x"), 2)
    with pytest.raises(ValueError, match=r"^patch_size must divide the image of 4 × 4: got 3 × 3"):
        html.image(a_map, np.ones((4, 4)), 3)
    with pytest.raises(ValueError, match=r"^map must have a key for each of the 16 patches.* 5$"):
        html.image(a_map, np.ones((4, 4)), 1)
    with pytest.raises(ValueError, match=r"^patch_size must be an integer or two"):
        html.image(a_map, np.ones((4, 4)), (1, 2, 3))
