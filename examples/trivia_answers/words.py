"""Words that questions and texts share: a part of the bias, and the baseline."""

from collections.abc import Iterable

import numpy as np


def shared(questions: list[str], texts: list[str], glosses: Iterable[str]) -> np.ndarray:
    """(N, S): what share of a question's words stands in a text, rare words counted more.

    The share is that of the squares of log(glosses / those with the word).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    rarity = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit(glosses)
    there = (rarity.transform(texts) > 0).astype(np.float32)
    found: np.ndarray = (rarity.transform(questions).power(2) @ there.T).toarray()
    return found.astype(np.float32)


def tfidf(questions: list[str], documents: list[str]) -> list[np.ndarray]:
    """The baseline in three ways: words, pairs of words, parts of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    ways = [{}, {"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (3, 5)}]
    found = []
    for options in ways:
        vectorizer = TfidfVectorizer(sublinear_tf=True, **options).fit(documents + questions)
        close = vectorizer.transform(questions) @ vectorizer.transform(documents).T
        found.append(close.toarray())
    return found
