"""ring_attention and ring_attention_vjp: attention over a sequence divided among processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import heedful
from heedful.integrations._key_pieces import narrowed
from heedful.integrations.mpi._ring_call import RingCall

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from heedful.functional._option_types import Align, LayoutName, Window


def ring_attention(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    comm: Any = None,
    positions: ArrayLike | None = None,
    query_positions: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
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
) -> Any:
    """Attention of this process's queries over the keys of all processes.

    ::

        out_r, lse_r = attention(query, key_r, value_r)        the keys of process r
        lse = log Σ_r exp(lse_r)        out = Σ_r exp(lse_r − lse) · out_r

    Keys and values go round a ring, and travel while the previous ones are computed on. No
    process holds more than its own share and two others.

    Parameters
    ----------
    query, key, value : array_like
        As in :func:`heedful.attention`, of two axes at least: this process's rows of the sequence.
        Shares may differ in length, and be empty.
    comm : mpi4py.MPI.Comm, optional
        The processes that share the sequence; None is all of them.
    positions : array_like of int, optional
        Where the rows of key and value are in the whole sequence, and those of query too. In
        consecutive runs, as :func:`ring_share` returns them, each of which is a call of its own.
        None: the shares follow one another.
    query_positions : array_like of int, optional
        Where the rows of query are, if elsewhere.
    mask, bias : array_like, optional
        For this process's queries and all keys, in the order of their positions: they broadcast to
        (B…, H, Lq, keys of all).
    causal, window, align, q_lengths, kv_lengths, scale, softcap, alibi_slopes, sink, layout
        As in :func:`heedful.attention`, the same in all processes; positions and lengths are those
        in the whole sequence.
    return_lse : bool, default False
        Return (out, lse).

    Returns
    -------
    out : numpy.ndarray, (B…, H, Lq, Dv), or (B…, Lq, H, Dv) with "blhd"
        Of this process's queries.
    lse : numpy.ndarray, (B…, H, Lq), if `return_lse`

    Raises
    ------
    ImportError
        mpi4py is not installed.
    ValueError, TypeError
        As :func:`heedful.attention` does, in all processes if in one. Positions that are not those
        of a whole sequence, or keys of different types or heads.

    Notes
    -----
    All processes must call it. Each sends (n − 1) / n of all keys and values, n the number of
    processes; fewer where a window ends earlier. Pairs of runs that are hidden are not computed.
    Shares that follow one another leave the first process idle most of the time where attention is
    causal: take :func:`ring_share`. On one machine divide the processors, with
    :func:`heedful.set_num_threads`.

    Between two calls of attention MPI is asked to go on with its transfers. Most MPIs copy large
    messages only then, unless the network does so by itself: MPICH with MPICH_ASYNC_PROGRESS=1.

    Ring: Liu et al. 2023, https://arxiv.org/abs/2310.01889. Balance: Brandon et al. 2023,
    https://arxiv.org/abs/2311.09431, and Llama 3, 2024, https://arxiv.org/abs/2407.21783, whose
    order of parts this is.

    Examples
    --------
    ::

        from heedful.integrations.mpi import ring_attention, ring_share

        heedful.set_num_threads(1)
        mine = ring_share(length)
        query, key, value = (array[:, :, mine] for array in …)     # memory-mapped files, say
        out = ring_attention(query, key, value, positions=mine, causal=True)
    """
    call = RingCall(
        comm, query, key, value, positions, query_positions, mask, bias, causal=causal,
        window=window, align=align, q_lengths=q_lengths, kv_lengths=kv_lengths, scale=scale,
        softcap=softcap, alibi_slopes=alibi_slopes, sink=sink, layout=layout,
    )  # fmt: skip
    out, lse = call.ring.forward()
    out = narrowed(out, call.pieced.dtype)
    return (out, lse) if return_lse else out


def ring_attention_vjp(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    comm: Any = None,
    positions: ArrayLike | None = None,
    query_positions: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
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
) -> tuple[Any, Callable[..., heedful.Gradients]]:
    """Attention over the keys of all processes, together with its pullback.

    Parameters
    ----------
    query, key, value, comm, …, return_lse
        As in :func:`ring_attention`.

    Returns
    -------
    out : numpy.ndarray, or (out, lse)
        What :func:`ring_attention` returns.
    pullback : callable
        ``pullback(dout, dlse=None)``, which all processes must call, returns a
        :class:`heedful.Gradients` tuple (query, key, value, bias, sink) for the rows of this
        process, of the shape and type of its inputs. What all processes share, a sink and a bias
        of one row for all queries, has the same gradient in all: the sum over all queries.

    Raises
    ------
    ImportError, ValueError, TypeError
        As :func:`ring_attention` does.

    Notes
    -----
    Keys and values go round once more, their gradients one step behind them; both travel while
    the next gradients are computed. The gradients are of the type that is computed in: float32 for
    16-bit inputs, twice as many bytes. Of the forward pass out and lse are kept.

    Examples
    --------
    ::

        out, pullback = ring_attention_vjp(query, key, value, positions=mine, causal=True)
        gradients = pullback(dout)          # gradients.key: of this process's keys
    """
    call = RingCall(
        comm, query, key, value, positions, query_positions, mask, bias, causal=causal,
        window=window, align=align, q_lengths=q_lengths, kv_lengths=kv_lengths, scale=scale,
        softcap=softcap, alibi_slopes=alibi_slopes, sink=sink, layout=layout,
    )  # fmt: skip
    out, lse = call.ring.forward()

    def pullback(dout: Any, dlse: Any = None) -> heedful.Gradients:
        """Gradients of the inputs, from those of out and of lse."""
        return call.backward(dout, dlse, out, lse)

    rounded = narrowed(out, call.pieced.dtype)
    return ((rounded, lse) if return_lse else rounded), pullback
