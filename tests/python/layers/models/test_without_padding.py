"""Batches of a BertEncoder whose padding is left out of dense layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import watch
from heedful.layers import BertEncoder, Encoder
from heedful.layers.models import _without_padding

LENGTHS = np.array([17, 11, 9, 5, 3, 2, 1, 13])
COUNTED = np.arange(17) < LENGTHS[:, None]
TOKENS = np.where(COUNTED, np.random.default_rng(0).integers(2, 31, COUNTED.shape), 0)


def made(**options: Any) -> BertEncoder:
    return BertEncoder(31, 12, 3, 3, 29, max_length=19, pooler=True, rng=0, **options)


def with_padding(model: BertEncoder, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    """The same with everything computed."""
    with monkeypatch.context() as patched:
        patched.setattr(_without_padding, "_MIN_ROWS", 10_000)
        return model(TOKENS, **given)


@pytest.mark.parametrize("options", [{}, {"dtype": np.float64}, {"scale": 0.3, "softcap": 2.0},
                                     {"num_kv_heads": 1}, {"padding_idx": 0}])  # fmt: skip
@pytest.mark.parametrize(
    "given", [{"lengths": LENGTHS}, {"mask": COUNTED}], ids=["lengths", "mask"]
)
def test_results_are_those_of_each_text_alone_and_of_the_padded_batch(
    given: Any, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(**options)
    y, pooled, states = model(TOKENS, **given, pooled=True, hidden_states=True)
    assert not y[~COUNTED].any()  # nothing was computed there
    tolerance = 1e-12 if options.get("dtype") else 2e-6
    for tokens, length, row in zip(TOKENS, LENGTHS, y, strict=True):
        np.testing.assert_allclose(row[:length], model(tokens[None, :length])[0], atol=tolerance)
    whole, first, others = with_padding(
        model, monkeypatch, **given, pooled=True, hidden_states=True
    )
    assert whole[~COUNTED].any()
    np.testing.assert_allclose(pooled, first, atol=tolerance)
    for found, expected in zip([y, *states], [whole, *others], strict=True):
        np.testing.assert_allclose(found[COUNTED], expected[COUNTED], atol=tolerance)
    np.testing.assert_array_equal(model(TOKENS, **given), y)


def test_texts_alone_and_in_a_batch_have_the_same_bits() -> None:
    model = made()
    y = model(TOKENS, lengths=LENGTHS)
    for index in (0, 1, 2, 7):  # of more than 8 tokens: shorter ones are added in another order
        length = LENGTHS[index]
        alone = model(TOKENS[index : index + 1, :length])[0]
        np.testing.assert_array_equal(y[index, :length], alone)


def test_masks_may_have_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(1).random(COUNTED.shape) < 0.6
    mask[:, 0] = True
    model = made()
    found, expected = model(TOKENS, mask=mask), with_padding(model, monkeypatch, mask=mask)
    np.testing.assert_allclose(found[mask], expected[mask], atol=2e-6)
    assert not found[~mask].any()


def test_int8_weights_are_multiplied_without_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made().quantize()
    found = model(TOKENS, lengths=LENGTHS)
    expected = with_padding(model, monkeypatch, lengths=LENGTHS)
    np.testing.assert_allclose(found[COUNTED], expected[COUNTED], atol=2e-6)


def test_what_is_watched_or_trained_is_computed_with_its_padding() -> None:
    model = made(rate=0.0)
    y = model(TOKENS, lengths=LENGTHS)
    with watch(model) as seen:
        watched = model(TOKENS, lengths=LENGTHS)
    assert [weights.shape for weights in seen.values()] == [(8, 3, 17, 17)] * 3
    trained, backward = model.forward(TOKENS, lengths=LENGTHS)
    for other in (watched, trained, model(TOKENS, lengths=LENGTHS, return_weights=True)[0]):
        assert other[~COUNTED].any()
        np.testing.assert_allclose(other[COUNTED], y[COUNTED], atol=2e-6)
    backward(np.ones_like(trained))


@pytest.mark.parametrize("options", [{"mixer": "linear"}, {"mixer": "fourier"}, {"sink": True},
                                     {"normalizer": "sparsemax"}, {"qk_norm": "rms"},
                                     {"top_k": 3}, {"adaptive_span": 5}, {"alibi": True},
                                     {"rotary": True}, {"causal": True},
                                     {"logit_scale": True}])  # fmt: skip
def test_other_layers_are_computed_with_their_padding(
    options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    positioned = options.keys() & {"alibi", "rotary", "causal"}  # options of an encoder alone
    model = made(**({} if positioned else options))
    if positioned:
        model.encoder = Encoder(3, 12, 3, 29, rng=0, **options)
    expected = with_padding(model, monkeypatch, lengths=LENGTHS)
    np.testing.assert_array_equal(model(TOKENS, lengths=LENGTHS), expected)


def test_few_rows_that_count_are_computed_with_their_padding() -> None:
    model, lengths = made(), np.array([3, 2, 1, 1])  # 7 rows, which a product adds in another order
    y = model(TOKENS[:4], lengths=lengths)
    assert y[1, 2:].any()


def test_the_first_token_is_computed_even_if_it_is_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = COUNTED[:, ::-1]
    model = made()
    expected = with_padding(model, monkeypatch, mask=mask)
    np.testing.assert_array_equal(model(TOKENS, mask=mask), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lengths": [18, *LENGTHS[1:]]}, "lengths must lie"),
        ({"lengths": [-1, *LENGTHS[1:]]}, "lengths must"),
        ({"lengths": LENGTHS[1:]}, "lengths must"),
        ({"lengths": LENGTHS + 0.5}, "lengths must be integers"),
        ({"mask": COUNTED[:, 1:]}, "mask must have shape"),
        ({"mask": COUNTED.astype(float)}, "mask must be boolean"),
    ],
)
def test_wrong_lengths_and_masks_are_refused(given: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        made()(TOKENS, **given)
