"""Files of trainings: the complete state that later steps depend on."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np

from heedful._printable import printable
from heedful._whole_file import AnyPath
from heedful.base._module import Module
from heedful.base._types import Array
from heedful.training._trainer import trainer_of
from heedful.training.files._pruned_heads import text_of_heads
from heedful.training.files._tensors import read_tensors, write_tensors
from heedful.training.files._weights import checked_model
from heedful.training.losses._loss import described


def save_training(model: Module, path: AnyPath) -> None:
    """Writes the complete state of a training: weights, which of them are frozen, optimizer,
    generator, history, number of epochs.

    After `load_training` into a model that was made and compiled alike, `fit` resumes as if it had
    not been interrupted, bit for bit. With `steps_per_epoch`, it restarts the data.

    Parameters
    ----------
    model : Layer
        A compiled one.
    path : str or path
        A safetensors file, or NumPy's where it ends in .npz.
    """
    trainer = trainer_of(checked_model(model))
    tensors = {f"model.{name}": array for name, array in model.state_dict().items()}
    for name, array in trainer.optimizer.state_dict().items():
        tensors[f"optimizer.{name}"] = array
    progress = {
        "epochs": trainer.epochs,
        "history": trainer.history.history,
        "rng": None if trainer.rng is None else trainer.rng.bit_generator.state,
        "kind": {"loss": described(trainer.loss), **trainer.optimizer.description()},
        "frozen": [name for name, own in model.named_parameters() if not own.trainable],
    }
    text = {"format": "np", "training": json.dumps(progress), **text_of_heads(model)}
    write_tensors(tensors, path, text)


def load_training(model: Module, path: AnyPath) -> None:
    """Reads what `save_training` wrote into a model that was made and compiled alike.

    Parameters that were frozen are frozen, all others are trainable.

    Parameters
    ----------
    model : Layer
        A compiled one.
    path : str or path

    Raises
    ------
    ValueError
        A file of a model, a loss or an optimizer of another kind or with other settings, such as
        the learning rate: load it with the file's, then assign ``model.optimizer.lr``. Nothing is
        changed.
    """
    trainer = trainer_of(checked_model(model))
    tensors, text = read_tensors(path)
    if "training" not in text:
        raise ValueError("path must be a file that save_training wrote: it has weights only")
    progress = _progress(text["training"])
    kind = {"loss": described(trainer.loss), **trainer.optimizer.description()}
    _check_alike(progress.kind, json.loads(json.dumps(kind)))
    parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}}
    for name, array in tensors.items():
        part, _, inner = name.partition(".")
        parts.setdefault(part, {})[inner] = array
    _check_types(model, parts["model"])
    before = [(own, own.value.copy()) for own in model.distinct_parameters().values()]
    try:
        model.load_state_dict(parts["model"])
        _check_types(model, parts["model"])  # of parameters just created for these arrays
        trainer.optimizer.load_state_dict(parts["optimizer"])
    except (TypeError, ValueError):
        for parameter, value in before:
            parameter.replace(value)
        raise
    model.unfreeze()
    for name, own in model.named_parameters():
        if name in progress.frozen:
            own.freeze()
    trainer.rng, trainer.epochs = progress.rng, progress.epochs
    trainer.history.history = progress.history


def _check_alike(saved: dict[str, Any], own: dict[str, Any]) -> None:
    for name in {**saved, **own}:
        if saved.get(name) != own.get(name):
            what = name if name in ("loss", "optimizer") else f"optimizer's {name}"
            raise ValueError(
                f"the {what} must be that of the file, {_shown(saved.get(name))}: "
                f"got {_shown(own.get(name))}"
            )


def _shown(value: Any) -> str:
    return printable(value) if isinstance(value, str) else repr(value)


def _check_types(model: Module, arrays: dict[str, Array]) -> None:
    for name, own in model.named_parameters():
        if name in arrays and arrays[name].dtype != own.value.dtype:
            raise ValueError(
                f"{name} must be of the type of the file, {arrays[name].dtype}: "
                f"got {own.value.dtype}"
            )


class _Progress(NamedTuple):
    epochs: int
    history: dict[str, list[float]]
    rng: np.random.Generator | None
    kind: dict[str, Any]
    frozen: set[str]


def _progress(text: str) -> _Progress:
    """The state of a training in a file, which is not trusted."""
    try:
        found = json.loads(text)
        history = {str(name): [float(n) for n in ns] for name, ns in found["history"].items()}
        rng = None if found["rng"] is None else _generator(found["rng"])
        kind, frozen = dict(found["kind"]), {str(name) for name in found["frozen"]}
        return _Progress(int(found["epochs"]), history, rng, kind, frozen)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"path must be a file that save_training wrote: its text is damaged, {error!r}"
        ) from None


def _generator(state: dict[str, Any]) -> np.random.Generator:
    kinds = {"PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"}
    if state["bit_generator"] not in kinds:
        raise ValueError(f"the generator must be one of NumPy's: got {state['bit_generator']!r}")
    bits = getattr(np.random, state["bit_generator"])()
    bits.state = state
    return np.random.Generator(bits)
