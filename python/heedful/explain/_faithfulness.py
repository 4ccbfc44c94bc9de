"""faithfulness: whether the features that are called relevant are those that move the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import generator, size
from heedful.base._types import Array, Rng
from heedful.explain._differentiable import Gradient
from heedful.explain._faithfulness_result import BINS, Curves, Faithfulness
from heedful.explain._gradient_times_input import gradient_times_input
from heedful.explain._removal import Removal, as_relevance
from heedful.explain._scored_model import ScoredModel
from heedful.layers import Layer

_GRADIENT = "gradient × input"


def faithfulness(
    model: Any, inputs: Any, relevance: Any, *, target: Any = None, baseline: Any = None,
    mask: Any = None, steps: int = 10, n_random: int = 10, gradient: Gradient | None = None,
    batch_size: int = 256, rng: Rng = 0,
) -> Faithfulness:  # fmt: skip
    """How the score falls when the most relevant features go, and rises when they come.

    ::

        deletion(p)   = score of x with the first p of its features replaced by the baseline
        insertion(p)  = score of the baseline with the first p of its features replaced by x
        comprehensiveness = mean over p of score(x) − deletion(p)       p = 1, 5, 10, 20, 50 %
        sufficiency       = mean over p of score(x) − insertion(p)

    with features in the order of decreasing relevance, and the score that of the target. A faithful
    relevance has a low area under the curve of deletion and a high one under that of insertion.
    Random orders and gradient × input are measured for comparison.

    Parameters
    ----------
    model : Layer or function
        x → scores (N,) or (N, C); probabilities, such as of a model that ends in Softmax, make
        curves between 0 and 1.
    inputs : array_like, (N, …), or a tuple of them, or a dict of them
        See :func:`gradient_times_input`; the first has the features.
    relevance : array_like, (N, …), or a mapping of names to them
        Of the shape of the first input, or of its first axes: (N, L) for inputs (N, L, E) removes
        position by position.
    target : int or array_like of int, (N,), optional
        See :func:`gradient_times_input`. Attention and other relevance without a sign should be
        measured on the predicted class, the default of a model with several outputs.
    baseline : array_like, optional
        What replaces a removed feature: a number, or an array that broadcasts to the inputs; for
        tokens a token, which must be given. None is 0.
    mask : array_like of bool, optional
        Of the shape of the relevance; False for features that always stay, such as padding and
        special tokens.
    steps : int, default 10
        The curves have points at 0, 1/steps, …, 1, and at the fractions p above.
    n_random : int, default 10
        Random orders.
    gradient : function, optional
        ``gradient(x, dscores) → dx`` for a model that is a function; without it gradient × input is
        left out.
    batch_size : int, default 256
        Examples computed at a time.
    rng : None, int or numpy.random.Generator, default 0
        Of the random orders, and of the order of equally relevant features.

    Returns
    -------
    Faithfulness
        A table when printed; ``result[name]`` are its figures, ``result.plot()`` the curves.

    Raises
    ------
    ValueError
        Relevance or mask of another shape, or not finite; no baseline for tokens; scores that are
        not finite; a relevance named "random".
    TypeError
        A model that cannot be called; a mask that is not boolean.

    Notes
    -----
    Deletion and insertion: Petsiuk, Das and Saenko 2018, RISE, https://arxiv.org/abs/1806.07421.
    Comprehensiveness and sufficiency: DeYoung et al. 2020, ERASER,
    https://arxiv.org/abs/1911.03429.

    Attention weights are not an explanation by themselves: other weights can give the same
    prediction, and they agree little with gradients (Jain and Wallace 2019,
    https://arxiv.org/abs/1902.10186). Nor are they none: weights that were trained with the model
    are not arbitrary (Wiegreffe and Pinter 2019, https://arxiv.org/abs/1908.04626). So measure them
    on the model at hand. What is measured is a ranking, on inputs without features that the model
    may never have seen: the baseline matters, and a model that is unstable there looks unfaithful.
    :func:`weight_randomization` asks what these figures do not, whether the model matters at all.

    Costs about 2 · (steps + 1) · (relevances + n_random) passes over the examples.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import faithfulness
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> def model(x):
    ...     return x @ np.arange(8.0)
    >>> result = faithfulness(model, x, {"exact": x * np.arange(8.0), "size of x": np.abs(x)})
    >>> result["exact"].beats_random, result["size of x"].beats_random
    (True, False)
    """
    scored = ScoredModel(model, inputs, target, batch_size)
    named = dict(relevance) if isinstance(relevance, Mapping) else {"relevance": relevance}
    shape = scored.explained.shape
    arrays = {str(name): as_relevance(_named(name), one, shape) for name, one in named.items()}
    if not arrays or "random" in arrays:
        raise ValueError(f"relevance must have names other than 'random': got {list(arrays)}")
    axes = {one.ndim for one in arrays.values()}
    if len(axes) > 1:
        raise ValueError(
            "relevance must have the same shape under every name: got "
            + ", ".join(f"{name} {one.shape}" for name, one in arrays.items())
        )
    if baseline is None and scored.explained.dtype.kind in "iu":
        raise ValueError("baseline must be given for tokens, one that stands for none: got None")
    (ndim,) = axes
    removal = Removal(scored, shape[:ndim], baseline, mask)
    if (gradient is not None or isinstance(model, Layer)) and _GRADIENT not in arrays:
        # the gradient of a token is taken against the vector 0, not against the baseline's
        against = None if scored.explained.dtype.kind in "iu" else baseline
        found = gradient_times_input(
            model, inputs, target=scored.targets, baseline=against, gradient=gradient,
            batch_size=batch_size,
        )  # fmt: skip
        arrays[_GRADIENT] = found.reshape(*shape[:ndim], -1).sum(-1)
    fractions = np.union1d(np.linspace(0, 1, size("steps", steps) + 1).round(9), BINS)
    rng = generator(rng)
    curves = {
        name: _curves(removal, removal.ranks(one.reshape(len(one), -1), rng), fractions)
        for name, one in arrays.items()
    }
    random = [
        _curves(removal, removal.ranks(np.zeros(removal.mask.shape), rng), fractions)
        for _ in range(size("n_random", n_random))
    ]
    return Faithfulness(fractions, curves, random)


def _curves(removal: Removal, ranks: Array, fractions: Array) -> Curves:
    return Curves(
        np.array([removal.deletion(ranks, fraction) for fraction in fractions]),
        np.array([removal.insertion(ranks, fraction) for fraction in fractions]),
    )


def _named(name: Any) -> str:
    return "relevance" if name == "relevance" else f"relevance {name!r}"
