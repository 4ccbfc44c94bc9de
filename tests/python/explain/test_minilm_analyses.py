"""Relevance and norms of MiniLM, against the gradients and hidden states of PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import norm_map, relevance_map
from heedful.integrations.sentences import SentenceEncoder, find_minilm

pytestmark = [pytest.mark.peer, pytest.mark.once]

TEXT = "The trophy did not fit in the suitcase because it was too large."
H, D = 12, 32


@pytest.fixture(scope="module")
def minilm() -> Any:
    pytest.importorskip("tokenizers")
    try:
        return SentenceEncoder(find_minilm())
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def peer(minilm: Any) -> tuple[Any, Any]:
    """The model of transformers and its result, from which gradients can be computed."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(find_minilm(), attn_implementation="eager")
    numbers = torch.tensor([minilm.tokens(TEXT)[0]])
    output = model(numbers, output_attentions=True, output_hidden_states=True)
    for weights in output.attentions:
        weights.retain_grad()
    return model, output


def test_relevance_is_that_of_pytorch_s_gradients(minilm: Any, peer: tuple[Any, Any]) -> None:
    _, output = peer
    length = len(minilm.tokens(TEXT)[0])
    direction = np.random.default_rng(0).standard_normal((length, H * D)).astype(np.float32)
    hidden = output.last_hidden_state
    (hidden[0] * hidden.new_tensor(direction)).sum().backward()
    expected = np.eye(length)
    for weights in output.attentions:
        product = weights.detach().numpy()[0].astype(np.float64) * weights.grad.numpy()[0]
        expected += np.maximum(product, 0).mean(0) @ expected
    found = relevance_map(minilm, TEXT, direction)["relevance"]
    np.testing.assert_allclose(found.weights[0], expected, rtol=1e-4, atol=1e-5)
    assert found.key_tokens[1] == "the"


def test_norms_are_those_of_pytorch_s_values(minilm: Any, peer: tuple[Any, Any]) -> None:
    model, output = peer
    found, summed = norm_map(minilm, TEXT), norm_map(minilm, TEXT, sum_heads=True)
    shares = []
    for number, layer in enumerate(model.encoder.layer):
        weights = output.attentions[number].detach().numpy()[0].astype(np.float64)
        value = layer.attention.self.value(output.hidden_states[number])
        value = value.detach().numpy()[0].astype(np.float64)
        projection = layer.attention.output.dense.weight.detach().numpy()
        vectors = [
            value[:, D * h : D * (h + 1)] @ projection[:, D * h : D * (h + 1)].T for h in range(H)
        ]
        by_head = [np.linalg.norm(weights[h][..., None] * vectors[h], axis=-1) for h in range(H)]
        np.testing.assert_allclose(found[number].weights, by_head, rtol=1e-3, atol=1e-5)
        total = sum(weights[h][..., None] * vectors[h] for h in range(H))
        np.testing.assert_allclose(
            summed[number].weights[0], np.linalg.norm(total, axis=-1), rtol=1e-3, atol=1e-5
        )
        norms = np.array(by_head)
        shares.append((weights[..., [0, -1]].sum(-1).mean(),
                       (norms[..., [0, -1]].sum(-1) / norms.sum(-1)).mean()))  # fmt: skip
    # what the paper found in BERT: special tokens receive much attention and add little
    of_weights, of_norms = np.mean(shares, 0)
    assert of_weights > 3 * of_norms
