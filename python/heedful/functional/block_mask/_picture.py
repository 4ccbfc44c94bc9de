"""Pictures of a block mask: in text, and as SVG for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from heedful._checks import flag, integers, size
from heedful.functional.block_structure import BlockStructure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LINES = 40
_CELLS = 64  # on a side of the SVG
_HEADS = 8  # side by side in HTML
_WIDTH = 190  # of one of them, in pixels
_COLOUR = "#2a6fbb"
_LEVELS = 8  # of opacity


class Picture(BlockStructure):
    """A mask shows itself."""

    __slots__ = ()

    def picture(
        self, index: int | Sequence[int] | None = None, *, columns: int = 80, ascii: bool = False
    ) -> str:
        """The blocks of one item and head, a row of characters for each row of blocks.

        The darker a character, the more of its pairs are visible: ``·`` none, ``░ ▒ ▓`` less than
        a quarter, less than three quarters, less than all, ``█`` all. A block is two characters
        wide; where that is too wide, a character stands for several blocks.

        Parameters
        ----------
        index : int or sequence of int, optional
            Of the leading axes of `blocks`, which item and head; None is the first.
        columns : int, default 80
            How wide it may be.
        ascii : bool, default False
            Use ``. - + # @`` instead.

        Returns
        -------
        picture : str

        Raises
        ------
        IndexError, ValueError, TypeError
            An item or head that does not exist.

        Examples
        --------
        >>> import heedful
        >>> print(heedful.BlockMask.window(8, 1, 0, block_size=2).picture(ascii=True))
        ##......
        ++##....
        ..++##..
        ....++##
        """
        place = self._place(index)
        columns, plain = size("columns", columns), flag("ascii", ascii)
        rows, count = self._grid.shape
        if rows > _LINES or 2 * count > columns:
            count = min(count, columns)
            # a character is about twice as high as wide
            wanted = count * self.lengths[0] // (2 * self.lengths[1])
            rows = min(rows, _LINES, max(1, wanted))
            wide = 1
        else:
            wide = 2
        signs = ".-+#@" if plain else "·░▒▓█"
        shown = self._shown(place, rows, count)
        levels = np.digitize(shown, [1e-300, 0.25, 0.75, 1.0])
        return "\n".join("".join(signs[level] * wide for level in line) for line in levels)

    def __str__(self) -> str:
        lines = [repr(self)]
        leading = self._blocks.shape[:-2]
        if 0 in leading:
            return lines[0]
        if leading != (1,):
            lines.append(f"blocks{[0] * len(leading)} of {leading}:")
        return "\n".join([*lines, self.picture()])

    def _repr_html_(self) -> str:
        leading = self._blocks.shape[:-2]
        shown = list(np.ndindex(leading))[:_HEADS]
        figures = "".join(self._svg(place) for place in shown)
        more = int(np.prod(leading)) - len(shown)
        note = f" and {more} more" if more else ""
        return f"<div><code>{self!r}</code>{note}<br>{figures}</div>"

    def _place(self, index: int | Sequence[int] | None) -> tuple[int, ...]:
        leading = self._blocks.shape[:-2]
        place = [0] * len(leading) if index is None else integers("index", index)
        if len(place) != len(leading):
            raise ValueError(f"index must have one number for each of {leading}: got {place}")
        if any(not -count <= one < count for one, count in zip(place, leading, strict=True)):
            raise IndexError(f"index must lie within {leading}: got {tuple(place)}")
        return tuple(place)

    def _shown(self, place: tuple[int, ...], rows: int, columns: int) -> NDArray[np.float64]:
        """(rows, columns), the share of pairs that each cell shows; a cell is a block or more."""
        visible, pairs = self._visible_pairs(self._blocks[place]), self._grid.pairs
        for axis, cells in enumerate((rows, columns)):
            firsts = np.arange(cells) * self._grid.shape[axis] // cells
            visible, pairs = (np.add.reduceat(one, firsts, axis=axis) for one in (visible, pairs))
        return visible / pairs

    def _svg(self, place: tuple[int, ...]) -> str:
        rows, columns = (min(count, _CELLS) for count in self._grid.shape)
        shown = self._shown(place, rows, columns)
        # only full cells have the full colour
        levels = np.where(shown < 1, np.ceil(shown * (_LEVELS - 1)), _LEVELS)
        paths = []
        for level in range(1, _LEVELS + 1):
            runs = "".join(_runs(levels == level))
            if runs:
                paths.append(f'<path fill-opacity="{level / _LEVELS:.2f}" d="{runs}"/>')
        height = max(20, min(2 * _WIDTH, _WIDTH * self.lengths[0] // self.lengths[1]))
        return (
            f'<svg width="{_WIDTH}" height="{height}" viewBox="0 0 {columns} {rows}" '
            f'preserveAspectRatio="none" shape-rendering="crispEdges" fill="{_COLOUR}" '
            'style="background: #fff; border: 1px solid #999; margin: 4px" role="img">'
            f"<title>{place}</title>{''.join(paths)}</svg>"
        )


def _runs(cells: NDArray[np.bool_]) -> list[str]:
    """A rectangle for each run of cells in a row, as commands of a path."""
    edges = np.diff(np.pad(cells, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    firsts, lasts = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [
        f"M{first} {row}h{last - first}v1h{first - last}z"
        for (row, first), (_, last) in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
