"""One call of attention as an operator of PyTorch takes it: tensors, then plain values."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from heedful.integrations.torch._block_masks import numbered_as
from heedful.integrations.torch._tensors import Tensor, as_array

NO_LIMIT = -1


class Tensors(NamedTuple):
    """Query, key and value have equally many axes, three at least; the others are as given."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    bias: Tensor | None
    alibi_slopes: Tensor | None
    sink: Tensor | None
    alphas: Tensor | None  # of a normalizer with one for each head
    q_lengths: Tensor | None
    kv_lengths: Tensor | None
    offsets: Tensor | None  # of align, one for each item
    seed: Tensor | None  # int64, without axes; None: nothing is random


class Values(NamedTuple):
    """What PyTorch's schemas can hold."""

    causal: bool
    left: int  # of the window
    right: int
    exclude_self: bool
    align: str  # "": None, "offset": the next value, "offsets": the tensor
    offset: int
    block_mask: int  # see _block_masks
    min_weight: float
    top_k: int  # −1: all keys
    alpha: float  # of α-entmax; 1: softmax
    scale: float | None
    softcap: float | None
    dropout_p: float
    key_dropout_p: float
    gumbel_temperature: float | None
    layout: str
    weights: bool  # whether they are returned,
    average: bool  # as their mean over the heads
    gradients: bool  # whether they may follow,
    bias_gradient: bool  # that of the bias, too


TENSORS = ", ".join(
    f"Tensor{'' if name in ('query', 'key', 'value') else '?'} {name}" for name in Tensors._fields
)
VALUES = (
    "bool causal, SymInt left, SymInt right, bool exclude_self, str align, SymInt offset, "
    "int block_mask, float min_weight, SymInt top_k, float alpha, float? scale, float? softcap, "
    "float dropout_p, "
    "float key_dropout_p, float? gumbel_temperature, str layout, bool weights, bool average, "
    "bool gradients, bool bias_gradient"
)
# those that have gradients, in the order of the backward operator's results
DIFFERENTIABLE = ("query", "key", "value", "bias", "sink", "alphas")


def split(arguments: tuple[Any, ...]) -> tuple[Tensors, Values]:
    """Tensors and values from an operator's arguments."""
    count = len(Tensors._fields)
    return Tensors(*arguments[:count]), Values(*arguments[count:])


def is_softmax(tensors: Tensors, values: Values) -> bool:
    """Whether weights are made by softmax, and rows have a log-sum-exp."""
    return tensors.alphas is None and values.alpha == 1


def differentiable(tensors: Tensors, values: Values) -> dict[str, Tensor | None]:
    """The tensors in the order of their gradients; None for one that has none."""
    found = {name: getattr(tensors, name) for name in DIFFERENTIABLE}
    return found if values.bias_gradient else {**found, "bias": None}


def options(tensors: Tensors, values: Values) -> dict[str, Any]:
    """The keyword arguments of heedful's functions."""
    arrays = {
        name: as_array(name, tensor)
        for name, tensor in tensors._asdict().items()
        if tensor is not None
    }
    for name in ("query", "key", "value"):
        del arrays[name]
    found: dict[str, Any] = {
        name: arrays[name]
        for name in ("mask", "bias", "alibi_slopes", "sink", "q_lengths", "kv_lengths")
        if name in arrays
    }
    limits = (values.left, values.right)
    if limits != (NO_LIMIT, NO_LIMIT):
        found["window"] = tuple(None if side == NO_LIMIT else side for side in limits)
    if values.align:
        found["align"] = {"offset": values.offset, "offsets": arrays.get("offsets")}.get(
            values.align, values.align
        )
    if not is_softmax(tensors, values):
        found["normalizer"] = arrays.get("alphas", values.alpha)
    if values.top_k != NO_LIMIT:
        found["top_k"] = values.top_k
    if "seed" in arrays:
        found["rng"] = int(arrays["seed"]) % 2**64
    for name in ("causal", "exclude_self", "min_weight", "scale", "softcap", "dropout_p",
                 "key_dropout_p", "gumbel_temperature", "layout"):  # fmt: skip
        found[name] = getattr(values, name)
    found["block_mask"] = numbered_as(values.block_mask)
    return found


def batch(tensors: Tensors) -> tuple[int, ...]:
    """The leading axes of the result."""
    return tuple(
        torch.broadcast_shapes(
            tensors.query.shape[:-3], tensors.key.shape[:-3], tensors.value.shape[:-3]
        )
    )


def sizes(tensors: Tensors, values: Values) -> tuple[int, int, int, int]:
    """(H, Lq, Lk, Dv)."""
    heads, length = (-3, -2) if values.layout == "bhld" else (-2, -3)
    query, key, value = tensors.query.shape, tensors.key.shape, tensors.value.shape
    return query[heads], query[length], key[length], value[-1]
