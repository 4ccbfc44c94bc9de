"""The options of MultiHeadAttention that models pass on to their layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypedDict

from numpy.typing import ArrayLike

from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.attention._normalizer import Normalizer
from heedful.layers.attention._penalties import Penalties
from heedful.layers.attention._rotary_angles import RotaryAngles

Arguments = ParamSpec("Arguments")


class AttentionOptions(TypedDict, total=False):
    """Of models that choose the positions themselves."""

    num_kv_heads: int | None
    scale: float | None
    softcap: float | None
    top_k: int | None
    normalizer: Normalizer
    key_dropout: float
    head_dropout: float
    gumbel_temperature: float | None
    hard: bool
    penalties: Penalties
    qk_norm: str | None
    logit_scale: bool | None
    adaptive_span: int | None
    span_ramp: float
    span_penalty: float
    sink: bool


class NoiseOptions(TypedDict, total=False):
    """Of models with relative attention."""

    key_dropout: float
    head_dropout: float
    gumbel_temperature: float | None
    hard: bool
    penalties: Penalties


class PositionedOptions(AttentionOptions, total=False):
    """Of layers whose sequences have no positions of their own."""

    rotary: bool | float | RotaryAngles
    alibi: bool | ArrayLike


class EncoderOptions(PositionedOptions, total=False):
    causal: bool


# of an attention to another sequence, whose positions are unrelated to those of the queries, none
OF_POSITIONS = ("rotary", "alibi", "adaptive_span", "span_ramp", "span_penalty")

_TAKEN = inspect.signature(MultiHeadAttention.__init__).parameters


def default_of(option: str) -> Any:
    """The value that MultiHeadAttention takes where the option is not given."""
    return _TAKEN[option].default


def passes_on(
    options: type[AttentionOptions | NoiseOptions],
) -> Callable[[Callable[Arguments, None]], Callable[Arguments, None]]:
    """Make ``**attention`` of a constructor stand for these options: others are refused, and its
    signature lists them.
    """
    names = tuple(options.__annotations__)

    def decorate(init: Callable[Arguments, None]) -> Callable[Arguments, None]:
        own = inspect.signature(init)
        listed: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                listed += [_TAKEN[name] for name in names]
            else:
                listed.append(parameter)
        known = {parameter.name for parameter in listed}

        @wraps(init)
        def checked(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
            for name in options:
                if name not in known:
                    raise TypeError(
                        f"{init.__qualname__}() got an unexpected keyword argument {name!r}"
                    )
            init(*arguments, **options)

        checked.__signature__ = own.replace(parameters=listed)  # type: ignore[attr-defined]
        return checked

    return decorate
