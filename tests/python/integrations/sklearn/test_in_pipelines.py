"""Where an estimator is used: pipelines, searches, routed weights, pickles, named outputs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heedful.integrations.sklearn import (
    AttentionClassifier,
    AttentionRegressor,
    FeatureAttentionClassifier,
    TransformerClassifier,
)

pytestmark = pytest.mark.once

CLASSIFIERS = [
    AttentionClassifier(),
    FeatureAttentionClassifier(max_iter=3, random_state=0),
    TransformerClassifier(max_iter=2, num_layers=1, d_model=8, num_heads=2, random_state=0),
]
each = pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda one: type(one).__name__)


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Any, Any]:
    x = rng.standard_normal((60, 4))
    return x, np.where(x[:, 0] > 0, "right", "left")


@each
def test_a_search_tries_parameters_in_a_pipeline(estimator: Any, data: Any) -> None:
    name = type(estimator).__name__.lower()
    parameter = "bandwidth" if "bandwidth" in estimator.get_params() else "learning_rate"
    search = GridSearchCV(
        make_pipeline(StandardScaler(), estimator), {f"{name}__{parameter}": [0.5, 0.01]}, cv=2
    )
    search.fit(*data)
    assert search.best_score_ > 0.4
    assert search.best_params_[f"{name}__{parameter}"] in (0.5, 0.01)


@each
def test_a_pickle_predicts_the_same_and_a_clone_starts_anew(estimator: Any, data: Any) -> None:
    x, y = data
    fitted = clone(estimator).fit(x, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(x), fitted.predict_proba(x))
    assert not hasattr(clone(fitted), "classes_")


@each
def test_weights_are_routed_through_a_pipeline_and_cross_validation(
    estimator: Any, data: Any
) -> None:
    x, y = data
    wrong = np.where(y == "left", "right", "left")
    twice, answers = np.concatenate([x, x + 1e-3]), np.concatenate([y, wrong])
    weights = np.repeat([1.0, 0.0], len(x))  # of the right answers alone
    with sklearn.config_context(enable_metadata_routing=True):
        weighed = clone(estimator).set_fit_request(sample_weight=True)
        weighed.set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler(), weighed)
        pipeline[0].set_fit_request(sample_weight=False)
        pipeline.fit(twice, answers, sample_weight=weights)
        alone = clone(estimator).fit(pipeline[0].transform(x), y)
        np.testing.assert_allclose(
            pipeline.predict_proba(x), alone.predict_proba(pipeline[0].transform(x)), rtol=1e-6
        )
        scores = cross_val_score(
            pipeline, twice, answers, cv=2, params={"sample_weight": weights + 1e-6}
        )
        assert scores.shape == (2,)


def test_columns_of_tables_are_remembered(data: Any) -> None:
    pandas = pytest.importorskip("pandas")
    x, y = data
    table = pandas.DataFrame(x, columns=["a", "b", "c", "d"])
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), AttentionClassifier())
    pipeline.fit(table, y)
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        pipeline[-1].predict(table.rename(columns={"a": "z"}))


def test_predictions_do_not_depend_on_their_company(data: Any) -> None:
    x, y = data
    model = AttentionRegressor().fit(x, y == "left")
    together = model.predict(x)
    np.testing.assert_allclose([model.predict(row[None])[0] for row in x], together, rtol=1e-12)


def test_without_scikit_learn_one_sentence_says_what_is_missing() -> None:
    program = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import heedful.integrations\n"
        "try: heedful.integrations.sklearn\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "heedful.integrations.sklearn needs scikit-learn 1.6 or newer: "
        "pip install 'scikit-learn>=1.6'\n"
    )
