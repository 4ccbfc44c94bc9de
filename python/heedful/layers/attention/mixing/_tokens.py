"""TokenMixing: a feed-forward network over the positions, the same for every feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, probability, size
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.attention.mixing._call import MixingCall, check_length, check_residual
from heedful.layers.attention.mixing._columns import columns
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._feed_forward import feed_forward
from heedful.layers.blocks._linear import Linear


class TokenMixing(Typed):
    """y = (W₂ dropout(activation(W₁ x + b₁)) + b₂): two dense layers across the positions.

    Every feature of the sequence is one input of the network, whose L inputs and outputs are the
    positions; positions past the end of a shorter sequence count as 0.

    Parameters
    ----------
    d_model : int
        Width E of x.
    max_length : int
        L, the maximum number of positions.
    hidden : int, optional
        Width inside the network; None is d_model // 2, as in the paper, at least 1.
    dropout : float, default 0
        Between the two layers, in training.
    bias : bool, default True
    activation : str, default "gelu"
        See :class:`Linear`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    linear1, linear2 : Linear
        From max_length to hidden, and back.

    Notes
    -----
    Tolstikhin et al. 2021, MLP-Mixer, https://arxiv.org/abs/2105.01601. Every position depends on
    every other, so it cannot be causal.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import TokenMixing
    >>> TokenMixing(4, max_length=16, hidden=32)(np.ones((2, 5, 4))).shape
    (2, 5, 4)
    """

    d_model: int
    max_length: int

    def __init__(
        self, d_model: int, max_length: int, *, hidden: int | None = None, dropout: float = 0.0,
        bias: bool = True, activation: str = "gelu", dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng = generator(rng)
        self.d_model, self.max_length = size("d_model", d_model), size("max_length", max_length)
        inside = max(self.d_model // 2, 1) if hidden is None else size("hidden", hidden)
        self.linear1: Linear = Linear(
            self.max_length, inside, flag("bias", bias), activation=activation, dtype=dtype,
            rng=rng,
        )  # fmt: skip
        self.dropout: Dropout = Dropout(probability("dropout", dropout), dtype=dtype)
        self.linear2: Linear = Linear(inside, self.max_length, bias, dtype=dtype, rng=rng)

    def compute(
        self,
        mode: Mode,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool | None = None,
        window: Any = None,
        exclude_self: bool = False,
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        cache: Any = None,
        residual: Array | None = None,
        return_weights: bool = False,
    ) -> tuple[Array, Backward]:
        """query (…, L, E) → y, of the same shape, with L up to max_length.

        Parameters
        ----------
        key, value : array_like, optional
            query itself, for the sake of :class:`MultiHeadAttention`'s call; another sequence is an
            error. So are bias, causal, window, exclude_self, align, cache and return_weights.
        mask : array_like of bool, (L,) or (B, 1, 1, L), optional
            True for positions that count; the others count as 0.
        kv_lengths : array_like of int (…), optional
            Number of positions that count, the first ones.
        q_lengths : array_like of int (…), optional
            Number of rows of y; those after them are 0.
        residual : numpy.ndarray, (…, L, E), optional
            Added to y; its gradient is that of y.

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of query; with key and value, zeros for these.
        """
        x = self.array("query", query, self.d_model)
        if causal is not None and flag("causal", causal):
            raise ValueError(
                "causal must be False, token mixing lets every position see all: got True"
            )
        call = MixingCall.of(
            "token mixing", x, query, key, value, mask=mask, bias=bias, window=window,
            exclude_self=exclude_self, align=align, q_lengths=q_lengths, kv_lengths=kv_lengths,
            cache=cache, return_weights=return_weights,
        )  # fmt: skip
        check_length(x, self.max_length)
        length, shape = x.shape[-2], x.shape
        mixed, back = feed_forward(
            mode,
            self.linear1,
            self.dropout,
            self.linear2,
            columns(call.counted(x), self.max_length),
        )
        y = call.existing(mixed[..., :length].swapaxes(-1, -2))
        if residual is not None:
            residual = self.array("residual", residual)
            check_residual(residual, shape)
            y = plus(y, residual)

        def backward(dy: Any) -> Any:
            dy = call.existing(self.gradient(dy, shape))
            dx = back(columns(dy, self.max_length))[..., :length].swapaxes(-1, -2)
            return call.gradients(call.counted(np.ascontiguousarray(dx)))

        return np.ascontiguousarray(y), backward

    def extra_repr(self) -> str:
        return f"{self.d_model}, max_length={self.max_length}"
