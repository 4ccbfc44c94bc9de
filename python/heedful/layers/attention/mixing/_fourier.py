"""FourierMixing: positions and features mixed by a discrete Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, size
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward
from heedful.layers._typed import Typed
from heedful.layers.attention._masks import Kept
from heedful.layers.attention.mixing._call import MixingCall, check_residual


class FourierMixing(Typed):
    """The real part of a two-dimensional discrete Fourier transform; no parameters.

    ::

        y[k, m] = Σ_l Σ_e x[l, e] · cos(2π (k l / L + m e / E))

    over the L positions of a sequence and its E features, in O(L E log(L E)). The matrix of the
    transform is symmetric, so the gradient of x is the transform of that of y.

    Parameters
    ----------
    d_model : int
        E.
    dtype : {float32, float64}

    Notes
    -----
    Lee-Thorp et al. 2021, FNet, https://arxiv.org/abs/2105.03824. Every position depends on every
    other, so it cannot be causal. It grows like √(L E): follow or precede it by a norm. There is no
    dropout inside, as there are no parameters: drop elements of its result.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`. The transform
    is NumPy's, on one thread.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import FourierMixing
    >>> FourierMixing(2)([[1.0, 2.0], [3.0, 4.0]])
    array([[10., -2.],
           [-4.,  0.]], dtype=float32)
    """

    def __init__(self, d_model: int, *, dtype: DTypeLike = np.float32) -> None:
        super().__init__(dtype)
        self.d_model: int = size("d_model", d_model)

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
        """query (…, L, E) → y, of the same shape.

        Parameters
        ----------
        key, value : array_like, optional
            query itself, for the sake of :class:`MultiHeadAttention`'s call; another sequence is an
            error. So are bias, causal, window, exclude_self, align, cache and return_weights.
        kv_lengths : array_like of int (…), optional
            Number of valid positions, the first ones. Each sequence is transformed in its own
            length: how much it is padded changes nothing. Rows of y past it are 0.
        mask : array_like of bool, (L,) or (B, 1, 1, L), optional
            The same as lengths: True for the first positions, False for those after them.
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
                "causal must be False, Fourier mixing lets every position see all: got True"
            )
        call = MixingCall.of(
            "Fourier mixing", x, query, key, value, mask=mask, bias=bias, window=window,
            exclude_self=exclude_self, align=align, q_lengths=q_lengths, kv_lengths=kv_lengths,
            cache=cache, return_weights=return_weights,
        )  # fmt: skip
        lengths = _lengths(call.kept)
        y = call.existing(transformed(x, lengths))
        if residual is not None:
            residual = self.array("residual", residual)
            check_residual(residual, y.shape)
            y = plus(y, residual)

        def backward(dy: Any) -> Any:
            dy = call.existing(self.gradient(dy, x.shape))
            return call.gradients(transformed(dy, lengths))

        return y, backward

    def extra_repr(self) -> str:
        return f"{self.d_model}"


def _lengths(kept: Kept) -> Array | None:
    """The number of positions that count, which must be the first ones."""
    if kept is None:
        return None
    lengths: Array = kept.sum(-1)
    if (kept != (np.arange(kept.shape[-1]) < lengths[..., None])).any():
        raise ValueError(
            "mask must hide positions at the end alone, Fourier mixing transforms what is before: "
            f"got shape {kept.shape}"
        )
    return lengths


def transformed(x: Array, lengths: Array | None) -> Array:
    """x (…, L, E), each item transformed within its length (…); 0 after it."""
    if lengths is None:
        return real_transform(x)
    lengths = np.broadcast_to(lengths, x.shape[:-2])
    y = np.zeros(x.shape, x.dtype)
    for length in np.unique(lengths):
        items = lengths == length
        y[items, :length] = real_transform(x[items, :length])
    return y


@np.errstate(all="ignore")
def real_transform(x: Array) -> Array:
    """Re Σ_l Σ_e x[l, e] exp(−2π√−1 (k l / L + m e / E)), of x's type."""
    length, width = x.shape[-2:]
    y = np.empty(x.shape, x.dtype)
    if not x.size:
        return y
    # of real numbers: the columns m and E − m are conjugates, with rows k and L − k exchanged
    half = np.fft.rfft2(x).real
    own = half.shape[-1]
    y[..., :own] = half
    rows = -np.arange(length) % length
    y[..., own:] = half[..., rows, :][..., width - own : 0 : -1]
    return y
