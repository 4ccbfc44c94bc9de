"""attention_prior: training that pulls the weights of attention toward a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import as_array, named, not_negative, numbers
from heedful.base._taps import Tap
from heedful.base._types import Array
from heedful.explain._layer_choice import Heads, Patterns, chosen_heads, chosen_layers
from heedful.explain._pair_axes import pair_axes
from heedful.explain._placement import Placement
from heedful.functional import attention_penalty

_OTHERS = ("linear", "additive", "relative", "features")
_WITHOUT = ("sink", "top_k", "log_mask", "normalizer")  # weights of a row do not come from softmax
_TAKEN = (
    "mask", "bias", "block_mask", "causal", "window", "exclude_self", "align", "q_lengths",
    "kv_lengths", "scale", "softcap", "alibi_slopes",
)  # fmt: skip


def attention_prior(
    model: Any,
    target: ArrayLike | None = None,
    *,
    inside: ArrayLike | None = None,
    among: ArrayLike | None = None,
    weight: float = 1.0,
    where: Patterns = "*",
    heads: Heads = None,
) -> AttentionPrior:
    """Train attention toward a target, or into a region, beside the loss.

    ::

        with attention_prior(model, inside=strokes, weight=0.1, where="2"):
            y, backward = model.forward(x)
            backward(dy)                            # gradients of loss + weight · divergence

        divergence = mean over queries, heads and items of

            Σ_j t_j (log t_j − log p_j)             for target t and weights p
            −log Σ_(j inside) p_j                   for a region
            −log Σ_(j inside) p_j / Σ_(j among) p_j for one that is preferred to the rest of those

    Parameters
    ----------
    model, where, heads
        As `model`, `layers` and `heads` of :func:`watch`: layers of ``MultiHeadAttention`` and
        ``AttentionPooling``.
    target : array_like of floats, optional
        Not negative: (Lk,), (Lq, Lk) or (B, H, Lq, Lk), each axis of which may be 1. Each row is
        divided by its sum; a row of zeros has no target and adds 0 to the mean.
    inside : array_like of bool, optional
        True at the keys that attention should be on, axes as of `target`; how it is spread among
        them is left to the model. A row without any has no region. Of a row with both, the target
        holds.
    among : array_like of bool, optional
        True at the keys that compete with those inside, which are among them, axes as of `target`:
        the weight of other keys is left as it is. None, and rows without any: all keys.
    weight : float, default 1

    Returns
    -------
    AttentionPrior
        To be used in a ``with``. Its attribute `divergence` is that of each layer's latest call in
        training by the layer's name, without `weight`. In inference it does nothing.

    Raises
    ------
    ValueError
        Neither target nor region, `among` without a region, negative or not finite numbers, layers
        and heads that do not exist. At a call: shapes that do not match a layer's scores, layers
        with another normalizer than softmax, top_k, a sink or an adaptive span.
    TypeError
        A region that is not boolean.

    Notes
    -----
    A region is the target p inside it, divided by its sum, of which the gradient of the scores is
    that of −log Σ p: p − t; those `among` have one too, and its divergence is subtracted: the loss
    of Bradley and Terry for one preferred to another. Gradients are those of
    :func:`heedful.attention_penalty`, computed in the backward pass of the layer, and exact; the
    loss that ``fit`` prints is without the divergence.

    Supervised attention: Liu et al. 2016, https://arxiv.org/abs/1609.04186; with explanations
    given by people: Ross et al. 2017, https://arxiv.org/abs/1703.03717.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import attention_prior
    >>> from heedful.layers import AttentionPooling
    >>> model, x = AttentionPooling(8, rng=0), np.eye(5, 8, dtype=np.float32)[None]
    >>> with attention_prior(model, inside=[False, True, True, False, False]) as prior:
    ...     y, backward = model.forward(x)
    ...     dx = backward(np.zeros_like(y))
    >>> share = model(x, return_weights=True)[1][0, 1:3].sum()
    >>> bool(np.isclose(prior.divergence[""], -np.log(share)))
    True
    """
    found = chosen_layers(model, "where", where, without=_OTHERS)
    if target is None and inside is None:
        raise ValueError("target or inside must be given: got neither")
    if among is not None and inside is None:
        raise ValueError("inside must be given with among: got None")
    return AttentionPrior(
        found, chosen_heads(found, heads), _target(target), _keys("inside", inside),
        _keys("among", among), not_negative("weight", weight),
    )  # fmt: skip


class AttentionPrior(Tap):
    """A tap that adds a divergence to the gradients of training, see :func:`attention_prior`.

    Attributes
    ----------
    divergence : dict of str to float
        Of the latest call of each layer that was propagated back.
    """

    heads: Mapping[str, tuple[int, ...]] | None
    weight: float
    target: Array | None
    inside: Array | None
    among: Array | None

    def __init__(
        self, layers: Mapping[str, Any], heads: Mapping[str, tuple[int, ...]] | None,
        target: Array | None, inside: Array | None, among: Array | None, weight: float,
    ) -> None:  # fmt: skip
        super().__init__(layers)
        self.heads, self.weight = heads, weight
        self.target, self.inside, self.among = target, inside, among
        self.divergence: dict[str, float] = {}

    def see(self, call: Any) -> None:
        """Refuses before anything is computed."""
        if call.training:
            self._placed(call)
            for option in _WITHOUT:
                given = call.options.get(option)
                if given is not None and not (option == "normalizer" and given == "softmax"):
                    what = "adaptive_span" if option == "log_mask" else option
                    raise ValueError(
                        f"where must be layers whose weights are a softmax of all keys: "
                        f"{self.name_of(call.layer)!r} has {what}"
                    )

    def query_key_gradients(self, call: Any) -> tuple[Array, Array] | None:
        target, inside, among = self._placed(call)

        def wanted(part: slice) -> Array:
            goal = None if target is None else _part(target, part)
            if inside is None:
                assert goal is not None
                return goal
            within = _within(_weights(call, part), _part(inside, part))
            if goal is None:
                return within
            return np.where(goal.any(-1, keepdims=True), goal, within)

        def competing(part: slice) -> Array:
            assert inside is not None
            assert among is not None
            regions = _part(inside, part).any(-1, keepdims=True)
            if target is not None:
                regions = regions & ~_part(target, part).any(-1, keepdims=True)
            return _within(_weights(call, part), _part(among, part) & regions)

        value, dquery, dkey = self._toward(call, wanted, self.weight)
        if among is not None:
            among_value, among_dquery, among_dkey = self._toward(call, competing, -self.weight)
            value, dquery, dkey = value - among_value, dquery + among_dquery, dkey + among_dkey
        self.divergence[self.name_of(call.layer)] = value
        return dquery, dkey

    def _toward(self, call: Any, rows: Any, weight: float) -> tuple[float, Array, Array]:
        """The divergence from a target, by a function of rows, and `weight` times its gradients."""
        options = {name: call.options[name] for name in _TAKEN if name in call.options}
        value, pullback = attention_penalty(
            call.query, call.key, "target", target=rows, layout="blhd", **options
        )
        dquery, dkey = pullback(weight)[:2]
        return value, dquery, dkey

    def _placed(self, call: Any) -> tuple[Array | None, Array | None, Array | None]:
        name = self.name_of(call.layer)
        placement = Placement.of(call, name, None if self.heads is None else self.heads[name])
        target = inside = among = None
        if self.target is not None:
            kind = call.query.dtype.type
            target = placement.placed("target", self.target.astype(kind), kind(0))
        if self.inside is not None:
            inside = placement.placed("inside", self.inside, False)
        if self.among is not None:
            among = placement.placed("among", self.among, False)
            assert inside is not None
            inside = inside & (among | ~among.any(-1, keepdims=True))
        return target, inside, among


def _weights(call: Any, part: slice) -> Array:
    weights: Array = call.weights(rows=np.arange(part.start, part.stop))
    return weights


def _part(array: Array, rows: slice) -> Array:
    """Of these queries, of an array (…, Lq or 1, Lk)."""
    return array if array.shape[-2] == 1 else array[..., rows, :]


def _within(weights: Array, inside: Array) -> Array:
    """The weights inside, divided by their sum; even ones where it vanishes."""
    part = np.where(inside, weights, 0)
    total = part.sum(-1, keepdims=True)
    even = np.broadcast_to(inside, part.shape) / np.maximum(1, inside.sum(-1, keepdims=True))
    safe = np.where(total > 0, total, 1)
    found: Array = np.where(total > 0, part / safe, even).astype(weights.dtype)
    return found


def _target(given: Any) -> Array | None:
    if given is None:
        return None
    target = numbers("target", given).astype(np.float64)
    if not np.isfinite(target).all() or (target < 0).any():
        raise ValueError("target must be finite and not negative: got another number")
    total = pair_axes("target", target).sum(-1, keepdims=True)
    found: Array = target / np.where(total > 0, total, 1)
    return found


def _keys(name: str, given: Any) -> Array | None:
    if given is None:
        return None
    keys = as_array(name, given)
    if keys.dtype != np.bool_:
        raise TypeError(f"{name} must be boolean, True at keys to look at: got {named(keys)}")
    return pair_axes(name, keys)
