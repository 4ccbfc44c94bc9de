"""find_guidable_heads: which heads of a model follow guidance on a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import size
from heedful.explain._guided_examples import GuidedExamples, Metric
from heedful.explain._layer_choice import Patterns, chosen_layers, number_of_heads


class GuidableHead(NamedTuple):
    """A head, and the metric where it alone is guided."""

    layer: str
    head: int
    score: float


class GuidableHeads(Sequence[GuidableHead]):
    """Heads, the ones that follow guidance best first.

    Attributes
    ----------
    unguided, all_guided : float
        The metric without guidance, and with all heads guided.
    """

    unguided: float
    all_guided: float

    def __init__(self, heads: list[GuidableHead], unguided: float, all_guided: float) -> None:
        self._heads, self.unguided, self.all_guided = heads, unguided, all_guided

    def __len__(self) -> int:
        return len(self._heads)

    def __getitem__(self, index: Any) -> Any:
        return self._heads[index]

    def __iter__(self) -> Iterator[GuidableHead]:
        return iter(self._heads)

    def best(self, count: int) -> dict[str, Any]:
        """The first `count` heads as `where` and `heads` of :func:`steer` and Guidance.steer."""
        chosen = self._heads[: size("count", count)]
        heads: dict[str, list[int]] = {}
        for layer, head, _ in chosen:
            heads.setdefault(layer, []).append(head)
        return {"where": list(heads), "heads": {name: sorted(of) for name, of in heads.items()}}

    def __repr__(self) -> str:
        lines = [f"without guidance {self.unguided:.4g}, all heads {self.all_guided:.4g}"]
        lines += [f"{score:.4g}  {layer}  head {head}" for layer, head, score in self._heads[:10]]
        more = len(self._heads) - 10
        return "\n".join(lines + [f"… and {more} more"] * (more > 0))


def find_guidable_heads(
    model: Any,
    inputs: Sequence[Any],
    guidance: Any,
    metric: Metric,
    *,
    where: Patterns = "*",
    call: Callable[[Any, Any], Any] | None = None,
) -> GuidableHeads:
    """Which heads follow guidance on a task: one head is guided at a time.

    ::

        found = find_guidable_heads(model, texts, guidances, metric)
        with guidance.steer(model, **found.best(8)):
            model(x)

    Parameters
    ----------
    model : Layer, or an object with one as its `model`
    inputs : sequence
        Examples of the task, each as the model is called with it: a tuple by position.
    guidance : sequence of Guidance, or of sequences of them
        One for each example, made by :func:`guide`.
    metric : callable
        ``metric(results, examples)`` of the list of results and the numbers of their examples: a
        number, higher is better.
    where : str or sequence of str, default "*"
        Patterns of attention layers, see :func:`watch`.
    call : callable, optional
        ``call(model, input)`` computes a result; None calls the model, or ``encode`` of a
        SentenceEncoder. For generation ``lambda model, prompt: model.generate([prompt])[0]``.

    Returns
    -------
    GuidableHeads
        A sequence of (layer, head, score), ordered by score; of equal ones the first in the model
        first. ``best(count)`` are the arguments that steer these heads.

    Raises
    ------
    ValueError
        Another number of guidances than inputs, a metric that is not finite, layers that do not
        exist.
    TypeError
        A metric that is not a function or does not return a number.

    Notes
    -----
    The model computes each example once for each head and twice besides. Choose heads on other
    examples than those on which the result is reported.

    Zhang et al. 2024, PASTA, https://arxiv.org/abs/2311.02262.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import find_guidable_heads, guide
    >>> from heedful.layers import Encoder
    >>> model, rng = Encoder(1, 8, 2, 16, rng=0), np.random.default_rng(0)
    >>> inputs = list(rng.standard_normal((4, 5, 8), np.float32))
    >>> def closer_to_the_first(results, examples):
    ...     return -sum(np.abs(y[-1] - inputs[i][0]).mean() for y, i in zip(results, examples))
    >>> guidances = [guide(5, attract=0, strength=3)] * 4
    >>> found = find_guidable_heads(model, inputs, guidances, closer_to_the_first)
    >>> len(found), found.best(1)["where"]
    (2, ['layers.0.self_attn'])
    """
    layers = chosen_layers(model, "where", where, without=("linear",))
    given = GuidedExamples(model, inputs, guidance, metric, call)
    every = np.arange(given.count)
    ones = np.ones(len(given.parts[0]))

    def score(strengths: Any, names: Patterns, heads: Any) -> float:
        return given.score(given.results(strengths, every, names, heads), every)

    unguided, all_guided = score(0 * ones, list(layers), None), score(ones, list(layers), None)
    found = [
        GuidableHead(name, head, score(ones, [name], [head]))
        for name, layer in layers.items()
        for head in range(number_of_heads(layer))
    ]
    found.sort(key=lambda one: -one.score)  # stable
    return GuidableHeads(found, unguided, all_guided)
