"""guide: marks of every kind, the odds they move, strict weights of 0, and steered models."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import layers as L
from heedful.explain import Guidance, guide, region, watch

pytestmark = pytest.mark.once
Array = NDArray[Any]
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
X = np.random.default_rng(1).standard_normal((2, 7, 12))
WORDS = ["The", "bank", "of", "the", "river", "was", "steep"]
PIECES = [
    "[CLS]",
    "re",
    "##turn",
    "_",
    "ls",
    "##e",
    "don",
    "'",
    "t",
    "cafe",
    "new",
    "york",
    "[SEP]",
]


def marked(tokens: Any, marks: Any) -> list[int]:
    bias = guide(tokens, attract=marks).bias
    assert bias is not None
    return np.flatnonzero(bias).tolist()


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("return_lse", [1, 2, 3, 4, 5]), ("Return", [1, 2]), ("don't", [6, 7, 8]),
        ("café", [9]), ("New York", [10, 11]), ("[SEP]", [12]), ("ret*", [1, 2]),
        (re.compile(r"return|york"), [1, 2, 11]), (-2, [11]), (slice(1, 3), [1, 2]),
        (slice(-2, None), [11, 12]), (range(3, 5), [3, 4]), (np.array([0, 5]), [0, 5]),
        (np.arange(13) > 10, [11, 12]), (["café", 0, slice(2, 4)], [0, 2, 3, 9]),
        ({"cafe": 2, "absent": 3, 0: -1.0, "york": 0}, [0, 9]),
    ],
    ids=str,
)  # fmt: skip
def test_marks_name_tokens_of_word_pieces(mark: Any, expected: list[int]) -> None:
    assert marked(PIECES, mark) == expected


@pytest.mark.parametrize(
    ("tokens", "mark", "expected"),
    [
        (["The", "Ġcat", "Ġs", "at", "Ċ", "Cat"], "cat", [1, 5]),
        (["The", "Ġcat", "Ġs", "at"], "sat", [2, 3]),
        (["▁The", "▁ca", "t", "</s>"], re.compile("cat"), [1, 2]),
        (["▁The", "▁ca", "t", "</s>"], "</s>", [3]),
        (["e\u0301pee", "au", "lait"], "\u00e9pee au", [0, 1]),
        (["\u00e9pee", "au", "lait"], "e\u0301pee", [0]),
        (["你", "好", "世", "界"], "世界", [2, 3]),
        (list("a cat sat"), "cat", [2, 3, 4]),
        (["the", "bank", "The", "bankrupt"], "bank", [1]),
        (["the", "bank", "The", "bankrupt"], "bank*", [1, 3]),
        (["It", "cat's", "is", ",", "well", "#", "#"], "well", [4]),
    ],
)
def test_words_are_found_in_tokens_of_every_kind(
    tokens: list[str], mark: Any, expected: list[int]
) -> None:
    assert marked(tokens, mark) == expected


def test_strengths_add_up_and_scale() -> None:
    guidance = guide(WORDS, attract={"steep": 1.5, "river": -0.5}, repel=["the", "was"], strength=2)
    np.testing.assert_array_equal(guidance.bias, [-2, 0, 0, -2, -1, -2, 3])
    np.testing.assert_array_equal((3 * guidance).bias, 3 * np.asarray(guidance.bias))
    both = guidance + guide(WORDS, repel="bank", strict=True)
    np.testing.assert_array_equal(both.bias, guidance.bias)
    np.testing.assert_array_equal(both.mask, [True, False, *[True] * 5])
    stacked = Guidance.stack([guidance, Guidance(), guide(2, attract=0)])
    expected = np.zeros((3, 1, 1, 7))
    expected[0, 0, 0], expected[2, 0, 0, 0] = guidance.bias, 1
    np.testing.assert_array_equal(stacked.bias, expected)
    assert stacked.mask is None


def test_a_strength_moves_the_odds_by_its_exponential_in_every_head() -> None:
    model = L.MultiHeadAttention(12, 4, **F64)
    for strength in (-3.0, 0.7, 2.0):
        guidance = guide(WORDS, attract={"bank": strength, "steep": strength})
        with watch(model) as seen:
            model(X)
            with guidance.steer(model, heads=[0, 2, 3]):
                model(X)
        before, after = (weights[:, [0, 2, 3]] for weights in seen.weights)
        for key in (1, 6):
            moved = (after[..., key] / after[..., 0]) / (before[..., key] / before[..., 0])
            np.testing.assert_allclose(moved, np.exp(strength), rtol=0.01)
        np.testing.assert_allclose(seen.weights[0][:, 1], seen.weights[1][:, 1], rtol=1e-12)


def test_strict_leaves_exactly_nothing_elsewhere() -> None:
    model = L.Encoder(2, 12, 4, 16, 0.0, **F64)
    with guide(WORDS, attract=["bank", "river"], strict=True).steer(model), watch(model) as seen:
        model(X)
    for weights in seen.weights:
        assert (weights[..., [0, 2, 3, 5, 6]] == 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1)
        assert (weights[..., [1, 4]] > 0).all()
    with guide(WORDS, repel="bank", strict=True).steer(model), watch(model) as seen:
        model(X)
    assert (np.array(seen.weights)[..., 1] == 0).all()
    assert (np.array(seen.weights)[..., [0, 2, 3, 4, 5, 6]] > 0).all()


def test_edges_and_queries_are_of_queries_and_keys() -> None:
    bias = guide(WORDS, edges=[("bank", "river"), ("bank", 6), ("steep", "bank")], strength=3).bias
    expected = np.zeros((7, 7))
    expected[1, 4] = expected[1, 6] = expected[6, 1] = 3
    np.testing.assert_array_equal(bias, expected)
    mask = guide(WORDS, edges=[("bank", "river"), (6, 1)], strict=True).mask
    allowed = np.ones((7, 7), np.bool_)
    allowed[1] = np.arange(7) == 4
    allowed[6] = np.arange(7) == 1
    np.testing.assert_array_equal(mask, allowed)
    of_one = guide(WORDS, attract="river", queries="bank", strict=True).mask
    assert of_one is not None
    np.testing.assert_array_equal(of_one[1], np.arange(7) == 4)
    assert of_one[[0, 2, 3, 4, 5, 6]].all()
    crossed = guide(WORDS, edges=[("Fluss", "river")], query_tokens=["der", "Fluss"]).bias
    np.testing.assert_array_equal(crossed, [[0] * 7, [0, 0, 0, 0, 1, 0, 0]])


def test_regions_are_the_patches_that_meet_a_box() -> None:
    for size, stride, box in ((2, 2, (1, 3, 4, 8)), (4, 2, (0, 5, 3, 6)), (3, 1, (6, 0, 8, 2))):
        counted, expected = 1, []
        for top in range(0, 8 - size + 1, stride):
            for left in range(0, 8 - size + 1, stride):
                pixels = {(r, c) for r in range(top, top + size) for c in range(left, left + size)}
                inside = {(r, c) for r in range(box[0], box[2]) for c in range(box[1], box[3])}
                expected += [counted] * bool(pixels & inside)
                counted += 1
        found = region(box, (8, 8), size, stride=stride, first=1)
        np.testing.assert_array_equal(found, expected)


def test_generation_is_guided_at_every_step() -> None:
    model = L.LanguageModel(20, 12, 2, 2, 16, 32, 0.0, **F64)
    model.projection.weight = np.random.default_rng(0).standard_normal((20, 12))
    prompts = [[1, 2, 3, 4], [4, 5, 6]]
    each = [guide(4, attract=0, strength=5), guide(3, attract=2, strict=True, queries=slice(2, 3))]
    name = "encoder.layers.0.self_attn"
    with watch(model, "encoder.layers.0") as before:
        model.generate(prompts, max_length=2)
    with Guidance.stack(each).steer(model, "encoder.layers.0"), watch(model) as after:
        model.generate(prompts, max_length=4)
    plain, guided = before.text(name)[:, 1:4], after.text(name)[:, 1:4, :4]
    odds = [weights[:, :, 0] / weights[:, :, 1] for weights in (plain, guided)]
    np.testing.assert_allclose(odds[1] / odds[0], np.exp(5), rtol=0.01)
    assert (after.text(name, 1)[:, 2, :2] == 0).all()
    assert (after.text(name)[:, 5] > 0)[:, :6].all()  # tokens that were generated


def test_a_guidance_is_a_prior_of_training() -> None:
    x = np.random.default_rng(0).standard_normal((64, 5, 8)).astype(np.float32)
    y = x[:, 2, 0]
    model = L.Sequential(L.AttentionPooling(8, rng=0), L.Linear(8, 1, rng=0))
    model.compile("adam", "mse")
    with guide(5, attract=2, strict=True).steer(model), watch(model, gradients=True) as seen:
        model.fit(x, y, epochs=1, batch_size=32, shuffle=False, verbose=False)
    for call in seen.calls:
        assert call.training
        assert call.gradient is not None
        assert (call.weights[..., [0, 1, 3, 4]] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attract": "lake"}, ValueError, "attract must be in the text: got 'lake'"),
        ({"repel": re.compile("x+")}, ValueError, r"repel must be in the text: got 'x\+'"),
        ({"attract": 7}, IndexError, "attract must lie between -7 and 6: got 7"),
        ({"attract": slice(5, 9)}, IndexError, "attract must have spans within the 7 positions"),
        ({"attract": slice(5, 5)}, IndexError, "spans within the 7 positions: got 5 to 5"),
        ({"attract": np.ones(6)}, ValueError, "one number or bool for each of 7 positions"),
        ({"attract": np.full(7, np.nan)}, ValueError, "attract must be finite: got NaN"),
        ({"attract": {"bank": np.inf}}, ValueError, r"attract\['bank'\] must be finite: got inf"),
        ({"attract": 1.5}, TypeError, "attract must be words, patterns, positions"),
        ({"attract": 0, "strength": -1}, ValueError, "strength must not be negative: got -1"),
        ({"attract": 0, "strength": 1, "strict": True}, ValueError, "strength must be None with"),
        ({"attract": 0, "repel": 0, "strict": True}, ValueError, "attract must mark a key that"),
        ({}, ValueError, "attract, repel or edges must be given: got none"),
        ({"edges": [("bank",)]}, TypeError, "edges must be pairs, of a query and a key: got"),
        ({"edges": [("bank", "lake")]}, ValueError, "edges must be in the text: got 'lake'"),
        ({"tokens": "a text", "attract": 0}, TypeError, "tokens must be a sequence of strings"),
        ({"tokens": 5, "attract": "bank"}, ValueError, "attract must be positions where there"),
        ({"tokens": [], "attract": 0}, ValueError, "tokens must hold a token: got none"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_said_in_one_sentence(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        guide(**{"tokens": WORDS, **arguments})


def test_regions_outside_the_image_and_unequal_guidances_are_refused() -> None:
    with pytest.raises(ValueError, match="box must be within the image of 8 × 8"):
        region((0, 0, 9, 4), (8, 8), 2)
    with pytest.raises(ValueError, match="box must be 4 integers: got 3"):
        region((0, 0, 9), (8, 8), 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same number of keys to be added: got 7 and 3"):
        guide(WORDS, attract=0) + guide(3, attract=0)
    with pytest.raises(TypeError, match="each must be a Guidance: got 3"):
        Guidance.stack([3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="where must match attention layers of the model"):
        guide(7, attract=0).steer(L.Encoder(1, 12, 4, 16, rng=0), "decoder.*")
