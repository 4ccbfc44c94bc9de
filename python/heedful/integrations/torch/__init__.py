"""heedful in PyTorch: its kernels behind PyTorch's functions, and all of attention for tensors."""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as _error:
    if _error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "heedful.integrations.torch needs the package torch: pip install torch", name="torch"
    ) from None

from heedful.integrations.torch._activation import Activation, activate, restore
from heedful.integrations.torch._attention import attention
from heedful.integrations.torch._multihead_attention import MultiheadAttention
from heedful.integrations.torch._swap import swap, unswap

__all__ = [
    "Activation",
    "MultiheadAttention",
    "activate",
    "attention",
    "restore",
    "swap",
    "unswap",
]
