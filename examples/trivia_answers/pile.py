"""The layer: attention from a question to all that is known of all answers."""

from typing import Any, NamedTuple

import numpy as np

from heedful.layers import Layer, Parameter, steps
from heedful.training import Adam, SparseCategoricalCrossEntropy

FIRST = {
    "log_scale": 2.7, "said_weight": 1.0, "kind_weight": 0.5, "asked_weight": 0.5,
    "hub": 0.8, "repeat": 0.3, "shared": 0.5, "many": 0.5, "mention": 1.0,
}  # fmt: skip


class Keys(NamedTuple):
    """S keys of A answers; vectors of length 1."""

    answer: np.ndarray  # (S, E)
    said: np.ndarray  # (S, E)
    kind: np.ndarray  # (S, E)
    value: np.ndarray  # (S, A), one-hot: which answer
    mention: np.ndarray  # (S,)
    many: np.ndarray  # (S,): log of the number of keys of the answer, without mentions


class Pile(Layer):
    """Attention from questions to all senses of all answers (S), which stand for A answers.

    ::

        p(answer | question) = softmax(scale · query · keyᵀ + bias) value

        query = [question, what it asks for]
        key   = [answer + said_weight · said, kind_weight · kind + asked_weight · said]
        bias  = scale · (shared − hub · popular − repeat) − many − mention
    """

    def __init__(self, keys: Keys) -> None:
        self.keys, self.value = keys, keys.value
        for name, number in FIRST.items():
            setattr(self, name, Parameter(np.full(1, number, np.float32)))

    def call(self, question: Any, asked: Any, repeats: Any, shares: Any, *, popular: Any) -> Any:
        """question, asked (N, E), repeats, shares (N, S), popular (S,) → (N, A)."""
        keys, scale = self.keys, steps.exp(self.log_scale)
        key = steps.concatenate(
            [
                keys.answer + self.said_weight * keys.said,
                self.kind_weight * keys.kind + self.asked_weight * keys.said,
            ],
            -1,
        )
        query = steps.concatenate([question, asked], -1)
        bias = scale * (self.shared * shares - self.hub * popular - self.repeat * repeats)
        bias = bias - (self.many * keys.many + self.mention * keys.mention)
        return steps.attention(scale * query, key, self.value, bias, scale=1.0)


def train(layer: Pile, inputs: list[Any], right: Any, popular: Any, rounds: int) -> None:
    """Minimise the mean of −log p(right answer)."""
    optimizer = Adam(layer, lr=0.03)
    loss_fn = SparseCategoricalCrossEntropy(from_logits=False)
    for _ in range(rounds):
        p, backward = layer.forward(*inputs, popular=popular)
        _, dp = loss_fn(right, p)
        layer.zero_grad()
        backward(dp)
        optimizer.step()


def popularity(known: np.ndarray, keys: Keys) -> np.ndarray:
    """How close the ten closest of the known questions come to each answer, for its keys (S,)."""
    own = keys.mention == 0
    owner = keys.value.argmax(1)
    close = known @ (keys.answer + keys.said)[own].T
    best = np.full((len(known), keys.value.shape[1]), -np.inf, np.float32)
    np.maximum.at(best, (slice(None), owner[own]), close)
    found: np.ndarray = np.sort(best, 0)[-10:].mean(0)[owner]
    return found
