"""Position encodings: sinusoidal and learned vectors that are added, and rotary ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, is_integer, positions, positive, size
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._sums import plus
from heedful.base._types import Array, Backward, DType, Rng, generator
from heedful.functional import rotary_embedding
from heedful.layers._typed import Stateless, Typed
from heedful.layers.blocks._embedding import add_rows
from heedful.layers.blocks._initial import normal
from heedful.layers.blocks._rows import as_rows

if TYPE_CHECKING:
    from heedful.base._parameter_types import Own


@np.errstate(all="ignore")
def sinusoids(positions: Array, d_model: int, dtype: DType) -> Array:
    """Sines in the even features and cosines in the odd ones, (…, d_model)."""
    features = np.arange(d_model)
    angles = positions[..., None] * 10000.0 ** (-(features // 2 * 2) / d_model)
    return np.where(features % 2, np.cos(angles), np.sin(angles)).astype(dtype)


class SinusoidalPositions(Stateless):
    """y = x + position vectors, which are fixed and not learned.

    ::

        vector[p, 2i] = sin(p / 10000^(2i/E))      vector[p, 2i + 1] = cos(p / 10000^(2i/E))

    Parameters
    ----------
    d_model : int
        E, the width of x.
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5.
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import SinusoidalPositions
    >>> SinusoidalPositions(2)(np.zeros((2, 2))).round(3)
    array([[0.   , 1.   ],
           [0.841, 0.54 ]])
    """

    def __init__(self, d_model: int, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)
        self.d_model: int = size("d_model", d_model)

    def compute(self, mode: Mode, x: Any, first: Any = 0) -> tuple[Array, Backward]:
        """x (…, L, E); `first` is the position of the first row, one for all or (…) integers."""
        x = self.array("x", x, self.d_model)
        rows = rows_of(x, first)
        y = plus(x, sinusoids(rows, self.d_model, x.dtype))
        return y, lambda dy: self.gradient(dy, y.shape, y.dtype)

    def extra_repr(self) -> str:
        return f"{self.d_model}"


class LearnedPositions(Typed):
    """y = x + weight[position].

    Parameters
    ----------
    max_length : int
        Number of positions; a longer x is a ValueError.
    d_model : int
        E, the width of x.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    weight : numpy.ndarray, (max_length, E)

    Notes
    -----
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import LearnedPositions
    >>> LearnedPositions(10, 4)(np.zeros((2, 3, 4))).shape
    (2, 3, 4)
    """

    max_length: int
    d_model: int
    weight: Own

    def __init__(
        self, max_length: int, d_model: int, *, dtype: DTypeLike = np.float32, rng: Rng = None
    ) -> None:
        super().__init__(dtype)
        self.max_length, self.d_model = size("max_length", max_length), size("d_model", d_model)
        shape = (self.max_length, self.d_model)
        self.weight = Parameter(normal(generator(rng), shape, 0.02, self.dtype))

    def compute(self, mode: Mode, x: Any, first: Any = 0) -> tuple[Array, Backward]:
        """x (…, L, E); `first` is the position of the first row, one for all or (…) integers."""
        x = self.array("x", x, self.d_model)
        rows = rows_of(x, first)
        if rows.size and rows.min() < 0:
            raise ValueError(f"first must not be negative: got {int(rows.min())}")
        return self.at(x, rows)

    def at(self, x: Array, rows: Array, skip: int | None = None) -> tuple[Array, Backward]:
        """x (…, L, E) and the position of each of its rows; position `skip` gets no gradient."""
        if rows.size and rows.max() >= self.max_length:
            raise ValueError(
                f"x must lie at positions below max_length = {self.max_length}: "
                f"got {int(rows.min())} to {int(rows.max())}"
            )

        y = plus(x, self.weight[rows])

        def backward(dy: Any) -> Any:
            dy = self.gradient(dy, y.shape)
            buffer = self.parameter("weight").buffer()
            if buffer is not None:
                where = np.broadcast_to(rows, dy.shape[:-1])
                add_rows(buffer, where.reshape(-1), as_rows(dy), skip)
            return dy

        return y, backward

    def extra_repr(self) -> str:
        return f"{self.max_length}, {self.d_model}"


def rows_of(x: Array, first: Any) -> Array:
    """The position of each row of x (…, L, E): (L,), or (…, L) if starts differ between items."""
    if x.ndim < 2:
        raise ValueError(f"x must have positions and features as axes: got shape {x.shape}")
    begins = positions("first", first if is_integer(first) else as_array("first", first))
    if begins.shape not in ((), x.shape[:-2]):
        raise ValueError(
            f"first must be an integer, or one for each item of {x.shape[:-2]}: got shape "
            f"{begins.shape}"
        )
    return begins[..., None] + np.arange(x.shape[-2])


class RotaryPositions(Stateless):
    """Rotates pairs of features by the position, see :func:`heedful.rotary_embedding`.

    For queries and keys (…, H, L, D); MultiHeadAttention does it by itself with ``rotary=True``.

    Parameters
    ----------
    base : float, default 10000
        Of the angles.
    dtype : {float32, float64}, optional
        None is the floating type of x.

    Notes
    -----
    Computes in `dtype`, or in the floating type of x: float32 for 16 bits, float64 for integers;
    threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import RotaryPositions
    >>> RotaryPositions()(np.ones((2, 4, 3, 8))).shape
    (2, 4, 3, 8)
    """

    def __init__(self, base: float = 10000.0, *, dtype: DTypeLike | None = None) -> None:
        super().__init__(dtype)
        self.base: float = positive("base", base)

    def compute(self, mode: Mode, x: Any, positions: Any = None) -> tuple[Array, Backward]:
        """x (…, L, D) → y, of the same shape; `positions` as for :func:`rotary_embedding`."""
        x = self.array("x", x)
        y = rotary_embedding(x, positions, base=self.base)

        def backward(dy: Any) -> Array:
            dy = self.gradient(dy, y.shape, y.dtype)
            return rotary_embedding(dy, positions, base=self.base, inverse=True)

        return y, backward
