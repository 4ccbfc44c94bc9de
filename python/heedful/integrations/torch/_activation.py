"""activate and restore: heedful as PyTorch's attention kernel, for the whole process."""

from __future__ import annotations

import threading
import warnings
from types import TracebackType
from typing import Any

import torch
import torch.nn.attention as registry

from heedful.integrations.torch import _flash_attention

IMPLEMENTATION = "heedful"
_KERNELS = {
    _flash_attention.NAME: _flash_attention.forward,
    f"{_flash_attention.NAME}_backward": _flash_attention.backward,
}
_lock = threading.RLock()


class _Active:
    """What is known while heedful's kernels override PyTorch's. PyTorch calls `remove`."""

    now: _Active | None = None

    def __init__(self) -> None:
        self.holders = 0  # of whom each wants it active
        self.before: str | None = None  # the implementation that it replaced
        # found before they are overridden
        own = {name: torch.library.get_kernel(f"aten::{name}", "CPU") for name in _KERNELS}
        self._library = torch.library.Library("aten", "IMPL")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*overrid", UserWarning)  # that is the purpose
            for name, kernel in _KERNELS.items():
                self._library.impl(name, kernel(own[name]), "CPU", with_keyset=True)

    def remove(self) -> None:
        self._library._destroy()
        _Active.now = None


def _register() -> _Active:
    _Active.now = _Active()
    return _Active.now


class Activation:
    """Returned by :func:`activate`; as a context manager it ends with its block."""

    def __init__(self, active: _Active) -> None:
        self._active = active

    def __enter__(self) -> Activation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _lock:
            active = self._active
            if active is _Active.now:  # otherwise it was restored within the block
                active.holders -= 1
                if active.holders == 0:
                    _restore(active)

    def __repr__(self) -> str:
        state = "active" if self._active is _Active.now else "restored"
        return f"<heedful's attention in PyTorch, {state}>"


def activate() -> Activation:
    """Compute ``torch.nn.functional.scaled_dot_product_attention`` on the processor with heedful.

    It registers heedful's kernels, forward and backward, in PyTorch's registry of attention
    implementations and activates them, for all threads of the process, until :func:`restore`. What
    is called by whatever layer or model reaches them, compiled or not, where PyTorch would use its
    own fused kernel for the processor: query, key and value of four axes and of equal depth, no
    dropout, no mask that needs a gradient. Everything else, and calls so small that PyTorch's own
    kernel is faster, stay with PyTorch.

    Returns
    -------
    Activation
        A context manager, at whose end PyTorch's kernels are back, unless something else activated
        heedful meanwhile. It need not be used.

    Raises
    ------
    ImportError
        PyTorch is older than its registry, which came with 2.11.

    See Also
    --------
    attention : everything that heedful can, for tensors.
    swap : layers, which reach PyTorch's kernel only where they need no weights.

    Notes
    -----
    Activating twice is the same as once. Types: float32, float64, float16 and bfloat16 (which needs
    the package ml_dtypes), with the meaning that PyTorch's kernel has: `is_causal` starts at the
    upper left, a query that may attend to nothing gives 0. Sums are formed as in
    :func:`heedful.attention`: results differ from PyTorch's by rounding. At most
    ``torch.get_num_threads()`` threads are used.

    Also ``torch.nn.attention.activate_flash_attention_impl("heedful")``, once this module was
    imported.

    Examples
    --------
    >>> import torch
    >>> import heedful.integrations.torch
    >>> x = torch.eye(3).expand(1, 2, 3, 3)
    >>> with heedful.integrations.torch.activate():
    ...     out = torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
    >>> out[0, 0].numpy().round(3)
    array([[1.   , 0.   , 0.   ],
           [0.36 , 0.64 , 0.   ],
           [0.264, 0.264, 0.471]], dtype=float32)
    """
    with _lock:
        active = _Active.now
        if active is None:
            before = registry.current_flash_attention_impl()
            registry.activate_flash_attention_impl(IMPLEMENTATION)
            active = _Active.now
            assert active is not None
            active.before = before
        active.holders += 1
        return Activation(active)


def restore() -> None:
    """Put PyTorch's own attention kernels back, or those that were active before heedful's.

    However often :func:`activate` was called. Nothing happens where heedful is not active.

    Examples
    --------
    >>> import heedful.integrations.torch
    >>> activation = heedful.integrations.torch.activate()
    >>> heedful.integrations.torch.restore()
    >>> activation
    <heedful's attention in PyTorch, restored>
    """
    with _lock:
        if _Active.now is not None:
            _restore(_Active.now)


def _restore(active: _Active) -> None:
    registry.restore_flash_attention_impl()
    if active.before is not None:
        registry.activate_flash_attention_impl(active.before)


def _add_to_registry(register: Any) -> None:
    if register is None:
        raise ImportError(
            "heedful.integrations.torch needs PyTorch with a registry of attention "
            f"implementations, 2.11 or newer: found {torch.__version__}"
        )
    register(IMPLEMENTATION, register_fn=_register)


_add_to_registry(getattr(registry, "register_flash_attention_impl", None))
