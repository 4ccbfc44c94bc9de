"""The arguments of attention for tensors, checked and brought to the forms that operators take."""

from __future__ import annotations

from typing import Any

import torch

from heedful._checks import count, is_integer, named, one_of, real, size
from heedful._torch_tensors import refuse_without_data
from heedful.integrations.torch._call import NO_LIMIT
from heedful.integrations.torch._tensors import Tensor

_ALPHAS = {"softmax": 1.0, "entmax15": 1.5, "sparsemax": 2.0}


def check_tensors(**tensors: Any) -> None:
    """Each is None or a tensor that may be computed with."""
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor: got {named(tensor)}")
        if not torch.compiler.is_compiling() and tensor.device.type != "meta":
            refuse_without_data(name, tensor)


def promoted(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All of one floating type; 16-bit keys and values stay beside a float32 query."""
    types = [one.dtype for one in (query, key, value)]
    if torch.is_autocast_enabled("cpu"):
        narrow = torch.get_autocast_dtype("cpu")
        types = [narrow if one.is_floating_point and one != torch.float64 else one for one in types]
    if types[0] == torch.float32 and types[1] == types[2] and types[1].itemsize == 2:
        common = types
    elif torch.float16 in types and torch.bfloat16 in types:
        raise TypeError(
            "query, key and value must not mix float16 and bfloat16: got "
            f"{', '.join(map(str, types))}"
        )
    else:
        types = [one if one.is_floating_point else torch.float64 for one in types]
        common = [torch.promote_types(torch.promote_types(types[0], types[1]), types[2])] * 3
    return query.to(common[0]), key.to(common[1]), value.to(common[2])


def with_axes(tensor: Tensor, axes: int, layout: str) -> Tensor:
    """With an axis for the heads, and as many axes as this."""
    if tensor.dim() == 1:
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 2:
        tensor = tensor.unsqueeze(0 if layout == "bhld" else 1)
    while 2 < tensor.dim() < axes:
        tensor = tensor.unsqueeze(0)
    return tensor


def without_axes(tensor: Tensor, missing: int, axis: int) -> Tensor:
    """Without the axis of the heads, and that of a single query, where they were not given."""
    if missing > 0:
        tensor = tensor.select(axis, 0)
    return tensor.select(0, 0) if missing > 1 else tensor


def normalizer_of(given: Any) -> tuple[Tensor | None, float]:
    """(α of each head, α of all): 1 is softmax."""
    if isinstance(given, torch.Tensor):
        return given, 1.0
    if isinstance(given, str):
        return None, _ALPHAS[one_of("normalizer", given, list(_ALPHAS))]
    if isinstance(given, (list, tuple)):
        return torch.tensor(given, dtype=torch.float64), 1.0
    alpha = real("normalizer", given)
    if not 1 < alpha <= 2:
        raise ValueError(
            "normalizer must be 'softmax', 'entmax15', 'sparsemax', or α with 1 < α ≤ 2: "
            f"got {named(given)}"
        )
    return None, alpha


def limits(window: Any) -> tuple[int, int]:
    """Left and right of the window, −1 for no limit."""
    if window is None:
        return NO_LIMIT, NO_LIMIT
    if not isinstance(window, (tuple, list)) or len(window) != 2:
        raise ValueError(f"window must be a pair (left, right): got {named(window)}")
    left, right = (NO_LIMIT if side is None else count("window", side) for side in window)
    return left, right


def aligned(align: Any) -> tuple[str, int, Tensor | None]:
    """Where queries stand among the keys: a name, one offset, or one for each item."""
    if align is None:
        return "", 0, None
    if isinstance(align, str):
        return one_of("align", align, ("upper_left", "lower_right")), 0, None
    if is_integer(align):
        return "offset", align, None
    return "offsets", 0, integer_tensor("align", align)


def integer_tensor(name: str, given: Any) -> Tensor | None:
    """None, or integers as a tensor."""
    if given is None or isinstance(given, torch.Tensor):
        return given
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be integers: got {named(given)}") from None


def kept(top_k: Any) -> int:
    """How many keys, −1 for all."""
    return NO_LIMIT if top_k is None else size("top_k", top_k)


def optional_real(name: str, given: Any) -> float | None:
    return None if given is None else real(name, given)


def seed_of(rng: Any, random: bool) -> Tensor | None:
    """A tensor of 64 bits, drawn by PyTorch where none is given; None where nothing is random."""
    if is_integer(rng):
        if not 0 <= rng < 2**64:
            raise ValueError(f"rng must be a seed from 0 to 2**64 - 1: got {named(rng)}")
        signed = rng - 2**64 if rng >= 2**63 else rng
        return torch.tensor(signed, dtype=torch.int64) if random else None
    if rng is not None and not isinstance(rng, torch.Generator):
        raise TypeError(f"rng must be None, an integer or a torch.Generator: got {named(rng)}")
    return torch.randint(2**63 - 1, (), dtype=torch.int64, generator=rng) if random else None
