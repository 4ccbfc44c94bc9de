"""EmbeddingTap: the vectors of tokens inside a model, to read, to replace and to differentiate."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._mode import INFERENCE, Mode
from heedful.base._types import Array, Backward
from heedful.layers import Embedding, Layer


class EmbeddingTap:
    """Watches the first embedding of a model that is called with the model's tokens.

    Attributes
    ----------
    vectors : numpy.ndarray, (n, L, E), or None
        Used in place of the tokens' vectors; None: theirs.
    dvectors : numpy.ndarray, (n, L, E)
        Their gradient, summed until it is set to None.
    """

    def __init__(self, model: Layer) -> None:
        self.tokens: Array | None = None
        self.vectors: Array | None = None
        self.dvectors: Array | None = None
        self.embedding: Embedding | None = None
        for _, layer in model.named_layers():
            if isinstance(layer, Embedding):
                # on the copy itself: what else reads the embedding, such as a tied output, remains
                object.__setattr__(layer, "compute", self._tapped(layer, layer.compute))

    def start(self, tokens: Array) -> None:
        """These tokens are passed to the model next."""
        self.tokens, self.vectors, self.dvectors, self.embedding = tokens, None, None, None

    def of(self, tokens: Array) -> Array:
        """The vectors of tokens."""
        assert self.embedding is not None
        return np.asarray(type(self.embedding).compute(self.embedding, INFERENCE, tokens)[0])

    def _are_given(self, tokens: Any) -> bool:
        return self.tokens is not None and np.array_equal(tokens, self.tokens)

    def _tapped(self, layer: Embedding, compute: Any) -> Any:
        def tapped(mode: Mode, tokens: Any) -> tuple[Array, Backward]:
            y, backward = compute(mode, tokens)
            if self.embedding not in (None, layer) or not self._are_given(tokens):
                return y, backward
            self.embedding = layer
            if self.vectors is not None:
                y = self.vectors.astype(y.dtype)

            def keep(dy: Any) -> None:
                self.dvectors = dy if self.dvectors is None else self.dvectors + dy

            return y, keep

        return tapped
