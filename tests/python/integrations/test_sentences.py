"""Sentence embeddings of the real MiniLM, where its weights and the peers are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")

from heedful.integrations.sentences import SentenceEncoder, find_minilm
from heedful.pruning import MergedEncoder, PrunedEncoder

TEXTS = [
    "How do I open a file?",
    "Opening files is done with the open function.",
    "",
    "The weather will be fine tomorrow, and nobody in the whole town believes it. " * 30,
    "Äpfel und Birnen: 3 kg für 4,50 €!",
]


pytestmark = [pytest.mark.peer, pytest.mark.slow]  # of the weights


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return find_minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return SentenceEncoder(folder)


def test_texts_of_similar_meaning_are_close(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    closeness = vectors @ vectors.T
    assert closeness[0, 1] > 0.5 > closeness[0, 3]


def test_a_text_is_the_same_alone_and_among_others(encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS, batch_size=3)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(encoder.encode(text), vector, atol=2e-6)


@pytest.mark.parametrize(
    "shorten",
    [
        lambda encoder: PrunedEncoder(encoder, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]),
        lambda encoder: PrunedEncoder(encoder, [12, 11, 10, 9, 8, 7]),
        lambda encoder: MergedEncoder(encoder, 2),
    ],
    ids=["fractions", "numbers", "merged"],
)
def test_of_fewer_tokens_what_is_left_is_pooled(folder: Path, shorten: Any) -> None:
    encoder = SentenceEncoder(folder)
    encoder.model.encoder = shorten(encoder.model.encoder)
    texts = [*TEXTS[:3], TEXTS[4], "a few words more than that"]
    together = encoder.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(encoder.encode(text), vector, atol=2e-6)
    encoder._prompt_tokens = 2
    with pytest.raises(ValueError, match=r"^encoder must keep all tokens where the pooling"):
        encoder.encode(texts)


def test_vectors_are_those_of_torch(encoder: SentenceEncoder, folder: Path) -> None:
    """BERT written down in PyTorch's own operations, with the weights of the file."""
    torch = pytest.importorskip("torch")
    from safetensors.numpy import load_file

    weights = {name: torch.tensor(a) for name, a in load_file(folder / "model.safetensors").items()}
    functional = torch.nn.functional

    def linear(x: Any, name: str) -> Any:
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(x: Any, name: str) -> Any:
        return functional.layer_norm(
            x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12
        )

    for text in TEXTS:
        ids = torch.tensor(encoder.tokenizer.encode(text).ids)
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(6):
            own = f"encoder.layer.{layer}"
            q, k, v = (
                linear(x, f"{own}.attention.self.{part}").reshape(-1, 12, 32).transpose(0, 1)
                for part in ("query", "key", "value")
            )
            heads = torch.softmax(q @ k.transpose(1, 2) / 32**0.5, -1) @ v
            y = linear(heads.transpose(0, 1).reshape(-1, 384), f"{own}.attention.output.dense")
            x = norm(x + y, f"{own}.attention.output.LayerNorm")
            y = functional.gelu(linear(x, f"{own}.intermediate.dense"))
            y = linear(y, f"{own}.output.dense")
            x = norm(x + y, f"{own}.output.LayerNorm")
        expected = functional.normalize(x.mean(0), dim=0).numpy()
        np.testing.assert_allclose(encoder.encode(text), expected, atol=1e-5)


def test_vectors_are_those_of_sentence_transformers(encoder: SentenceEncoder, folder: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(folder), device="cpu")
    expected = model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)


def test_what_is_no_text_is_refused(encoder: SentenceEncoder) -> None:
    with pytest.raises(TypeError, match="texts must be strings: got 3"):
        encoder.encode(["a", 3])  # type: ignore[list-item]
