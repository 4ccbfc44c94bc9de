"""relevance_map: the tokens that a model's result depends on, by attention and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import is_integer, named, numbers
from heedful.base._types import Array
from heedful.base._watch import Watch, WatchedCall
from heedful.explain._attention_map import AttentionMap
from heedful.explain._attention_map_of import attention_map, target_blocks
from heedful.explain._layer_choice import Patterns, as_layer, chosen_layers
from heedful.explain._relevance import relevance
from heedful.layers import Layer
from heedful.layers.attention._feature_importance import without_dropout


def relevance_map(
    model: Any,
    inputs: Any,
    target: Any = None,
    *,
    layers: Patterns = "*",
    tokens: Any = None,
    item: int = 0,
) -> AttentionMap:
    """What a result of a model depends on, by :func:`relevance` of its attention layers.

    ::

        score = y[item][target]          or  Σ target · y[item], for an array
        gradients = d score / d weights, of each attention layer

    Parameters
    ----------
    model : Layer or SentenceEncoder
    inputs, layers, tokens, item
        As in :func:`attention_map`. Layers are to be all between the input and the result, in which
        relevance accumulates; :class:`heedful.layers.FeatureAttention` is left out.
    target : int, tuple of int or array_like, optional
        The score that is to be explained: an index of ``y[item]``, such as the number of a class,
        or weights of all its entries, an array of its shape. None is the largest entry.

    Returns
    -------
    AttentionMap
        Of a model whose layers all read one sequence, one layer, "relevance", (1, L, L): row i is
        the relevance of the tokens to the output at position i. Average the rows where the model
        averages positions. With source and target, as in :class:`heedful.layers.Transformer`, the
        layers "source/source", "target/source", … of :func:`relevance`.

    Raises
    ------
    ValueError
        As :func:`attention_map`; a target that is not in the result; int8 weights.
    TypeError
        A model that returns more than one array.

    Notes
    -----
    Chefer et al. 2021, https://arxiv.org/abs/2103.15679. One forward and one backward pass of a
    copy of the model without dropout, and one pass for the map: gradients of the model itself are
    unchanged. Memory is that of all weights of the item: L² numbers for each layer and head.

    Examples
    --------
    >>> from heedful.explain import relevance_map
    >>> from heedful.layers import BertEncoder, GlobalAveragePooling, Linear, Sequential
    >>> model = Sequential(
    ...     BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0), GlobalAveragePooling(),
    ...     Linear(16, 3, rng=0),
    ... )
    >>> found = relevance_map(model, [[5, 6, 7]], target=2, tokens=["to", "be", "or"])
    >>> found["relevance"].weights.mean(1).shape  # of each token to the mean over the positions
    (1, 3)
    """
    names = list(chosen_layers(model, "layers", layers, without=("features",)))
    weights = attention_map(model, inputs, names, tokens=tokens, item=item)
    copy = without_dropout(as_layer(model))
    if not isinstance(model, Layer) and callable(getattr(model, "tokens", None)):
        text = inputs if isinstance(inputs, str) else list(inputs)[item]
        inputs, item = np.array([model.tokens(text)[0]]), 0
    chosen = chosen_layers(copy, "layers", names)
    with Watch(chosen, gradients=True, item=item) as seen:
        if isinstance(inputs, dict):
            y, backward = copy.forward(**inputs)
        else:
            y, backward = copy.forward(*(inputs if isinstance(inputs, tuple) else (inputs,)))
        backward(_gradient_of_score(y, item, target))
    gradients = [
        _of_map(call, layer.weights.shape, layer.rows)
        for call, layer in zip(seen.calls, weights, strict=True)
    ]
    return relevance(weights, gradients, sequences=_sequences(copy, seen.calls, chosen))


def _gradient_of_score(y: Any, item: int, target: Any) -> Array:
    if not isinstance(y, np.ndarray) or not 0 <= item < len(y):
        raise TypeError(f"model must return one array with an entry for each item: got {named(y)}")
    dy, own = np.zeros_like(y), np.asarray(y[item])
    index: tuple[Any, ...]
    if target is None:
        index = np.unravel_index(int(np.argmax(own)), own.shape)
    elif is_integer(target) or isinstance(target, tuple):
        index = target if isinstance(target, tuple) else (target,)
        if not all(map(is_integer, index)):
            raise TypeError(f"target must be an index of integers: got {named(target)}")
        inside = len(index) == own.ndim and all(
            -length <= at < length for at, length in zip(index, own.shape, strict=True)
        )
        if not inside:
            raise ValueError(
                f"target must be an index of a result of shape {own.shape}: got {target}"
            )
    else:
        array = numbers("target", target)
        if array.shape != own.shape:
            raise ValueError(
                f"target must be an index, or weights of shape {own.shape}: got shape {array.shape}"
            )
        dy[item] = array
        return dy
    place = (item, *index)
    dy[place] = 1
    return dy


def _of_map(call: WatchedCall, shape: tuple[int, ...], rows: tuple[int, ...]) -> Array:
    """The gradient (H, Lq, Lk) at the positions of the map, which has no padding."""
    if call.gradient is None:  # the result does not depend on it
        return np.zeros(shape)
    gradient = call.gradient[0] if call.gradient.ndim == 4 else call.gradient
    return gradient[:, list(rows), : shape[2]]


def _sequences(
    model: Layer, calls: list[WatchedCall], layers: dict[str, Any]
) -> list[tuple[str, str]] | None:
    """The sequences of queries and keys; None where there is only one."""
    targets = target_blocks(model, calls)
    pairs = []
    for call in calls:
        own = "target" if call.name.rpartition(".")[0] in targets else "source"
        if layers[call.name].score_kind == "pooling":  # learned queries are no sequence
            pairs.append((call.name, "source"))
        else:
            pairs.append((own, own if call.is_self else "source"))
    return pairs if set(pairs) - {("source", "source")} else None
