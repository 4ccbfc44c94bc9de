"""The call of attention, as layers read it that mix the positions of one sequence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.layers.attention._masks import Kept, kept_keys, kept_rows, refuse_options


class MixingCall(NamedTuple):
    """Which positions of x count, which rows of y exist, and how many arguments were given."""

    kept: Kept  # (…, L)
    rows: Kept
    arguments: int

    @classmethod
    def of(
        cls, how: str, x: Array, query: Any, key: Any, value: Any, *, mask: Any, q_lengths: Any,
        kv_lengths: Any, return_weights: Any, **refused: Any,
    ) -> MixingCall:  # fmt: skip
        """`x` is query as an array; `how` names the kind of mixing in messages."""
        for name, other in (("key", key), ("value", value)):
            if other is not None and other is not query:
                raise ValueError(
                    f"{name} must be None or query itself, {how} is within one sequence: "
                    f"got {named(other)}"
                )
        if key is None and value is not None:
            raise ValueError("key must be given where value is: got None")
        if x.ndim < 2:
            raise ValueError(f"query must have positions and features as axes: got shape {x.shape}")
        refuse_options(f"{how} has no scores of pairs", return_weights, **refused)
        batch, length = x.shape[:-2], x.shape[-2]
        return cls(
            kept_keys(mask, kv_lengths, batch, length),
            kept_rows("q_lengths", q_lengths, batch, length),
            1 + (key is not None) + (value is not None),
        )

    def counted(self, x: Array) -> Array:
        """x (…, L, E), 0 where a position does not count."""
        return only(self.kept, x)

    def existing(self, y: Array) -> Array:
        """y (…, L, E), 0 in rows that do not exist."""
        return only(self.rows, y)

    def gradients(self, dx: Array) -> Any:
        """Of the arguments that were given: all of it is query's, as the others are the same."""
        if self.arguments == 1:
            return dx
        return (dx, *(np.zeros_like(dx) for _ in range(self.arguments - 1)))


def only(kept: Kept, x: Array) -> Array:
    return x if kept is None else np.where(kept[..., None], x, x.dtype.type(0))


def check_length(x: Array, longest: int) -> None:
    if x.shape[-2] > longest:
        raise ValueError(
            f"query must have at most max_length={longest} positions: got shape {x.shape}"
        )


def check_residual(residual: Array, shape: tuple[int, ...]) -> None:
    if residual.shape != shape:
        raise ValueError(f"residual must have shape {shape}: got {residual.shape}")
