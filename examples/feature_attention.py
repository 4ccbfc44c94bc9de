"""Which measurements decide? A classifier that weighs its input features, and a check of that.

A softmax over the features weighs each of them before two dense layers decide. Are the weights the
reasons? Checked first where it is known which 5 of 30 features decide, then on scikit-learn's
breast-cancer data, 30 measurements of cell nuclei, benign or malignant, where a ranking is
meaningful only if another training, with another seed, reproduces it. The weights are compared with
gradient × input and permutation (FeatureAttention.importance), the model with logistic regression,
and the layer with three others: without a penalty on the parameters of its scores, and with a
penalty on the entropy of its weights in their place, which asks for even or for sharp ones.

    python feature_attention.py            what is printed below and more, in about 20 seconds
    python feature_attention.py --short    fewer trainings, as the tests run it

Known: which 5 of 30 features decide. How many each way has among its first 5
                            right       weights      gradient   permutation
penalised scores            90.3%             5             5             5
no penalty                  62.1%             2             5             5
even weights                66.1%             4             5             5
sharp weights               60.1%             1             5             5
logistic regression         49.9%

Breast cancer, 114 unseen: rank correlation of two trainings, mean (lowest)
                            right       weights      gradient   permutation
penalised scores      96.5% ± 0.9%   0.82 (0.69)   0.84 (0.75)   0.87 (0.83)
no penalty            95.2% ± 1.3%   0.43 (0.28)   0.38 (0.28)   0.43 (0.25)
even weights          96.5% ± 0.6%   0.93 (0.89)   0.83 (0.74)   0.76 (0.61)
sharp weights         95.0% ± 0.4%   0.18 (-0.19)   0.10 (-0.07)   0.42 (0.21)
logistic regression   98.2%
penalised scores: rank correlation of the weights 0.43 → 0.82, right +1.3%
even weights: rank correlation of the weights 0.43 → 0.93, right +1.3%

So: without a penalty the weights are mostly chance, and asking for sharp ones makes it worse.
Either other penalty makes trainings agree and costs no accuracy. Even weights are the most alike,
but nearly equal: where the model has to attend to 5 of 30 features, they help little, and the
penalty on the scores is the better one. On the real data logistic regression, which is simpler, is
right a little more often; where the squares of features decide, it cannot be.
"""

# %% A model: attention to features, then a small network
import sys
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from heedful.layers import Dense, FeatureAttention, Sequential
from heedful.training import L2, Adam, EarlyStopping

SEEDS = 2 if "--short" in sys.argv else 4
PENALTIES: dict[str, dict[str, Any]] = {
    "penalised scores": {"l2": 0.1},
    "no penalty": {},
    "even weights": {"penalties": {"negative_entropy": 0.3}},
    "sharp weights": {"penalties": {"entropy": 0.3}},
}
HEADING = f"{'':21}{'right':>12}{'weights':>14}{'gradient':>14}{'permutation':>14}"


def trained(
    seed: int, train: tuple, valid: tuple, *, l2: float = 0.0, penalties: Any = None
) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    attention = FeatureAttention(30, penalties=penalties, score_penalty=l2, rng=rng)
    model = Sequential(
        attention,
        Dense(64, activation="relu", kernel_regularizer=L2(1e-2), rng=rng),
        Dense(1, kernel_regularizer=L2(1e-2), rng=rng),
    )
    model.compile(Adam(lr=5e-3), loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(
        *train, epochs=60, batch_size=32, validation_data=valid,
        callbacks=[EarlyStopping(patience=10)], verbose=False, rng=rng,
    )  # fmt: skip
    return attention, model


def importances(attention: Any, model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The importance of each feature, in three ways: (3, 30)."""
    _, weights = attention(x, return_weights=True)  # (examples, features)
    gradient = attention.importance(model, x)
    permutation = attention.importance(model, x, y, kind="permutation", n_repeats=3, rng=0)
    return np.array([weights.mean(0), gradient.importances_mean, permutation.importances_mean])


# %% Where the answer is known: the squares of 5 features add up to more than their median
rng = np.random.default_rng(0)
x, decide = rng.standard_normal((2100, 30)), rng.choice(30, 5, replace=False)
squares = (x[:, decide] ** 2).sum(1)
y = (squares > np.median(squares)).astype(int)
train, valid, test = zip(np.split(x, 3), np.split(y, 3), strict=True)
print("Known: which 5 of 30 features decide. How many each way has among its first 5")
print(HEADING)
for name, penalty in PENALTIES.items():
    attention, model = trained(0, train, valid, **penalty)
    right = model.evaluate(*test).accuracy
    first = importances(attention, model, *test).argsort()[:, -5:]
    hits = np.isin(first, decide).sum(1)
    print(f"{name:21}{right:>12.1%}" + "".join(f"{hit:>14}" for hit in hits))
    assert hits[1:].tolist() == [5, 5] or not penalty
    assert (right > 0.85) == ("l2" in penalty)
linear = LogisticRegression().fit(*train)
print(f"{'logistic regression':21}{linear.score(*test):>12.1%}")
assert linear.score(*test) < 0.6

# %% Real data, standardised, split into training, validation and test
data = load_breast_cancer()
x_rest, x_test, y_rest, y_test = train_test_split(
    data.data, data.target, test_size=0.2, random_state=0, stratify=data.target
)
x_train, x_valid, y_train, y_valid = train_test_split(
    x_rest, y_rest, test_size=0.2, random_state=0, stratify=y_rest
)
mean, deviation = x_train.mean(0), x_train.std(0)
x_train, x_valid, x_test = ((x - mean) / deviation for x in (x_train, x_valid, x_test))

# %% Several trainings: how well, and do they agree? Rank correlations of two, mean and lowest
print(f"\nBreast cancer, {len(x_test)} unseen: rank correlation of two trainings, mean (lowest)")
print(HEADING)
agreements: dict[str, Any] = {}
accuracy = {}
for name, penalty in PENALTIES.items():
    accuracies, found = [], []
    for seed in range(SEEDS):
        attention, model = trained(seed, (x_train, y_train), (x_valid, y_valid), **penalty)
        accuracies.append(model.evaluate(x_test, y_test).accuracy)
        found.append(importances(attention, model, x_test, y_test))
    ranks = np.array(found).argsort(-1).argsort(-1)  # (seeds, ways, features)
    agree = np.array([
        [np.corrcoef(one, other)[0, 1] for one, other in combinations(ranks[:, way], 2)]
        for way in range(3)
    ])  # fmt: skip
    print(
        f"{name:21}{np.mean(accuracies):>6.1%} ± {np.std(accuracies):.1%}"
        + "".join(f"{row.mean():>7.2f} ({row.min():.2f})" for row in agree)
    )
    agreements[name], accuracy[name] = agree.mean(1), np.mean(accuracies)
    if "l2" in penalty:
        rankings = np.array(found)
linear = LogisticRegression().fit(x_train, y_train)
print(f"{'logistic regression':21}{linear.score(x_test, y_test):>6.1%}")
for name in ("penalised scores", "even weights"):
    before, after = agreements["no penalty"][0], agreements[name][0]
    gain = accuracy[name] - accuracy["no penalty"]
    print(f"{name}: rank correlation of the weights {before:.2f} → {after:.2f}, right {gain:+.1%}")
    assert accuracy[name] >= max(accuracy["no penalty"] - 0.01, 0.95)
    assert agreements[name].mean() > agreements["no penalty"].mean() + 0.2

# %% The results of these trainings, and their spread
weights, gradient = (rankings[:, way] / rankings[:, way].sum(1, keepdims=True) for way in (0, 1))
print("\nImportance of each measurement (equal: 3.3%), mean ± spread of the trainings")
print(f"{'':26}{'weight':>14}{'gradient':>14}")
for feature in gradient.mean(0).argsort()[::-1][:8]:
    cells = [f"{way[:, feature].mean():.1%} ± {way[:, feature].std():.1%}"
              for way in (weights, gradient)]  # fmt: skip
    print(f"  {data.feature_names[feature]:24}" + "".join(f"{cell:>14}" for cell in cells))
print("""
Radius, perimeter and area measure the same thing, size, and share what one of
them would have: that size decides is a finding, which of the three is not.""")
