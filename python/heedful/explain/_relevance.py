"""relevance: attention weights times their gradients, accumulated over the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._given_map import as_map, check_whole, weights_of
from heedful.explain._layer_weights import LayerWeights

Pair = tuple[str, str]


def relevance(
    weights: Any, gradients: Any, *, sequences: Sequence[Pair] | None = None
) -> AttentionMap:
    """Relevance of input tokens to each token, from attention weights and their gradients.

    Of self-attention, with R = I before the first layer::

        A = mean over heads of max(gradients · weights, 0)
        R ← R + A R

    With several sequences, those of a model with encoder and decoder or with co-attention, R[s, s]
    is I and R[s, q] is 0 before the first layer. A layer with queries of s and keys of s::

        R[s, x] ← R[s, x] + A R[s, x]      for each sequence x

    and one with queries of s and keys of q ≠ s::

        R[s, q] ← R[s, q] + N(R[s, s])ᵀ A N(R[q, q])
        R[s, s] ← R[s, s] + A R[q, s]

    where N divides the rows of R − I by their sums and adds I.

    Parameters
    ----------
    weights : AttentionMap, array_like (layer, H, L, L), or list of array_like (H, Lq, Lk)
        All queries and keys, in the order of the computation.
    gradients : AttentionMap, array_like (layer, H, L, L), or list of array_like (H, Lq, Lk)
        Of the same shapes: d target / d weights, the target being a model's score that is to be
        explained, such as the logit of a class.
    sequences : sequence of (str, str), optional
        Names of the sequences of queries and of keys of each layer, such as ("target", "source");
        None: all layers are self-attention of one sequence. Two layers one after the other with
        (s, q) and (q, s) are computed from the same R, as co-attention is.

    Returns
    -------
    AttentionMap
        float64; R in one layer, "relevance", (1, L, L), or with `sequences` in a layer for each
        pair, named "target/source". Row i is the relevance of the tokens to token i: that whose
        output the target is, such as the first where [CLS] is classified. It is no share: rows do
        not sum to 1, and I is in R[s, s].

    Raises
    ------
    ValueError
        Gradients of other shapes, layers with selected queries or keys, or sequences whose lengths
        differ from layer to layer.

    Notes
    -----
    Chefer et al. 2021, https://arxiv.org/abs/2103.15679, equations 5 to 11. A row of R − I that is
    0 stays 0 in N.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import relevance
    >>> weights = np.array([[[[0.5, 0.5], [0.0, 1.0]]]])
    >>> gradients = np.array([[[[-1.0, 2.0], [0.0, 0.0]]]])
    >>> relevance(weights, gradients)[0].weights[0]
    array([[1., 1.],
           [0., 1.]])
    """
    attention_map = weights_of(weights)
    slopes = as_map("gradients", gradients)
    if [one.weights.shape for one in slopes] != [one.weights.shape for one in attention_map]:
        raise ValueError(
            f"gradients must be of the shapes of weights, {_shapes(attention_map)}: "
            f"got {_shapes(slopes)}"
        )
    pairs = [("", "")] * len(attention_map) if sequences is None else _checked(sequences)
    if len(pairs) != len(attention_map):
        raise ValueError(
            f"sequences must have one pair for each of {len(attention_map)} layers: "
            f"got {len(pairs)}"
        )
    tokens = _tokens(attention_map, pairs)
    positive = [
        np.maximum(layer.weights.astype(np.float64) * slope.weights, 0).mean(0)
        for layer, slope in zip(attention_map, slopes, strict=True)
    ]
    found = _accumulated(positive, pairs, {name: len(of) for name, of in tokens.items()})
    return AttentionMap(
        [
            LayerWeights(
                "relevance" if sequences is None else f"{query}/{key}", array[None], (),
                tuple(range(len(array))), tokens[query], tokens[key], is_self=query == key,
            )
            for (query, key), array in found.items()
        ]
    )  # fmt: skip


def _accumulated(
    positive: Sequence[Array], pairs: Sequence[Pair], lengths: dict[str, int]
) -> dict[Pair, Array]:
    found = {
        (s, q): np.eye(lengths[s]) if s == q else np.zeros((lengths[s], lengths[q]))
        for s in lengths
        for q in lengths
    }
    number = 0
    while number < len(pairs):
        s, q = pairs[number]
        together = 2 if s != q and list(pairs[number + 1 : number + 2]) == [(q, s)] else 1
        changes: dict[Pair, Array] = {}
        for one in range(number, number + together):
            changes |= _change(found, positive[one], *pairs[one])
        for pair, change in changes.items():
            found[pair] = found[pair] + change
        number += together
    return found


def _change(found: dict[Pair, Array], a: Array, s: str, q: str) -> dict[Pair, Array]:
    """What a layer adds; two layers of co-attention add to different sequences."""
    if s == q:
        return {pair: a @ array for pair, array in found.items() if pair[0] == s}
    across = _normalized(found[s, s]).T @ a @ _normalized(found[q, q])
    return {(s, q): across, (s, s): a @ found[q, s]}


def _normalized(relevance_within: Array) -> Array:
    eye = np.eye(len(relevance_within))
    others = relevance_within - eye
    total = others.sum(-1, keepdims=True)
    normalized: Array = others / np.where(total > 0, total, 1) + eye
    return normalized


def _tokens(attention_map: AttentionMap, pairs: Sequence[Pair]) -> dict[str, tuple[str, ...]]:
    """Those of each sequence, which every layer must have alike."""
    found: dict[str, tuple[str, ...]] = {}
    for layer, (s, q) in zip(attention_map, pairs, strict=True):
        if s == q:
            check_whole(layer)
        sides = ((s, layer.rows, layer.query_tokens), (q, layer.key_positions, layer.key_tokens))
        for name, positions, tokens in sides:
            first = found.setdefault(name, tokens)
            if positions != tuple(range(len(first))):
                raise ValueError(
                    f"weights must be of all {len(first)} positions of sequence {name!r}: "
                    f"got {len(positions)} in layer {layer.name!r}"
                )
    return found


def _checked(sequences: Any) -> list[Pair]:
    pairs = []
    for pair in sequences:
        if not isinstance(pair, (tuple, list)) or list(map(type, pair)) != [str, str]:
            raise TypeError(
                f'sequences must be pairs of names such as ("target", "source"): got {named(pair)}'
            )
        pairs.append((pair[0], pair[1]))
    return pairs


def _shapes(attention_map: AttentionMap) -> str:
    return ", ".join(str(layer.weights.shape) for layer in attention_map)
