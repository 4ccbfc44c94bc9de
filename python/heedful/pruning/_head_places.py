"""Where the heads of an attention layer are in its parameters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.layers import MultiHeadAttention
from heedful.layers.attention._head_sizes import HeadSizes


class Place(NamedTuple):
    """Of some heads, the indices along one axis of a parameter, which has `length` there."""

    axis: int
    indices: Array
    length: int

    def taken(self, array: Array) -> Array:
        """These heads of a parameter with all."""
        return np.ascontiguousarray(np.take(array, self.indices, self.axis))

    def spread(self, array: Array) -> Array:
        """A parameter with all heads: those given, and 0 for the others."""
        shape = (*array.shape[: self.axis], self.length, *array.shape[self.axis + 1 :])
        whole = np.zeros(shape, array.dtype)
        whole[(slice(None),) * self.axis + (self.indices,)] = array
        return whole


class Heads(NamedTuple):
    """Some heads of a layer, by ascending numbers: those of queries, and of keys and values."""

    heads: Array
    kv_heads: Array

    def places(self, sizes: HeadSizes) -> dict[str, Place]:
        """Their places in every parameter of a layer of these sizes that has heads."""
        depth = sizes.depth
        wide, narrow = sizes.num_heads * depth, sizes.num_kv_heads * depth
        q, kv = _columns(self.heads, depth), _columns(self.kv_heads, depth)
        joint = np.concatenate([q, wide + kv, wide + narrow + kv])
        stacked = Place(0, joint, wide + 2 * narrow)
        return {
            "in_proj_weight": stacked,
            "in_proj_bias": stacked,
            "q_proj_weight": Place(0, q, wide),
            "k_proj_weight": Place(0, kv, narrow),
            "v_proj_weight": Place(0, kv, narrow),
            "sink": Place(0, self.heads, sizes.num_heads),
            "alpha_logits": Place(0, self.heads, sizes.num_heads),
            "span": Place(0, self.heads, sizes.num_heads),
            "logit_scale": Place(0, self.heads, sizes.num_heads),
            "out_proj.weight": Place(1, q, wide),
        }


def _columns(heads: Array, depth: int) -> Array:
    """The features of heads: D for each."""
    columns: Array = (heads[:, None] * depth + np.arange(depth)).ravel()
    return columns


def sizes_of(layer: MultiHeadAttention) -> HeadSizes:
    return HeadSizes(layer.num_heads, layer.num_kv_heads, layer.depth)


def first_sizes(layer: MultiHeadAttention) -> HeadSizes:
    """Those before anything was pruned."""
    return HeadSizes(
        layer.num_heads + len(layer.pruned_heads),
        layer.num_kv_heads + len(layer.pruned_kv_heads),
        layer.depth,
    )


def first_heads(layer: MultiHeadAttention) -> Heads:
    """The heads that a layer has, by their numbers before anything was pruned."""
    first = first_sizes(layer)
    return Heads(
        np.setdiff1d(np.arange(first.num_heads), layer.pruned_heads),
        np.setdiff1d(np.arange(first.num_kv_heads), layer.pruned_kv_heads),
    )
