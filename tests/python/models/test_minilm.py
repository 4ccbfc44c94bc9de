"""A real model, MiniLM, beside transformers: its folder is read as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.integrations.sentences import find_minilm
from heedful.models import Tokenizer, from_pretrained

pytestmark = pytest.mark.peer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["A cat sits outside.", "Attention is all you need, isn't it?", "naïve café 漢字"]


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return find_minilm()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_tokens_and_hidden_states_are_those_of_transformers(folder: Path) -> None:
    peer = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding=True, return_tensors="pt"
    )
    batch = Tokenizer.from_pretrained(folder).batch(TEXTS)
    assert batch["tokens"].tolist() == theirs["input_ids"].tolist()
    with torch.no_grad():
        expected = peer(**theirs, output_hidden_states=True)
    y, pooled, states = from_pretrained(folder)(**batch, pooled=True, hidden_states=True)
    mask = batch["mask"]
    for found, wanted in [(y, expected.last_hidden_state),
                          *zip(states, expected.hidden_states, strict=True)]:  # fmt: skip
        np.testing.assert_allclose(found[mask], wanted.numpy()[mask], rtol=0, atol=1e-5)
    np.testing.assert_allclose(pooled, expected.pooler_output.numpy(), rtol=0, atol=1e-5)
