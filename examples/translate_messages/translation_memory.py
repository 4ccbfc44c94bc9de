"""Translation memory: the translation of the most similar message that is known."""

from collections.abc import Sequence

import numpy as np
from catalogues import Pairs
from sklearn.feature_extraction.text import TfidfVectorizer


def recalled(known: Pairs, messages: Sequence[str], longest_gram: int = 3) -> list[str]:
    """Similarity is the cosine of TF-IDF of letter n-grams, n = 1 … longest_gram."""
    translations = list(known.values())
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(1, longest_gram), sublinear_tf=True, dtype=np.float32
    )
    keys = vectorizer.fit_transform(list(known)).T.tocsr()
    found = []
    for begin in range(0, len(messages), 200):
        similarity = vectorizer.transform(messages[begin : begin + 200]) @ keys
        nearest = np.asarray(similarity.argmax(axis=1)).ravel()
        found += [translations[index] for index in nearest]
    return found
