"""Show a model where to look on 50 digits, and it looks there on digits it has never seen.

A small Transformer recognises handwritten digits; more than half of its attention is on paper
without ink. A person marks the strokes of 50 training images (here their ink stands for the
person), `AttentionFeedback` makes a training signal of the marks, and ten more epochs follow: with
it, and without it for comparison. Attention on images that nobody marked moves into the strokes,
and as many of them are recognised as before; ten epochs without marks gain 0.5 points, with marks
0.2. Where this model looks was not what made it right: see `faithfulness`.

    python corrected_digits.py            what is printed below, in about a minute
    python corrected_digits.py --short    one model, a few epochs, as the tests run it

strokes are 32.4% of the patches
share of attention on strokes, accuracy on the test half
seed   before            more epochs       50 corrections
   0   40.8%   96.77%   42.1%   97.44%   99.0%   96.21%
   1   43.2%   97.22%   43.5%   97.44%   99.0%   98.11%
   2   43.9%   96.99%   46.2%   97.44%   99.1%   97.10%
mean   42.6%   96.99%   43.9%   97.44%   99.0%   97.14%

50 corrections saved and loaded, 51 merged; the latest:
not there  0, 3, 12, 15  every input  strength 2  corners have no strokes
undone, all have the same bits
"""

# %% Digits as 16 patches of 2 × 2 pixels; a patch is a stroke if half of it is ink
import sys
import tempfile
from pathlib import Path

import numpy as np

from heedful.data import load_digits
from heedful.explain import AttentionFeedback, watch
from heedful.layers import Encoder, Flatten, LearnedPositions, Linear, Sequential
from heedful.training import AdamW, WarmupCosine

SHORT = "--short" in sys.argv
EPOCHS, MORE, MARKED, SEEDS = (4, 2, 50, 1) if SHORT else (25, 10, 50, 3)

images, labels = load_digits()
patches = (images / np.float32(16)).reshape(-1, 4, 2, 4, 2).swapaxes(2, 3).reshape(-1, 16, 4)
strokes = patches.mean(-1) >= 0.5  # (N, 16)
x, y, x_test, y_test = patches[0::2] * 2 - 1, labels[0::2], patches[1::2] * 2 - 1, labels[1::2]


def made(seed: int) -> Sequential:
    rng = np.random.default_rng(seed)
    return Sequential(
        Linear(4, 32, rng=rng),
        LearnedPositions(16, 32, rng=rng),
        Encoder(1, 32, 4, dff=64, rate=0.1, norm_first=True, activation="gelu", rng=rng),
        Flatten(),
        Linear(16 * 32, 10, rng=rng),
    )


def train(
    model: Sequential, feedback: AttentionFeedback, epochs: int, lr: float, seed: int
) -> None:
    """Every batch has 8 of the marked images besides, of which only their marks are learned."""
    rng, steps = np.random.default_rng(seed), epochs * -(-len(x) // 32)
    model.compile(
        AdamW(lr=WarmupCosine(lr, steps // 10, steps), weight_decay=0.05),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(x)), steps // epochs):
            marked = rng.choice(MARKED, 8 if len(feedback) else 0, replace=False)
            both = np.concatenate([batch, marked])
            weight = np.repeat(np.float32([1, 0]), [len(batch), len(marked)])
            with feedback.prior(model, 16, both.tolist(), weight=5.0):
                model.fit(
                    x[both], y[both], sample_weight=weight, batch_size=len(both), shuffle=False,
                    rng=rng, verbose=False,
                )  # fmt: skip


def on_strokes(model: Sequential) -> float:
    """The share of attention on strokes, mean over images of the test half, heads and queries."""
    with watch(model) as seen:
        model(x_test)
    return float((seen.weights[0] * strokes[1::2, None, None]).sum(-1).mean())


def measured(model: Sequential) -> tuple[float, float]:
    return on_strokes(model), model.evaluate(x_test, y_test).accuracy


# %% Before, after as many epochs without corrections, and after 50 corrections
print(f"strokes are {strokes[1::2].mean():.1%} of the patches")
print("share of attention on strokes, accuracy on the test half")
print("seed   before            more epochs       50 corrections")
results = []
for seed in range(SEEDS):
    model = made(seed)
    none = AttentionFeedback(model)
    train(model, none, EPOCHS, 5e-3, seed)
    start = {name: array.copy() for name, array in model.state_dict().items()}
    feedback = AttentionFeedback(model)
    for number in range(MARKED):
        feedback.look_here(strokes[0::2][number], 16, example=number)
    found = [measured(model)]
    for given in (none, feedback):
        model.load_state_dict(start)
        train(model, given, MORE, 2e-3, seed)
        found.append(measured(model))
    results.append(found)
    print(f"{seed:>4}   " + "   ".join(f"{share:5.1%}   {right:6.2%}" for share, right in found))
before, without, after = np.mean(results, 0)
print("mean   " + "   ".join(f"{share:5.1%}   {right:6.2%}" for share, right in
                             (before, without, after)))  # fmt: skip
assert after[0] > before[0] + 0.2
assert after[1] >= before[1] - (0.05 if SHORT else 0.002)

# %% What was said can be kept, put together and taken back
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "feedback.safetensors"
    feedback.save(path)
    again = AttentionFeedback.load(path, model)
mine = AttentionFeedback(model)
mine.not_there([0, 3, 12, 15], 16, note="corners have no strokes")
both = again.merge(mine)
print(f"\n{len(feedback)} corrections saved and loaded, {len(both)} merged; the latest:")
print(str(both).splitlines()[-1])
both.undo()
for number in range(MARKED):
    biases = [given.guide(16, number).bias for given in (feedback, again, both)]
    assert len({bias.tobytes() for bias in biases}) == 1
print("undone, all have the same bits")
