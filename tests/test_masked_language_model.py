"""examples/masked_language_model.py beside transformers: the same loss in every step."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tokenizers")


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples"))
    monkeypatch.delitem(sys.modules, "masked_language_model", raising=False)


@pytest.mark.peer
@pytest.mark.slow
def test_losses_are_those_of_transformers_in_every_step() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from masked_language_model import Beside, Manual, tested, train

    manual = Manual(300)
    other = Beside(manual.vocabulary, 0)
    losses = train(other.own, manual, 12, 0)
    np.testing.assert_allclose(losses, other.train(manual, 12, 0), rtol=0, atol=1e-4)
    assert losses[-1] < losses[0] - 0.3
    assert tested(other.own, manual)[0] == pytest.approx(other.tested(manual), abs=1e-4)


def test_topics_are_trained_on_or_held_out() -> None:
    from masked_language_model import LENGTH, MASK, Manual

    manual = Manual(300)
    x, y = manual.test
    assert x.shape == y.shape
    assert x.shape[1] == manual.train.shape[1] == LENGTH
    hidden = y >= 0
    assert 0.13 < hidden.mean() < 0.17
    assert (x[~hidden] != MASK).all()


def test_training_does_not_see_what_is_held_out() -> None:
    from masked_language_model import divided

    held_out, learned = (" ".join(" ".join(texts).split()) for texts in divided())
    assert 0.05 < len(held_out) / len(learned) < 0.25
    pieces = [held_out[i : i + 80] for i in range(0, len(held_out) - 80, 40)]
    # 0.44 of them where paragraphs that topics share are kept
    assert sum(piece in learned for piece in pieces) < 0.02 * len(pieces)


def test_a_paragraph_is_kept_where_it_comes_first() -> None:
    from masked_language_model import unrepeated

    assert unrepeated(["a\n\nb", "c\n\nb", "b"]) == ["a\n\nb", "c", ""]


def test_a_gap_is_filled_with_the_weights_of_every_head(tmp_path: Path) -> None:
    from masked_language_model import Manual, config, draw, filled

    from heedful.explain import attention_map
    from heedful.models import from_config

    manual = Manual(300)
    model = from_config(config(manual.vocabulary), rng=0)
    best, words, weights = filled(model, manual, "the ___ statement")
    assert len(set(best)) == 4
    assert words.count("[MASK]") == 1
    assert weights.shape == (2, 4, len(words))
    tokens = np.array([[manual.tokenizer.token_to_id(word) for word in words]])
    expected = attention_map(model, tokens).to_numpy()[:, :, words.index("[MASK]")]
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    pytest.importorskip("matplotlib")
    draw(model, manual, "the ___ statement", str(tmp_path / "gap.png"))
    assert (tmp_path / "gap.png").stat().st_size > 1000
