"""Files of weights, in the format that all Transformer libraries read and write, or NumPy's."""

from __future__ import annotations

from typing import Any

from heedful._checks import flag, named
from heedful._whole_file import AnyPath
from heedful.base._module import Module
from heedful.training.files._checkpoint import read_checkpoint
from heedful.training.files._pruned_heads import text_of_heads
from heedful.training.files._tensors import write_tensors


def save_weights(model: Module, path: AnyPath) -> None:
    """Writes the parameters of a model as safetensors or npz, under their dotted names.

    Parameters
    ----------
    model : Layer
    path : str or path
        Where it ends in .npz, the file is NumPy's, ``numpy.load`` reads it and nothing but NumPy is
        needed; otherwise it is a safetensors file, for which the package safetensors is.
        An existing file is replaced atomically and keeps its mode; of a symbolic link, its target
        is.

    Raises
    ------
    OSError
        A path that cannot be written, a full disk: an existing file is unchanged.

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

    With NumPy alone:

    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "linear.npz")
    ...     save_weights(Linear(3, 2), path)
    ...     np.load(path)["weight"].shape
    (2, 3)
    """
    state = checked_model(model).state_dict()
    write_tensors(state, path, {"format": "np", **text_of_heads(model)})


def load_weights(model: Module, path: AnyPath, strict: bool = True) -> Any:
    """Reads parameters that heedful, PyTorch or Hugging Face wrote as safetensors, or NumPy as npz.

    float64, float32, float16, bfloat16, integers and booleans are converted to the model's type;
    float8 and narrower types are rejected.

    Parameters
    ----------
    model : Layer
    path : str or path
        A safetensors file; one of ``numpy.savez``, which ends in .npz; an index, such as
        model.safetensors.index.json, in the folder of the shards that it lists; or a folder with
        model.safetensors or model.safetensors.index.json.
    strict : bool, default True
        See :meth:`Layer.load_state_dict`.

    Returns
    -------
    (missing, unexpected)

    Raises
    ------
    ValueError
        Names or shapes that do not fit; an index that names a file outside of its folder, or a
        shard without the tensors that the index lists; an npz file that is damaged or holds Python
        objects. Parameters are unchanged.
    TypeError
        Elements of another type.
    safetensors.SafetensorError
        A file that is not a safetensors file, or truncated; the message names it.
    """
    model, strict = checked_model(model), flag("strict", strict)
    shapes = {name: own.value.shape for name, own in model.named_parameters()}
    return model.load_state_dict(read_checkpoint(path, shapes), strict)


def checked_model(given: Any) -> Module:
    if not isinstance(given, Module):
        raise TypeError(f"model must be a layer: got {named(given)}")
    return given
