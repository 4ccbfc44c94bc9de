"""Layers and arguments of training under their Keras and PyTorch names: what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_PREFETCHES = "write x as an iterable that prefetches, such as PyTorch's DataLoader"
_LEFT_OUT = "leave it out"

_ARGUMENTS = {
    "auto_scale_loss": _LEFT_OUT,
    "callbacks": "fit alone calls them",
    "class_weight": "write sample_weight, class_weight is for training",
    "criterion": "write loss",
    "data": "write x",
    "epoch": "write epochs",
    "generator": "write x",
    "initial_epoch": "fit continues after the epochs of the previous fit, for epochs more",
    "jit_compile": _LEFT_OUT,
    "learning_rate": "write optimizer=Adam(lr=…)",
    "loss_weights": "write a loss of your own that adds several",
    "lr": "write optimizer=Adam(lr=…)",
    "max_queue_size": _PREFETCHES,
    "nb_epoch": "write epochs",
    "num_epochs": "write epochs",
    "return_dict": "write evaluate(…)._asdict()",
    "run_eagerly": _LEFT_OUT,
    "steps": "write steps_per_epoch",
    "steps_per_epoch": "write steps",
    "steps_per_execution": _LEFT_OUT,
    "use_multiprocessing": _PREFETCHES,
    "validation_batch_size": "batch_size is that of validation as well",
    "validation_freq": "validation is after each epoch",
    "validation_set": "write validation_data",
    "validation_steps": "write steps",
    "weighted_metrics": "write metrics, which skip weight 0 and count all other weights equally",
    "workers": _PREFETCHES,
}


def with_hints(method: Callable[P, R]) -> Callable[P, R]:
    """A method whose errors explain these arguments; Python reports whatever else is wrong."""

    @wraps(method)
    def call(*given: P.args, **options: P.kwargs) -> R:
        if not _ARGUMENTS.keys() & options.keys():
            return method(*given, **options)
        from inspect import signature  # only now: rarely needed

        taken = signature(method).parameters
        for name in options:
            if name in _ARGUMENTS and name not in taken:
                raise TypeError(f"{method.__name__} has no argument {name}: {_ARGUMENTS[name]}")
        return method(*given, **options)

    return call


_FROM_FIRST_X = "leave it out, the width of the first x is taken"
_LAYERS = {
    "InputLayer": _FROM_FIRST_X,
    "Attention": "write heedful.attention for a call, MultiHeadAttention for a layer",
    "GroupedQueryAttention": "write MultiHeadAttention(d_model, num_heads, num_kv_heads=…)",
    "MultiheadAttention": "write MultiHeadAttention",
    "RNN": "write GRU or LSTM",
    "SimpleRNN": "write GRU or LSTM",
    "GRUCell": "write GRU, a position at a time with state and return_state=True",
    "LSTMCell": "write LSTM, a position at a time with state, cell and return_state=True",
    "Bidirectional": "write bidirectional=True of GRU or LSTM",
    "Conv1D": "write Conv1d(in_channels, out_channels, kernel_size)",
    "Conv2d": "write PatchEmbed for patches of images",
    "Conv2D": "write PatchEmbed for patches of images",
    "Module": "write Layer",
    "ModuleList": "write a list, whose layers are found",
    "ModuleDict": "write a dict, whose layers are found",
    "ParameterList": "write a list, whose parameters are found",
    "ParameterDict": "write a dict, whose parameters are found",
    "TransformerEncoderLayer": "write EncoderLayer",
    "TransformerDecoderLayer": "write DecoderLayer",
    "TransformerEncoder": "write Encoder",
    "TransformerDecoder": "write Decoder",
}


def no_such_layer(name: str) -> Exception:
    """The error for a name that heedful.layers lacks.

    An ImportError where there is a hint: ``from heedful.layers import …`` drops the message of an
    AttributeError.
    """
    if name in _LAYERS:
        return ImportError(f"heedful.layers has no {name}: {_LAYERS[name]}", name=name)
    return AttributeError(f"module 'heedful.layers' has no attribute {name!r}")
