"""Stack: layers of one kind one after another, as Encoder and Decoder are."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, size
from heedful.layers._norm import LayerNorm
from heedful.layers._typed import Typed
from heedful.layers._types import Backward, Rng, generator

Kind = TypeVar("Kind", bound=Typed)


class Stack(Typed, Generic[Kind]):
    """N layers of one kind, and a norm behind the last where it is asked for."""

    kind: type[Any]
    layers: list[Kind]

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        dff: int = 2048,
        rate: float = 0.1,
        *,
        norm: bool | None = None,
        norm_first: bool = False,
        eps: float = 1e-5,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **options: Any,
    ) -> None:
        super().__init__(dtype)
        options |= {"norm_first": norm_first, "eps": eps, "dtype": dtype, "rng": generator(rng)}
        count = size("num_layers", num_layers)
        self.layers = [self.kind(d_model, num_heads, dff, rate, **options) for _ in range(count)]
        wanted = norm_first if norm is None else flag("norm", norm)
        self.norm = LayerNorm(d_model, eps, dtype=dtype) if wanted else None


def unwound(closures: list[Backward]) -> Backward:
    """The closures one after another, the last first."""

    def backward(dy: Any) -> Any:
        while closures:  # each lets go of its arrays as soon as it is done
            dy = closures.pop()(dy)
        return dy

    return backward
