"""SentenceEncoder: a step of text pipelines that is pickled by the name of its folder."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("tokenizers")
pytest.importorskip("safetensors")

from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from heedful.integrations.sentences import SentenceEncoder as Encoder
from heedful.integrations.sklearn import SentenceEncoder
from heedful.layers import bert_from_config
from heedful.training import save_weights

pytestmark = pytest.mark.once

WORDS = ["[PAD]", "[UNK]", "good", "bad", "film", "book", "a", "very"]
CONFIG = {
    "model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 16,
    "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> str:
    """A model of eight words with random weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    shapes = {name: one.shape for name, one in bert_from_config(CONFIG).state_dict().items()}
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    model = bert_from_config(CONFIG)
    model.load_state_dict(weights)
    save_weights(model, tmp_path / "model.safetensors")
    return str(tmp_path)


TEXTS = ["a good film", "a very bad book", "good", "bad film", "very good book", "a bad a bad"]


def test_vectors_are_those_of_the_encoder(folder: str) -> None:
    step = SentenceEncoder(folder, batch_size=2)
    found = step.fit_transform(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, Encoder(folder).encode(TEXTS), rtol=1e-5)
    np.testing.assert_array_equal(found, step.transform(np.array(TEXTS)))
    np.testing.assert_array_equal(found, step.transform(np.array(TEXTS, object)[:, None]))
    assert step.get_feature_names_out().tolist() == [f"sentenceencoder{i}" for i in range(8)]


def test_it_is_a_step_of_a_pipeline_and_of_a_search(folder: str) -> None:
    y = ["good" in text for text in TEXTS]
    search = GridSearchCV(
        make_pipeline(SentenceEncoder(folder), LogisticRegression()),
        {"sentenceencoder__normalize": [False, True], "logisticregression__C": [1.0]}, cv=2,
    )  # fmt: skip
    assert search.fit(TEXTS, y).predict(["good film"]).shape == (1,)


def test_columns_of_tables_become_named_columns(folder: str) -> None:
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer

    table = pandas.DataFrame({"text": TEXTS, "pages": range(6)})
    for column in ("text", ["text"]):
        columns = ColumnTransformer([("words", SentenceEncoder(folder), column)])
        found = columns.set_output(transform="pandas").fit_transform(table)
        assert found.columns[0] == "words__sentenceencoder0"
        np.testing.assert_allclose(found, Encoder(folder).encode(TEXTS), rtol=1e-5)


def test_pickles_and_clones_hold_the_folder_alone(folder: str) -> None:
    step = SentenceEncoder(folder).fit(TEXTS)
    found = step.transform(TEXTS)
    pickled = pickle.dumps(step)
    assert len(pickled) < 500 + len(folder)
    np.testing.assert_array_equal(pickle.loads(pickled).transform(TEXTS), found)
    assert vars(clone(step)) == vars(SentenceEncoder(folder))


def test_other_parameters_read_the_model_again(folder: str) -> None:
    step = SentenceEncoder(folder)
    assert not np.allclose(np.linalg.norm(step.transform(TEXTS), axis=1), 1)
    step.set_params(normalize=True)
    np.testing.assert_allclose(np.linalg.norm(step.transform(TEXTS), axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        ("a good film", ValueError, "X must be several texts, such as a list: got 'a good film'"),
        ([], ValueError, "X must hold a text: got none"),
        ([["a", "b"]], ValueError, r"X must be texts with one axis: got shape \(1, 2\)"),
        (["a", None], TypeError, "texts must be strings: got None"),
    ],
)
def test_what_is_no_text_is_refused(folder: str, texts: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        SentenceEncoder(folder).transform(texts)


@pytest.mark.parametrize(
    "name",
    [
        "estimator_cloneable", "estimator_repr", "no_attributes_set_in_init", "mixin_order",
        "valid_tag_types", "get_params_invariance",
        "set_params", "parameters_default_constructible",
    ],
)  # fmt: skip
def test_it_passes_the_checks_that_give_no_numbers(name: str) -> None:
    """check_estimator runs one check of estimators of texts, these are of every estimator."""
    getattr(estimator_checks, f"check_{name}")("SentenceEncoder", SentenceEncoder("nowhere"))


def test_check_estimator_has_nothing_to_say() -> None:
    with pytest.warns(SkipTestWarning, match="requires input  of type"):
        found = estimator_checks.check_estimator(SentenceEncoder("nowhere"))
    assert {one["status"] for one in found} == {"passed"}
