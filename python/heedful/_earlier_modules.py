"""Former names of modules, by which pickles of earlier versions refer to their classes."""

from __future__ import annotations

import sys

# package → former name of a module in it → present module
_MOVED = {
    "heedful.layers": {
        "_activations": "heedful.layers.blocks._activations",
        "_additive": "heedful.layers.attention._additive",
        "_attention_pooling": "heedful.layers.attention._pooling",
        "_autoencoder": "heedful.layers.models._autoencoder",
        "_bert": "heedful.layers.models._bert",
        "_bert_config": "heedful.layers.models._bert_config",
        "_containers": "heedful.layers.blocks._containers",
        "_decoder": "heedful.layers.models._decoder",
        "_dropout": "heedful.layers.blocks._dropout",
        "_embedding": "heedful.layers.blocks._embedding",
        "_encoder": "heedful.layers.models._encoder",
        "_encoder_decoder": "heedful.layers.models._encoder_decoder",
        "_feature_attention": "heedful.layers.attention._feature",
        "_feature_importance": "heedful.layers.attention._feature_importance",
        "_feed_forward": "heedful.layers.blocks._feed_forward",
        "_generate": "heedful.layers.generation._generate",
        "_keras": "heedful.layers.blocks._keras",
        "_language_model": "heedful.layers.models._language_model",
        "_layer": "heedful.layers._trainable_layer",
        "_linear": "heedful.layers.blocks._linear",
        "_mode": "heedful.base._mode",
        "_multi_head": "heedful.layers.attention._multi_head",
        "_norm": "heedful.layers.blocks._norm",
        "_parameter": "heedful.base._parameter",
        "_pooling": "heedful.layers.blocks._pooling",
        "_positions": "heedful.layers.blocks._positions",
        "_relative_attention": "heedful.layers.attention._relative",
        "_scores": "heedful.layers.attention._scores",
        "_segment_recurrent": "heedful.layers.models._segment_recurrent",
        "_state": "heedful.base._state",
        "_transformer": "heedful.layers.models._transformer",
        "composition._graph": "heedful.layers.models.composition._graph",
        "composition._model": "heedful.layers.models.composition._model",
        "composition._node": "heedful.layers.models.composition._node",
        "mixing._fourier": "heedful.layers.attention.mixing._fourier",
        "mixing._gating": "heedful.layers.attention.mixing._gating",
        "mixing._tokens": "heedful.layers.attention.mixing._tokens",
        "recurrent._gru": "heedful.layers.blocks.recurrent._gru",
        "recurrent._lstm": "heedful.layers.blocks.recurrent._lstm",
    },
    "heedful.training": {
        "_binary_cross_entropy": "heedful.training.losses._binary_cross_entropy",
        "_binary_metrics": "heedful.training.metrics._binary",
        "_callbacks": "heedful.training.callbacks._callback",
        "_categorical_cross_entropy": "heedful.training.losses._categorical_cross_entropy",
        "_ending": "heedful.training.losses._probabilities",
        "_gradient_norm": "heedful.training.optimizers._gradient_norm",
        "_losses": "heedful.training.losses._loss",
        "_metrics": "heedful.training.metrics._metrics",
        "_nadam": "heedful.training.optimizers._nadam",
        "_optimizer": "heedful.training.optimizers._base",
        "_optimizers": "heedful.training.optimizers._rules",
        "_regression": "heedful.training.losses._regression",
        "_regularizers": "heedful.base._regularizers",
        "_rmsprop": "heedful.training.optimizers._rmsprop",
        "_schedules": "heedful.training.optimizers._schedules",
        "_training_files": "heedful.training.files._trainings",
        "_watchers": "heedful.training.callbacks._monitors",
        "_weight_files": "heedful.training.files._weights",
    },
}


def register(package: str) -> None:
    """Register the imported modules of a package under their former names, too."""
    for earlier, name in _MOVED[package].items():
        sys.modules[f"{package}.{earlier}"] = sys.modules[name]
