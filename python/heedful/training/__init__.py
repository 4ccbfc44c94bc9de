"""Training: losses, optimizers, schedules, and all that fit needs."""

from heedful.training import regularizers
from heedful.training._binary_cross_entropy import BinaryCrossEntropy
from heedful.training._binary_metrics import AUC, F1, Precision, Recall
from heedful.training._callbacks import Callback
from heedful.training._categorical_cross_entropy import (
    CategoricalCrossEntropy,
    SparseCategoricalCrossEntropy,
)
from heedful.training._gradient_norm import gradient_norm
from heedful.training._history import History
from heedful.training._losses import Loss
from heedful.training._nadam import NAdam, Nadam
from heedful.training._optimizer import Optimizer
from heedful.training._optimizers import SGD, Adam, AdamW
from heedful.training._regression import Huber, MeanAbsoluteError, MeanSquaredError
from heedful.training._regularizers import L1, L1L2, L2
from heedful.training._rmsprop import RMSprop
from heedful.training._schedules import InverseSquareRoot, Schedule, WarmupCosine
from heedful.training._training_files import load_training, save_training
from heedful.training._watchers import BestCheckpoint, EarlyStopping
from heedful.training._weight_files import load_weights, save_weights

__all__ = [
    "AUC",
    "F1",
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
    "Huber",
    "InverseSquareRoot",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NAdam",
    "Nadam",
    "Optimizer",
    "Precision",
    "RMSprop",
    "Recall",
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
