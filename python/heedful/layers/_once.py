"""A closure that is called once."""

from __future__ import annotations

from typing import Any

from heedful.layers._types import Backward


def once(backward: Backward) -> Backward:
    """Calls `backward` at its first call and lets go of it, and of all arrays that it keeps."""
    kept: list[Backward] = [backward]
    del backward

    def call(*gradients: Any) -> Any:
        try:
            function = kept.pop()
        except IndexError:
            raise RuntimeError(
                "this backward function was called before: call forward again for another one"
            ) from None
        return function(*gradients)

    return call
