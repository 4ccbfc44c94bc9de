"""SentenceSimilarity: its value and its gradient, and that of the real MiniLM."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.explain import integrated_gradients
from heedful.integrations._sentence_similarity import SentenceSimilarity
from heedful.layers import BertEncoder

RNG = np.random.default_rng(2)
TOKENS, LENGTHS = RNG.integers(0, 20, (3, 7)), np.array([7, 4, 1])
VECTOR = RNG.standard_normal(8)


def layer(normalize: bool) -> SentenceSimilarity:
    encoder = BertEncoder(20, 8, 2, 2, 16, max_length=9, rate=0.0, dtype=np.float64, rng=0)
    return SentenceSimilarity(encoder, VECTOR, normalize)


@pytest.mark.parametrize("normalize", [True, False])
def test_it_is_the_product_with_the_mean(normalize: bool) -> None:
    model = layer(normalize)
    found = model(TOKENS, lengths=LENGTHS)
    for row, length, value in zip(TOKENS, LENGTHS, found, strict=True):
        mean = model.encoder(row[None, :length])[0].mean(0)  # a text alone, without padding
        expected = mean @ VECTOR / (np.linalg.norm(mean) if normalize else 1)
        assert value == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(model(TOKENS), model(TOKENS, lengths=[7, 7, 7]), atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
def test_its_gradient_is_that_of_differences(normalize: bool) -> None:
    model = layer(normalize)
    weight = model.encoder.token_embedding.weight
    ds = np.array([1.0, -2.0, 0.5])
    _, backward = model.forward(TOKENS, lengths=LENGTHS, rng=0)
    backward(ds)
    gradient = model.grads["encoder.token_embedding.weight"].copy()
    direction = RNG.standard_normal(weight.shape)
    step = 1e-5
    ends = []
    for sign in (1, -1):
        weight += sign * step * direction
        ends.append(model(TOKENS, lengths=LENGTHS) @ ds)
        weight -= sign * step * direction
    rise = (ends[0] - ends[1]) / (2 * step)
    assert rise == pytest.approx((gradient * direction).sum(), rel=1e-6)


@pytest.mark.peer
@pytest.mark.slow
def test_it_is_the_similarity_of_encoded_texts() -> None:
    pytest.importorskip("tokenizers")
    pytest.importorskip("safetensors")
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    try:
        encoder = SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    question, text = "How long do cats sleep?", "Cats sleep most of the day."
    model, tokens = encoder.similarity(question), np.array([encoder.tokenizer.encode(text).ids])
    assert model(tokens)[0] == pytest.approx(encoder.encode(question) @ encoder.encode(text))
    relevance, delta = integrated_gradients(
        model, tokens, baseline=103, steps=20, return_convergence_delta=True
    )
    assert abs(delta[0]) < 1e-3
    first = {encoder.tokenizer.encode(text).tokens[place] for place in relevance[0].argsort()[-2:]}
    assert first == {"cats", "sleep"}
