"""Pickles name the modules of the version that wrote them: those of earlier versions are found."""

from __future__ import annotations

import pickle
import subprocess
import sys
from copy import copy

import pytest

from heedful.layers import Linear

NAMES = """
heedful.layers._activations Activation GELU ReLU SiLU Sigmoid Softmax Tanh
heedful.layers._additive AdditiveAttention
heedful.layers._attention_pooling AttentionPooling
heedful.layers._autoencoder Autoencoder
heedful.layers._bert BertEncoder
heedful.layers._bert_config bert_from_config
heedful.layers._containers Residual Sequential
heedful.layers._decoder Decoder DecoderCache DecoderLayer
heedful.layers._dropout Dropout
heedful.layers._embedding Embedding
heedful.layers._encoder Encoder EncoderLayer
heedful.layers._encoder_decoder EncoderDecoder
heedful.layers._feature_attention FeatureAttention
heedful.layers._feature_importance FeatureImportance
heedful.layers._feed_forward FeedForward
heedful.layers._generate generate
heedful.layers._keras Dense LayerNormalization
heedful.layers._language_model LanguageModel
heedful.layers._layer Layer
heedful.layers._linear Linear
heedful.layers._mode Mode
heedful.layers._multi_head MultiHeadAttention
heedful.layers._norm LayerNorm RMSNorm
heedful.layers._parameter Parameter
heedful.layers._pooling Flatten GlobalAveragePooling
heedful.layers._positions LearnedPositions RotaryPositions SinusoidalPositions
heedful.layers._relative_attention RelativeAttention
heedful.layers._scores Scores
heedful.layers._segment_recurrent SegmentRecurrentLM SegmentRecurrentLayer
heedful.layers._state Mismatch
heedful.layers._transformer Transformer
heedful.training._binary_cross_entropy BinaryCrossEntropy
heedful.training._binary_metrics AUC F1 Precision Recall
heedful.training._callbacks Callback
heedful.training._categorical_cross_entropy CategoricalCrossEntropy SparseCategoricalCrossEntropy
heedful.training._gradient_norm gradient_norm
heedful.training._history History
heedful.training._losses Loss
heedful.training._metrics BinaryAccuracy CategoricalAccuracy SparseAccuracy SquaredError OfFunction
heedful.training._nadam NAdam
heedful.training._optimizer Optimizer
heedful.training._optimizers Adam AdamW SGD
heedful.training._regression Huber MeanAbsoluteError MeanSquaredError
heedful.training._regularizers L1 L1L2 L2
heedful.training._rmsprop RMSprop
heedful.training._schedules Constant InverseSquareRoot WarmupCosine
heedful.training._trainer Trainer
heedful.training._training_files load_training save_training
heedful.training._watchers BestCheckpoint EarlyStopping
heedful.training._weight_files load_weights save_weights
"""
PAIRS = [
    (module, name)
    for module, *names in map(str.split, NAMES.strip().splitlines())
    for name in names
]


def by_name(module: str, name: str) -> bytes:
    """A pickle of a class or a function, which is its module and its name."""
    return f"c{module}\n{name}\n.".encode()


@pytest.mark.parametrize(("module", "name"), PAIRS, ids=lambda part: part.rpartition(".")[2])
def test_what_an_earlier_pickle_names_is_found(module: str, name: str) -> None:
    found = pickle.loads(by_name(module, name))
    package = sys.modules[module.rpartition(".")[0]]
    assert found is getattr(package, name, found)
    assert found.__name__ == name
    assert pickle.loads(pickle.dumps(found)) is found


def test_a_renamed_class_is_found() -> None:
    found = pickle.loads(by_name("heedful.training._ending", "Suspicion"))
    assert found.__name__ == "LogitsCheck"
    assert pickle.loads(pickle.dumps(found)) is found


def test_a_renamed_attribute_of_a_compiled_model_is_found() -> None:
    model = Linear(3, 1, rng=0)
    model.compile("adam", "mse")
    trainer = vars(model)["_trainer"]
    earlier = copy(trainer)
    vars(earlier)["suspicion"] = vars(earlier).pop("logits_check")
    found = pickle.loads(pickle.dumps(earlier))
    assert isinstance(found.logits_check, type(trainer.logits_check))
    assert not hasattr(found, "suspicion")


@pytest.mark.parametrize("module", ["heedful.layers._linear", "heedful.training._optimizers"])
def test_it_is_found_before_anything_is_imported(module: str) -> None:
    name = {"_linear": "Linear", "_optimizers": "Adam"}[module.rpartition(".")[2]]
    code = f"import pickle; print(pickle.loads({by_name(module, name)!r}).__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == name
