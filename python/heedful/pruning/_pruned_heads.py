"""What was pruned from a model: which heads, and its state with these heads again."""

from __future__ import annotations

import os
from typing import Any

from heedful._checks import named
from heedful.base._tree import dotted
from heedful.base._types import Array
from heedful.layers import Layer, MultiHeadAttention
from heedful.pruning._head_places import first_heads, first_sizes
from heedful.training.files._pruned_heads import heads_of, read_heads


def pruned_heads(source: Layer | str | os.PathLike[str]) -> dict[str, list[int]]:
    """The heads that were removed from a model, or from the model of a file of weights.

    Parameters
    ----------
    source : Layer, str or path
        A model; or a file that :func:`heedful.training.save_weights` or
        :func:`heedful.training.save_training` wrote, which remembers the heads.

    Returns
    -------
    dict of lists of int
        What :func:`prune_heads` takes for a model that was made alike and from which nothing was
        pruned: the names of the layers, and the numbers of the heads before any was removed. Empty
        where nothing was pruned.

    Raises
    ------
    TypeError
        Neither a layer nor a path.
    ValueError
        A file whose text about heads is damaged.
    safetensors.SafetensorError
        A file that is not a safetensors file.

    Examples
    --------
    >>> import os, tempfile
    >>> from heedful.layers import MultiHeadAttention
    >>> from heedful.pruning import prune_heads, pruned_heads
    >>> from heedful.training import load_weights, save_weights
    >>> layer = prune_heads(MultiHeadAttention(8, 4, rng=0), {"": [1, 2]})
    >>> pruned_heads(layer)
    {'': [1, 2]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "layer.safetensors")
    ...     save_weights(layer, path)
    ...     other = prune_heads(MultiHeadAttention(8, 4), pruned_heads(path))
    ...     load_weights(other, path)
    Mismatch(missing=[], unexpected=[])
    """
    if isinstance(source, Layer):
        return heads_of(source)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source must be a layer or a path: got {named(source)}")
    return read_heads(source)


def unpruned_state_dict(model: Layer) -> dict[str, Array]:
    """The state of a model with the heads that were removed, whose parameters are 0.

    It loads into the model from which they were removed, here or in PyTorch, which then computes
    what the pruned one computes, without its speed: PyTorch's ``nn.MultiheadAttention`` requires
    that H heads of width D make up E = H · D.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    dict of numpy.ndarray
        As ``model.state_dict()``.

    Raises
    ------
    TypeError
        A model that is not a layer.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import MultiHeadAttention
    >>> from heedful.pruning import prune_heads, unpruned_state_dict
    >>> layer = MultiHeadAttention(8, 4, rng=0)
    >>> pruned = prune_heads(layer, {"": [1, 2]})
    >>> layer.load_state_dict(unpruned_state_dict(pruned))
    Mismatch(missing=[], unexpected=[])
    >>> x = np.ones((3, 5, 8), np.float32)
    >>> bool(np.allclose(layer(x), pruned(x), atol=1e-6))
    True
    """
    if not isinstance(model, Layer):
        raise TypeError(f"model must be a layer: got {named(model)}")
    state: dict[str, Any] = model.state_dict()
    for name, layer in model.named_layers():
        if isinstance(layer, MultiHeadAttention) and layer.pruned_heads:
            for inside, place in first_heads(layer).places(first_sizes(layer)).items():
                own = dotted(name, inside)
                if own in state:
                    state[own] = place.spread(state[own])
    return state
