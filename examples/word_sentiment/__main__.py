"""Does the author of a review like what they bought, and which words say so?

Attention over words, guided by a lexicon: what the lexicon rates attracts attention. The model
reads reviews of clothes; then, guided by lists of words of finance, headlines of another field.

    python examples/word_sentiment                   three seeds, some minutes
    python examples/word_sentiment --picture FILE    and a picture, which needs matplotlib
    python examples/word_sentiment --small           800 reviews, in seconds, as the tests run it
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from figures import REMOVED, STRENGTHS, counted, reads_headlines, study
from headlines import HEADLINES, OWN, loughran_mcdonald
from picture import draw
from reviews import INSTALL, load_lexicon, load_reviews, missing

COLUMNS = "accuracy", "AUC", "on rated", "heaviest away", "random away"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--small", action="store_true", help="800 reviews, one seed")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    options = parser.parse_args()
    if absent := missing():
        sys.exit(f"{absent[0]} is missing: {INSTALL}")
    reviews, lexicon = load_reviews(), load_lexicon()
    if options.small:
        reviews = reviews.part(np.arange(800))
    rows: dict[str, list[dict[str, float]]] = {}
    read: dict[str, list[float]] = {}
    lists = {"no list": None, "VADER": lexicon, "the lists of this example": OWN}
    if (found := loughran_mcdonald()) is not None:
        lists["Loughran and McDonald"] = found
    for seed in options.seeds[:1] if options.small else options.seeds:
        (words, pairs), results = study(reviews, lexicon, seed, epochs=4)
        rows.setdefault("TF-IDF of words, logistic regression", []).append(words)
        rows.setdefault("TF-IDF of words and pairs", []).append(pairs)
        for strength, result in zip(STRENGTHS, results, strict=True):
            rows.setdefault(f"attention, strength {strength:g}", []).append(result.figures)
        for name, one in lists.items():
            read.setdefault(name, []).append(reads_headlines(results[-1], one))
    print(f"{len(reviews.words):,} reviews, {np.mean(reviews.liked):.1%} with 4 or 5 stars\n")
    print(" " * 38 + "".join(f"{name:>16}" for name in COLUMNS))
    for name, each in rows.items():
        cells = [spread([one[key] for one in each]) if key in each[0] else "" for key in COLUMNS]
        print(f"{name:38}" + "".join(f"{text:>16}" for text in cells))
    print(f"away: how far the logit of the predicted class falls without {REMOVED} words")
    print(f"\n{len(HEADLINES)} headlines, read by the model of reviews   words of the list counted")
    for name, each_accuracy in read.items():
        baseline = "" if lists[name] is None else f"{counted(lists[name]):10.3f}"
        print(f"{name:30}{spread(each_accuracy):>16}{baseline}")
    if options.picture:
        draw(results[-1], lexicon, options.picture)


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


if __name__ == "__main__":
    main()
