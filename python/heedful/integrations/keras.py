"""Attention of Keras on its NumPy backend, computed by heedful.

Needs the packages keras, scipy and jax, which Keras' NumPy backend imports, and
KERAS_BACKEND=numpy before keras is first imported.
"""

from __future__ import annotations

import inspect
from typing import Any

from heedful._checks import is_bfloat16
from heedful.functional import attention

__all__ = ["patch", "restore"]

_NAME = "dot_product_attention"
_PARAMETERS = (
    "query", "key", "value", "bias", "mask", "scale", "is_causal", "flash_attention",
    "attn_logits_soft_cap",
)  # fmt: skip
_WANTED = (
    "keras must have the NumPy backend, by KERAS_BACKEND=numpy in the environment before its first "
    "import"
)
_originals: list[Any] = []  # Keras' function while it is replaced


def patch() -> None:
    """Let heedful compute ``keras.ops.dot_product_attention`` on the NumPy backend.

    ::

        out = softmax(scale · query keyᵀ + bias) value        (B, T, N, H) · (B, S, N, H)

    Layers that call it are reached with it: MultiHeadAttention and GroupQueryAttention without
    dropout and without return_attention_scores, and models made of them, also those built before.
    A second call changes nothing.

    Raises
    ------
    ImportError
        keras is not installed, or scipy or jax, which its NumPy backend imports.
    RuntimeError
        Another backend than NumPy, or a version of Keras whose function has other parameters than
        those known here. Nothing is changed then.

    Notes
    -----
    Keras has no place to register such a function: an attribute of a private module,
    keras.src.backend.numpy.nn, is replaced, and :func:`restore` puts it back. It was tested with
    Keras 3.15.

    Not reached are layers with dropout above 0, in inference, too, and calls with
    return_attention_scores=True: they compute their weights themselves. The heads of query may be a
    multiple of those of key and value, which Keras itself refuses. A query that mask leaves no key
    gives 0, where Keras gives the mean of all values. Inputs of different or integer types are
    left to Keras.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

    Examples
    --------
    ::

        import os
        os.environ["KERAS_BACKEND"] = "numpy"  # before the first import of keras

        from heedful.integrations import keras as heedful_keras

        heedful_keras.patch()
        model.predict(x)
        heedful_keras.restore()
    """
    module = _module()
    current = getattr(module, _NAME)
    if current is _dot_product_attention:
        return
    found = tuple(inspect.signature(current).parameters)
    if found != _PARAMETERS:
        raise RuntimeError(
            f"keras must have a {_NAME} of the parameters {', '.join(_PARAMETERS)}: "
            f"version {_keras().__version__} has {', '.join(found)}"
        )
    _originals[:] = [current]
    setattr(module, _NAME, _dot_product_attention)


def restore() -> None:
    """Put Keras' own function back; without :func:`patch` before, change nothing.

    Raises
    ------
    RuntimeError
        Something else has replaced the function since. Nothing is changed then.
    """
    if not _originals:
        return
    module = _module()
    if getattr(module, _NAME) is not _dot_product_attention:
        raise RuntimeError(
            f"keras must have the {_NAME} that patch() put there: it was replaced since, by "
            f"{getattr(module, _NAME)!r}"
        )
    setattr(module, _NAME, _originals.pop())


def _keras() -> Any:
    try:
        import keras
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "scipy", "jax"):  # what another backend needs
            raise RuntimeError(f"{_WANTED}: its import fails, {error}") from None
        raise ModuleNotFoundError(
            "heedful.integrations.keras needs the packages keras, scipy and jax, which Keras' "
            "NumPy backend imports: pip install keras scipy jax",
            name="keras",
        ) from None
    return keras


def _module() -> Any:
    backend = _keras().config.backend()
    if backend != "numpy":
        raise RuntimeError(f"{_WANTED}: got {backend!r}")
    from keras.src.backend.numpy import nn

    return nn


def _dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    convert = _keras().ops.convert_to_tensor
    query, key, value = convert(query), convert(key), convert(value)
    dtype = query.dtype
    floating = dtype.kind == "f" or is_bfloat16(dtype)
    if (
        flash_attention or not floating or {key.dtype, value.dtype} != {dtype}
        or {query.ndim, key.ndim, value.ndim} != {4}
    ):  # fmt: skip
        return _originals[0](  # which converts, or refuses in its own words
            query, key, value, bias, mask, scale, is_causal, flash_attention, attn_logits_soft_cap
        )
    return attention(
        query,
        key,
        value,
        mask=None if mask is None else convert(mask, "bool"),
        bias=None if bias is None else convert(bias, dtype),
        causal=bool(is_causal),
        align="upper_left",
        scale=scale,
        softcap=attn_logits_soft_cap,
        layout="blhd",
    )
