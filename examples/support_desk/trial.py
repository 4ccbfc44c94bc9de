"""A trial: some questions are known, others are asked, and some topics the desk never heard of."""

from collections import Counter

import numpy as np
from desk import Desk, one_hot, train
from questions import Questions

FEWEST = 20  # questions of a topic that the desk knows; smaller topics are left out


class Trial:
    """A split of the questions: four fifths of the large topics are known, a fifth is asked.

    Of the small topics every other one was asked in vain before: its questions are known to have
    no answer. The rest is left out: nothing of these topics is ever shown.
    """

    def __init__(
        self, questions: Questions, seed: int, half: int, count: int, fewest: int = FEWEST
    ) -> None:
        sizes = Counter(questions.topics.tolist())
        self.names = sorted(name for name, size in sizes.items() if size >= fewest)
        rng = np.random.default_rng(seed)
        of_desk = np.isin(questions.topics, self.names)
        order = rng.permutation(np.flatnonzero(of_desk))
        cut = len(order) * 4 // 5
        self.known, self.asked = order[:cut], order[cut:]
        foreign = rng.permutation(sorted(set(sizes) - set(self.names)))
        self.in_vain = np.flatnonzero(np.isin(questions.topics, foreign[half::2]))
        self.left_out = np.flatnonzero(np.isin(questions.topics, foreign[1 - half :: 2]))
        self.questions = questions
        self.number = np.searchsorted(self.names, questions.topics).clip(max=len(self.names) - 1)
        self.topics = one_hot(self.number[self.known])
        self.desk = Desk(questions.vectors.shape[1], len(self.names), rng=seed)
        topic = self.number[self.known]
        train(self.desk, self.x(self.known), topic, self.x(self.in_vain), count, rng)

    def x(self, chosen: np.ndarray) -> np.ndarray:
        return self.questions.vectors[chosen]

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        return self.desk.probabilities(vectors, self.x(self.known), self.topics)

    def figures(self, asked: np.ndarray, left_out: np.ndarray) -> dict[str, float]:
        """Of any model's probabilities (N, T) of the topics for these questions."""
        from sklearn.metrics import roc_auc_score, roc_curve

        answered = np.repeat([1, 0], [len(asked), len(left_out)])
        best = np.concatenate([asked, left_out]).max(1)
        wrong, right, _ = roc_curve(answered, best)
        return {
            "topic": float(np.mean(asked.argmax(1) == self.number[self.asked])),
            "refusal AUC": roc_auc_score(answered, best),
            "refused": 1 - float(wrong[np.searchsorted(right, 0.9)]),
        }

    def figures_of_desk(self) -> dict[str, float]:
        parts = self.asked, self.left_out
        found = self.figures(*(self.probabilities(self.x(part)) for part in parts))
        weights = self.desk.weights(self.x(self.asked), self.x(self.known))
        order = np.argsort(-weights, axis=1)[:, :3]
        right = self.number[self.known][order] == self.number[self.asked][:, None]
        return found | {"first": right[:, 0].mean(), "in three": right.any(1).mean()}

    def figures_of_regression(self) -> dict[str, dict[str, float]]:
        """Logistic regression of TF-IDF and of MiniLM's vectors, its penalty cross-validated.

        It has a class for the questions asked in vain, as the desk has a sink.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV

        parts = np.concatenate([self.known, self.in_vain]), self.asked, self.left_out
        texts = [[self.questions.texts[one] for one in part] for part in parts]
        features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        inputs = {
            "TF-IDF": [features.fit_transform(texts[0]), *map(features.transform, texts[1:])],
            "MiniLM": [self.x(part) for part in parts],
        }
        none = len(self.names)
        target = np.concatenate([self.number[self.known], np.full(len(self.in_vain), none)])
        found = {}
        for name, (x, *others) in inputs.items():
            search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [3, 10, 30]}, cv=3)
            search.fit(x, target)
            found[name] = self.figures(*(search.predict_proba(part)[:, :none] for part in others))
        return found

    def threshold(self) -> float:
        """Nine of ten of the questions asked have a topic at least as probable."""
        return float(np.quantile(self.probabilities(self.x(self.asked)).max(1), 0.1))

    def answer(self, text: str, vector: np.ndarray) -> str:
        p = self.probabilities(vector[None])[0]
        weights = self.desk.weights(vector[None], self.x(self.known))[0]
        refused = p.max() < self.threshold()
        said = "I do not know" if refused else f"{self.names[p.argmax()]}, {p.max():.0%}"
        lines = [f"{text}\n  {said}; on none of the known questions {1 - weights.sum():.0%}"]
        for one in np.argsort(-weights)[:3]:
            known = self.known[one]
            answer = " ".join(self.questions.answers[known].split())[:60]
            lines.append(f"  {weights[one]:4.0%}  {self.questions.texts[known]} → {answer}")
        return "\n".join(lines)
