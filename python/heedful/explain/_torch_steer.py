"""TorchSteer: a bias or a mask in the attention of PyTorch's modules while a model computes.

On ``nn.MultiheadAttention`` through hooks that change its mask; on the modules of transformers
through its attention interface, from which each asks for the function that computes it.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.explain._layer_choice import checked_patterns, matches
from heedful.explain._placement import Placement
from heedful.explain._torch_modules import (
    ARGUMENTS,
    CROSS,
    checked_heads,
    counted_heads,
    with_eager_attention,
)

_CACHES = ("past_key_values", "cache")  # what models of transformers call the argument


class TorchSteer:
    """What ``steer`` returns for a model of PyTorch, see :func:`steer`.

    Attributes
    ----------
    grad : numpy.ndarray or None
        The gradient of the bias.
    """

    model: Any
    bias: Array | None
    mask: Array | None
    grad: Array | None = None

    def __init__(
        self, model: Any, bias: Array | None, mask: Array | None, patterns: Any, heads: Any
    ) -> None:
        self.model, self.bias, self.mask = model, bias, mask
        self.patterns: list[str] = checked_patterns("where", patterns)
        self.heads: list[int] | None = checked_heads(heads)
        self.names: dict[int, Any] = {id(module): name for name, module in model.named_modules()}
        self._seen: dict[str, bool] = {}  # attention that computed, and whether it was steered
        self._cached, self._stack, self._thread = False, ExitStack(), 0

    def __enter__(self) -> TorchSteer:
        import torch

        if self in _interface.active:
            raise RuntimeError("steer is active already: make another one")
        self._thread = threading.get_ident()
        with ExitStack() as stack:
            stack.enter_context(with_eager_attention(self.model))
            for module in self.model.modules():
                if isinstance(module, torch.nn.MultiheadAttention):
                    hook = module.register_forward_pre_hook(self._before, with_kwargs=True)
                    stack.callback(hook.remove)
            hook = self.model.register_forward_pre_hook(self._begin, with_kwargs=True)
            stack.callback(hook.remove)
            _interface.add(self)
            stack.callback(_interface.remove, self)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stack.close()
        if error is None and not any(self._seen.values()):
            self._refuse()

    def steered(
        self, module: Any, shape: tuple[int, ...], own: Any, like: Any, window: int | None = None
    ) -> Any:
        """The additive mask of scores (B, H, Lq, Lk) or (H, Lq, Lk), of which `own` is a part.

        `window`: how many keys a cache of the module keeps at most, None for all.
        """
        import torch

        name = self.names.get(id(module))
        if name is None or threading.get_ident() != self._thread:
            return own
        chosen = any(matches(name, pattern) for pattern in self.patterns)
        self._seen[name] = self._seen.get(name, False) or chosen
        if not chosen:
            return own
        placement = self._placement(name, shape, window)
        low = torch.finfo(like.dtype).min
        total = own
        if own is not None and own.dtype == torch.bool:
            total = torch.zeros(own.shape, dtype=like.dtype, device=like.device)
            total = total.masked_fill(~own, low)
        if self.bias is not None:
            bias = torch.tensor(
                placement.placed("bias", self.bias, self.bias.dtype.type(0)),
                dtype=like.dtype, device=like.device,
            )  # fmt: skip
            if torch.is_grad_enabled():
                bias.requires_grad_()
                bias.register_hook(lambda found: self._add_gradient(placement, found))
            total = bias if total is None else total + bias
        if self.mask is not None:
            mask = torch.tensor(placement.placed("mask", self.mask, True), device=like.device)
            zero = torch.zeros((), dtype=like.dtype, device=like.device)
            total = torch.where(mask, zero if total is None else total, low)
        return total.clamp(min=low)

    def _placement(self, name: str, shape: tuple[int, ...], window: int | None) -> Placement:
        heads, length, keys = shape[-3:]
        chosen = None if self.heads is None else counted_heads(self.heads, heads, name)
        first = first_key = items = None
        if self._cached:
            if window is not None and length < keys and keys >= window:
                raise ValueError(
                    f"steer needs caches that keep all keys: {name!r} keeps the last {window}"
                )
            first_key = np.int64(0)
            first = None if CROSS.search(name) else np.int64(keys - length)
        given = [len(array) for array in (self.bias, self.mask) if np.ndim(array) == 4]  # type: ignore[arg-type]
        texts = max(given, default=1)
        if len(shape) == 4 and 1 < texts < shape[0] and shape[0] % texts == 0:
            items = np.arange(shape[0]) // (shape[0] // texts)  # beams, and several continuations
        return Placement(shape, chosen, first, first_key, items, name)

    def _add_gradient(self, placement: Placement, found: Any) -> None:
        assert self.bias is not None
        grad = placement.gradient(found.detach().cpu().float().numpy(), self.bias.shape)
        self.grad = grad if self.grad is None else self.grad + grad

    def _begin(self, module: Any, given: Any, options: dict[str, Any]) -> None:
        """Of the whole model: whether it continues a text whose keys are in a cache."""
        self._cached = any(options.get(name) is not None for name in _CACHES)

    def _before(self, module: Any, given: Any, options: dict[str, Any]) -> Any:
        """Of one nn.MultiheadAttention: a mask that has what is steered in it."""
        import torch

        options = {**dict(zip(ARGUMENTS, given, strict=False)), **options}
        query, key, own = options["query"], options["key"], options.get("attn_mask")
        batched, heads = query.ndim == 3, module.num_heads
        lengths = [
            array.shape[1 if batched and module.batch_first else 0] for array in (query, key)
        ]
        items = query.shape[0 if module.batch_first else 1] if batched else 1
        shape = (items, heads, *lengths)
        if own is not None and own.dtype == torch.bool:
            own = ~own  # True hides there
        if own is not None:
            own = own.reshape(-1, heads, *lengths) if own.ndim == 3 else own[None, None]
        found = self.steered(module, shape, own, query)
        if found is own:
            return None
        found = found.expand(items, heads, *lengths).reshape(items * heads, *lengths)
        padding = options.get("key_padding_mask")
        if padding is not None and padding.dtype == torch.bool:  # both of one type
            low = torch.finfo(query.dtype).min
            padding = torch.zeros_like(padding, dtype=query.dtype).masked_fill(padding, low)
        return (), {
            **options, "attn_mask": found, "key_padding_mask": padding, "is_causal": False
        }  # fmt: skip

    def _refuse(self) -> None:
        if self._seen:
            raise ValueError(
                "where must match attention of the model, which is "
                f"{', '.join(map(repr, self._seen))}: got {named(self.patterns)}"
            )
        raise ValueError(
            "model must have computed attention that can be steered, of nn.MultiheadAttention or "
            f"the attention interface of transformers 5: {type(self.model).__name__} has not"
        )


class _Interface:
    """transformers' attention interface, whose functions are steered while any steer is active."""

    def __init__(self) -> None:
        self.active: list[TorchSteer] = []  # within their `with`, of all threads
        self._lock = threading.Lock()
        self._interface: Any = None  # while it is steered
        self._original: Any = None

    def add(self, one: TorchSteer) -> None:
        with self._lock:
            self.active.append(one)
            interface: Any = getattr(sys.modules.get("transformers"), "AttentionInterface", None)
            if self._interface is None and hasattr(interface, "get_interface"):
                self._interface, self._original = interface, interface.get_interface
                interface.get_interface = _steering(self._original)

    def remove(self, one: TorchSteer) -> None:
        with self._lock:
            self.active.remove(one)
            if self._interface is not None and not self.active:
                self._interface.get_interface = self._original
                self._interface = None


def _steering(original: Any) -> Any:
    """AttentionInterface.get_interface, which returns what computes an attention."""

    def get_interface(self: Any, implementation: str, default: Any) -> Any:
        compute = original(self, implementation, default)

        def steered(
            module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *given: Any,
            **options: Any,
        ) -> Any:  # fmt: skip
            shape = (*query.shape[:-1], key.shape[-2])
            window = options.get("sliding_window")  # not all modules have it as an attribute, too
            if window is None:
                window = getattr(module, "sliding_window", None)
            for one in tuple(_interface.active):
                attention_mask = one.steered(module, shape, attention_mask, query, window)
            return compute(module, query, key, value, attention_mask, *given, **options)

        return steered

    return get_interface


_interface = _Interface()
