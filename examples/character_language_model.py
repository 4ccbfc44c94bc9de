"""A language model that learns to write as Python's documentation does, letter by letter.

The texts that the interpreter shows for ``help("topics")`` come with every Python: half a million
characters of English prose and code. The last tenth is kept apart to measure on. A model of PyTorch
of the same size reaches 1.339 nats in as many steps, see benchmarks/lm_torch.py.

    python character_language_model.py           a small model, in seconds
    python character_language_model.py --full    what is reported below, in some minutes

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
"""

# %% The text, as numbers
import sys
import time
from pydoc_data.topics import topics

import numpy as np

from heedful.layers import LanguageModel
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

FULL = "--full" in sys.argv
STEPS, WIDTH, LAYERS, LENGTH, BATCH = (500, 192, 4, 128, 32) if FULL else (60, 48, 1, 64, 16)

text = "\n".join(topics[name] for name in sorted(topics))
letters = sorted(set(text))
number = {letter: index for index, letter in enumerate(letters)}
tokens = np.array([number[letter] for letter in text])
train, valid = np.split(tokens, [len(tokens) * 9 // 10])
print(f"{len(text):,} characters, {len(letters)} different ones")

# %% The model and its optimizer: a plain loop
rng = np.random.default_rng(0)
model = LanguageModel(
    len(letters), d_model=WIDTH, num_heads=6 if FULL else 4, num_layers=LAYERS,
    max_length=1024, rate=0.1, positions="rotary", rng=rng,
)  # fmt: skip
optimizer = AdamW(
    model, WarmupCosine(3e-3, STEPS // 20, STEPS), clip_norm=1.0,
    groups={"*bias": {"weight_decay": 0}, "*norm*": {"weight_decay": 0}},
)  # fmt: skip
loss_fn = SparseCategoricalCrossEntropy()
print(f"{model.parameter_count:,} parameters")


def validation_loss() -> float:
    """Nats a character over the whole text that was kept apart."""
    count = (len(valid) - 1) // LENGTH
    x = valid[: count * LENGTH].reshape(count, LENGTH)
    y = valid[1 : count * LENGTH + 1].reshape(count, LENGTH)
    losses = [loss_fn(y[i : i + 64], model(x[i : i + 64]))[0] for i in range(0, count, 64)]
    return float(np.mean(losses))


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
        print(f"step {step + 1}: loss {loss:.3f}, validation {validation_loss():.3f} nats,"
              f" {seconds:.0f} s")  # fmt: skip

# %% And now it writes
prompt = "The statement"
(written,) = model.generate(
    [[number[letter] for letter in prompt]], max_length=300, temperature=0.7, rng=0
)
print("".join(letters[token] for token in written))
assert validation_loss() < (1.9 if FULL else 3.2)
