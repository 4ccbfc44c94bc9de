"""Weights and the state of a training, in safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heedful.layers import Layer
from heedful.training._types import Array

_Path = str | os.PathLike[str]


def _library() -> Any:
    try:
        from safetensors import numpy as library
    except ImportError:
        raise ImportError(
            "files of weights need the package safetensors: pip install safetensors"
        ) from None
    return library


def read_tensors(
    path: _Path, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a safetensors file and its text.

    Where `shapes` says what shape a name has, it is compared before anything is read.
    """
    _library()
    from safetensors import safe_open

    tensors: dict[str, Array] = {}
    with safe_open(path, framework="numpy") as file:
        text = file.metadata() or {}
        names = list(file.keys())
        for name in names:
            shape = tuple(file.get_slice(name).get_shape())
            wanted = (shapes or {}).get(name, shape)
            if shape != wanted:
                raise ValueError(f"{name} must have shape {wanted}: got {shape}")
        for name in names:
            tensors[name] = file.get_tensor(name)
    return tensors, text


def write_tensors(tensors: dict[str, Array], path: _Path, text: dict[str, str]) -> None:
    """Whole or not at all: an interrupted write leaves the file before it as it was."""
    target = Path(path)
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        ready = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        _library().save_file(ready, beside, metadata=text)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def save_weights(model: Layer, path: _Path) -> None:
    """Writes the parameters of a model as safetensors, under their dotted names.

    Parameters
    ----------
    model : Layer
    path : str or path
        An existing file is replaced, as a whole.

    Examples
    --------
    >>> import os, tempfile
    >>> from heedful.layers import Linear
    >>> from heedful.training import load_weights, save_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "linear.safetensors")
    ...     save_weights(Linear(3, 2), path)
    ...     load_weights(Linear(3, 2), path)
    Mismatch(missing=[], unexpected=[])
    """
    write_tensors(model.state_dict(), path, {"format": "np"})


def load_weights(model: Layer, path: _Path, strict: bool = True) -> Any:
    """Reads parameters that heedful, PyTorch or Hugging Face wrote as safetensors.

    Parameters
    ----------
    model : Layer
    path : str or path
    strict : bool, default True
        See :meth:`Layer.load_state_dict`.

    Returns
    -------
    (missing, unexpected)

    Raises
    ------
    ValueError
        Names or shapes that do not fit. Parameters are what they were.
    safetensors.SafetensorError
        A file that is no safetensors file, or a part of one.
    """
    shapes = {name: own.value.shape for name, own in model.named_parameters()}
    tensors, _ = read_tensors(path, shapes)
    return model.load_state_dict(tensors, strict)


def save_training(model: Layer, path: _Path) -> None:
    """Writes all that a training depends on: weights, optimizer, generator, epochs done.

    After `load_training` into a model that was made and compiled alike, `fit` goes on as if it had
    not been interrupted, bit for bit.

    Parameters
    ----------
    model : Layer
        A compiled one.
    path : str or path
    """
    from heedful.training._trainer import trainer_of

    trainer = trainer_of(model)
    tensors = {f"model.{name}": array for name, array in model.state_dict().items()}
    for name, array in trainer.optimizer.state_dict().items():
        tensors[f"optimizer.{name}"] = array
    progress = {
        "epochs": trainer.epochs,
        "history": trainer.history.history,
        "rng": None if trainer.rng is None else trainer.rng.bit_generator.state,
    }
    write_tensors(tensors, path, {"format": "np", "training": json.dumps(progress)})


def load_training(model: Layer, path: _Path) -> None:
    """Reads what `save_training` wrote into a model that was made and compiled alike."""
    from heedful.training._trainer import trainer_of

    trainer = trainer_of(model)
    tensors, text = read_tensors(path)
    if "training" not in text:
        raise ValueError("path must be a file that save_training wrote: it has weights only")
    progress = _progress(text["training"])
    parts: dict[str, dict[str, Array]] = {"model": {}, "optimizer": {}}
    for name, array in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = array
    before = {name: own.value.copy() for name, own in model.named_parameters()}
    model.load_state_dict(parts["model"])  # which makes what a model makes at its first call only
    try:
        trainer.optimizer.load_state_dict(parts["optimizer"])
    except (TypeError, ValueError):
        model.load_state_dict(before, strict=False)
        raise
    trainer.rng, trainer.epochs = progress.rng, progress.epochs
    trainer.history.history = progress.history


class _Progress(NamedTuple):
    epochs: int
    history: dict[str, list[float]]
    rng: np.random.Generator | None


def _progress(text: str) -> _Progress:
    """What a file says of a training; it may have been written by anybody."""
    try:
        found = json.loads(text)
        history = {str(name): [float(n) for n in ns] for name, ns in found["history"].items()}
        rng = None if found["rng"] is None else _generator(found["rng"])
        return _Progress(int(found["epochs"]), history, rng)
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
