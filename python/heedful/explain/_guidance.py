"""Guidance: what a person wants attention to look at, as a bias and a mask of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heedful._checks import finite, integers, named
from heedful.base._types import Array
from heedful.explain._layer_choice import Heads, Patterns, checked_patterns
from heedful.explain._steer import Steer, steer
from heedful.explain._torch_steer import TorchSteer


class Guidance:
    """A bias and a mask over keys, made by :func:`guide`.

    Guidances of the same text add up: ``a + b`` sums biases, and both masks hold. ``2 * a`` has
    twice the strengths, and ``a.at(where, heads)`` is for these layers and heads alone.

    Attributes
    ----------
    bias : numpy.ndarray or None
        (Lk,), the same for all queries, or (Lq, Lk); of several texts (B, 1, Lq or 1, Lk).
    mask : numpy.ndarray of bool, or None
        With strict guidance; False where a weight is 0. Axes as of `bias`.
    where : str or sequence of str, or None
        The layers that it is for, see `at`; None is all.
    heads : int, sequence of int or mapping, or None
    """

    bias: Array | None
    mask: Array | None
    where: Patterns | None
    heads: Heads

    def __init__(
        self, bias: Array | None = None, mask: Array | None = None,
        where: Patterns | None = None, heads: Heads = None,
    ) -> None:  # fmt: skip
        self.bias, self.mask = bias, mask
        self.where, self.heads = where, heads

    def at(self, where: Patterns = "*", heads: Heads = None) -> Guidance:
        """The same guidance for some layers and heads, as `where` and `heads` of :func:`steer`.

        Examples
        --------
        >>> from heedful.explain import guide
        >>> from heedful.layers import LanguageModel
        >>> model = LanguageModel(50, d_model=16, num_heads=2, num_layers=2, rng=0)
        >>> guidance = guide(["so", "it", "goes"], attract="it", strength=2)
        >>> text = model.generate([[4, 8, 15]], guidance=guidance.at("encoder.layers.1", heads=0))
        """
        return Guidance(self.bias, self.mask, where, heads)

    def steer(
        self, model: Any, where: Patterns | None = None, heads: Heads = None
    ) -> Steer | TorchSteer | Unsteered:
        """Guide a model's attention within a ``with``, see :func:`steer`.

        Without `where` in the layers and heads of `at`.

        Examples
        --------
        >>> import numpy as np
        >>> from heedful.explain import guide, watch
        >>> from heedful.layers import Encoder
        >>> model, x = Encoder(1, 8, 4, 32, rng=0), np.eye(3, 8, dtype=np.float32)
        >>> guidance = guide(["a", "b", "c"], attract="b", strict=True)
        >>> with guidance.steer(model, heads=[0]), watch(model, heads=[0]) as seen:
        ...     y = model(x)
        >>> seen["layers.0.self_attn"][0, 0]
        array([0., 1., 0.], dtype=float32)
        """
        if self.bias is None and self.mask is None:
            return Unsteered()
        if where is None:
            where = "*" if self.where is None else self.where
            heads = self.heads if heads is None else heads
        return steer(model, bias=self.bias, mask=self.mask, where=where, heads=heads)

    @classmethod
    def stack(cls, each: Sequence[Guidance]) -> Guidance:
        """One guidance for a batch of texts, from one for each: (B, 1, Lq or 1, Lk).

        Shorter ones are continued by what changes nothing.
        """
        for one in each:
            if not isinstance(one, Guidance):
                raise TypeError(f"each must be a Guidance: got {named(one)}")
        biases = [one.bias for one in each]
        masks = [one.mask for one in each]
        return cls(_stacked(biases, 0.0), _stacked(masks, True), *_place(each))

    def __add__(self, other: Any) -> Guidance:
        if not isinstance(other, Guidance):
            return NotImplemented
        bias, mask = self.bias, self.mask
        if other.bias is not None:
            bias = other.bias if bias is None else _both(np.add, bias, other.bias)
        if other.mask is not None:
            mask = other.mask if mask is None else _both(np.logical_and, mask, other.mask)
        return Guidance(bias, mask, *_place((self, other)))

    def __mul__(self, factor: Any) -> Guidance:
        factor = finite("factor", factor)
        bias = None if self.bias is None else factor * self.bias
        return Guidance(bias, self.mask, self.where, self.heads)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        shown = []
        if self.bias is not None:
            guided = np.count_nonzero(self.bias)
            shown.append(f"bias {self.bias.shape}, {guided} not 0")
        if self.mask is not None:
            shown.append(f"mask {self.mask.shape}, {np.count_nonzero(~self.mask)} hidden")
        if self.where is not None:
            shown.append(f"at {self.where!r}" + ("" if self.heads is None else f" {self.heads}"))
        return f"Guidance({'; '.join(shown)})"


class Unsteered:
    """A ``with`` that changes nothing."""

    def __enter__(self) -> Unsteered:
        return self

    def __exit__(self, *_: Any) -> None:
        return None


def _place(each: Sequence[Guidance]) -> tuple[Patterns | None, Heads]:
    """The layers and heads of those that name any."""
    places = [(one.where, one.heads) for one in each if one.where is not None]
    if not places:
        return None, None
    first, *others = (_listed_place(where, heads) for where, heads in places)
    if any(place != first for place in others):
        raise ValueError("guidance must be for the same layers and heads to be joined, see at()")
    return places[0]


def _listed_place(where: Patterns, heads: Heads) -> tuple[Any, ...]:
    """With lists alone, which are compared by what they hold."""
    patterns = checked_patterns("where", where)
    if heads is None:
        return patterns, None
    if isinstance(heads, Mapping):
        return patterns, {name: integers("heads", each) for name, each in heads.items()}
    return patterns, integers("heads", heads)


def _both(combine: Any, one: Array, other: Array) -> Array:
    if one.shape[-1] != other.shape[-1]:
        raise ValueError(
            "guidance must be of the same number of keys to be added: got "
            f"{one.shape[-1]} and {other.shape[-1]}"
        )
    found: Array = combine(one, other)
    return found


def _stacked(each: list[Array | None], nothing: Any) -> Array | None:
    given = [one for one in each if one is not None]
    if not given:
        return None
    if any(one.ndim > 2 for one in given):
        raise ValueError("each must be the guidance of one text: got that of several")
    rows = max(one.shape[0] if one.ndim == 2 else 1 for one in given)
    keys = max(one.shape[-1] for one in given)
    found = np.full((len(each), 1, rows, keys), nothing)
    for whole, one in zip(found, each, strict=True):
        if one is not None:
            length = rows if one.ndim == 1 else len(one)
            whole[0, :length, : one.shape[-1]] = one
    return found
