"""attention for JAX: within jit, grad, vmap, scan and remat, on the CPU.

Needs the package jax, 0.5 or newer.
"""

from __future__ import annotations

from typing import Any

from heedful._checks import one_of

try:
    import jax.numpy as jnp
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "heedful.integrations.jax needs the package jax: pip install jax", name="jax"
    ) from None

from heedful.integrations._jax_call import Arrays, checked, with_common_type, with_equal_axes
from heedful.integrations._jax_foreign import attend

__all__ = ["attention"]


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    window: tuple[int | None, int | None] | None = None,
    align: Any = None,
    q_lengths: Any = None,
    kv_lengths: Any = None,
    top_k: int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: Any = None,
    sink: Any = None,
    layout: str = "bhld",
    return_lse: bool = False,
) -> Any:
    """:func:`heedful.attention` on JAX arrays, differentiable in reverse mode.

    ::

        out = softmax(scale · query keyᵀ) value        lse = log Σ exp(scores)

    Parameters
    ----------
    query : jax.Array, (B…, H, Lq, D)
    key : jax.Array, (B…, Hkv, Lk, D)
    value : jax.Array, (B…, Hkv, Lk, Dv)
        Floating, of a common type or converted to it. Two axes are one head.
    mask, bias, q_lengths, kv_lengths, alibi_slopes, sink : jax.Array, optional
        As in :func:`heedful.attention`; they may be traced.
    align : {"upper_left", "lower_right"}, int or jax.Array of int, optional
        As in :func:`heedful.attention`. An array may be traced: the position in a cache.
    causal, window, top_k, scale, softcap, layout
        As in :func:`heedful.attention`; Python values, with which a function is compiled. "blhd" is
        the layout of :func:`jax.nn.dot_product_attention`.
    return_lse : bool, default False
        Return (out, lse).

    Returns
    -------
    out : jax.Array, (B…, H, Lq, Dv), or (B…, Lq, H, Dv) with "blhd"
        In the type of the inputs.
    lse : jax.Array, (B…, H, Lq), if `return_lse`
        float32, float64 for float64.

    Raises
    ------
    ImportError
        When the module is imported: jax is not installed.
    ValueError, TypeError
        When the function is traced: shapes, types and options that :func:`heedful.attention`
        refuses. Lengths out of range are reported by XLA, when the compiled function runs.

    Notes
    -----
    A custom_vjp around two foreign functions of XLA, which read and write its arrays without
    copies; a call costs 0.1 ms, with gradients 0.25 ms. query, key, value, bias and sink have
    gradients, also those of `lse`. Forward mode (jvp, jacfwd, hessian) and second derivatives are
    refused by JAX. vmap adds leading axes, without copies in the forward pass; with a sink it calls
    once for each item. There is no dropout, and only the CPU is a target. XLA computes on threads
    of its own: :func:`heedful.set_num_threads` holds there, ``with num_threads(n)`` does not.

    Dao et al. 2022, https://arxiv.org/abs/2205.14135; foreign functions:
    https://docs.jax.dev/en/latest/ffi.html.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from heedful.integrations.jax import attention
    >>> x = jax.numpy.eye(3)
    >>> np.asarray(jax.jit(lambda x: attention(x, x, x, causal=True))(x)).round(3)
    array([[1.   , 0.   , 0.   ],
           [0.36 , 0.64 , 0.   ],
           [0.264, 0.264, 0.471]], dtype=float32)
    >>> gradient = jax.grad(lambda value: attention(x, x, value, causal=True).sum())(x)
    >>> np.asarray(gradient[:, 0]).round(3)
    array([1.624, 0.905, 0.471], dtype=float32)
    """
    fixed = align is None or isinstance(align, (int, str))
    options = {
        "causal": causal, "window": window,
        "align": align if fixed else None, "top_k": top_k, "scale": scale, "softcap": softcap,
        "layout": one_of("layout", layout, ("bhld", "blhd")),
    }  # fmt: skip
    given = (
        query, key, value, mask, bias, alibi_slopes, sink, q_lengths, kv_lengths,
        None if fixed else align,
    )  # fmt: skip
    arrays = Arrays(*(None if array is None else jnp.asarray(array) for array in given))
    arrays = with_common_type(arrays)
    call = checked(options, arrays)
    out, lse = attend(call, with_equal_axes(call, arrays))
    if call.is_single:
        out, lse = jnp.squeeze(out, call.heads_axis), jnp.squeeze(lse, -2)
    return (out, lse) if return_lse else out
