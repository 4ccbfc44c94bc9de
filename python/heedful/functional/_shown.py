"""One line for tuples of arrays: shapes and types in place of elements."""

from __future__ import annotations

from typing import Any


def arrays_shown(kind: str, fields: dict[str, Any]) -> str:
    """``Gradients(query=(2, 3), key=(5, 3), value=(5, 4), dtype=float32)``.

    What is None is left out; of other types than the first there are both shape and type.
    """
    arrays = {name: one for name, one in fields.items() if one is not None}
    dtype = next(iter(arrays.values())).dtype
    parts = [
        f"{name}={tuple(one.shape)}" + ("" if one.dtype == dtype else f" {one.dtype}")
        for name, one in arrays.items()
    ]
    return f"{kind}({', '.join(parts)}, dtype={dtype})"
