"""from_pretrained and from_config: models of other libraries, built and loaded from their files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag
from heedful._whole_file import AnyPath
from heedful.base._quantizable import unset_bfloat16
from heedful.base._state import few
from heedful.base._types import Rng, floating, generator
from heedful.layers import Layer
from heedful.layers.blocks._initial import without_initial_values
from heedful.models._config import Config, as_config, read_object
from heedful.models._files import CONFIG, checked_folder, read_config, read_tensors
from heedful.models._generation import stop_in
from heedful.models._loading import check_layers, load
from heedful.models._registry import architecture_of


def from_pretrained(
    folder: AnyPath, *, head: str | None = None, dtype: DTypeLike | None = None,
    strict: bool = True, rng: Rng = None,
) -> Layer:  # fmt: skip
    """A model with the weights that are in a folder, as ``save_pretrained`` of transformers writes.

    Parameters
    ----------
    folder : str or path
        With config.json, and model.safetensors or model.safetensors.index.json with its shards.
        Nothing is downloaded, nothing outside of the folder is read, and no file in it can run
        code.
    head : str, optional
        Which model to make, by its class name in transformers, such as
        "BertForSequenceClassification"; None is the one that "architectures" in config.json names.
    dtype : {float32, float64, "bfloat16"}, optional
        What the model computes in, whatever the file holds: float64, float32, float16 or bfloat16;
        None is float32. With "bfloat16" it computes in float32 with weights of bfloat16, in half
        the memory, and generates faster; it cannot be trained, see ``Layer.quantize``.
    strict : bool, default True
        Whether every parameter must be in the files, and nothing else. Otherwise parameters that
        are missing, such as those of a new head, keep their initial values, with a warning that
        names them, and tensors that the model does not know are left out.
    rng : None, int or numpy.random.Generator
        For those.

    Returns
    -------
    Layer
        With ``config``, the content of config.json.

    Raises
    ------
    ValueError
        A model that is not known; a config without a required key; names or shapes that do not fit,
        of which none is allocated first;
        a shard outside of the folder.
    OSError
        A folder or a file that is not there.
    safetensors.SafetensorError
        A file that is not a safetensors file, or truncated; the message names it.

    Notes
    -----
    Weights are read one tensor after another, so that the memory in use is never more than that of
    the model and one tensor.
    """
    place, strict = checked_folder(folder), flag("strict", strict)
    config = read_config(place)
    family, name = architecture_of(config, head)
    tensors = read_tensors(place)
    if strict:  # then every parameter is in the files
        check_layers(config, len(tensors))
        # a tied or replaced weight is made twice, so that a model may ask for twice the elements
        with without_initial_values(2 * sum(array.size for array in tensors.values())):
            model = _made(config, family.heads[name], dtype, rng)
            if _is_bfloat16(dtype):
                unset_bfloat16(model)
    else:
        model = _made(config, family.heads[name], dtype, rng)
        if _is_bfloat16(dtype):
            model.quantize("bfloat16")
    missing = load(model, family.names(tensors, model), strict)
    if missing:
        warnings.warn(
            f"parameters that are not in the files keep their initial values: {few(missing)}",
            stacklevel=2,
        )
    stop = stop_in(place)
    if stop is not None and hasattr(model, "stop"):
        model.stop = stop
    return model


def from_config(
    config: Mapping[str, Any] | AnyPath, *, head: str | None = None, dtype: DTypeLike | None = None,
    rng: Rng = None,
) -> Layer:  # fmt: skip
    """A model with the sizes of a config.json, and random weights.

    Parameters
    ----------
    config : mapping, str or path
        What a config.json holds, or the path of one or of its folder.
    head, dtype
        See :func:`from_pretrained`.
    rng : None, int or numpy.random.Generator
        For the initial weights.

    Returns
    -------
    Layer
        With ``config``.

    Raises
    ------
    ValueError
        A model that is not known; a config without a required key.

    Examples
    --------
    >>> from heedful.models import from_config
    >>> sizes = {"vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 2,
    ...          "num_attention_heads": 3, "intermediate_size": 24}
    >>> model = from_config({"model_type": "bert", **sizes}, rng=0)
    >>> model([[1, 2, 3]]).shape
    (1, 3, 12)
    """
    found = _config(config)
    family, name = architecture_of(found, head)
    model = _made(found, family.heads[name], dtype, rng)
    return model.quantize("bfloat16") if _is_bfloat16(dtype) else model


def _config(given: Any) -> Config:
    if not isinstance(given, (str, os.PathLike)):
        return as_config(given)
    path = Path(given)
    if path.is_dir():
        return read_config(path)
    if not path.exists():
        raise FileNotFoundError(f"config must be the path of a {CONFIG}: got {str(path)!r}")
    return Config(read_object(path), path.name)


def _made(config: Config, build: Any, dtype: DTypeLike | None, rng: Rng) -> Layer:
    computing = floating(np.float32 if dtype is None or _is_bfloat16(dtype) else dtype)
    model: Layer = build(config, dtype=computing, rng=generator(rng))
    model.config = config
    return model


def _is_bfloat16(dtype: DTypeLike | None) -> bool:
    """By its name: NumPy has none, and ml_dtypes may be absent."""
    if isinstance(dtype, str):
        return dtype == "bfloat16"
    return dtype is not None and np.dtype(dtype).name == "bfloat16"
