"""A character-level language model of Python's documentation.

The texts that the interpreter shows for ``help("topics")`` are part of every Python: half a million
characters of English prose and code. The last tenth is held out for validation, in nats per
character. The baseline is n-gram counts: how often each letter followed the n − 1 before it in the
training text (smoothed as by Witten and Bell 1991). Half a million characters suit counts well: the
default model is better than counts of three letters, --full as good as counts of five, and the
mixture of all counts is better than either. Adding the model improves the mixture further.

    python character_language_model.py            what is shown first, in about half a minute
    python character_language_model.py --full     what is shown then, in some minutes
    python character_language_model.py --short    a tiny model, in seconds, as the tests run it

counts of 1 to 8 letters: 3.238 2.318 1.712 1.404 1.320 1.339 1.387 1.439 nats
409,984 parameters
step 66: loss 2.588, validation 2.346 nats
step 132: loss 2.206, validation 2.041 nats
step 198: loss 1.909, validation 1.869 nats
step 264: loss 1.911, validation 1.739 nats
step 330: loss 1.673, validation 1.659 nats
step 396: loss 1.619, validation 1.633 nats
second half: model 1.565, all counts mixed 1.094, and the model 1.076 nats

So small a model generates words, but no sentences; that of --full, trained for minutes, prints:

1,799,616 parameters
step 83: loss 2.370, validation 2.062 nats
step 166: loss 1.778, validation 1.701 nats
step 249: loss 1.557, validation 1.501 nats
step 332: loss 1.467, validation 1.392 nats
step 415: loss 1.515, validation 1.342 nats
step 498: loss 1.415, validation 1.329 nats
The statement of "module"
   defined to
must in the "finally" object.__return__(self)
   Iden a name, if the
   exception the same list) and "__deleter__()" are the substring implementation …

A model of PyTorch of the same size reaches 1.339 nats in as many steps, see benchmarks/lm_torch.py.
"""

# %% The text, as token ids
import sys
import time
from pydoc_data.topics import topics

import numpy as np

from heedful.layers import LanguageModel
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

FULL, SHORT = "--full" in sys.argv, "--short" in sys.argv
STEPS, WIDTH, HEADS, LAYERS, LENGTH, BATCH, RATE, PEAK = (
    (500, 192, 6, 4, 128, 32, 0.1, 3e-3) if FULL
    else (60, 48, 4, 1, 64, 16, 0.1, 3e-3) if SHORT
    else (400, 128, 4, 2, 128, 16, 0.0, 5e-3)
)  # fmt: skip

text = "\n".join(topics[name] for name in sorted(topics))
letters = sorted(set(text))
number = {letter: index for index, letter in enumerate(letters)}
tokens = np.array([number[letter] for letter in text])
train, valid = np.split(tokens, [len(tokens) * 9 // 10])
print(f"{len(text):,} characters, {len(letters)} different ones")
if not FULL:
    print("with --full a larger model reaches 1.329 nats and generates words, in some minutes")


# %% The baseline: how often has each letter followed the n − 1 letters before it?
def by_counts(order: int) -> list[np.ndarray]:
    """Probability of each character of the held-out text, for n = 1 to `order`."""
    base, found = len(letters), [np.full(len(valid), 1 / len(letters))]
    for n in range(1, order + 1):

        def codes(tokens: np.ndarray, n: int = n) -> np.ndarray:
            windows = np.lib.stride_tricks.sliding_window_view(tokens, n)
            return windows @ base ** np.arange(n)[::-1]  # the first n − 1 letters: code // base

        seen, times = np.unique(codes(train), return_counts=True)
        contexts, of = np.unique(seen // base, return_inverse=True)
        requested = codes(np.concatenate([train[len(train) - n + 1 :], valid]))

        def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            return np.where(keys[place] == wanted, values[place], 0)

        count = look_up(seen, times, requested)
        total = look_up(contexts, np.bincount(of, times), requested // base)
        kinds = look_up(
            contexts, np.bincount(of), requested // base
        )  # different letters that followed
        mixed = (count + kinds * found[-1]) / np.maximum(total + kinds, 1)
        found.append(np.where(total > 0, mixed, found[-1]))
    return found[1:]


def nats(probabilities: np.ndarray) -> float:
    return float(-np.log(probabilities).mean())


counted = np.array(by_counts(8))  # (8, characters)
print("counts of 1 to 8 letters:", *(f"{nats(p):.3f}" for p in counted), "nats")

# %% The model and its optimizer: a plain loop
rng = np.random.default_rng(0)
model = LanguageModel(
    len(letters), d_model=WIDTH, num_heads=HEADS, num_layers=LAYERS,
    max_length=1024, rate=RATE, positions="rotary", rng=rng,
)  # fmt: skip
optimizer = AdamW(
    model, WarmupCosine(PEAK, STEPS // 20, STEPS), clip_norm=1.0,
    groups={"*bias": {"weight_decay": 0}, "*norm*": {"weight_decay": 0}},
)  # fmt: skip
loss_fn = SparseCategoricalCrossEntropy()
print(f"{model.parameter_count:,} parameters")
count = (len(valid) - 1) // LENGTH
x_valid = valid[: count * LENGTH].reshape(count, LENGTH)
y_valid = valid[1 : count * LENGTH + 1].reshape(count, LENGTH)


def by_model() -> np.ndarray:
    """Probability of each character of the held-out text, except the first and the last few."""
    found = []
    for i in range(0, count, 64):
        logits = model(x_valid[i : i + 64]).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        right = np.take_along_axis(exponentials, y_valid[i : i + 64, :, None], axis=-1)
        found.append((right[..., 0] / exponentials.sum(axis=-1)).ravel())
    return np.concatenate(found)


begin = time.perf_counter()
for step in range(STEPS):
    first = rng.integers(0, len(train) - LENGTH, BATCH)
    window = train[first[:, None] + np.arange(LENGTH + 1)]
    logits, backward = model.forward(window[:, :-1], rng=rng)
    loss, dlogits = loss_fn(window[:, 1:], logits)
    model.zero_grad()
    backward(dlogits)
    optimizer.step()
    if (step + 1) % (STEPS // 6) == 0:
        seconds = time.perf_counter() - begin
        print(f"step {step + 1}: loss {loss:.3f}, validation {nats(by_model()):.3f} nats,"
              f" {seconds:.0f} s")  # fmt: skip


# %% Has it learned what counts have not? Mixtures without and with it, fitted on the first half
def mixture(models: np.ndarray) -> np.ndarray:
    """Σ weight · model for models (M, N): weights by expectation maximisation."""
    half = models[:, : models.shape[1] // 2]
    weights = np.full((len(models), 1), 1 / len(models))
    for _ in range(30):
        responsible = weights * half
        weights = (responsible / responsible.sum(axis=0)).mean(axis=1, keepdims=True)
    return (weights * models).sum(axis=0)[models.shape[1] // 2 :]


learned, counted = by_model(), counted[:, 1 : count * LENGTH + 1]
half = len(learned) // 2
without, together = mixture(counted), mixture(np.vstack([counted, learned]))
print(f"second half: model {nats(learned[half:]):.3f}, all counts mixed {nats(without):.3f},"
      f" and the model {nats(together):.3f} nats")  # fmt: skip

# %% With weights of int8: a quarter of the memory, and as good
exact = nats(learned)
model.quantize()
print(f"int8: {nats(by_model()) - exact:+.4f} nats")
assert abs(nats(by_model()) - exact) < 0.01

# %% Generation
prompt = "The statement"
(written,) = model.generate(
    [[number[letter] for letter in prompt]], max_length=300, temperature=0.7, rng=0
)
print("".join(letters[token] for token in written))
if SHORT:
    assert nats(learned) < 3.2 < nats(counted[0])
else:
    assert nats(learned) < (1.4 if FULL else nats(counted[2]))
    assert nats(together) < nats(without) - 0.01
