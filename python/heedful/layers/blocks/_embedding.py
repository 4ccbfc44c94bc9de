"""Embedding: a learned vector for each token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, is_integer, named, size
from heedful._core import native
from heedful.base._bfloat16_parameter import Bfloat16Parameter, widened
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.blocks._initial import normal
from heedful.layers.blocks._int8 import int8_shown, refuse_training
from heedful.layers.blocks._rows import as_rows

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


class Embedding(Typed):
    """y = weight[token].

    Parameters
    ----------
    num_embeddings : int
        Number of different tokens; a token is an integer in [0, num_embeddings).
    d_model : int
        Width of a vector.
    padding_idx : int, optional
        A token whose vector is 0 initially and gets no gradient from this layer. It stays 0 unless
        the weight is shared with another layer, such as a projection, that updates it, as in
        PyTorch.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
        For the initial vectors: standard normal, as in PyTorch.

    Attributes
    ----------
    weight : numpy.ndarray, (num_embeddings, d_model)
        A projection back to tokens may share it: ``projection.weight = embedding.weight``.

    Notes
    -----
    Named ``nn.Embedding`` in PyTorch, with the same parameter.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Embedding
    >>> Embedding(10, 4, rng=0)([[1, 2, 3]]).shape
    (1, 3, 4)
    """

    weight: Own

    def __init__(
        self,
        num_embeddings: int,
        d_model: int,
        padding_idx: int | None = None,
        *,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        self.num_embeddings: int = size("num_embeddings", num_embeddings)
        self.d_model: int = size("d_model", d_model)
        self.padding_idx = padding_idx
        shape = (self.num_embeddings, self.d_model)
        self.weight = Parameter(normal(generator(rng), shape, 1, self.dtype))
        if padding_idx is not None:
            if not is_integer(padding_idx):
                raise TypeError(f"padding_idx must be an integer or None: got {named(padding_idx)}")
            if not 0 <= padding_idx < num_embeddings:
                raise ValueError(
                    f"padding_idx must be a token from 0 to {num_embeddings - 1}: "
                    f"got {named(padding_idx)}"
                )
            self.weight[padding_idx] = 0

    def compute(self, mode: Mode, tokens: Any) -> tuple[Array, Backward]:
        """tokens (…) → y (…, d_model)."""
        tokens = check_tokens("tokens", tokens, self.num_embeddings)
        weight = self.own_parameters()["weight"]
        if isinstance(weight, Bfloat16Parameter):
            refuse_training(mode, self.own_parameters())
            return widened(weight.bits[tokens]), _no_backward
        y = self.weight[tokens]

        def backward(dy: Any) -> None:
            dy = self.gradient(dy, y.shape)
            buffer = self.parameter("weight").buffer()
            if buffer is not None:
                add_rows(buffer, tokens.reshape(-1), as_rows(dy), self.padding_idx)

        return y, backward

    def bfloat16_names(self) -> tuple[str, ...]:
        # a subclass with a computation of its own may read the weight in another way
        return ("weight",) if type(self).compute is Embedding.compute else ()

    def extra_repr(self) -> str:
        shown = f"{self.num_embeddings}, {self.d_model}"
        shown += "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return shown + int8_shown(self.own_parameters().values())


def check_tokens(name: str, given: Any, count: int) -> Array:
    """Integers in [0, count)."""
    tokens = as_array(name, given)
    if tokens.dtype.kind not in "iu":
        # as Keras users have them: integral values in a float array, an empty list
        finite = tokens.dtype.kind == "f" and bool(np.isfinite(tokens).all())
        whole = finite and bool((tokens == np.floor(tokens)).all())
        if not whole:
            raise TypeError(f"{name} must be integers: got {named(tokens)}")
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < count:
        wrong = tokens.min() if int(tokens.min()) < 0 else tokens.max()
        raise ValueError(f"{name} must lie in [0, {count}): got {int(wrong)}")
    return tokens.astype(np.int64) if tokens.dtype.kind == "f" else tokens


def check_token(name: str, given: Any, count: int) -> int:
    token = check_tokens(name, given, count)
    if token.ndim:
        raise ValueError(f"{name} must be one token: got shape {token.shape}")
    return int(token)


def add_rows(total: Array, tokens: Array, rows: Array, skip: int | None) -> None:
    """total[token] += its rows, added in order for each token."""
    ids = np.require(tokens, np.int64, ["C", "ALIGNED"])
    native.embedding_gradient(rows, ids, -1 if skip is None else skip, total)


def _no_backward(dy: Any) -> None:
    raise AssertionError("an inference has no backward")
