"""sentence-transformers with attn_implementation="heedful"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.peer, pytest.mark.once, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]  # fmt: skip

transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")

import tiny_transformers as tiny  # noqa: E402

from heedful.integrations.transformers import register  # noqa: E402

TEXTS = ["the cat sat on the mat", "the cat", "a cat on a mat sat on the cat on the mat"]


def test_embeddings_are_those_of_eager(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({*" ".join(TEXTS).split()})]
    vocabulary = {word: index for index, word in enumerate(words)}
    transformers.BertTokenizer(vocabulary, model_max_length=40).save_pretrained(tmp_path)
    tiny.made("bert", vocab_size=len(words)).save_pretrained(tmp_path)
    register()
    found = {}
    for by in ("eager", "heedful"):
        model = library.SentenceTransformer(
            str(tmp_path), model_kwargs={"attn_implementation": by}, device="cpu"
        )
        assert model[0].auto_model.config._attn_implementation == by
        found[by] = model.encode(TEXTS)
    assert not np.allclose(found["eager"][0], found["eager"][1], atol=1e-2)
    np.testing.assert_allclose(found["heedful"], found["eager"], rtol=0, atol=1e-5)
