"""FeatureAttention: the features of an example, weighted by a softmax over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import flag, generator, named, not_negative, numbers, one_of, size
from heedful.base._mode import Mode
from heedful.base._regularizers import L2
from heedful.base._taps import taps_of
from heedful.base._types import Array, Backward, Rng
from heedful.functional import check_penalties
from heedful.functional._penalties import KINDS
from heedful.layers._trainable_layer import Layer
from heedful.layers.attention._feature_call import FeatureCall
from heedful.layers.attention._feature_importance import (
    FeatureImportance,
    gradient_importance,
    permutation_importance,
    score_of,
)
from heedful.layers.attention._feature_penalties import feature_penalty
from heedful.layers.attention._penalties import PenalisedLayer, Penalties, penalties_shown
from heedful.layers.blocks._linear import Linear


class FeatureAttention(PenalisedLayer):
    """y = F · x ∘ a with a = softmax(W x + b) over the F features.

    Multiplied by F, so that equal weights leave x unchanged. ``layer(x)`` returns y (…, F), of the
    shape of x; ``layer(x, return_weights=True)`` returns (y, a), where a (…, F) are the weights of
    the features of each example, from 0 to 1 with the sum 1.

    A weight is not an importance: later layers can undo it, and training from another seed can end
    with other weights. :meth:`importance` measures which features matter to a model. Without a
    `score_penalty` trainings learn different ones: give it one, 0.1, before you ask.

    Parameters
    ----------
    num_features : int
        F.
    scaled : bool, default True
        False omits the factor F.
    penalties : mapping of str to float, optional
        In training, the loss grows by Σ weight · penalty, such as {"entropy": 0.1}, the kinds being
        those of :class:`MultiHeadAttention`, of the weights of the features of each example; and
        "target", Σ_f t_f (log t_f − log a_f).
    target : array_like, (F,), optional
        t, for the penalty "target": how much each feature is thought to matter. Not negative; it is
        divided by its sum.
    score_penalty : float, default 0
        In fit, score_penalty · Σ W² is added to the loss. Where 5 of 30 features decide, the five
        are found in all of 20 trainings with 0.1, and in none to three of four without, see
        examples/which_measurements_decide.py.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Weights of attention that explain nothing: Jain and Wallace 2019,
    https://arxiv.org/abs/1902.10186.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import FeatureAttention
    >>> layer = FeatureAttention(3, rng=0)
    >>> y, weights = layer(np.ones((5, 3)), return_weights=True)
    >>> y.shape, weights.sum(-1).round(6)[:2]
    ((5, 3), array([1., 1.], dtype=float32))
    """

    score_kind: ClassVar[str] = "features"
    _target: Array | None = None  # of a layer that an earlier version pickled

    def __init__(
        self, num_features: int, *, scaled: bool = True, penalties: Penalties = None,
        target: ArrayLike | None = None, score_penalty: float = 0.0,
        dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.num_features: int = size("num_features", num_features)
        self.target = target
        self.penalties = penalties
        self.factor: int = num_features if flag("scaled", scaled) else 1
        self.scores: Linear = Linear(num_features, num_features, dtype=dtype, rng=generator(rng))
        penalty = not_negative("score_penalty", score_penalty)
        if penalty:
            self.scores.parameter("weight").regularizer = L2(penalty)

    @property
    def target(self) -> Array | None:
        """t of the penalty "target", with the sum 1, or None; may be set."""
        return self._target

    @target.setter
    def target(self, given: ArrayLike | None) -> None:
        if given is None:
            _require_target(self._penalties, None)
        self._target = None if given is None else _check_target(given, self.num_features)

    def _check_penalties(self, given: Any) -> dict[str, float | Array]:
        found = {} if given is None else check_penalties(given, 1, (*KINDS, "target"))
        _require_target(found, self._target)
        return found

    def compute(
        self, mode: Mode, x: Any, *, return_weights: bool = False
    ) -> tuple[Array, Backward]:
        """x (…, F) → y (…, F).

        Parameters
        ----------
        return_weights : bool, default False
            Return (y, weights), the weights (…, F) before they are multiplied by F;
            ``backward(dy, dweights)`` takes a gradient of both.
        """
        x = self.array("x", x, self.num_features)
        scores, back = self.scores.compute(mode, x)
        taps = taps_of(self)
        if taps:
            call = FeatureCall(self, scores, x, training=mode.training)
            call.steered(taps)
            scores = call.scores
        with np.errstate(all="ignore"):
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            if taps:
                call.given = weights
                call.seen(taps)
            y = x * weights * self.factor
            penalty = None
            if mode.training and self._penalties:
                value, penalty = feature_penalty(scores, weights, self._penalties, self._target)
                mode.add_penalty(value)

        @np.errstate(all="ignore")
        def backward(dy: Any, dweights: Any = None) -> Array:
            dy = self.gradient(dy, y.shape) * self.factor
            total = dy * x  # the gradient of the weights
            if dweights is not None:
                total = total + self.array("dweights", dweights)
            dscores = weights * (total - (total * weights).sum(-1, keepdims=True))
            if penalty is not None:
                dscores = dscores + penalty
            for tap in taps:
                tap.see_gradient(call, dy, dscores.reshape(call.shape))
            dx: Array = dy * weights + back(dscores)
            return dx

        result: Any = (y, weights) if flag("return_weights", return_weights) else y
        return result, backward

    def importance(
        self, model: Layer, x: Any, y: Any = None, *, kind: str = "gradient", metric: Any = None,
        n_repeats: int = 5, batch_size: int = 256, rng: Rng = None,
    ) -> FeatureImportance:  # fmt: skip
        """How much the model that this layer is part of depends on each of its features.

        ::

            "gradient":     I_f = mean over n, c of |x_nf · ∂model(x)_nc / ∂x_nf|
            "permutation":  I_f = mean over r of metric(y, model(x)) − metric(y, model(x_fr))

        with examples n, outputs c, and x_fr the examples x with feature f permuted among them.

        Parameters
        ----------
        model : Layer
            Trained; it takes x and contains this layer, or is this layer.
        x : array_like, (N, …, F)
            Examples, preferably not from the training set; with more axes, as in sequences, a
            feature is the same one at all positions of an example.
        y : array_like, optional
            Targets for "permutation", as `evaluate` takes them; "gradient" needs none.
        kind : {"gradient", "permutation"}
        metric : str or function, optional
            For "permutation": "accuracy", "mae", or ``f(target, prediction)``, higher is better,
            such as those of sklearn.metrics; errors such as "mae" are negated. None is minus the
            loss that the model is compiled with.
        n_repeats : int, default 5
            For "permutation": how often each feature is permuted.
        batch_size : int, default 256
            Examples computed at a time.
        rng : None, int or numpy.random.Generator
            For "permutation".

        Returns
        -------
        FeatureImportance
            (importances_mean (F,), importances_std (F,), importances (F, n)) in float64, where n
            is N, a column for each example, or `n_repeats`.

        Raises
        ------
        ValueError
            x of another width, or without examples; no y for "permutation"; an unknown metric; a
            model without this layer.
        TypeError
            A model that is not a layer; a metric that is a class; a model without a gradient of x.
        RuntimeError
            "permutation" with the loss or the accuracy of a model that is not compiled.

        Notes
        -----
        Neither changes the model or its gradients, and dropout is inactive. "gradient" takes one
        backward pass for each output, "permutation" F · `n_repeats` predictions.

        Gradient × input compares with x = 0, so standardise the features; if the model ends in a
        sigmoid or softmax, confident predictions contribute little. Shrikumar et al. 2017,
        https://arxiv.org/abs/1704.02685. Permutation: Breiman 2001,
        https://doi.org/10.1023/A:1010933404324; as in scikit-learn's ``permutation_importance``.
        In both, correlated features share their importance or substitute for each other.

        Examples
        --------
        >>> import numpy as np
        >>> from heedful.layers import Dense, FeatureAttention, Sequential
        >>> x = np.random.default_rng(0).standard_normal((500, 4))
        >>> attention = FeatureAttention(4, score_penalty=0.1, rng=0)
        >>> model = Sequential(attention, Dense(1, rng=0))
        >>> model.compile("adam", "mse")
        >>> history = model.fit(x, 2 * x[:, :1] + x[:, 2:3], epochs=200, verbose=False, rng=0)
        >>> attention.importance(model, x).importances_mean.argsort()[::-1][:2]
        array([0, 2])
        """
        kind = one_of("kind", kind, ("gradient", "permutation"))
        if not isinstance(model, Layer):
            raise TypeError(f"model must be a layer, importance(model, x): got {named(model)}")
        if not any(layer is self for _, layer in model.named_layers()):
            raise ValueError("model must contain this layer: it does not")
        x = numbers("x", x)
        if x.ndim < 2 or x.shape[-1] != self.num_features or not x.size:
            raise ValueError(
                f"x must have shape (N, …, {self.num_features}) with N ≥ 1: got {x.shape}"
            )
        batch_size = size("batch_size", batch_size)
        if kind == "gradient":
            return gradient_importance(model, x, batch_size)
        if y is None:
            raise ValueError("y must be given for kind='permutation': got None")
        score = score_of(model, y, metric, batch_size)
        return permutation_importance(score, x, size("n_repeats", n_repeats), generator(rng))

    def extra_repr(self) -> str:
        return f"{self.num_features}{penalties_shown(self._penalties)}"


def _require_target(penalties: Mapping[str, float | Array], target: Array | None) -> None:
    if "target" in penalties and target is None:
        raise ValueError("target must be given with penalties={'target': …}: got None")


def _check_target(given: ArrayLike, num_features: int) -> Array:
    target = numbers("target", given).astype(np.float64)
    if target.shape != (num_features,):
        raise ValueError(f"target must have shape ({num_features},): got {target.shape}")
    if not np.isfinite(target).all() or (target < 0).any() or not target.any():
        raise ValueError("target must be finite, not negative, and not 0 everywhere")
    found: Array = target / target.sum()
    return found
