"""scaled_dot_product_attention: attention with PyTorch's signature and semantics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heedful._checks import flag
from heedful.functional._call import check_call
from heedful.functional._dtypes import as_array
from heedful.functional._forward import forward_alone
from heedful.functional._options import INPUTS
from heedful.functional._restrictions import mask_or_bias
from heedful.functional._shapes import broadcast_batches, broadcasts, check_axes, check_axes_left

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional._dtypes import Array


def scaled_dot_product_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    attn_mask: ArrayLike | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Array:
    """``torch.nn.functional.scaled_dot_product_attention`` on NumPy arrays.

    ::

        out = softmax(scale · query keyᵀ + attn_mask) value

    Parameters
    ----------
    query : array_like, (…, L, E)
        All axes but the last two are leading ones and broadcast.
    key : array_like, (…, S, E)
    value : array_like, (…, S, Ev)
    attn_mask : array_like, optional
        Broadcasts to (…, L, S). Boolean: True where a query may attend. Floating: added to the
        scores.
    dropout_p : float, default 0
        Applied whenever it is above 0, with a fresh seed; :func:`attention` takes a seed.
    is_causal : bool, default False
        Query i sees the keys j ≤ i, also where L ≠ S: the diagonal starts at the upper left. Not
        with attn_mask.
    scale : float, optional
        None is 1 / √E.
    enable_gqa : bool, default False
        Axis −3 is the heads, and the heads of query may be a multiple of those of key and value.

    Returns
    -------
    out : numpy.ndarray, (…, L, Ev)
        In the common type of query, key and value, see :func:`attention`. A query that may attend
        to nothing gives 0.

    Raises
    ------
    ValueError
        Shapes that do not fit, or is_causal together with attn_mask.
    TypeError
        A mask that is neither boolean nor floating, or types that :func:`attention` refuses.

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Named ``scaled_dot_product_attention`` in
    PyTorch, whose documentation is the reference for the meaning of the arguments. There are no
    gradients here: :func:`attention_vjp` has them.

    Examples
    --------
    >>> import numpy as np
    >>> import heedful
    >>> x = np.eye(3, dtype=np.float32)
    >>> heedful.scaled_dot_product_attention(x, x, x, is_causal=True).round(3)
    array([[1.   , 0.   , 0.   ],
           [0.36 , 0.64 , 0.   ],
           [0.264, 0.264, 0.471]], dtype=float32)
    """
    query, key, value = as_array("query", query), as_array("key", key), as_array("value", value)
    if query.ndim < 2 or key.ndim < 2 or value.ndim < 2:
        raise ValueError(
            "query, key and value must have two axes at least: "
            f"got shapes {query.shape}, {key.shape} and {value.shape}"
        )
    if is_causal is not False and flag("is_causal", is_causal) and attn_mask is not None:
        raise ValueError("attn_mask must be None where is_causal is True: got both")
    # Without grouped heads every leading axis broadcasts. Where they are equal, the last
    # of them can be the heads; otherwise there is one head, and they are the batch.
    plain = enable_gqa is not False and flag("enable_gqa", enable_gqa)
    plain = plain or query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    if not plain:
        for name, array in zip(INPUTS, (query, key, value), strict=True):
            check_axes_left(name, array)
        leading = query.shape[:-2], key.shape[:-2], value.shape[:-2]
        broadcast_batches(INPUTS, leading, ", heads in groups need enable_gqa=True")
        query, key, value = _with_one_head(query), _with_one_head(key), _with_one_head(value)
    mask = bias = None
    if attn_mask is not None:
        mask, bias = _checked_mask(attn_mask, query, key, value, plain)
    call = check_call(
        query, key, value, mask, bias, causal=is_causal, align="upper_left", scale=scale,
        dropout_p=dropout_p,
    )  # fmt: skip
    out = forward_alone(call, None)
    return out if plain else out[..., 0, :, :]


def _checked_mask(
    given: ArrayLike, query: Array, key: Array, value: Array, plain: bool
) -> tuple[Array | None, Array | None]:
    """(mask, bias) for arrays with heads, checked under the caller's argument name."""
    attn_mask = as_array("attn_mask", given)
    mask, bias = mask_or_bias("attn_mask", attn_mask)
    axes = check_axes(query.shape, key.shape, value.shape, False)
    scores = axes.scores if plain else (*axes.batch, *axes.scores[-2:])
    scores = scores if query.ndim > 2 else scores[-2:]
    if not broadcasts(attn_mask.shape, scores):
        raise ValueError(
            f"attn_mask must broadcast to (…, L, S), here {scores}: got shape {attn_mask.shape}"
        )
    if plain:
        return mask, bias
    return (
        None if mask is None else _with_one_head(mask),
        None if bias is None else _with_one_head(bias),
    )


def _with_one_head(array: Array) -> Array:
    return array[..., np.newaxis, :, :] if array.ndim > 1 else array
