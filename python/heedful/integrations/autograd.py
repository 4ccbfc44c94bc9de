"""heedful's functions for the package autograd: ``autograd.grad`` goes through them.

Needs the package autograd, 1.6 or newer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heedful._checks import generator

try:
    from autograd.extend import Box, defvjp_argnums, primitive
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "heedful.integrations.autograd needs the package autograd: pip install autograd",
        name="autograd",
    ) from None

from heedful import functional

__all__ = [
    "additive_attention", "attention", "attention_pool", "attention_varlen", "rotary_embedding",
]  # fmt: skip


def attention(
    query: Any, key: Any, value: Any, bias: Any = None, sink: Any = None, **options: Any
) -> Any:
    """:func:`heedful.attention`, differentiable by autograd.

    Parameters
    ----------
    query, key, value : array_like
        As in :func:`heedful.attention`: (…, H, Lq, D), (…, Hkv, Lk, D), (…, Hkv, Lk, Dv).
    bias, sink : array_like, optional
        As there, with gradients of their own.
    **options
        As there; without gradients. With dropout or noise, `rng` is drawn once for both passes.

    Returns
    -------
    out : array, or the tuple of `return_lse` and `return_weights`, all of which have gradients

    Raises
    ------
    ImportError
        When the module is imported: autograd is not installed.
    ValueError, TypeError
        As :func:`heedful.attention`; a TypeError for derivatives of gradients, which there are
        none of.

    Notes
    -----
    autograd is a package of Maclaurin, Duvenaud and Adams, https://github.com/HIPS/autograd. The
    backward pass computes the forward pass once more, as autograd gives it nothing but the result.

    Examples
    --------
    >>> import autograd
    >>> import autograd.numpy as anp
    >>> import numpy as np
    >>> from heedful.integrations.autograd import attention
    >>> def loss(query, key, value):
    ...     return anp.sum(anp.tanh(attention(query, key, value, causal=True)) ** 2)
    >>> query, key, value = np.random.default_rng(0).standard_normal((3, 2, 5, 4))
    >>> autograd.grad(loss)(query, key, value).shape
    (2, 5, 4)
    """
    return _attention(query, key, value, bias, sink, **_seeded(options))


def attention_varlen(
    query: Any, key: Any, value: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, **options: Any
) -> Any:
    """:func:`heedful.attention_varlen`, packed sequences; gradients of query, key and value."""
    return _varlen(query, key, value, cu_seqlens_q, cu_seqlens_k, **_seeded(options))


def additive_attention(query: Any, key: Any, value: Any, weight: Any, **options: Any) -> Any:
    """:func:`heedful.additive_attention`; gradients of query, key, value and weight."""
    return _additive(query, key, value, weight, **_seeded(options))


def attention_pool(x: Any, query: Any, key: Any = None, **options: Any) -> Any:
    """:func:`heedful.attention_pool`, the mean of x weighed by a query; gradients of all three."""
    return _pool(x, query, key, **options)


def rotary_embedding(x: Any, positions: Any = None, **options: Any) -> Any:
    """:func:`heedful.rotary_embedding`; the gradient of x."""
    return _rotary(x, positions, **options)


Pulled = tuple[Any, Callable[..., Any]]


def _primitive(name: str, vjp: Callable[..., Pulled]) -> Callable[..., Any]:
    """A primitive of autograd, from a function that returns a result and its pullback.

    `name` is that of the function, for messages.
    """

    def compute(*inputs: Any, **options: Any) -> Any:
        return vjp(*inputs, **options)[0]

    compute.__name__ = name
    function: Callable[..., Any] = primitive(compute)

    def gradients(
        places: tuple[int, ...], result: Any, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> Callable[[Any], tuple[Any, ...]]:
        def pull(dresult: Any) -> tuple[Any, ...]:
            if any(isinstance(given, Box) for given in (*inputs, dresult)):
                raise TypeError(f"{name} has no derivatives of its gradients")
            _, pullback = vjp(*inputs, **options)
            dresults = dresult if isinstance(dresult, tuple) else (dresult,)
            found = pullback(*dresults)
            return tuple(found[place] for place in places)

        return pull

    defvjp_argnums(function, gradients)
    return function


def _seeded(options: dict[str, Any]) -> dict[str, Any]:
    """The seed drawn now, as the backward pass computes the same once more."""
    random = ("dropout_p", "key_dropout_p", "gumbel_temperature")
    if any(options.get(name) for name in random) and not isinstance(options.get("rng"), int):
        options["rng"] = int(generator(options.get("rng")).integers(0, 2**63))
    if "out" in options:
        raise TypeError("out is not an option where gradients are recorded")
    return options


def _named(pullback: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """A pullback of the results that were asked for, in their order."""
    asked = [f"d{word}" for word in ("lse", "weights") if options.get(f"return_{word}")]

    def pull(dout: Any, *more: Any) -> Any:
        return pullback(dout, **dict(zip(asked, more, strict=True)))

    return pull


def _attention_vjp(
    query: Any, key: Any, value: Any, bias: Any, sink: Any, **options: Any
) -> Pulled:
    out, pullback = functional.attention_vjp(query, key, value, bias=bias, sink=sink, **options)
    return out, _named(pullback, options)


def _varlen_vjp(
    query: Any, key: Any, value: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, **options: Any
) -> Pulled:
    out, pullback = functional.attention_varlen_vjp(
        query, key, value, cu_seqlens_q, cu_seqlens_k, **options
    )
    return out, _named(pullback, options)


def _additive_vjp(query: Any, key: Any, value: Any, weight: Any, **options: Any) -> Pulled:
    out, pullback = functional.additive_attention_vjp(query, key, value, weight, **options)
    return out, _named(pullback, options)


def _pool_vjp(x: Any, query: Any, key: Any, **options: Any) -> Pulled:
    out, pullback = functional.attention_pool_vjp(x, query, key=key, **options)
    return out, lambda *dys: pullback(*dys)


def _rotary_vjp(x: Any, positions: Any, **options: Any) -> Pulled:
    back = {**options, "inverse": not options.get("inverse", False)}
    return functional.rotary_embedding(x, positions, **options), (
        lambda dy: (functional.rotary_embedding(dy, positions, **back),)
    )


_attention = _primitive("attention", _attention_vjp)
_varlen = _primitive("attention_varlen", _varlen_vjp)
_additive = _primitive("additive_attention", _additive_vjp)
_pool = _primitive("attention_pool", _pool_vjp)
_rotary = _primitive("rotary_embedding", _rotary_vjp)
