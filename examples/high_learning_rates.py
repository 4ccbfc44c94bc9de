"""A learning rate at which attention collapses, and query-key normalisation that withstands it.

The learning rate of a small character-level language model rises step by step, to a value that is
too high for it. The loss falls at first, then rises again: queries and keys have grown, so have
their scores, and the softmax attends to one key alone, with nearly no gradient to undo it.
AttentionMonitor sees that in the weights while the loss still falls. With queries and keys of
length 1 and a factor that each head learns, the scores stay small, and the same training works.

    python high_learning_rates.py            what is shown below and more, in half a minute
    python high_learning_rates.py --short    fewer steps of a smaller model, as the tests run it

On two cores of an AMD Zen 3 (AVX2); processors that round otherwise end elsewhere:

       loss, mean of 10 steps   lowest entropy of a layer   largest score
 step        plain  normalized          plain  normalized   plain  normalized
    0        4.096       4.127           3.09        1.88       2           8
   40        3.097       3.015           0.84        1.93      31           9
   80        2.905       2.740           0.07        1.42     323          10
  120        2.834       2.485           0.02        1.13    3354          11
  160        2.982       2.368           0.00        0.89    8363          13
  200        3.028       2.282           0.00        0.81   21402          14
the scores of 'encoder.layers.0.self_attn' explode at step 60: the largest, of head 1, is 201; try
  qk_norm="rms" or "l2", a lower learning rate, a longer warmup, or a softcap of the scores
the weights of 'encoder.layers.0.self_attn' collapse at step 70: the mean entropy of its heads is
  0.14 nats, 4.5 % of that of equal weights; try qk_norm="rms" or "l2", a lower learning rate, a
  longer warmup, or a softcap of the scores
the loss of the plain model shows it at step 170: over 30 steps it has risen from 2.872 to 2.924
at the end: plain 3.061, normalized 2.190 nats
a step 100 ms; looking at every tenth adds 0.9 % to a training
"""

# %% The text, as token ids
import sys
import time
import warnings
from pydoc_data.topics import topics

import numpy as np

from heedful.layers import LanguageModel
from heedful.training import (
    AdamW,
    AttentionMonitor,
    Callback,
    SparseCategoricalCrossEntropy,
    WarmupCosine,
)

SHORT = "--short" in sys.argv
STEPS, WIDTH, LENGTH, BATCH, PEAK = (60, 32, 32, 8, 0.2) if SHORT else (240, 64, 64, 16, 0.1)

text = "\n".join(topics[name] for name in sorted(topics))
letters = sorted(set(text))
number = {letter: index for index, letter in enumerate(letters)}
tokens = np.array([number[letter] for letter in text])
first = np.random.default_rng(1).integers(0, len(tokens) - LENGTH, STEPS * BATCH)
windows = tokens[first[:, None] + np.arange(LENGTH + 1)]


# %% A training whose learning rate rises to PEAK, without a limit for the norm of the gradient
class Losses(Callback):
    """The loss of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sum = 0.0

    def on_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        before, self.sum = self.sum, logs["loss"] * (batch + 1)  # logs have means of the epoch
        self.losses.append(self.sum - before)


def train(**options: object) -> tuple[np.ndarray, AttentionMonitor]:
    model = LanguageModel(
        len(letters), d_model=WIDTH, num_heads=4, num_layers=2, rate=0.0, positions="rotary",
        rng=np.random.default_rng(0), **options,
    )  # fmt: skip
    optimizer = AdamW(
        lr=WarmupCosine(PEAK, STEPS * 9 // 10, STEPS),
        groups={"*bias": {"weight_decay": 0}, "*norm*": {"weight_decay": 0}},
    )
    model.compile(optimizer, SparseCategoricalCrossEntropy())
    losses, monitor = Losses(), AttentionMonitor(every=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # printed below
        model.fit(
            windows[:, :-1], windows[:, 1:], batch_size=BATCH, shuffle=False, verbose=False,
            callbacks=[monitor, losses], rng=0,
        )  # fmt: skip
    return np.array(losses.losses).reshape(-1, 10).mean(1), monitor


plain, watched = train()
normed, calm = train(qk_norm="l2")
print("       loss, mean of 10 steps   lowest entropy of a layer   largest score")
print(" step        plain  normalized          plain  normalized   plain  normalized")
for row, step in enumerate(watched.steps):
    if row % (1 if SHORT else 2) == 0:
        columns = []
        for monitor in (watched, calm):
            layers = monitor.history.values()
            columns += [
                min(layer["entropy"][row].mean() for layer in layers),
                max(layer["largest_score"][row].max() for layer in layers),
            ]
        print(f"{step:5d} {plain[row]:12.3f} {normed[row]:11.3f} {columns[0]:14.2f}"
              f" {columns[2]:11.2f} {columns[1]:7.0f} {columns[3]:11.0f}")  # fmt: skip

# %% When was it to be seen?
for finding in watched.findings:
    print(finding.message)
smooth = np.convolve(plain, np.ones(3) / 3, "valid")  # of 30 steps, which evens out the batches
risen = np.flatnonzero(smooth > np.minimum.accumulate(smooth) + 0.05)
if len(risen):
    print(f"the loss of the plain model shows it at step {10 * risen[0] + 30}: over 30 steps it has"
          f" risen from {smooth[: risen[0]].min():.3f} to {smooth[risen[0]]:.3f}")  # fmt: skip
print(f"at the end: plain {plain[-1]:.3f}, normalized {normed[-1]:.3f} nats")
assert watched.findings
assert not calm.findings
if not SHORT:
    assert watched.findings[0].step < 10 * risen[0] + 30
    assert normed[-1] < plain[-1] - 0.3

# %% What does looking cost? Four steps without and with, again and again
model = LanguageModel(len(letters), d_model=128, num_heads=4, num_layers=2, rate=0.0, rng=0)
model.compile(AdamW(lr=1e-4), SparseCategoricalCrossEntropy())
x = np.random.default_rng(2).choice(tokens, (4 * 16, 129))


def seconds(callback: Callback | None) -> float:
    begin = time.perf_counter()
    model.fit(x[:, :-1], x[:, 1:], batch_size=16, callbacks=callback, verbose=False)
    return time.perf_counter() - begin


rounds = [(seconds(None), seconds(AttentionMonitor(every=1))) for _ in range(1 if SHORT else 12)]
without, looking = np.median(rounds, axis=0)
print(f"a step {250 * without:.0f} ms; looking at every tenth adds"
      f" {10 * (looking / without - 1):.1f} % to a training")  # fmt: skip
