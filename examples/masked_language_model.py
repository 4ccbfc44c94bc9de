"""Learn a language by filling gaps: BERT's masked language model from scratch, on Python's manual.

The topics of Python's `help()` are 465,000 characters of English that every Python has. One token
in seven is hidden, and the model names it from what stands left and right. A tenth of the topics
is held out. With --beside, transformers' BertForMaskedLM is trained too, from the same initial
weights, on the same batches, by the same Adam: is the loss the same?

    python masked_language_model.py                   three seeds
    python masked_language_model.py --beside          and transformers beside it, which needs torch
    python masked_language_model.py --picture FILE    what the model looked at to fill a gap
    python masked_language_model.py --small           a few steps, as the tests run it
"""

# %% Python's manual, as blocks of tokens
import argparse
import tempfile
import time
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from heedful.explain import attention_map
from heedful.models import MaskedLanguageModel, from_config, from_pretrained
from heedful.training import Adam, SparseCategoricalCrossEntropy, WarmupCosine, mask_tokens

SPECIAL = ["[PAD]", "[UNK]", "[MASK]"]
MASK, LENGTH, BATCH = 2, 32, 32


def tokenizer_of(texts: list[str], vocabulary: int) -> Tokenizer:
    """Words and pieces of words, in lower case."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def blocks(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """(N, LENGTH), each text cut into pieces; what is left over at its end is left out."""
    found = []
    for text in texts:
        tokens = tokenizer.encode(text).ids
        whole = len(tokens) // LENGTH
        found.append(np.array(tokens[: whole * LENGTH], int).reshape(whole, LENGTH))
    return np.concatenate(found)


def unrepeated(texts: list[str]) -> list[str]:
    """Without paragraphs that an earlier text has: some topics are parts of others."""
    seen: set[str] = set()
    found = []
    for text in texts:
        own = [part for part in text.split("\n\n") if part not in seen]
        seen.update(own)
        found.append("\n\n".join(own))
    return found


def divided() -> tuple[list[str], list[str]]:
    """Topics to be held out, a tenth of all, and those for training."""
    order = np.random.default_rng(0).permutation(sorted(topics))
    texts = unrepeated([topics[name] for name in order])
    return texts[: len(texts) // 10], texts[len(texts) // 10 :]


class Manual:
    """Blocks of tokens for training and, from other topics, for testing."""

    def __init__(self, vocabulary: int) -> None:
        held_out, texts = divided()
        self.tokenizer = tokenizer_of(texts, vocabulary)
        self.vocabulary = self.tokenizer.get_vocab_size()
        self.train, test = blocks(self.tokenizer, texts), blocks(self.tokenizer, held_out)
        self.test = self.hidden(test, np.random.default_rng(1))

    def hidden(self, tokens: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return mask_tokens(tokens, MASK, self.vocabulary, special=range(len(SPECIAL)), rng=rng)

    def batches(self, steps: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Others are hidden in each, the same for the same seed."""
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            yield self.hidden(self.train[rng.choice(len(self.train), BATCH, replace=False)], rng)


# %% heedful's model
def config(vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": vocabulary,
        "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 256, "max_position_embeddings": LENGTH, "type_vocab_size": 2,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip


def schedule(steps: int) -> WarmupCosine:
    return WarmupCosine(2e-3, steps // 10, steps)


def train(model: MaskedLanguageModel, manual: Manual, steps: int, seed: int) -> list[float]:
    """The loss of each step."""
    optimizer = Adam(model, schedule(steps))
    loss_fn, losses = SparseCategoricalCrossEntropy(ignore_index=-100), []
    for x, y in manual.batches(steps, seed):
        logits, backward = model.forward(x)
        loss, dlogits = loss_fn(y, logits)
        model.zero_grad()
        backward(dlogits)
        optimizer.step()
        losses.append(float(loss))
    return losses


def tested(model: MaskedLanguageModel, manual: Manual) -> tuple[float, float]:
    """The loss on held-out topics, and which part of the hidden tokens is named."""
    x, y = manual.test
    logits = np.concatenate([model(x[i : i + 100]) for i in range(0, len(x), 100)])
    loss, _ = SparseCategoricalCrossEntropy(ignore_index=-100)(y, logits)
    return float(loss), float((logits.argmax(-1) == y)[y >= 0].mean())


# %% transformers' model, for comparison
class Beside:
    """BertForMaskedLM, and heedful's model with the same initial weights."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        import torch
        from transformers import BertConfig, BertForMaskedLM

        torch.manual_seed(seed)
        self.model = BertForMaskedLM(BertConfig(**config(vocabulary)))
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            self.own = from_pretrained(folder)

    def train(self, manual: Manual, steps: int, seed: int) -> list[float]:
        import torch

        rate = schedule(steps)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        losses = []
        for x, y in manual.batches(steps, seed):
            found = self.model(input_ids=torch.from_numpy(x), labels=torch.from_numpy(y))
            optimizer.zero_grad()
            found.loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(found.loss.item())
        return losses

    def tested(self, manual: Manual) -> float:
        import torch

        x, y = (torch.from_numpy(one) for one in manual.test)
        with torch.no_grad():
            return float(self.model(input_ids=x, labels=y).loss)


# %% What can be said without a model: how frequent tokens are
def by_frequency(manual: Manual) -> tuple[float, float]:
    """Loss and part that is named right of always naming the tokens by their frequency."""
    counts = np.bincount(manual.train.reshape(-1), minlength=manual.vocabulary) + 1.0
    hidden = manual.test[1][manual.test[1] >= 0]
    losses = -np.log(counts / counts.sum())[hidden]
    return float(losses.mean()), float((hidden == counts.argmax()).mean())


# %% Filling gaps
class Filled(NamedTuple):
    best: list[str]  # four tokens, the most probable first
    words: list[str]  # all tokens of the text
    weights: np.ndarray  # (layers, heads, L), of the gap


def filled(model: MaskedLanguageModel, manual: Manual, text: str) -> Filled:
    """What the model puts in place of ___, and what it looks at for that."""
    coder = manual.tokenizer
    left, right = (coder.encode(part).ids for part in text.split("___"))
    tokens = np.array([[*left, MASK, *right]])
    logits = model(tokens)[0, len(left)]
    words = [coder.id_to_token(int(token)) for token in tokens[0]]
    return Filled(
        [coder.id_to_token(int(token)) for token in np.argsort(-logits)[:4]], words,
        attention_map(model, tokens, tokens=words).to_numpy()[:, :, len(left)],
    )  # fmt: skip


TEXTS = [
    "if the class has a ___ named __init__()",
    "the value of the ___ is evaluated first",
    "a function call always ___ a value",
    "the for ___ is used to iterate over the elements of a sequence",
    "this is a list ___ integers and strings",
]


def draw(model: MaskedLanguageModel, manual: Manual, text: str, file: str) -> None:
    """The weights of all heads of both layers, in the row of the gap."""
    from matplotlib.figure import Figure

    _, words, weights = filled(model, manual, text)
    figure = Figure(figsize=(8, 3), layout="constrained")
    ax = figure.subplots()
    ax.imshow(np.concatenate(weights), cmap="Greys", vmin=0, aspect="auto")
    ax.set_xticks(range(len(words)), words, rotation=45, ha="right", fontsize=8)
    heads = [f"layer {layer}, head {head}" for layer, head in np.ndindex(weights.shape[:2])]
    ax.set_yticks(range(len(heads)), heads, fontsize=7)
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--beside", action="store_true", help="train transformers' model, too")
    parser.add_argument("--picture", help="file for the attention of a gap, .png or .svg")
    parser.add_argument("--small", action="store_true", help="a few steps")
    options = parser.parse_args()
    manual = Manual(500 if options.small else 2000)
    steps = 30 if options.small else options.steps
    print(f"{manual.train.size} tokens for training, {manual.test[0].size} held out")
    print("by frequency: loss {:.3f}, {:.1%} named".format(*by_frequency(manual)))
    found: dict[str, list[tuple[float, ...]]] = {}
    for seed in options.seeds[:1] if options.small else options.seeds:
        other = Beside(manual.vocabulary, seed) if options.beside else None
        model = other.own if other else from_config(config(manual.vocabulary), rng=seed)
        begin = time.process_time()
        losses = train(model, manual, steps, seed)
        seconds = time.process_time() - begin
        last, (loss, named) = float(np.mean(losses[-50:])), tested(model, manual)
        found.setdefault("heedful", []).append((last, loss, named))
        print(
            f"seed {seed}: loss of the last 50 steps {last:.3f}, held out {loss:.3f}, "
            f"{named:.1%} named; {seconds:.0f} s of processor time", flush=True,
        )  # fmt: skip
        if other:
            theirs = other.train(manual, steps, seed)
            their_last, their_loss = float(np.mean(theirs[-50:])), other.tested(manual)
            found.setdefault("transformers", []).append((their_last, their_loss))
            print(
                f"  transformers: loss of the last 50 steps {their_last:.3f}, held out "
                f"{their_loss:.3f}; difference of the first losses "
                f"{abs(losses[0] - theirs[0]):.1e}, of the last 50 {abs(last - their_last):.1e}, "
                f"held out {abs(loss - their_loss):.1e}", flush=True,
            )  # fmt: skip
            assert abs(loss - their_loss) < 0.05
    for name, each in found.items():
        mean, spread = np.mean(each, axis=0), np.std(each, axis=0)
        print(f"{name}, {len(each)} seeds: loss of the last 50 steps {mean[0]:.3f} ± "
              f"{spread[0]:.3f}, held out {mean[1]:.3f} ± {spread[1]:.3f}", end="")  # fmt: skip
        print(f", {mean[2]:.1%} ± {spread[2]:.1%} named" if len(mean) > 2 else "")
    for text in TEXTS:
        print(f"  {text}  {', '.join(filled(model, manual, text).best)}")
    if options.picture:
        draw(model, manual, TEXTS[3], options.picture)
    held_out = np.mean([loss for _, loss, _ in found["heedful"]])
    assert steps < 400 or held_out < by_frequency(manual)[0] - 0.5


if __name__ == "__main__":
    main()
