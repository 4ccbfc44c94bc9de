"""Files of weights, as every library of transformers reads and writes them."""

from __future__ import annotations

from typing import Any

from heedful._checks import named
from heedful.layers import Layer
from heedful.training._safetensors import AnyPath, read_tensors, write_tensors


def save_weights(model: Layer, path: AnyPath) -> None:
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
    write_tensors(checked_model(model).state_dict(), path, {"format": "np"})


def load_weights(model: Layer, path: AnyPath, strict: bool = True) -> Any:
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
        A file that is no safetensors file, or a part of one; the message names it.
    """
    model = checked_model(model)
    shapes = {name: own.value.shape for name, own in model.named_parameters()}
    tensors, _ = read_tensors(path, shapes)
    return model.load_state_dict(tensors, strict)


def checked_model(given: Any) -> Layer:
    if not isinstance(given, Layer):
        raise TypeError(f"model must be a layer: got {named(given)}")
    return given
