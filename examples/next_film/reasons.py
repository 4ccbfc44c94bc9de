"""Because you saw: the weights of the last film's row, and what is advised without some films."""

from pathlib import Path

import numpy as np
from attention import READ, batch, predict
from histories import Histories

from heedful.explain import steer, watch
from heedful.layers import LanguageModel, steps


def weights_of(model: LanguageModel, past: Histories) -> np.ndarray:
    """Weight of each of the last READ films, (people, READ), mean of the heads."""
    read, lengths = batch(past, [max(0, len(seen) - READ) for seen in past])
    with watch(model, "encoder.layers.0.self_attn", average_heads=True) as seen:
        model(read)
    return seen.weights[0][np.arange(len(past)), 0, lengths - 1]


def kept_advice(
    model: LanguageModel, past: Histories, hidden: np.ndarray, count: int = 10
) -> float:
    """Share of the first ten films that are still advised where `hidden` films are not attended to.

    hidden : bool (people, READ)
    """
    read, lengths = batch(past, [max(0, len(seen) - READ) for seen in past])
    before = predict(model, past)
    with steer(model, mask=~hidden[:, None, None, :], where="encoder.layers.0.self_attn"):
        after = model(read)[np.arange(len(past)), lengths - 1]
    best = []
    for scores in (before, after):
        for row, films in zip(scores, past, strict=True):
            row[films] = -np.inf
        best.append(np.argsort(-scores, axis=1)[:, :count])
    return float((best[0][:, :, None] == best[1][:, None]).any(2).mean())


def explain(
    model: LanguageModel, people: Histories, titles: list[str], picture: Path | None
) -> None:
    """Prints what some people are advised and why, and whether the weights are the reason."""
    past = people[:100]
    weights = weights_of(model, past)
    _, lengths = batch(past, [max(0, len(seen) - READ) for seen in past])
    # the last film stays: without it the advice is that for another moment
    places = [np.argsort(-row[: n - 1])[:5] for row, n in zip(weights, lengths, strict=True)]
    rng = np.random.default_rng(0)
    share = {}
    for name in ("the five heaviest", "five others at random"):
        hidden = np.zeros(weights.shape, bool)
        for row, heaviest, n in zip(hidden, places, lengths, strict=True):
            others = np.setdiff1d(np.arange(n - 1), heaviest)
            row[heaviest if name == "the five heaviest" else rng.choice(others, 5, False)] = True
        share[name] = kept_advice(model, past, hidden)
        print(f"of ten films advised, {name} not attended to: {share[name]:.0%} stay")
    scores = predict(model, past)
    for person in (0, 5):
        seen, row = past[person], weights[person]
        scores[person, seen] = -np.inf
        advised = [titles[film] for film in np.argsort(-scores[person])[:3]]
        first = max(0, len(seen) - READ)
        heaviest = np.argsort(-row)[:3]
        because = [f"{titles[seen[first + i]]} ({row[i]:.0%})" for i in heaviest]
        print(f"{'; '.join(advised)}\n  because you saw {'; '.join(because)}")
    if picture:
        draw(past[0], weights[0], scores[0], titles, picture)


def draw(
    seen: np.ndarray, weights: np.ndarray, scores: np.ndarray, titles: list[str], picture: Path
) -> None:
    """The films that a person saw, with their weights, and what is advised."""
    from matplotlib.figure import Figure

    shown = 15
    films, row = seen[-READ:][-shown:], weights[: min(READ, len(seen))][-shown:]
    best = np.argsort(-scores)[:10]
    share = steps.softmax(scores)[best]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, names, bars, title, color in (
        (figure.add_subplot(121), films, row, "because you saw, the latest last", "tab:orange"),
        (figure.add_subplot(122), best, share, "advised", "tab:blue"),
    ):
        places = np.arange(len(names))[::-1]
        ax.barh(places, bars, color=color)
        ax.set_yticks(places, [titles[film][:32] for film in names], fontsize=7)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        ax.tick_params(axis="x", labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_title(title, fontsize=9)
    figure.savefig(picture, dpi=100)
