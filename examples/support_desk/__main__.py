"""A support desk answers from the questions it knows, and says so where it knows none.

A question attends to all known questions: the weight of each is how much its answer counts, the
weight on those of a topic is the topic's probability. Questions that were asked in vain before, on
topics the desk does not have, must give their weight to a sink: so it learns to refuse others.

    python examples/support_desk                    six seeds, in a minute or two
    python examples/support_desk --picture FILE     and a picture, which needs matplotlib
    python examples/support_desk --ask "question"   what is answered, and from which questions
    python examples/support_desk --small            a few steps, as the tests run it
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from picture import EXAMPLES, draw
from questions import INSTALL, Questions, folder_of_corpus, missing, read
from trial import Trial

COLUMNS = {
    "topic": "topic right",
    "refusal AUC": "refusal AUC",
    "refused": "refused at 90 %",
    "first": "first question",
    "in three": "one of three",
}


def report(trials: list[Trial]) -> None:
    one = trials[0]
    print(f"{len(one.names)} topics, {len(one.known)} questions known, {len(one.asked)} asked;")
    print(f"{len(one.in_vain)} were asked in vain, {len(one.left_out)} are of topics left out\n")
    rows: dict[str, list[dict[str, float]]] = {}
    for trial in trials:
        found = trial.figures_of_regression()
        rows.setdefault("TF-IDF, logistic regression", []).append(found["TF-IDF"])
        rows.setdefault("MiniLM, logistic regression", []).append(found["MiniLM"])
        rows.setdefault("attention to known questions", []).append(trial.figures_of_desk())
    print(" " * 30 + "".join(f"{title:>16}" for title in COLUMNS.values()))
    for name, each in rows.items():
        print(f"{name:30}" + "".join(f"{cell(each, key):>16}" for key in COLUMNS))


def cell(each: list[dict[str, float]], key: str) -> str:
    """The mean over seeds, each a mean of its two halves, and how far seeds differ."""
    if key not in each[0]:
        return ""
    of_seeds = np.mean(np.reshape([one[key] for one in each], (-1, 2)), axis=1)
    return f"{of_seeds.mean():.3f} ± {of_seeds.std():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6, 7, 8])
    parser.add_argument("--small", action="store_true", help="one seed, few steps")
    parser.add_argument("--ask", metavar="QUESTION", action="append", default=[])
    parser.add_argument("--picture", type=Path, metavar="FILE")
    options = parser.parse_args()
    if absent := missing():
        sys.exit(f"{absent[0]} is missing: {INSTALL}")
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    encoder = SentenceEncoder(find_minilm(), max_length=64)
    texts, answers, topics = read(folder_of_corpus())
    questions = Questions(texts, answers, np.array(topics), encoder.encode(texts))
    seeds = options.seeds[:1] if options.small or options.ask else options.seeds
    count = 5 if options.small else 60
    trials = [Trial(questions, seed, half, count) for seed in seeds for half in (0, 1)]
    for text in options.ask:
        print(trials[0].answer(text, encoder.encode(text)))
    if not options.ask:
        report(trials)
        print()
        for text, vector in zip(EXAMPLES, encoder.encode(list(EXAMPLES)), strict=True):
            print(trials[0].answer(text, vector))
    if options.picture:
        draw(trials[0], encoder, options.picture)


if __name__ == "__main__":
    main()
