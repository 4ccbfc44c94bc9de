"""compile, fit, evaluate, predict and other methods that all models share, and files of weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from every_option.results import described
from every_option.values import FLAG, RATE, RNG, SIZE, STATE, Bad
from heedful import training
from heedful.layers import Dropout, Layer, Linear, Sequential

T, V = TypeError, ValueError
X = np.random.default_rng(1).standard_normal((10, 3))
Y = (X.sum(-1) > 0).astype(np.int64)


class Row(NamedTuple):
    name: str
    function: Any
    call: Callable[..., Any]  # with the options; what it returns or changes
    needed: dict[str, Any]
    good: dict[str, Any]
    bad: dict[str, Bad]
    idle: tuple[str, ...] = ()  # what changes only what is printed
    more: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - what an option makes sense with


def model() -> Layer:
    made = Sequential(Linear(3, 4, rng=0), Dropout(0.5), Linear(4, 2, rng=1))
    made.compile(training.SGD(lr=0.1), "sparse_categorical_crossentropy")
    return made


def fitted(**options: Any) -> Any:
    made = model()
    options = {"rng": 0, "verbose": False, **options}
    history = made.fit(**options)
    return described([made.state_dict(), history.history, made.optimizer.steps])


def compiled(**options: Any) -> Any:
    made = model()
    made.compile(**{"metrics": None, **options})
    made.fit(X, Y, verbose=False, rng=0)
    return described([made.state_dict(), made.history.history])


BATCHES = [(X[:5], Y[:5]), (X[5:], Y[5:])]
STEPS: Bad = SIZE
VERBOSE: Bad = [("nonsense", V), (3.5, T), (None, T)]
X_BAD: Bad = [
    (np.ones((10, 4)), V), (np.full((10, 3), "a"), T), (X * 1j, T), (3, V), (None, V),
    (np.ma.masked_greater(X, 0), T), ([[1.0], [1.0, 2.0]], V),
]  # fmt: skip
Y_BAD: Bad = [
    (Y[:9], V), (Y + 0.5, T), (Y + 5, V), (np.full(10, "a"), T), (None, V),
    (np.ma.masked_greater(Y, 0), T),
]  # fmt: skip
WEIGHTS = np.linspace(0, 1, 10)
WEIGHTS_BAD: Bad = [
    (WEIGHTS[:9], V), (-WEIGHTS, V), (WEIGHTS * np.nan, V), (np.full(10, "a"), T), ("a", T),
]  # fmt: skip
ROWS = [
    Row("compile", Layer.compile, compiled, {"loss": "sparse_categorical_crossentropy"},
        {"optimizer": training.SGD(lr=0.3), "loss": training.SparseCategoricalCrossEntropy(
            label_smoothing=0.3), "metrics": ["accuracy"]},
        {"optimizer": [("nonsense", V), (3, T), (None, T), (training.SGD, T)],
         "loss": [("nonsense", V), (3, T), (None, V), (training.Huber, T)],
         "metrics": [(["nonsense"], V), ([3], T), (3, T)]}),
    Row("fit", Layer.fit, fitted, {"x": X, "y": Y},
        {"epochs": 2, "batch_size": 5, "steps_per_epoch": 1, "validation_data": (X, Y),
         "validation_split": 0.3, "sample_weight": WEIGHTS, "class_weight": {0: 3.0},
         "callbacks": [training.EarlyStopping("loss", 1, mode="max", restore_best=True)],
         "shuffle": False, "rng": 1, "verbose": False},
        {"x": X_BAD, "y": Y_BAD, "epochs": SIZE, "batch_size": SIZE, "steps_per_epoch": STEPS,
         "validation_steps": STEPS, "validation_data": [(3, V), ((X,), V)],
         "validation_split": [*RATE[:-1], (1.0, V)], "sample_weight": WEIGHTS_BAD,
         "class_weight": [({0: -1.0}, V), ({0: "a"}, T), (3, T)],
         "callbacks": [(3, T), ([3], T), ([training.EarlyStopping], T)], "shuffle": FLAG,
         "verbose": VERBOSE, "rng": RNG}, ("verbose", "callbacks"),
        {"validation_steps": {"validation_data": (X, Y)}, "steps_per_epoch": {"batch_size": 5}}),
    Row("evaluate", Layer.evaluate, lambda **o: described(list(model().evaluate(**o))),
        {"x": X, "y": Y}, {"steps": 1, "sample_weight": WEIGHTS},
        {"x": X_BAD, "y": Y_BAD, "batch_size": SIZE, "steps": STEPS, "verbose": VERBOSE,
         "sample_weight": WEIGHTS_BAD}, ("verbose", "batch_size", "steps")),
    Row("predict", Layer.predict, lambda **o: described(model().predict(**o)), {"x": X},
        {"steps": 1},
        {"x": X_BAD, "batch_size": SIZE,
         "steps": STEPS, "verbose": VERBOSE}, ("verbose", "batch_size", "steps")),
    Row("load_state_dict", Layer.load_state_dict,
        lambda **o: described(Linear(3, 2, rng=0).load_state_dict(**o)),
        {"state": Linear(3, 2, rng=1).state_dict()}, {},
        {"state": STATE, "strict": FLAG}, ("strict",)),
    Row("load_weights", training.load_weights, training.load_weights,
        {"model": Linear(3, 2), "path": "none.safetensors"}, {},
        {"model": [(3, T), (None, T), (Linear, T)], "path": [(3, T), (None, T)], "strict": FLAG},
        ("strict",)),
    *[Row(function.__name__, function, function,
          {"model": model(), "path": "none.safetensors"}, {},
          {"model": [(3, T), (None, T), (Linear, T)], "path": [(3, T), (None, T)]})
      for function in (training.save_weights, training.save_training, training.load_training)],
    Row("gradient_norm", training.gradient_norm, training.gradient_norm,
        {"gradients": [np.ones(3)]}, {}, {"gradients": [(3, T), (None, T)]}),
]  # fmt: skip
