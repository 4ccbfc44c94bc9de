"""attention and attention_vjp of chunked keys: one task for each pair of chunks."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import heedful
from heedful.integrations.dask._tasks import Tasks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional._option_types import Align, LayoutName, Window

persist: Any = import_module("dask").persist


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    window: Window = None,
    align: Align = None,
    q_lengths: ArrayLike | None = None,
    kv_lengths: ArrayLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    layout: LayoutName = "bhld",
    return_lse: bool = False,
    num_threads: int = 1,
) -> Any:
    """Attention over keys and values in chunks, each computed by a task of its own.

    ::

        out_n, lse_n = attention(query, key_n, value_n)        chunk n of the keys
        lse = log Σ_n exp(lse_n)        out = Σ_n exp(lse_n − lse) · out_n

    Nothing is computed until the result is; a chunk is loaded when its task runs.

    Parameters
    ----------
    query, key, value : dask.array.Array, zarr.Array, numpy.ndarray or anything sliced like one
        As in :func:`heedful.attention`, of two axes at least. The chunks of a dask array along the
        queries and along the keys are those of the tasks; along all other axes it is rechunked
        into one chunk. Other arrays get chunks of the size in Dask's configuration.
    mask, bias : dask.array.Array or array_like, optional
        Rechunked like queries and keys.
    causal, window, align, q_lengths, kv_lengths, scale, softcap, alibi_slopes, sink, layout
        As in :func:`heedful.attention`, positions and lengths those of whole arrays. Pairs of
        chunks that they hide are never loaded.
    return_lse : bool, default False
        Return (out, lse).
    num_threads : int, default 1
        Threads of heedful in each task. Dask runs as many tasks at once as it has threads: their
        product should not exceed the processors.

    Returns
    -------
    out : dask.array.Array, (B…, H, Lq, Dv), or (B…, Lq, H, Dv) with "blhd"
        In chunks like those of query.
    lse : dask.array.Array, (B…, H, Lq), if `return_lse`

    Raises
    ------
    ImportError
        dask is not installed.
    ValueError, TypeError
        As :func:`heedful.attention` does, before any task runs.

    Notes
    -----
    For 16-bit inputs, outputs of chunks are merged in float32 and rounded once. One task holds a
    chunk of the queries and one of the keys and values, not their scores. Memory-mapped files on
    one machine need no Dask: :func:`heedful.attention` reads them as they are, and faster.

    Liu et al. 2023, https://arxiv.org/abs/2310.01889 (blocks, merged by log-sum-exp); Milakov and
    Gimelshein 2018, https://arxiv.org/abs/1805.02867.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> import heedful
    >>> from heedful.integrations.dask import attention
    >>> rng = np.random.default_rng(0)
    >>> query, key = rng.standard_normal((3, 4)), rng.standard_normal((1000, 4))
    >>> chunked = da.from_array(key, chunks=(300, 4))
    >>> out = attention(query, chunked, chunked)
    >>> np.allclose(out.compute(), heedful.attention(query, key, key))
    True
    """
    tasks = Tasks(
        query, key, value, mask, bias, num_threads, causal=causal, window=window, align=align,
        q_lengths=q_lengths, kv_lengths=kv_lengths, scale=scale, softcap=softcap,
        alibi_slopes=alibi_slopes, sink=sink, layout=layout,
    )  # fmt: skip
    out, lse = tasks.forward(tasks.call.dtype)
    return (out, lse) if return_lse else out


def attention_vjp(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    window: Window = None,
    align: Align = None,
    q_lengths: ArrayLike | None = None,
    kv_lengths: ArrayLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    layout: LayoutName = "bhld",
    return_lse: bool = False,
    num_threads: int = 1,
) -> tuple[Any, Callable[..., heedful.Gradients]]:
    """Attention over keys in chunks, together with its pullback.

    Parameters
    ----------
    query, key, value, mask, …, num_threads
        As in :func:`attention`.

    Returns
    -------
    out : dask.array.Array, or (out, lse)
        What :func:`attention` returns. It is computed, once, and persists where Dask puts it:
        the pullback needs it.
    pullback : callable
        ``pullback(dout, dlse=None)`` returns a :class:`heedful.Gradients` tuple (query, key, value,
        bias, sink) of dask arrays, computed on demand: together in ``dask.compute(*gradients)``, or
        those of key and value in chunks like key and value, to be stored without ever being in
        memory as a whole. Each has the type of its input; None for what was not given.

    Raises
    ------
    ImportError, ValueError, TypeError
        As :func:`attention` does.

    Notes
    -----
    With the merged out and lse each pair of chunks yields its part of all gradients, as
    :func:`heedful.attention_backward` describes. They add up in float32 where inputs have 16 bits.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from heedful.integrations.dask import attention_vjp
    >>> key = da.random.default_rng(0).standard_normal((1000, 4), chunks=(300, 4))
    >>> out, pullback = attention_vjp(np.eye(4), key, key)
    >>> pullback(np.ones((4, 4))).key.chunks
    ((300, 300, 300, 100), (4,))
    """
    tasks = Tasks(
        query, key, value, mask, bias, num_threads, causal=causal, window=window, align=align,
        q_lengths=q_lengths, kv_lengths=kv_lengths, scale=scale, softcap=softcap,
        alibi_slopes=alibi_slopes, sink=sink, layout=layout,
    )  # fmt: skip
    out, lse = persist(*tasks.forward(tasks.call.computing))

    def pullback(dout: Any, dlse: Any = None) -> heedful.Gradients:
        """Gradients of the inputs, from those of out and of lse."""
        return tasks.backward(dout, dlse, out, lse)

    rounded = out.astype(tasks.call.dtype)
    return ((rounded, lse) if return_lse else rounded), pullback
