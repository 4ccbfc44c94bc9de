"""The example of canvases: overlaps and its baselines, on canvases that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.data import load_digits

pytestmark = [pytest.mark.once]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import where_is_the_digit

    return where_is_the_digit


def test_overlap_counts_pixels(example: Any) -> None:
    rng = np.random.default_rng(0)
    for first, second in rng.integers(0, 13, (50, 2, 2)):
        covered = np.zeros((2, 32, 32), bool)
        for box, (row, column) in zip(covered, (first, second), strict=True):
            box[row : row + 8, column : column + 8] = True
        expected = covered.all(axis=0).sum() / covered.any(axis=0).sum()
        assert example.box_overlap(first, second) == expected


def test_windows_lie_where_their_numbers_say(example: Any) -> None:
    pixels = np.random.default_rng(0).random((3, 32, 32))
    cut = example.windows(pixels)
    for window in (0, 8, 48):
        row, column = example.place_of(np.array(window))
        there = pixels[:, row : row + 8, column : column + 8].reshape(3, 64)
        np.testing.assert_allclose(cut[:, window], there * 2 + example.PAPER)


def test_a_digit_without_noise_is_found_by_digits_alone(example: Any) -> None:
    ink = load_digits()[0][:30].astype(np.float32) / 16
    pixels = np.full((30, 32, 32), 1e-3, np.float32)
    corners = np.random.default_rng(0).integers(0, 25, (30, 2))
    for canvas, digit, (row, column) in zip(pixels, ink, corners, strict=True):
        canvas[row : row + 8, column : column + 8] += digit
    places, images = example.most_alike(pixels, ink)
    np.testing.assert_array_equal(places, corners)
    np.testing.assert_array_equal(images, np.arange(30))


def test_the_window_with_the_most_ink(example: Any) -> None:
    pixels = np.zeros((1, 32, 32), np.float32)
    pixels[0, 12:20, 20:28] = 1
    assert example.place_of(example.inkiest(example.windows(pixels))).tolist() == [[12, 20]]


def test_what_is_misled_lies_on_a_decoy(example: Any) -> None:
    corners = np.array([[0, 0], [8, 8]])
    test = example.Canvases(
        np.zeros((2, 32, 32)), np.array([3, 4]), corners, np.array([[[20, 20]], [[0, 0]]])
    )
    found = example.Found.of(test, np.array([3, 5]), np.array([[0, 0], [0, 0]]))
    assert found == (0.5, 0.5, 0.5)
