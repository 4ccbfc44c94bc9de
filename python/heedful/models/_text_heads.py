"""Heads of the BERT family: classification of texts and of tokens, answers, masked tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import flag, size
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers import BertEncoder, Dropout, LayerNorm, Linear
from heedful.models._text_model import TextModel


class SequenceClassification(TextModel):
    """Logits of a text, from the encoder's vector of its first token.

    ::

        logits = classifier(dropout(dense(dropout(y[:, 0]))))           (B, num_labels)

    Parameters
    ----------
    bert : BertEncoder
    num_labels : int
    rate : float, default 0.1
        Of dropout after `dense`.
    dense_rate : float, default 0
        Of dropout before `dense`.
    activation : str, default "tanh"
        Of `dense`, see :class:`Linear`.
    rng : None, int or numpy.random.Generator

    Notes
    -----
    BERT's `dense` is its pooler, DistilBERT's has "relu". Computes in the encoder's type; threads
    may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import BertEncoder
    >>> from heedful.models import SequenceClassification
    >>> bert = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> SequenceClassification(bert, 3, rng=0)([[1, 2, 3], [4, 5, 0]], lengths=[3, 2]).shape
    (2, 3)
    """

    def __init__(
        self, bert: BertEncoder, num_labels: int, rate: float = 0.1, *, dense_rate: float = 0.0,
        activation: str = "tanh", rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(bert)
        rng, width = generator(rng), bert.norm.d_model
        self.dense_dropout: Dropout = Dropout(dense_rate, dtype=self.dtype)
        self.dense: Linear = Linear(width, width, activation=activation, dtype=self.dtype, rng=rng)
        self.dropout: Dropout = Dropout(rate, dtype=self.dtype)
        self.classifier: Linear = Linear(
            width, size("num_labels", num_labels), dtype=self.dtype, rng=rng
        )

    def head(self, mode: Mode, y: Array) -> tuple[tuple[Array, ...], Backward]:
        x, drop_first = self.dense_dropout.compute(mode, y[..., 0, :])
        x, back_dense = self.dense.compute(mode, x)
        x, drop = self.dropout.compute(mode, x)
        logits, back = self.classifier.compute(mode, x)
        shape = y.shape

        def backward(dlogits: Any) -> Array:
            dy = np.zeros(shape, self.dtype)
            dy[..., 0, :] = drop_first(back_dense(drop(back(dlogits))))
            return dy

        return (logits,), backward

    def ends_in(self, before: str | None) -> str | None:
        return "linear"


class TokenClassification(TextModel):
    """Logits of each token.

    ::

        logits = classifier(dropout(y))                              (B, L, num_labels)

    Parameters
    ----------
    bert : BertEncoder
    num_labels : int
    rate : float, default 0.1
        Of dropout.
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Computes in the encoder's type; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import BertEncoder
    >>> from heedful.models import TokenClassification
    >>> bert = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> TokenClassification(bert, 5, rng=0)([[1, 2, 3]]).shape
    (1, 3, 5)
    """

    def __init__(
        self, bert: BertEncoder, num_labels: int, rate: float = 0.1, *, rng: Rng = None
    ) -> None:
        super().__init__(bert)
        self.dropout: Dropout = Dropout(rate, dtype=self.dtype)
        self.classifier: Linear = Linear(
            bert.norm.d_model, size("num_labels", num_labels), dtype=self.dtype, rng=generator(rng)
        )

    def head(self, mode: Mode, y: Array) -> tuple[tuple[Array, ...], Backward]:
        x, drop = self.dropout.compute(mode, y)
        logits, back = self.classifier.compute(mode, x)
        return (logits,), lambda dlogits: drop(back(dlogits))

    def ends_in(self, before: str | None) -> str | None:
        return "linear"


class QuestionAnswering(TextModel):
    """Logits of the first and of the last token of an answer, two outputs.

    ::

        start, end = W dropout(y) + b                                (B, L), (B, L)

    Parameters
    ----------
    bert : BertEncoder
    rate : float, default 0
        Of dropout.
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Devlin et al. 2018, https://arxiv.org/abs/1810.04805, section 4.2. Padding has logits too: leave
    it out of a softmax over tokens. Computes in the encoder's type; threads may share it, see
    :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import BertEncoder
    >>> from heedful.models import QuestionAnswering
    >>> bert = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> start, end = QuestionAnswering(bert, rng=0)([[1, 2, 3]], segments=[[0, 1, 1]])
    >>> start.shape, end.shape
    ((1, 3), (1, 3))
    """

    def __init__(self, bert: BertEncoder, rate: float = 0.0, *, rng: Rng = None) -> None:
        super().__init__(bert)
        self.dropout: Dropout = Dropout(rate, dtype=self.dtype)
        self.ends: Linear = Linear(bert.norm.d_model, 2, dtype=self.dtype, rng=generator(rng))

    def head(self, mode: Mode, y: Array) -> tuple[tuple[Array, ...], Backward]:
        x, drop = self.dropout.compute(mode, y)
        logits, back = self.ends.compute(mode, x)

        def backward(dstart: Any, dend: Any = None) -> Array:
            dlogits = np.zeros(logits.shape, self.dtype)
            dlogits[..., 0] = dstart
            if dend is not None:
                dlogits[..., 1] = dend
            found: Array = drop(back(dlogits))
            return found

        return (logits[..., 0], logits[..., 1]), backward


class MaskedLanguageModel(TextModel):
    """Logits of the token at each position, for the positions that were masked.

    ::

        logits = decoder(norm(dense(y)))                             (B, L, vocabulary)

    Parameters
    ----------
    bert : BertEncoder
    activation : str, default "gelu"
        Of `dense`, see :class:`Linear`.
    eps : float, optional
        Of the norm; None is that of the encoder.
    tied : bool, default True
        Whether the decoder shares the weight of the token embedding.
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Devlin et al. 2018, https://arxiv.org/abs/1810.04805, section 3.1. Computes in the encoder's
    type; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import BertEncoder
    >>> from heedful.models import MaskedLanguageModel
    >>> bert = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> MaskedLanguageModel(bert, rng=0)([[1, 2, 3]]).shape
    (1, 3, 100)
    """

    def __init__(
        self, bert: BertEncoder, *, activation: str = "gelu", eps: float | None = None,
        tied: bool = True, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(bert)
        rng, width = generator(rng), bert.norm.d_model
        eps = bert.norm.eps if eps is None else eps
        self.dense: Linear = Linear(width, width, activation=activation, dtype=self.dtype, rng=rng)
        self.norm: LayerNorm = LayerNorm(width, eps, dtype=self.dtype)
        vocabulary = bert.token_embedding.num_embeddings
        self.decoder: Linear = Linear(width, vocabulary, dtype=self.dtype, rng=rng)
        if flag("tied", tied):
            self.decoder.weight = bert.token_embedding.weight

    def head(self, mode: Mode, y: Array) -> tuple[tuple[Array, ...], Backward]:
        x, back_dense = self.dense.compute(mode, y)
        x, back_norm = self.norm.compute(mode, x)
        logits, back = self.decoder.compute(mode, x)
        return (logits,), lambda dlogits: back_dense(back_norm(back(dlogits)))

    def ends_in(self, before: str | None) -> str | None:
        return "linear"
