"""Architecture: what a family of models is built of, and what its checkpoints call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from heedful.base._types import Array, DType, Rng
from heedful.layers import Layer
from heedful.models._config import Config


class Builder(Protocol):
    """Makes a model with the sizes of a config, its parameters at their initial values."""

    def __call__(self, config: Config, *, dtype: DType, rng: Rng) -> Layer: ...


# Under the model's own names; a tuple of arrays is joined along the first axis when it is loaded.
Named: TypeAlias = dict[str, Array | tuple[Array, ...]]


@dataclass(frozen=True)
class Architecture:
    """One family of models.

    Attributes
    ----------
    model_type : str
        "model_type" in config.json.
    heads : mapping of str to Builder
        By the names in "architectures" of config.json, such as BertForSequenceClassification. The
        first one is built where a config names none.
    names : function
        From the arrays of a checkpoint, and the model, to the same arrays under the model's own
        names. Arrays are views of the mapped file, those of bfloat16 have a structured type of
        two bytes: they may be transposed, cut (``array[:n]``, ``np.split``) and reshaped, which
        reads nothing, but not computed with or copied: what is to be joined, such as query, key
        and value, is given as a tuple. Tensors that the model does not need, such as position_ids
        or the head of another task, are left out; what it does not know keeps its name, and is
        reported. A shared parameter is given under one of its names. It removes from the model what
        the checkpoint may lack, such as a pooler.
    """

    model_type: str
    heads: Mapping[str, Builder]
    names: Callable[[Mapping[str, Array], Layer], Named]
