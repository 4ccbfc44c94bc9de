"""Figures: the baseline, the model without and with guidance, whether its attention is right."""

from typing import Any, NamedTuple

import numpy as np
from headlines import HEADLINES, RISES
from reader import Reader, Vocabulary, train
from reviews import Reviews, split, words_of

from heedful.explain import guide

STRENGTHS = 0.0, 2.0  # without guidance, and with: a word of the rating 1 has e² times the odds
REMOVED = 3


class Result(NamedTuple):
    model: Reader
    vocabulary: Vocabulary
    figures: dict[str, float]


def logistic_regression(
    known: Reviews, validation: Reviews, test: Reviews
) -> tuple[dict[str, float], dict[str, float]]:
    """TF-IDF of words, and of words and pairs; the penalty is what the validation part prefers."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    def tuned(size: int) -> dict[str, float]:
        features = TfidfVectorizer(
            tokenizer=list, token_pattern=None, lowercase=False, ngram_range=(1, size), min_df=2,
            sublinear_tf=True,
        )  # fmt: skip
        x = features.fit_transform(known.words)
        held, unseen = map(features.transform, (validation.words, test.words))
        models = [LogisticRegression(C=penalty, max_iter=1000).fit(x, known.liked)
                  for penalty in (1, 3, 10)]  # fmt: skip
        model = max(models, key=lambda one: one.score(held, validation.liked))
        score = model.decision_function(unseen)
        return {"accuracy": float(np.mean((score > 0) == test.liked)),
                "AUC": roc_auc_score(test.liked, score)}  # fmt: skip

    return tuned(1), tuned(2)


def without(texts: list[list[str]], gone: list[Any]) -> list[list[str]]:
    return [[word for place, word in enumerate(text) if place not in set(out)]
            for text, out in zip(texts, gone, strict=True)]  # fmt: skip


def loss_without(
    model: Reader, vocabulary: Vocabulary, lexicon: Any, test: Reviews, rng: Any
) -> list[float]:
    """How far the logit of the predicted class falls, on average: heaviest words, random words."""
    texts = [text[: vocabulary.length] for text in test.words if len(text) > 2 * REMOVED]

    def inputs(texts: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
        return vocabulary.encode(texts), vocabulary.ratings(texts, lexicon)

    tokens, ratings = inputs(texts)
    weights, _ = model.read(tokens, ratings)
    before = model.predict((tokens, ratings), batch_size=256)[:, 0]
    heaviest = np.argsort(-weights, axis=1)[:, :REMOVED]
    drawn = [rng.choice(len(text), REMOVED, replace=False) for text in texts]
    falls = []
    for gone in (heaviest, drawn):
        after = model.predict(inputs(without(texts, list(gone))), batch_size=256)[:, 0]
        falls.append(float(np.mean(np.sign(before) * (before - after))))
    return falls


def inputs_of(vocabulary: Vocabulary, text: str, lexicon: Any) -> tuple[np.ndarray, np.ndarray]:
    words = words_of(text)
    tokens, ratings = vocabulary.encode([words]), np.zeros((1, vocabulary.length), np.float32)
    if lexicon:
        # `guide` finds the words and their forms; what it marks attracts attention in the model
        ratings[0, : len(words)] = guide(words, attract=lexicon).bias
    return tokens, ratings


def reads_headlines(result: Result, lexicon: Any) -> float:
    each = [inputs_of(result.vocabulary, text, lexicon) for text in HEADLINES]
    tokens, ratings = (np.concatenate(arrays) for arrays in zip(*each, strict=True))
    logits = result.model(tokens, ratings)[:, 0]
    return float(np.mean((logits > 0) == np.array(RISES)))


def counted(lexicon: Any) -> float:
    """The baseline: whether more words of a headline are good than bad; a tie is half right."""
    signs = [np.sign(guide(words_of(text), attract=lexicon).bias).sum() for text in HEADLINES]
    return float(np.mean([0.5 if s == 0 else (s > 0) == rises
                          for s, rises in zip(signs, RISES, strict=True)]))  # fmt: skip


def study(
    reviews: Reviews, lexicon: Any, seed: int, epochs: int
) -> tuple[tuple[dict[str, float], dict[str, float]], list[Result]]:
    """The baselines, and a result for each strength, of the split of this seed."""
    known, validation, test = split(reviews, seed)
    vocabulary = Vocabulary(known.words)
    unseen = vocabulary.encode(test.words), vocabulary.ratings(test.words, lexicon)
    results = []
    for strength in STRENGTHS:
        model = train(vocabulary, lexicon, strength, known, validation, seed, epochs)
        model.compile("adam", "binary_crossentropy", metrics=["accuracy", "auc"])
        found = model.evaluate(unseen, test.liked[:, None], batch_size=256)
        weights, _ = model.read(*unseen)
        rng = np.random.default_rng(seed)
        heaviest, drawn = loss_without(model, vocabulary, lexicon, test, rng)
        results.append(Result(model, vocabulary, {
            "accuracy": found.accuracy, "AUC": found.auc, "heaviest away": heaviest,
            "random away": drawn, "on rated": float(weights[unseen[1] != 0].sum()) / len(weights),
        }))  # fmt: skip
    return logistic_regression(known, validation, test), results
