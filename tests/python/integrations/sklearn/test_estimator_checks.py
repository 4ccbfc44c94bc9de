"""scikit-learn's own checks of estimators: shapes, types, errors, weights, pickles and more."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from heedful.integrations.sklearn import (
    AttentionClassifier,
    AttentionRegressor,
    FeatureAttentionClassifier,
    FeatureAttentionRegressor,
    TransformerClassifier,
    TransformerRegressor,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
]

NETWORK = {"max_iter": 6, "hidden_units": 16, "learning_rate": 0.05}
ENCODER = {"num_layers": 1, "d_model": 8, "num_heads": 2, "dff": 8, "learning_rate": 0.03}


@parametrize_with_checks(
    [
        AttentionClassifier(),
        AttentionRegressor(),
        AttentionRegressor(per_feature=True, max_iter=3),
        FeatureAttentionClassifier(**NETWORK),
        FeatureAttentionRegressor(**NETWORK),
        TransformerClassifier(max_iter=5, **ENCODER),
        TransformerRegressor(max_iter=15, **ENCODER),
    ]
)
def test_an_estimator_passes_a_check(estimator: Any, check: Any) -> None:
    check(estimator)
