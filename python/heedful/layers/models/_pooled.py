"""PooledEncoder: an encoder whose pooler makes one vector of the first of each item."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from heedful._checks import flag
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward
from heedful.layers._typed import Typed
from heedful.layers.blocks._linear import Linear

if TYPE_CHECKING:
    from heedful.base._call_types import Computes, P


class PooledEncoder(Typed):
    """A layer that returns also the pooler's vector where ``pooled=True``."""

    pooler: Linear | None

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __call__(
            self, *inputs: Any, pooled: bool, return_weights: bool, **options: Any
        ) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, hidden_states: bool, return_weights: bool, **options: Any
        ) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, pooled: Literal[True], hidden_states: Literal[True], **options: Any
        ) -> tuple[Array, Array, list[Array]]: ...
        @overload
        def __call__(
            self, *inputs: Any, pooled: bool, hidden_states: bool, **options: Any
        ) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, pooled: Literal[True], **options: Any
        ) -> tuple[Array, Array]: ...
        @overload
        def __call__(self, *inputs: Any, pooled: bool, **options: Any) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, return_weights: Literal[True], **options: Any
        ) -> tuple[Array, list[Array]]: ...
        @overload
        def __call__(
            self, *inputs: Any, hidden_states: Literal[True], **options: Any
        ) -> tuple[Array, list[Array]]: ...
        @overload
        def __call__(self: Computes[P, Array], *inputs: P.args, **options: P.kwargs) -> Array: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any: ...

    def pooler_if(self, pooled: bool) -> Linear | None:
        if not flag("pooled", pooled):
            return None
        if self.pooler is None:
            raise ValueError("pooled must be False: the model has no pooler")
        return self.pooler


def with_pooled(
    mode: Mode, pooler: Linear | None, y: Array
) -> tuple[tuple[Array, ...], Callable[..., Any]]:
    """(y, pooled), or (y,) without a pooler, and the function from their gradients to dy."""
    if pooler is None:
        return (y,), lambda dy, dpooled=None: dy
    vector, back = pooler.compute(mode, y[..., 0, :])
    return (y, vector), _backward(back, y.dtype)


def _backward(back: Backward, dtype: Any) -> Callable[..., Any]:
    def backward(dy: Any, dpooled: Any = None) -> Any:
        if dpooled is None:
            return dy
        dy = np.array(dy, dtype)
        dy[..., 0, :] = plus(dy[..., 0, :], back(dpooled))
        return dy

    return backward
