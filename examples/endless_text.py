"""A language model that reads on and on, in bounded memory.

A model with rotary positions is trained on pieces of 128 characters of Python's documentation, and
then reads held-out text 20 times as long, character after character into a cache. Distances that it
was not trained with confuse it: with everything kept the loss rises to twice its value, while the
cache grows. With the first rows and the last ones (sinks and window: Xiao et al. 2024) it stays
where it is, in memory that does not grow. So does a plain window here: a model this small, trained
on pieces that begin anywhere, does not need its first tokens, as large models do.

    python endless_text.py            trains for half a minute
    python endless_text.py --short    a tiny model, in seconds, as the tests run it

The loss is compared with that of the same characters read in separate pieces as long as those of
the training. Below it: how often the next character is the same as with an exact cache, on pieces
of that length, and how much memory of the cache is needed.
"""

# %% The text and the model
import sys
from pydoc_data.topics import topics

import numpy as np

from heedful import HeavyHitters, KVCache, QuestPages, SinksAndWindow
from heedful.layers import LanguageModel
from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

SHORT = "--short" in sys.argv
STEPS, WIDTH, LAYERS, LENGTH, BATCH, TIMES, TEXTS = (
    (60, 48, 1, 32, 16, 8, 4) if SHORT else (400, 128, 2, 128, 16, 20, 16)
)

text = "\n".join(topics[name] for name in sorted(topics))
letters = sorted(set(text))
number = {letter: index for index, letter in enumerate(letters)}
tokens = np.array([number[letter] for letter in text])
train, valid = np.split(tokens, [len(tokens) * 9 // 10])

rng = np.random.default_rng(0)
model = LanguageModel(
    len(letters), d_model=WIDTH, num_heads=4, num_layers=LAYERS, rate=0.0, positions="rotary",
    rng=rng,
)  # fmt: skip
optimizer = AdamW(
    model, WarmupCosine(5e-3, STEPS // 20, STEPS), clip_norm=1.0,
    groups={"*bias": {"weight_decay": 0}, "*norm*": {"weight_decay": 0}},
)  # fmt: skip
loss_fn = SparseCategoricalCrossEntropy()
for _ in range(STEPS):
    first = rng.integers(0, len(train) - LENGTH, BATCH)
    piece = train[first[:, None] + np.arange(LENGTH + 1)]
    logits, backward = model.forward(piece[:, :-1], rng=rng)
    loss, dlogits = loss_fn(piece[:, 1:], logits)
    model.zero_grad()
    backward(dlogits)
    optimizer.step()
print(f"trained on pieces of {LENGTH} characters")


# %% Long texts, read into caches
def read(texts: np.ndarray, cache: KVCache | None, step: int) -> tuple[np.ndarray, int]:
    """Logits after every character of texts (N, L), and the bytes of the caches at the end."""
    caches, parts = model.new_caches(cache=cache), []
    for begin in range(0, texts.shape[1], step):
        parts.append(model(texts[:, begin : begin + step], caches=caches).astype(np.float64))
    return np.concatenate(parts, axis=1), sum(each.nbytes for each in caches)


def losses(logits: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Nats of every character."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    right = np.take_along_axis(shifted, following[..., None], axis=-1)[..., 0]
    return np.log(np.exp(shifted).sum(axis=-1)) - right


long = TIMES * LENGTH
starts = np.arange(TEXTS) * ((len(valid) - long - 1) // (TEXTS - 1))
texts = valid[starts[:, None] + np.arange(long)]
following = valid[starts[:, None] + np.arange(1, long + 1)]
pieces = model(texts.reshape(-1, LENGTH)).astype(np.float64)
apart = losses(pieces, following.reshape(-1, LENGTH)).reshape(TEXTS, TIMES, LENGTH)

print(f"\nloss, and megabytes, after {TIMES} times that length:")
shown = [0, 1, TIMES // 4, TIMES // 2, TIMES - 1]
print(f"  {'length':<30}" + "".join(f"{index + 1:>6} x" for index in shown))
quarter = {}
for name, policy in {
    "separate pieces": None,
    "everything kept": None,
    f"plain window of {LENGTH}": SinksAndWindow(sinks=0, window=LENGTH),
    f"4 sinks and a window of {LENGTH - 4}": SinksAndWindow(sinks=4, window=LENGTH - 4),
}.items():
    if name == "separate pieces":
        found, size = apart, 0
    else:
        logits, size = read(texts, KVCache(policy=policy), step=LENGTH // 2)
        found = losses(logits, following).reshape(TEXTS, TIMES, LENGTH)
    quarter[name] = float(found[:, -TIMES // 4 :].mean())
    means = found.mean(axis=(0, 2))
    memory = f"{size / 1e6:8.2f} MB" if size else ""
    print(f"  {name:<30}" + "".join(f"{means[index]:8.3f}" for index in shown) + memory)
kept, window, sinks = list(quarter.values())[1:]
assert sinks < quarter["separate pieces"] + 0.05  # a longer context on average, so even less
assert SHORT or kept > sinks + 0.5


# %% Pieces of the trained length: the same next character?
count = 8 if SHORT else 200
texts = valid[: count * LENGTH].reshape(count, LENGTH)
following = valid[1 : count * LENGTH + 1].reshape(count, LENGTH)
exact, full = read(texts, None, step=1)
print(f"\nread character by character: loss {losses(exact, following).mean():.4f}")
print("                                       loss    same    memory")
half = LENGTH // 2
agreement = {}
for name, cache in {
    "float16": KVCache(dtype=np.float16),
    "int8, the last rows exact": KVCache(dtype="int8"),
    "int8": KVCache(dtype="int8", exact_rows=0),
    "int8 on pages": KVCache(dtype="int8", kind="paged"),
    f"4 sinks, window of {half - 4}": KVCache(policy=SinksAndWindow(4, half - 4), page_size=4),
    f"{half // 2} heavy, {half // 2} recent": KVCache(policy=HeavyHitters(half // 2, half // 2)),
    f"{half // 8} pages of 8 are read": KVCache(policy=QuestPages(half // 8), page_size=8),
}.items():
    logits, size = read(texts, cache, step=1)
    same = float((logits.argmax(axis=-1) == exact.argmax(axis=-1)).mean())
    agreement[name] = same
    print(f"  {name:<32}{losses(logits, following).mean():9.4f}{100 * same:8.2f} %"
          f"{size / full:7.2f} x")  # fmt: skip
assert agreement["int8, the last rows exact"] >= (0.99 if SHORT else 0.999)
