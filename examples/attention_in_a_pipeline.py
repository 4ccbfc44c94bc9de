"""Attention in scikit-learn: neighbours that choose their bandwidth, and estimators that tell why.

A mean of the training targets, weighted by the distance of the examples, is attention to them. It
is compared with nearest neighbours in cross-validation: on digits, on diabetes, and where 25 of 30
features are noise. Then two networks with attention: which features decide, and a comparison of
steps of a sequence, wherever they are. All are estimators, in a Pipeline or alone.

    python attention_in_a_pipeline.py            all of it, in half a minute
    python attention_in_a_pipeline.py --short    less of it, as the tests run it
"""

# %% Neighbours, whose number is searched, and attention, which chooses its bandwidth in fit
import sys
import time
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import heedful
from heedful.integrations.sklearn import (
    AttentionClassifier,
    AttentionRegressor,
    FeatureAttentionRegressor,
    TransformerClassifier,
)

SHORT = "--short" in sys.argv
NUMBERS = [1, 5, 15] if SHORT else [1, 3, 5, 9, 15, 25]
NEIGHBOURS = {"n_neighbors": NUMBERS, "weights": ["uniform", "distance"]}
threadpool_limits(1)  # of the neighbours, whose times are then those of one thread, too
heedful.set_num_threads(1)


def compare(title: str, models: dict[str, Any], x: Any, y: Any, folds: Any) -> dict[str, float]:
    """The mean score of each model in cross-validation."""
    scores = {}
    print(f"\n{title:44}{'mean':>8}{'spread':>8}{'time':>9}")
    for name, model in models.items():
        start = time.process_time()
        found = cross_val_score(model, x, y, cv=folds)
        took = time.process_time() - start
        print(f"  {name:42}{found.mean():>8.3f}{found.std():>8.3f}{took:>7.1f} s")
        scores[name] = float(found.mean())
    return scores


x, y = load_digits(return_X_y=True)
x, y = (x[:500], y[:500]) if SHORT else (x, y)
scores = compare(
    "Digits, accuracy in 5 folds",
    {"5 neighbours": KNeighborsClassifier(),
     "neighbours, searched": GridSearchCV(KNeighborsClassifier(), NEIGHBOURS),
     "attention": AttentionClassifier()},
    x, y, StratifiedKFold(5, shuffle=True, random_state=0),
)  # fmt: skip
assert scores["attention"] > scores["5 neighbours"] - 0.01

# %% Regression, with features of different units: scaled first
folds = KFold(5, shuffle=True, random_state=0)
searched = GridSearchCV(KNeighborsRegressor(), NEIGHBOURS)
scores = compare(
    "Diabetes, R² in 5 folds",
    {"5 neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor()),
     "neighbours, searched": make_pipeline(StandardScaler(), searched),
     "attention": make_pipeline(StandardScaler(), AttentionRegressor()),
     "attention, per feature": make_pipeline(StandardScaler(),
                                             AttentionRegressor(per_feature=True))},
    *load_diabetes(return_X_y=True), folds,
)  # fmt: skip
assert scores["attention"] > scores["5 neighbours"]

# %% Many features that do not matter: each has a bandwidth of its own
x, y = make_friedman1(300 if SHORT else 2000, 30, noise=1.0, random_state=0)
scores = compare(
    "Friedman's function of 5 of 30 features, R²",
    {"neighbours, searched": searched,
     "attention": AttentionRegressor(),
     "attention, per feature": AttentionRegressor(per_feature=True)},
    x, y, folds,
)  # fmt: skip
assert scores["attention, per feature"] > scores["neighbours, searched"] + 0.2
each = AttentionRegressor(per_feature=True).fit(x[1:], y[1:])
order = each.bandwidth_.argsort()
print(f"  smallest bandwidths: features {sorted(order[:5].tolist())}")
assert sorted(order[:5].tolist()) == [0, 1, 2, 3, 4]

# %% Which training examples stand behind a prediction, and how much
weights = each.attention_weights(x[:1])[0]  # one for each training example
assert np.isclose(weights @ y[1:], each.predict(x[:1])[0])
count = int((np.sort(weights)[::-1].cumsum() < 0.9).sum()) + 1
print(f"  one prediction: 90% of the weight is on {count} of {len(weights)} examples")

# %% A network that weighs its features
network = FeatureAttentionRegressor(max_iter=40, random_state=0).fit(x, y)
ranked = network.feature_importances_.argsort()[::-1]
print(f"\nFeature attention: the most important are {sorted(ranked[:5].tolist())}, "
      f"with {network.feature_importances_[ranked[:5]].sum():.0%} of the importance")  # fmt: skip
assert len({*ranked[:5].tolist()} & {0, 1, 2, 3, 4}) >= 4

# %% A sequence: is the spike, wherever it is, like the first step?
rng = np.random.default_rng(0)
x = 0.7 * rng.standard_normal((900, 40)).astype(np.float32)
first, spike = rng.choice([-3, 3], (2, 900))
x[:, 0] += first
x[np.arange(900), rng.integers(1, 40, 900)] += spike
scores = compare(
    "Is the spike like the first step? Accuracy",
    {"logistic regression": LogisticRegression(),
     "neighbours, searched": GridSearchCV(KNeighborsClassifier(), NEIGHBOURS),
     "transformer": TransformerClassifier(max_iter=15, num_layers=1, random_state=0)},
    x, first == spike, KFold(3),
)  # fmt: skip
assert scores["transformer"] > 0.85 > 0.6 > scores["logistic regression"]
