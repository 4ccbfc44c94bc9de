"""Neighbours: films rated by the same people, the baselines, with settings chosen in validation."""

import numpy as np
from histories import Histories, hit, parts


def meetings(past: Histories, films: int, reach: float | None) -> np.ndarray:
    """How often the same person rated both of two films, (films, films).

    With `reach`, two films d places apart count exp(−d / reach) instead of 1.
    """
    together = np.zeros((films, films))
    for seen in past:
        apart = np.abs(np.arange(len(seen))[:, None] - np.arange(len(seen)))
        counts = np.ones_like(apart, float) if reach is None else np.exp(-apart / reach)
        together[seen[:, None], seen] += counts * (apart > 0)
    return together


def neighbours(past: Histories, films: int, reach: float | None = None) -> np.ndarray:
    """Similarity of films, (films, films): meetings, divided by the root of the totals of both."""
    together = meetings(past, films, reach)
    rated = np.bincount(np.concatenate(past), minlength=films)
    size = np.sqrt(rated if reach is None else together.sum(axis=1))  # rated: the cosine
    return together / np.maximum(np.outer(size, size), 1e-9)


def by_neighbours(similar: np.ndarray, past: Histories, memory: float) -> np.ndarray:
    """Scores (people, films): similarities to the films seen, k back weighted exp(−k / memory)."""
    return np.stack([np.exp(-np.arange(len(seen))[::-1] / memory) @ similar[seen] for seen in past])


def last_neighbours(similar: np.ndarray, past: Histories, count: float) -> np.ndarray:
    """Scores (people, films): the sum of similarities to the last `count` films."""
    return np.stack([similar[seen[-int(count) :]].sum(axis=0) for seen in past])


def tuned_baselines(people: Histories, films: int) -> dict[str, tuple[np.ndarray, str]]:
    """Scores for the test of each baseline, with the settings that validation chose."""
    past, targets = parts(people, 2)
    full, _ = parts(people, 1)
    popular = np.bincount(np.concatenate(full), minlength=films).astype(float)
    found = {"most popular": (np.tile(popular, (len(full), 1)), "")}
    tables = {reach: neighbours(past, films, reach) for reach in (None, 5.0, 20.0, 50.0)}
    tries = {
        "item neighbours": (last_neighbours, [(None, n) for n in (1, 2, 3, 5, 10, 20, 1000)]),
        "item neighbours by time": (
            by_neighbours, [(r, m) for r in (5.0, 20.0, 50.0) for m in (1, 2, 3, 4, 6, 8)]),
    }  # fmt: skip
    for name, (scores, grid) in tries.items():
        hits = [hit(scores(tables[reach], past, memory), past, targets) for reach, memory in grid]
        reach, memory = grid[int(np.argmax(hits))]
        shown = f"memory {memory}" + ("" if reach is None else f", reach {reach:.0f}")
        found[name] = scores(neighbours(full, films, reach), full, memory), shown
    return found
