"""Faithfulness: how a model's score follows the features that are called relevant."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named, one_of
from heedful.base._types import Array
from heedful.explain._table import frame

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)  # of comprehensiveness and sufficiency, as in ERASER


class Curves(NamedTuple):
    """Scores of each of N examples at P fractions of its features, (P, N)."""

    deletion: Array
    insertion: Array


class FaithfulnessScores(NamedTuple):
    """The figures of one relevance.

    Attributes
    ----------
    deletion, insertion : float
        Areas under the curves: the mean score while features are removed, lower is better, and
        while they are inserted, higher is better.
    comprehensiveness, sufficiency : float
        What the score loses without the first 1, 5, 10, 20 and 50 % of the features, higher is
        better, and what it loses with them alone, lower is better.
    deletion_margin, insertion_margin : float
        By how much the areas are better than those of random orders; negative where they are worse.
    deletion_error, insertion_error : float
        Standard errors of the margins over the examples; NaN for one example.
    """

    deletion: float
    insertion: float
    comprehensiveness: float
    sufficiency: float
    deletion_margin: float
    deletion_error: float
    insertion_margin: float
    insertion_error: float

    @property
    def beats_random(self) -> bool:
        """Whether both margins are more than twice their standard errors."""
        return (
            self.deletion_margin > 2 * self.deletion_error
            and self.insertion_margin > 2 * self.insertion_error
        )


class Faithfulness:
    """What :func:`faithfulness` returns: a table when printed, curves when plotted.

    ``result["attention"]`` are the :class:`FaithfulnessScores` of a relevance; "random" is the mean
    over the random orders.

    Attributes
    ----------
    fractions : numpy.ndarray, (P,)
        Of the features that are removed or inserted, from 0 to 1.
    curves : dict of str to (deletion, insertion), each (P, N)
        The scores of each example, for each relevance.
    random : list of (deletion, insertion), each (P, N)
        The same for each random order.
    """

    fractions: Array
    curves: dict[str, Curves]
    random: list[Curves]

    def __init__(self, fractions: Array, curves: dict[str, Curves], random: list[Curves]) -> None:
        self.fractions, self.curves, self.random = fractions, curves, random

    def __getitem__(self, name: str) -> FaithfulnessScores:
        if name == "random":
            each = [self._scores(curves) for curves in self.random]
            return FaithfulnessScores(*np.mean(each, axis=0).tolist())
        if name not in self.curves:
            raise KeyError(f"name must be one of {[*self.curves, 'random']}: got {named(name)}")
        return self._scores(self.curves[name])

    def to_pandas(self) -> Any:
        """A DataFrame with a row for each relevance, and one for the random orders."""
        names = [*self.curves, "random"]
        return frame([self[name]._asdict() for name in names], index=names)

    def plot(self, kind: str = "deletion", ax: Any = None) -> Any:
        """Draws the mean curves of all relevances, and the range of the random orders.

        Parameters
        ----------
        kind : {"deletion", "insertion"}
        ax : matplotlib.axes.Axes, optional
            None is a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        kind = one_of("kind", kind, ("deletion", "insertion"))
        if ax is None:
            try:
                from matplotlib import pyplot
            except ImportError:
                raise ImportError(
                    "plot needs the package matplotlib: pip install matplotlib"
                ) from None
            ax = pyplot.figure(layout="constrained").add_subplot()
        chance = np.array([getattr(curves, kind).mean(1) for curves in self.random])  # (R, P)
        ax.fill_between(
            self.fractions, chance.min(0), chance.max(0), color="0.8", linewidth=0,
            label=f"random, {len(chance)} orders",
        )  # fmt: skip
        for name, curves in self.curves.items():
            ax.plot(self.fractions, getattr(curves, kind).mean(1), label=name)
        ax.set_xlim(0, 1)
        ax.set_xlabel(f"fraction of the features {'removed' if kind == 'deletion' else 'inserted'}")
        ax.set_ylabel("mean score")
        ax.legend()
        return ax

    def __repr__(self) -> str:
        width = max(map(len, [*self.curves, "random"]))
        count = self.random[0].deletion.shape[1]
        lines = [
            f"Faithfulness, {count} examples, {len(self.random)} random orders",
            " " * width + "  deletion ↓  insertion ↑  comprehensive ↑  sufficient ↓"
            "   better than random: deletion, insertion",
        ]
        for name in self.curves:
            found = self[name]
            lines.append(
                f"{name:{width}}{_figures(found)}"
                f"   {found.deletion_margin:+.3f} ± {found.deletion_error:.3f}"
                f"  {found.insertion_margin:+.3f} ± {found.insertion_error:.3f}"
                f"  {'yes' if found.beats_random else 'NO'}"
            )
        spread = np.std([self._scores(curves)[:2] for curves in self.random], axis=0)
        lines.append(
            f"{'random':{width}}{_figures(self['random'])}"
            f"   spread of the orders: {spread[0]:.3f}, {spread[1]:.3f}"
        )
        return "\n".join(lines)

    def _area(self, curves: Array) -> Array:
        """Under the curve of each example, (P, N) → (N,)."""
        area: Array = np.diff(self.fractions) @ ((curves[1:] + curves[:-1]) / 2)
        return area

    def _scores(self, curves: Curves) -> FaithfulnessScores:
        bins = np.isin(self.fractions, BINS)
        whole = curves.deletion[0]
        areas = [self._area(own) for own in curves]
        margins: list[float] = []
        for axis, sign in ((0, -1), (1, 1)):
            chance = np.mean([self._area(random[axis]) for random in self.random], axis=0)
            better = sign * (areas[axis] - chance)
            many = len(better) > 1
            error = better.std(ddof=1) / np.sqrt(len(better)) if many else np.nan
            margins += [float(better.mean()), float(error)]
        return FaithfulnessScores(
            float(areas[0].mean()), float(areas[1].mean()),
            float((whole - curves.deletion[bins]).mean()),
            float((whole - curves.insertion[bins]).mean()), *margins,
        )  # fmt: skip


def _figures(found: FaithfulnessScores) -> str:
    return (
        f"{found.deletion:>12.3f}{found.insertion:>13.3f}"
        f"{found.comprehensiveness:>17.3f}{found.sufficiency:>14.3f}"
    )
