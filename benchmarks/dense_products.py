"""What a program's dense products take: their seconds, operations, and bytes of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timed_calls import timed_calls

from heedful._core import native

NAMES = ("linear_forward", "bfloat16_forward", "int8_forward")


class DenseProducts(timed_calls):
    """Within it, products x Wᵀ of heedful's layers are timed and counted."""

    def __init__(self) -> None:
        super().__init__(*((native, name) for name in NAMES))
        self.operations, self.weight_bytes = 0, 0

    def __enter__(self) -> DenseProducts:  # type: ignore[override]
        super().__enter__()
        return self

    def _timed(self, own: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        x, weight = arguments[:2]
        self.operations += 2 * len(x) * weight.size
        self.weight_bytes += weight.nbytes
        return super()._timed(own, *arguments, **options)

    def restart(self) -> None:
        self.spent[0], self.operations, self.weight_bytes = 0.0, 0, 0
