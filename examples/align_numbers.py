"""Bahdanau's recurrent network with attention: numbers from German into English, letter by letter.

This is where attention comes from (Bahdanau, Cho and Bengio 2015): an encoder reads the German
letters, forward and backward; a decoder writes the English ones, and before each it looks at the
letters read. The model is written forward, its gradients are derived. The same network, whose
decoder sees the last state of the encoder instead (Cho et al. 2014), is trained beside it.

    python align_numbers.py                   numbers below 10,000, three seeds
    python align_numbers.py --seeds 0         one seed
    python align_numbers.py --picture FILE    and the alignment as a picture
    python align_numbers.py --small           numbers below 100, a few steps, as the tests run it
"""

# %% Pairs of spellings
import argparse
import time
from typing import Any

import numpy as np
from num2words import num2words

from heedful.layers import GRU, Embedding, Layer, Linear, Parameter, generate, steps
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

PAD, START, STOP = 0, 1, 2


class Spellings:
    """Numbers below `highest` in two languages, as rows of letters, a tenth of them for testing."""

    def __init__(self, highest: int) -> None:
        self.german, self.english = (
            [num2words(number, lang=language) for number in range(highest)]
            for language in ("de", "en")
        )
        self.letters = sorted(set("".join(self.german + self.english)))
        self.source = self.rows(self.german, [])
        self.target = self.rows(self.english, [START])
        order = np.random.default_rng(0).permutation(highest)
        self.test, self.train = order[: highest // 10], order[highest // 10 :]

    def rows(self, words: list[str], before: list[int]) -> np.ndarray:
        """(N, L), from the letter before the first to STOP, padded with PAD."""
        rows = [[*before, *(self.letters.index(one) + 3 for one in word), STOP] for word in words]
        out = np.full((len(rows), max(map(len, rows))), PAD)
        for filled, row in zip(out, rows, strict=True):
            filled[: len(row)] = row
        return out

    def word(self, tokens: np.ndarray) -> str:
        return "".join(self.letters[token - 3] for token in tokens if token >= 3)


def lengths(tokens: np.ndarray) -> np.ndarray:
    return (tokens != PAD).sum(axis=1)


# %% The model, forward
class Bahdanau(Layer):
    """Letters read and letters written to scores of the next letter.

    ::

        h        = GRU in both directions(letters read)              (B, M, 2 E), annotations
        c[i]     = Σ_j softmax_j(v · tanh(W s[i−1] + U h[j])) h[j]   what was looked at
        s[i]     = GRU cell(letter i − 1 and c[i], s[i−1])           the decoder's state
        score[i] = Linear(tanh(Linear(s[i] and c[i])))
    """

    def __init__(self, letters: int, width: int, attends: bool = True, rng: Any = None) -> None:
        self.attends = attends
        self.read, self.written = (Embedding(letters, width, PAD, rng=rng) for _ in range(2))
        self.encoder = GRU(width, width, bidirectional=True, rng=rng)
        self.start = Linear(width, width, activation="tanh", rng=rng)
        self.query = Linear(width, width, bias=False, rng=rng)  # W
        self.key = Linear(2 * width, width, rng=rng)  # U
        self.score = Parameter(rng.uniform(-1, 1, width).astype(np.float32) / np.sqrt(width))  # v
        self.cell = GRU(3 * width, width, rng=rng)
        self.mixed = Linear(3 * width, width, activation="tanh", rng=rng)
        self.out = Linear(width, letters, rng=rng)

    def encoded(self, source: np.ndarray) -> tuple[Any, Any, Any, Any]:
        """Annotations, what is compared with queries, their last ones, and the first state."""
        h, last = self.encoder(self.read(source), lengths=lengths(source), return_state=True)
        ends = last.reshape(len(source), 1, -1)
        return (
            steps.expand_dims(h, 1),
            steps.expand_dims(self.key(h), 1),
            ends,
            self.start(last[:, 1:]),
        )

    def stepped(
        self, source: np.ndarray, encoded: tuple[Any, Any, Any], letter: Any, state: Any
    ) -> tuple[Any, Any, Any]:
        """letter (B, 1, E) and state (B, 1, E) to the next state, to (B, 1, 3 E), and weights."""
        h, key, ends = encoded
        context, weights = ends, None
        if self.attends:
            query = steps.expand_dims(self.query(state), 1)  # (B, H = 1, 1, E)
            context, weights = steps.additive_attention(
                query, key, h, self.score, kv_lengths=lengths(source), return_weights=True
            )
            context = context.squeeze(1)
        _, state = self.cell(steps.concatenate([letter, context], -1), state, return_state=True)
        return state, steps.concatenate([state, context], -1), weights

    def call(self, source: np.ndarray, target: np.ndarray) -> Any:
        *encoded, state = self.encoded(source)
        letters, found = self.written(target), []
        for i in range(target.shape[1]):
            state, both, _ = self.stepped(source, encoded, letters[:, i : i + 1], state)
            found.append(both)
        return self.out(self.mixed(steps.concatenate(found, axis=1)))


class Writing:
    """The decoder letter by letter: the steps that `generate` asks for; `looked` at what."""

    longest = None

    def __init__(self, model: Bahdanau, source: np.ndarray) -> None:
        self.model, self.source, self.looked = model, source, []
        *self.encoded, self.state = model.encoded(source)

    def start(self, prompts: list[np.ndarray]) -> np.ndarray:
        return self.step(np.concatenate(prompts))

    def step(self, tokens: np.ndarray) -> np.ndarray:
        letter = self.model.written(tokens[:, None])
        self.state, both, weights = self.model.stepped(
            self.source, self.encoded, letter, self.state
        )
        self.looked.append(weights)
        return self.model.out(self.model.mixed(both))[:, 0]

    def reorder(self, items: np.ndarray) -> None:
        self.source, self.state = self.source[items], self.state[items]
        self.encoded = [array[items] for array in self.encoded]
        self.looked = [None if weights is None else weights[items] for weights in self.looked]


# %% Training and unseen numbers
def trained(data: Spellings, attends: bool, seed: int, count: int) -> Bahdanau:
    rng = np.random.default_rng(seed)
    model = Bahdanau(len(data.letters) + 3, 64, attends, rng)
    optimizer = AdamW(model, WarmupCosine(8e-3, count // 10, count), clip_norm=1.0)
    loss_fn = SparseCategoricalCrossEntropy(ignore_index=PAD)
    for step in range(count):
        rows = rng.choice(data.train, 64)
        x, y = (t[rows, : lengths(t[rows]).max()] for t in (data.source, data.target))
        logits, backward = model.forward(x, y[:, :-1], rng=rng)
        loss, dlogits = loss_fn(y[:, 1:], logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
        if (step + 1) % max(count // 4, 1) == 0:
            print(f"  step {step + 1}: loss {loss:.4f}", flush=True)
    return model


def written(model: Bahdanau, source: np.ndarray, longest: int) -> tuple[list[np.ndarray], Writing]:
    writing = Writing(model, source)
    prompts = [np.array([START])] * len(source)
    return generate(writing, prompts, stop=STOP, max_length=longest), writing


def exact(model: Bahdanau, data: Spellings) -> float:
    """The part of the unseen numbers whose every letter is right."""
    right = 0
    for begin in range(0, len(data.test), 250):
        rows = data.test[begin : begin + 250]
        found, _ = written(model, data.source[rows], data.target.shape[1])
        right += sum(data.word(one) == data.english[n] for one, n in zip(found, rows, strict=True))
    return right / len(data.test)


def alignment(model: Bahdanau, data: Spellings, number: int) -> tuple[str, np.ndarray]:
    """What is written for a number, and (letters written and end, letters read and end)."""
    source = data.source[[number], : lengths(data.source[[number]])[0]]
    (found,), writing = written(model, source, data.target.shape[1])
    return data.word(found), np.concatenate([one[0, 0] for one in writing.looked])[: len(found) + 1]


def draw(model: Bahdanau, data: Spellings, numbers: list[int], file: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots(1, len(numbers), squeeze=False)[0]
    for ax, number in zip(axes, numbers, strict=True):
        answer, weights = alignment(model, data, number)
        ax.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.xaxis.tick_top()
        ax.set_xticks(range(weights.shape[1]), [*data.german[number], "·"], fontsize=7)
        ax.set_yticks(range(weights.shape[0]), [*answer, "·"], fontsize=7)
        ax.tick_params(length=0)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--picture", help="file for the alignment, .png or .svg")
    parser.add_argument("--small", action="store_true", help="numbers below 100, a few steps")
    options = parser.parse_args()
    data = Spellings(100 if options.small else 10_000)
    count = 40 if options.small else options.steps
    found: dict[bool, list[float]] = {True: [], False: []}
    for seed in options.seeds[:1] if options.small else options.seeds:
        for attends in (False, True):
            name = "attention" if attends else "the encoder's last state"
            print(f"seed {seed}, {name}")
            begin = time.process_time()
            model = trained(data, attends, seed, count)
            found[attends].append(exact(model, data))
            print(
                f"  {found[attends][-1]:.1%} of {len(data.test)} unseen numbers are right, "
                f"{time.process_time() - begin:.0f} s of processor time", flush=True,
            )  # fmt: skip
    for attends, rates in found.items():
        name = "attention" if attends else "the encoder's last state"
        print(f"{name}: {np.mean(rates):.1%} ± {np.std(rates):.1%} over {len(rates)} seeds")
    shown = 92 if options.small else 4321
    answer, weights = alignment(model, data, shown)
    print(f"{data.german[shown]} → {answer}")
    read = [*data.german[shown], "·"]
    print("   " + " ".join(read))
    for letter, row in zip([*answer, "·"], weights, strict=False):
        shades = [" ░▒▓█"[min(int(5 * weight), 4)] for weight in row]
        print(f" {letter} {' '.join(shades)}".rstrip())
    if options.picture:
        draw(model, data, [shown] if options.small else [4321, 5792], options.picture)
    assert count < 600 or min(found[True]) >= 0.99


if __name__ == "__main__":
    main()
