"""Training: losses, optimizers, schedules, and all that fit needs."""

from heedful.training import regularizers
from heedful.training._callbacks import BestCheckpoint, Callback, EarlyStopping
from heedful.training._checkpoint import load_training, load_weights, save_training, save_weights
from heedful.training._history import History
from heedful.training._losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossEntropy,
)
from heedful.training._optimizer import Optimizer, gradient_norm
from heedful.training._optimizers import SGD, Adam, AdamW
from heedful.training._regularizers import L1, L1L2, L2
from heedful.training._schedules import InverseSquareRoot, Schedule, WarmupCosine

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Adam",
    "AdamW",
    "BestCheckpoint",
    "BinaryCrossEntropy",
    "Callback",
    "CategoricalCrossEntropy",
    "EarlyStopping",
    "History",
    "InverseSquareRoot",
    "Loss",
    "MeanSquaredError",
    "Optimizer",
    "Schedule",
    "SparseCategoricalCrossEntropy",
    "WarmupCosine",
    "gradient_norm",
    "load_training",
    "load_weights",
    "regularizers",
    "save_training",
    "save_weights",
]
