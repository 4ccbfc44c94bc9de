"""The mixers of Transformer layers: what lets positions exchange information."""

from __future__ import annotations

from typing import Any

from heedful._checks import flag, named, one_of, size
from heedful.base._types import DType
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import default_of
from heedful.layers.attention._linear import LinearAttention
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.attention.mixing._fourier import FourierMixing
from heedful.layers.attention.mixing._gating import SpatialGating
from heedful.layers.attention.mixing._tokens import TokenMixing

MIXERS = ("attention", "linear", "gating", "mlp", "fourier")
CAUSAL = ("attention", "linear", "gating")
ACROSS = ("attention", "linear")  # also from one sequence to another


def make_mixer(
    kind: Any, d_model: int, num_heads: int, *, max_length: int | None = None, dropout: float,
    bias: bool, causal: bool = False, dtype: DType, rng: Any, known: tuple[str, ...] = MIXERS,
    **options: Any,
) -> Typed:  # fmt: skip
    """The layer that `kind` names, one of `known`; `options` are those of MultiHeadAttention.

    An option that the layer lacks must have its default.
    """
    kind = one_of("mixer", kind, known)
    if max_length is not None:
        max_length = size("max_length", max_length)
    shared: dict[str, Any] = {"dropout": dropout, "bias": bias, "dtype": dtype, "rng": rng}
    if kind == "attention":
        return MultiHeadAttention(d_model, num_heads, causal=causal, **shared, **options)
    if kind == "linear":
        shared["num_kv_heads"] = options.pop("num_kv_heads", None)
    for name, value in options.items():
        default = default_of(name)
        if type(value) is not type(default) or value != default:
            raise ValueError(f"{name} must be {default} with mixer={kind!r}: got {named(value)}")
    if kind == "linear":
        return LinearAttention(d_model, num_heads, causal=causal, **shared)
    size("num_heads", num_heads)
    if kind not in CAUSAL and flag("causal", causal):
        raise ValueError(f"causal must be False with mixer={kind!r}: got True")
    if kind == "fourier":
        return FourierMixing(d_model, dtype=dtype)
    if max_length is None:
        raise ValueError(f"max_length must be given with mixer={kind!r}: got None")
    if kind == "gating":
        return SpatialGating(d_model, max_length, causal=causal, **shared)
    return TokenMixing(d_model, max_length, **shared)


def check_causal(kind: Any) -> None:
    """Require a mixer that a language model can have."""
    if one_of("mixer", kind, MIXERS) not in CAUSAL:
        choice = ", ".join(repr(name) for name in CAUSAL)
        raise ValueError(
            f"mixer must be causal, one of {choice}: got {kind!r}, which shows later tokens"
        )


def check_positions(positions: str, mixer: Any) -> None:
    """Rotary positions and ALiBi change the scores of attention, which other mixers lack."""
    if positions in ("rotary", "alibi") and mixer != "attention":
        raise ValueError(f"positions must be added to x with mixer={mixer!r}: got {positions!r}")
