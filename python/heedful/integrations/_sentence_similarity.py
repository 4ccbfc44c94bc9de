"""SentenceSimilarity: how similar texts are to a vector, with a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import int64_array
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward
from heedful.layers import BertEncoder, Layer


class SentenceSimilarity(Layer):
    """s = v · m / |m| with m the mean of the encoder's vectors over the tokens of a text.

    What :meth:`heedful.integrations.sentences.SentenceEncoder.similarity` returns: a layer, so that
    :mod:`heedful.explain` can say which tokens a similarity is made of.

    Parameters
    ----------
    encoder : BertEncoder
        It is used, not copied.
    vector : numpy.ndarray, (E,)
        v, of another text.
    normalize : bool, default True
        Without, s = v · m.

    Notes
    -----
    Computes in the encoder's `dtype`; threads may share it, see :class:`heedful.layers.Layer`.
    """

    encoder: BertEncoder
    vector: Array
    normalize: bool

    def __init__(self, encoder: BertEncoder, vector: Array, normalize: bool = True) -> None:
        self.encoder, self.vector, self.normalize = encoder, vector, normalize

    def compute(self, mode: Mode, tokens: Any, *, lengths: Any = None) -> tuple[Array, Backward]:
        """tokens (N, L) → s (N,).

        Parameters
        ----------
        lengths : array_like of int, (N,), optional
            Number of tokens of each text, the first ones; all by default.
        """
        y, back_encoder = self.encoder.compute(mode, tokens, lengths=lengths)  # (N, L, E)
        whole = np.full(len(y), y.shape[1])
        counts = whole if lengths is None else int64_array("lengths", lengths)
        counted = (np.arange(y.shape[1]) < counts[:, None])[..., None]  # (N, L, 1)
        divisor = np.maximum(counts, 1)[:, None].astype(y.dtype)
        mean = np.where(counted, y, 0).sum(1) / divisor  # (N, E)
        norm = np.ones((len(y), 1), y.dtype)
        if self.normalize:
            norm = np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
        found = mean @ self.vector / norm[:, 0]

        def backward(ds: Any) -> None:
            ds = np.asarray(ds, y.dtype)[:, None]
            dmean = ds * self.vector / norm
            if self.normalize:
                dmean = dmean - ds * (found[:, None] / norm**2) * mean
            back_encoder(np.where(counted, (dmean / divisor)[:, None], 0))

        return found, backward
