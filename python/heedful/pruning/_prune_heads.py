"""prune_heads: a model without some of its heads."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

import numpy as np

from heedful._checks import named
from heedful.base._tree import dotted
from heedful.layers import Layer, Linear, MultiHeadAttention, Parameter
from heedful.pruning._attention_layers import attention_layers
from heedful.pruning._head_choice import least_important, named_heads
from heedful.pruning._head_places import Heads, Place, first_heads, first_sizes, sizes_of
from heedful.training._trainer import Trainer

Model = TypeVar("Model", bound=Layer)


def prune_heads(model: Model, heads: Mapping[str, Any], *, fraction: float | None = None) -> Model:
    """A copy of a model without some heads; its projections are smaller, so it is faster.

    ::

        Wq, Wk, Wv lose D rows for each head, with their biases, and Wo loses D columns

    It computes what the model computes where these heads have outputs of 0.

    Parameters
    ----------
    model : Layer
        It is not changed.
    heads : mapping
        From the dotted names of :class:`MultiHeadAttention` layers to the numbers of the heads to
        remove, or with `fraction` to the importance of their heads, (H,), see
        :func:`head_importance`. Layers that are not in it keep their heads.
    fraction : float, optional
        At least 0 and below 1: the fraction of the heads of the layers in `heads`, rounded down,
        to remove, the least important ones. Numbers of all layers are compared, of equal ones the
        first is removed; every layer keeps a head.

    Returns
    -------
    Layer
        Of the same type. It can be trained: what is frozen remains frozen, and if the model was
        compiled, so is the copy, with the optimizer's state of what is left; gradients are cleared.
        Its :func:`pruned_heads` make another model the same shape, for its weights.

    Raises
    ------
    ValueError
        Names that are no attention layers, numbers that are no heads or occur twice, a layer
        without any head left, a fraction that leaves some layer without, importance of another
        shape or not finite. With grouped heads: groups that would be left with different numbers of
        heads; a layer whose parameters belong to another layer as well.
    TypeError
        A model that is no layer, heads that are no mapping or no integers, an output projection
        that is no Linear.

    Notes
    -----
    Michel, Levy and Neubig 2019, https://arxiv.org/abs/1905.10650. With grouped heads, a group that
    loses all of its heads of queries loses its head of keys and values too. `fraction` removes
    whole groups, by the mean importance of their heads, but single heads where all share one group.

    PyTorch's ``nn.MultiheadAttention`` requires H · D = E, which no longer holds unless the layer
    was made with another `head_dim`: see :func:`unpruned_state_dict`.

    Examples
    --------
    >>> from heedful.layers import Encoder
    >>> from heedful.pruning import prune_heads
    >>> model = Encoder(2, 8, 4, dff=16, rng=0)
    >>> pruned = prune_heads(model, {"layers.0.self_attn": [1, 3], "layers.1.self_attn": [0]})
    >>> [layer.self_attn.num_heads for layer in pruned.layers]
    [2, 3]
    >>> pruned.layers[0].self_attn.in_proj_weight.shape  # 3 · 2 heads · 2 features
    (12, 8)

    The less important half:

    >>> importance = {"layers.0.self_attn": [4, 1, 3, 2], "layers.1.self_attn": [0, 9, 8, 7]}
    >>> pruned = prune_heads(model, importance, fraction=0.5)
    >>> [layer.self_attn.pruned_heads for layer in pruned.layers]
    [(1, 2, 3), (0,)]
    """
    layers = attention_layers(model)
    if fraction is None:
        removed = named_heads(layers, heads)
    else:
        removed = least_important(layers, heads, fraction)
    left = {name: _left(name, layers[name], given) for name, given in removed.items() if given}
    for name in left:
        _check_owned(model, name, layers[name])
    pruned = deepcopy(model)
    copies = attention_layers(pruned)
    places: dict[str, Place] = {}
    for name, kept in left.items():
        found = kept.places(sizes_of(copies[name]))
        places |= {dotted(name, inside): place for inside, place in found.items()}
        _shrink(copies[name], kept, found)
    trainer = vars(pruned).get("_trainer")
    if isinstance(trainer, Trainer):
        for arrays in trainer.optimizer.state.values():
            for name in arrays.keys() & places.keys():
                arrays[name] = places[name].taken(arrays[name])
    return pruned


def _left(name: str, layer: MultiHeadAttention, removed: list[int]) -> Heads:
    """The heads that are left, by their present numbers."""
    heads = np.setdiff1d(np.arange(layer.num_heads), removed)
    size = layer.num_heads // layer.num_kv_heads
    groups, counts = np.unique(heads // size, return_counts=True)
    if (counts != counts[0]).any():
        raise ValueError(
            f"heads[{name!r}] must leave as many heads in each group of {size} that share keys and "
            f"values, or none: got {removed}"
        )
    return Heads(heads, groups)


def _check_owned(model: Layer, name: str, layer: MultiHeadAttention) -> None:
    """Require that the parameters to be pruned belong to one layer alone."""
    if not isinstance(layer.out_proj, Linear):
        raise TypeError(f"{dotted(name, 'out_proj')} must be a Linear: got {named(layer.out_proj)}")
    others = {
        id(own)
        for _, other in model.named_layers()
        if other not in (layer, layer.out_proj)
        for _, own in _own_and_projection(other)
    }
    for inside, own in layer.named_parameters():
        if id(own) in others:
            raise ValueError(
                f"heads[{name!r}] must be of a layer with parameters of its own: "
                f"{inside} is shared with another layer"
            )


def _own_and_projection(layer: Any) -> Any:
    whole = isinstance(layer, MultiHeadAttention)
    return layer.named_parameters() if whole else layer.parameters_here()


def _shrink(layer: MultiHeadAttention, left: Heads, places: dict[str, Place]) -> None:
    for inside, place in places.items():
        owner: Layer = layer.out_proj if inside == "out_proj.weight" else layer
        own = owner.own_parameters().get(inside.removeprefix("out_proj."))
        if own is not None:
            owner.own_parameters()[inside.removeprefix("out_proj.")] = _taken(own, place)
    first, sizes = first_heads(layer), first_sizes(layer)
    layer.pruned_heads = _others(sizes.num_heads, first.heads[left.heads])
    layer.pruned_kv_heads = _others(sizes.num_kv_heads, first.kv_heads[left.kv_heads])
    layer.num_heads, layer.num_kv_heads = len(left.heads), len(left.kv_heads)
    layer.out_proj.in_features = layer.num_heads * layer.depth
    slopes = layer.scores.alibi_slopes
    if slopes is not None:
        layer.scores = layer.scores._replace(alibi_slopes=slopes[left.heads])
    layer.penalties = {
        kind: weight[left.heads] if isinstance(weight, np.ndarray) else weight
        for kind, weight in layer.penalties.items()
    }


def _taken(own: Parameter, place: Place) -> Parameter:
    taken = Parameter(place.taken(own.value))
    taken.trainable, taken.regularizer = own.trainable, own.regularizer
    return taken


def _others(count: int, heads: Any) -> tuple[int, ...]:
    return tuple(int(head) for head in np.setdiff1d(np.arange(count), heads))
