"""Images as text, for terminals of any encoding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHADES = " .:-=+*#%@"
WIDTH = 16  # columns of one image: a character is about twice as high as wide


def draw(image: NDArray[Any]) -> list[str]:
    """The lines of one image whose pixels lie between 0 and 16."""
    shade = image.astype(np.int64) * (len(SHADES) - 1) // 16
    return ["".join(SHADES[s] * 2 for s in row) for row in shade.tolist()]


def side_by_side(columns: Sequence[Sequence[str]], gap: str = "   ") -> str:
    """Blocks of lines next to each other, each padded to the width of an image."""
    height = max(len(column) for column in columns)
    filled = [[*column, *[""] * (height - len(column))] for column in columns]
    return "\n".join(
        gap.join(f"{cell:<{WIDTH}}" for cell in row).rstrip() for row in zip(*filled, strict=True)
    )
