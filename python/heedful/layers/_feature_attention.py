"""FeatureAttention: the features of an example, each weighed by how much it matters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, size
from heedful.layers._linear import Linear
from heedful.layers._mode import Mode
from heedful.layers._typed import Typed
from heedful.layers._types import Array, Backward, Rng, generator


class FeatureAttention(Typed):
    """y = F · x ∘ a with a = softmax(W x + b) over the F features.

    Multiplied by F, so that equal weights leave x as it is. ``layer(x)`` gives y (…, F), of the
    shape of x; ``layer(x, return_weights=True)`` gives (y, a), where a (…, F) says how much each
    feature of each example counts: numbers from 0 to 1 whose sum over the features is 1.

    Parameters
    ----------
    num_features : int
        F.
    scaled : bool, default True
        False leaves the factor F out.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Computes in `dtype`, whatever it is given; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import FeatureAttention
    >>> layer = FeatureAttention(3, rng=0)
    >>> y, weights = layer(np.ones((5, 3)), return_weights=True)
    >>> y.shape, weights.sum(-1).round(6)[:2]
    ((5, 3), array([1., 1.], dtype=float32))
    """

    def __init__(
        self, num_features: int, *, scaled: bool = True, dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.num_features = size("num_features", num_features)
        self.factor = num_features if flag("scaled", scaled) else 1
        self.scores = Linear(num_features, num_features, dtype=dtype, rng=generator(rng))

    def compute(self, mode: Mode, x: Any, *, return_weights: bool = False) -> tuple[Any, Backward]:
        """x (…, F) → y (…, F).

        Parameters
        ----------
        return_weights : bool, default False
            Return (y, weights), the weights (…, F) before they are multiplied by F.
        """
        x = self.array("x", x, self.num_features)
        scores, back = self.scores.compute(mode, x)
        with np.errstate(all="ignore"):
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            y = x * weights * self.factor

        @np.errstate(all="ignore")
        def backward(dy: Any) -> Array:
            dy = self.gradient(dy, y.shape) * self.factor
            pull = dy * x
            dscores = weights * (pull - (pull * weights).sum(-1, keepdims=True))
            dx: Array = dy * weights + back(dscores)
            return dx

        return ((y, weights) if return_weights else y), backward

    def extra_repr(self) -> str:
        return f"{self.num_features}"
