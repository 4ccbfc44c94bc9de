"""SentenceEncoder: texts to vectors, as a step of a pipeline."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from heedful._checks import named
from heedful.base._types import Array
from heedful.integrations import sentences


class SentenceEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts to vectors by a pretrained sentence encoder, which `fit` leaves as it is.

    Parameters
    ----------
    folder : str or path, optional
        A sentence-transformers model, as :class:`heedful.integrations.sentences.SentenceEncoder`
        reads it. None is all-MiniLM-L6-v2, if its package is installed.
    normalize : bool, optional
    max_length : int, optional
        As there.
    batch_size : int, default 32

    Notes
    -----
    The model is read at the first use. A pickle and a clone hold the name of the folder and not the
    weights, so that worker processes and saved pipelines stay small: each reads them again.

    Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084.

    Examples
    --------
    ::

        make_pipeline(SentenceEncoder("models/all-MiniLM-L6-v2"), LogisticRegression())
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        normalize: bool | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
    ) -> None:
        self.folder = folder
        self.normalize = normalize
        self.max_length = max_length
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> SentenceEncoder:
        """Checks the texts; nothing is learned."""
        _texts(X)
        return self

    def transform(self, X: Any) -> Array:
        """n texts, in a list, a column or an array → (n, E) in float32."""
        texts = _texts(X)
        return self._encoder.encode(texts, batch_size=self.batch_size)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """sentenceencoder0, sentenceencoder1, …"""
        name = type(self).__name__.lower()
        return np.array([f"{name}{index}" for index in range(self._encoder.width)], object)

    @property
    def _encoder(self) -> sentences.SentenceEncoder:
        wanted = self.folder, self.normalize, self.max_length
        if getattr(self, "_read", None) != wanted:
            folder = sentences.find_minilm() if self.folder is None else self.folder
            self._kept = sentences.SentenceEncoder(
                folder, self.max_length, normalize=self.normalize
            )
            self._read = wanted
        return self._kept

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        for name in ("_kept", "_read"):
            state.pop(name, None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.input_tags.one_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _texts(given: Any) -> list[Any]:
    """A list of texts, from a sequence of them, a column or a table of one column."""
    if isinstance(given, str):
        raise ValueError(f"X must be several texts, such as a list: got {named(given)}")
    array = np.asarray(given, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"X must be texts with one axis: got shape {array.shape}")
    if not array.size:
        raise ValueError("X must hold a text: got none")
    return list(array)
