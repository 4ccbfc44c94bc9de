"""How many keys does a trained model need? top_k on a character model of Python's documentation.

A causal model of 128 characters of context is trained on the texts that ``help("topics")`` shows.
Its queries see 64 earlier characters on average; then each may attend to its k highest-scoring ones
alone, without further training. And a second model is trained with a small k from the start: the
gradient passes through the kept keys, and it learns to live with them.

    python few_keys_suffice.py            in about a minute
    python few_keys_suffice.py --short    a tiny model, in seconds, as the tests run it

all keys: 1.652 nats per character
32 keys: 1.653
16 keys: 1.653
8 keys: 1.654
4 keys: 1.657
2 keys: 1.665
1 key: 1.724
trained with 4 keys: 1.619
"""

# %% The text
import sys
from pydoc_data.topics import topics

import numpy as np

from heedful.layers import LanguageModel
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

SHORT = "--short" in sys.argv
STEPS, WIDTH, LENGTH, BATCH = (80, 32, 64, 16) if SHORT else (400, 96, 128, 16)
text = "\n".join(topics[name] for name in sorted(topics))
letters = sorted(set(text))
number = {letter: index for index, letter in enumerate(letters)}
tokens = np.array([number[letter] for letter in text])
train, valid = np.split(tokens, [len(tokens) * 9 // 10])
count = (len(valid) - 1) // LENGTH
x_valid = valid[: count * LENGTH].reshape(count, LENGTH)
y_valid = valid[1 : count * LENGTH + 1].reshape(count, LENGTH)
loss_fn = SparseCategoricalCrossEntropy()


# %% Training, with all keys or with few
def trained(top_k: int | None) -> LanguageModel:
    rng = np.random.default_rng(0)
    model = LanguageModel(
        len(letters), d_model=WIDTH, num_heads=4, num_layers=2, max_length=LENGTH, rate=0.0,
        positions="rotary", top_k=top_k, rng=rng,
    )  # fmt: skip
    optimizer = AdamW(model, WarmupCosine(5e-3, STEPS // 20, STEPS), clip_norm=1.0)
    for _ in range(STEPS):
        first = rng.integers(0, len(train) - LENGTH, BATCH)
        window = train[first[:, None] + np.arange(LENGTH + 1)]
        logits, backward = model.forward(window[:, :-1])
        _, dlogits = loss_fn(window[:, 1:], logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
    return model


def validation(model: LanguageModel, top_k: int | None) -> float:
    """Nats per character of the text that was held out, with that many keys for each query."""
    for layer in model.encoder.layers:
        layer.self_attn.top_k = top_k
    pieces = [slice(first, first + 64) for first in range(0, count - 63, 64)]
    return float(np.mean([loss_fn(y_valid[piece], model(x_valid[piece]))[0] for piece in pieces]))


# %% Fewer and fewer keys
dense = trained(None)
whole = validation(dense, None)
print(f"all keys: {whole:.3f} nats per character")
losses = {}
for top_k in (32, 16, 8, 4, 2, 1):
    losses[top_k] = validation(dense, top_k)
    print(f"{top_k} key{'s' * (top_k > 1)}: {losses[top_k]:.3f}")
sparse = validation(trained(4), 4)
print(f"trained with 4 keys: {sparse:.3f}")

# %% Most of what attention reads does not matter to this model
assert abs(losses[16] - whole) < 0.01
assert losses[1] > losses[8]
assert sparse < whole + 0.1
