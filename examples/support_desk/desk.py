"""The model: attention to known questions, and to a learned key of each topic."""

from typing import Any

import numpy as np

import heedful
from heedful.layers import Dropout, Layer, Linear, Softmax, steps
from heedful.training import Adam, AdamW, SparseCategoricalCrossEntropy


class Desk(Layer):
    """Questions (N, E) → what each known question weighs, and probabilities of the topics.

    ::

        a = softmax([(q W)(K W)ᵀ, sink])      weights of the known questions, vectors q and K
        p = (a · topics + softmax(q Tᵀ)) / 2   T: a learned key of each topic, and of none

    What p lacks to 1 is the probability that no topic of the desk is meant.
    """

    def __init__(self, width: int, topics: int, sharpness: float = 20.0, rng: Any = None) -> None:
        super().__init__()
        self.projection = Linear(width, width, bias=False, rng=rng)
        self.projection.weight = np.sqrt(sharpness) * np.eye(width)  # similarities of MiniLM
        self.topic_keys = Linear(width, topics + 1, rng=rng)  # the last is none
        self.dropout = Dropout(0.3)
        self.sink = np.array([0.6 * sharpness], np.float32)  # weighs as much as a similarity of 0.6

    def call(self, questions: Any, known: Any, topics: Any, mask: Any = None) -> Any:
        """The first part of p: topics (K, T) is one-hot, mask (N, K) False where hidden."""
        query = self.projection(self.dropout(questions))[None]  # (1, N, E): one head
        key = self.projection(self.dropout(known))[None]
        value = steps.stop_gradient(topics)[None]
        return steps.attention(query, key, value, scale=1.0, mask=mask, sink=self.sink)[0]

    def weights(self, questions: np.ndarray, known: np.ndarray) -> np.ndarray:
        query, key = self.projection(questions)[None], self.projection(known)[None]
        found: np.ndarray = heedful.attention_weights(query, key, scale=1.0, sink=self.sink)[0]
        return found

    def probabilities(
        self, questions: np.ndarray, known: np.ndarray, topics: np.ndarray
    ) -> np.ndarray:
        by_topic = Softmax()(self.topic_keys(questions))[:, :-1]
        found: np.ndarray = (self(questions, known, topics) + by_topic) / 2
        return found


def train(
    desk: Desk, known: np.ndarray, topic: np.ndarray, in_vain: np.ndarray, count: int, rng: Any
) -> None:
    """Each known question attends to the others, and those asked in vain find nothing.

    The loss is −log of the probability of the topic by both parts of p, or of none.
    """
    topics = one_hot(topic)
    none = topics.shape[1]
    x = np.concatenate([known, in_vain])
    right = np.concatenate([topic, np.full(len(in_vain), none)])
    # the keys of the topics are logistic regression, with the penalty of its C = 10
    desk.topic_keys.compile(
        Adam(lr=0.05, weight_decay=0.1 / len(x)), "sparse_categorical_crossentropy"
    )
    desk.topic_keys.fit(x, right, epochs=2 * count, batch_size=len(x), rng=rng, verbose=False)
    optimizer = AdamW(desk.projection, lr=2e-3, weight_decay=0.0)
    others = ~np.eye(len(x), len(known), dtype=bool)
    loss_fn = SparseCategoricalCrossEntropy(from_logits=False)
    for _ in range(count):
        p, backward = desk.forward(x, known, topics, others, rng=rng)
        p = np.concatenate([p, 1 - p.sum(1, keepdims=True)], axis=1)  # the last is the sink
        _, dp = loss_fn(right, p)
        backward(dp[:, :-1] - dp[:, -1:])
        optimizer.step()
        desk.zero_grad()


def one_hot(topic: np.ndarray) -> np.ndarray:
    return np.eye(topic.max() + 1, dtype=np.float32)[topic]
