"""Which tensors of PyTorch can be read as arrays: the others are refused in one sentence each.

PyTorch is not imported here: a caller who has a tensor has imported it.
"""

import sys
from typing import Any

_INPUTS = ("query", "key", "value")


def is_tensor(given: Any) -> bool:
    """Whether it is a tensor of PyTorch."""
    torch = sys.modules.get("torch")
    # half-imported, it has no Tensor yet
    kind = getattr(torch, "Tensor", None)
    return kind is not None and isinstance(given, kind)


def refuse_without_data(name: str, tensor: Any) -> None:
    """A TypeError for a tensor whose elements are not in ordinary memory."""
    torch = sys.modules["torch"]
    if (
        tensor.is_cpu
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_quantized
    ):
        return
    if tensor.device.type == "meta":
        raise TypeError(f"{name} must hold data: got a tensor on the meta device, which holds none")
    if tensor.device.type != "cpu":
        raise TypeError(
            f"{name} must be in the processor's memory: got a tensor on {tensor.device}, "
            f"copy it with {name}.cpu()"
        )
    if tensor.is_nested:
        raise TypeError(
            f"{name} must not be nested: got a nested tensor, pad it with "
            f"torch.nested.to_padded_tensor and give the lengths"
        )
    if tensor.layout is not torch.strided:
        raise TypeError(
            f"{name} must be dense: got a tensor of layout {tensor.layout}, "
            f"convert it with {name}.to_dense()"
        )
    raise TypeError(
        f"{name} must not be quantized: got a tensor of type {tensor.dtype}, "
        f"convert it with {name}.dequantize()"
    )


def refuse_tangent(name: str, tensor: Any) -> None:
    """A TypeError for a dual tensor of forward-mode differentiation: its tangent would be lost."""
    forward_ad = sys.modules["torch"].autograd.forward_ad
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None:
        raise TypeError(
            f"{name} must have no tangent: got a dual tensor, and attention has no forward-mode "
            "derivative"
        )


def refuse_unreadable(name: str, tensor: Any) -> None:
    """A TypeError for a tensor that NumPy cannot read, or not as what it is."""
    torch = sys.modules["torch"]
    refuse_without_data(name, tensor)
    refuse_tangent(name, tensor)
    other = ", or call heedful.integrations.torch.attention" if name in _INPUTS else ""
    if tensor.requires_grad:
        with_gradients = f"{other}, which has gradients" if other else ""
        raise TypeError(
            f"{name} must not require a gradient: got a tensor that does, pass "
            f"{name}.detach(){with_gradients}"
        )
    if tensor.is_neg():
        raise TypeError(
            f"{name} must not be a negated view: got one, copy it with {name}.resolve_neg()"
        )
    if tensor.is_conj():
        raise TypeError(
            f"{name} must not be a conjugated view: got one, copy it with {name}.resolve_conj()"
        )
    if tensor.dtype == torch.bfloat16:
        raise TypeError(
            f"{name} must not be a tensor of type bfloat16, which NumPy cannot read: pass "
            f"{name}.float(){other}"
        )


def unreadable(name: str, error: Exception) -> TypeError:
    """For tensors of other kinds: of subclasses, of transforms, of 8-bit types."""
    reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
    return TypeError(f"{name} must be a tensor that NumPy can read: {reason}")
