"""Shortening: an encoder whose layers pass on fewer tokens than they get."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

from numpy.typing import ArrayLike

from heedful._checks import named
from heedful.base._mode import Mode
from heedful.base._taps import Tap, token_rows
from heedful.base._types import Array, Backward
from heedful.layers import Encoder, EncoderLayer, LayerNorm, MultiHeadAttention
from heedful.layers._typed import Typed
from heedful.layers.blocks._stack import chained
from heedful.pruning._tokens import Tokens


class Observed(NamedTuple):
    """What a layer's attention computed: query (B, L, H, D), key (B, L, Hkv, D), lse (B, H, L)."""

    query: Array
    key: Array
    lse: Array


class Observer(Tap):
    """Keeps what one layer's attention computed."""

    wants_lse = True
    observed: Observed

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__({"": attention})

    def see_lse(self, call: Any, lse: Array) -> None:
        self.observed = Observed(call.query, call.key, lse)


class Shortener(Protocol):
    """How the tokens of one batch become fewer, layer by layer.

    places : the map between the tokens that are left and those of the input
    """

    places: Array

    def options(self) -> dict[str, Any]:
        """Of the next layer's attention."""

    def shortens(self, index: int, length: int) -> bool:
        """Whether layer `index` passes on fewer than `length` tokens."""

    def token_rows(self) -> Array:
        """The row that each token of the input is in, (B, L); −1 for none."""

    def shorten(
        self, index: int, layer: MultiHeadAttention, x: Array, observed: Observed
    ) -> tuple[Array, Backward]:
        """x (B, L, E) → (B, L', E), and the function from its gradient to that of x."""


class Shortening(Typed, ABC):
    """The layers and the norm of an encoder, with fewer tokens after the attention of each."""

    layers: list[EncoderLayer]
    norm: LayerNorm | None

    def __init__(self, encoder: Encoder) -> None:
        if not isinstance(encoder, Encoder):
            raise TypeError(f"encoder must be an Encoder: got {named(encoder)}")
        for layer in encoder.layers:
            _check_layer(layer)
        super().__init__(encoder.dtype)
        self.layers, self.norm = encoder.layers, encoder.norm

    @abstractmethod
    def rows_left(self, counts: ArrayLike) -> Array:
        """How many rows of y an item has, by the number of its tokens (B,)."""

    def run(
        self, mode: Mode, x: Any, mask: Any, kv_lengths: Any,
        shortener_of: Callable[[Tokens], Shortener], return_places: bool,
    ) -> tuple[Any, Backward]:  # fmt: skip
        x = self.array("x", x, self.layers[0].self_attn.d_model)
        if x.ndim != 3:
            raise ValueError(f"x must have shape (B, L, {x.shape[-1]}): got {x.shape}")
        shortener = shortener_of(Tokens.first(x.shape[:2], mask, kv_lengths))
        closures: list[Backward] = []
        for index, layer in enumerate(self.layers):
            attention = layer.self_attn
            assert isinstance(attention, MultiHeadAttention)  # see _check_layer
            observer = Observer(attention) if shortener.shortens(index, x.shape[1]) else None
            with (
                nullcontext() if observer is None else observer,
                token_rows(shortener.token_rows) if index else nullcontext(),
            ):
                x, closure = layer.attend(mode, x, **shortener.options())
            closures.append(closure)
            if observer is not None:
                x, closure = shortener.shorten(index, attention, x, observer.observed)
                closures.append(closure)
            x, closure = layer.feed(mode, x)
            closures.append(closure)
            if not mode.training:
                closures.clear()
        if self.norm is not None:
            x, closure = self.norm.compute(mode, x)
            closures.append(closure)
        back = chained(closures)

        def backward(dy: Any, dplaces: Any = None) -> Array:
            """Places are integers, without a gradient."""
            dx: Array = back(dy)
            return dx

        return ((x, shortener.places) if return_places else x), backward


def _check_layer(layer: Any) -> None:
    attention = getattr(layer, "self_attn", None)
    if not isinstance(layer, EncoderLayer) or not isinstance(attention, MultiHeadAttention):
        raise TypeError(
            "encoder must have layers EncoderLayer with a MultiHeadAttention: "
            f"got {type(layer).__name__} with {type(attention).__name__}"
        )
    if attention.normalizer != "softmax" or attention.adaptive_span is not None:
        raise ValueError(
            "encoder must have softmax over all keys, by which tokens receive attention: got "
            f"{attention!r}"
        )
    positions = {"causal": attention.causal, "rotary": attention.rotary,
                 "alibi": attention.scores.alibi_slopes is not None}  # fmt: skip
    for option, given in positions.items():
        if given:
            raise ValueError(
                f"encoder must not be made with {option}: a layer would take the tokens that are "
                "left for neighbours"
            )
