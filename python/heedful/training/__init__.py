"""Training: losses, metrics, optimizers, schedules, callbacks, files, and fit itself."""

from heedful import _earlier_modules
from heedful.base._regularizers import L1, L1L2, L2
from heedful.training import regularizers
from heedful.training._history import History
from heedful.training._token_masking import mask_tokens
from heedful.training.callbacks._annealing import AnnealTemperature
from heedful.training.callbacks._attention_monitor import AttentionMonitor
from heedful.training.callbacks._callback import Callback
from heedful.training.callbacks._monitors import BestCheckpoint, EarlyStopping
from heedful.training.files._trainings import load_training, save_training
from heedful.training.files._weights import load_weights, save_weights
from heedful.training.losses._binary_cross_entropy import BinaryCrossEntropy
from heedful.training.losses._categorical_cross_entropy import (
    CategoricalCrossEntropy,
    SparseCategoricalCrossEntropy,
)
from heedful.training.losses._loss import Loss
from heedful.training.losses._regression import Huber, MeanAbsoluteError, MeanSquaredError
from heedful.training.metrics._binary import AUC, F1, Precision, Recall
from heedful.training.optimizers._base import Optimizer
from heedful.training.optimizers._gradient_norm import gradient_norm
from heedful.training.optimizers._nadam import NAdam, Nadam
from heedful.training.optimizers._rmsprop import RMSprop
from heedful.training.optimizers._rules import SGD, Adam, AdamW
from heedful.training.optimizers._schedules import (
    ExponentialAnnealing,
    InverseSquareRoot,
    LinearAnnealing,
    Schedule,
    WarmupCosine,
)

__all__ = [
    "AUC",
    "F1",
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Adam",
    "AdamW",
    "AnnealTemperature",
    "AttentionMonitor",
    "BestCheckpoint",
    "BinaryCrossEntropy",
    "Callback",
    "CategoricalCrossEntropy",
    "EarlyStopping",
    "ExponentialAnnealing",
    "History",
    "Huber",
    "InverseSquareRoot",
    "LinearAnnealing",
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
    "mask_tokens",
    "regularizers",
    "save_training",
    "save_weights",
]

_earlier_modules.register(__name__)
