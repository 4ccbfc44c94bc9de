"""TorchWatch: the attention weights of PyTorch's modules while a model computes.

Through hooks, on ``nn.MultiheadAttention`` and on the attention modules of transformers, which
return their weights with the eager implementation.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.explain._layer_choice import checked_patterns, matches
from heedful.explain._recorded_map import block
from heedful.explain._torch_modules import (
    ARGUMENTS,
    CROSS,
    checked_heads,
    counted_heads,
    with_eager_attention,
)


class TorchCall(NamedTuple):
    """What one call has in common with a ``WatchedCall``: weights (B, H, Lq, Lk) or (H, Lq, Lk)."""

    name: str
    weights: Array
    heads: tuple[int, ...]
    rows: Array
    length: int
    is_self: bool
    token_rows: None = None


class TorchWatch:
    """Records what is asked for of each attention of a model.

    calls : list of TorchCall, in the order of the computation
    """

    def __init__(
        self, model: Any, patterns: Any, heads: Any, rows: Any, average_heads: bool, item: int
    ) -> None:
        self.model, self.rows, self.item = model, rows, item
        self.patterns = checked_patterns("layers", patterns)
        self.heads = checked_heads(heads)
        self.average_heads = average_heads
        self.calls: list[TorchCall] = []
        self.names: list[str] = []  # of all attention that computed

    @property
    def targets(self) -> set[str]:
        """The blocks of a decoder, whose queries are of the second sequence."""
        return {block(name) for name in self.names if "decoder" in name}

    @contextmanager
    def recording(self) -> Iterator[None]:
        import torch

        thread = threading.get_ident()
        found: dict[int, Any] = {}  # references to the weights that were seen, by their ids

        def see(name: str, output: Any) -> None:
            if not isinstance(output, tuple) or threading.get_ident() != thread:
                return
            weights = next((one for one in output[1:] if _are_weights(one)), None)
            # a module around an attention returns the weights of that one
            if weights is not None and found.get(id(weights), lambda: None)() is not weights:
                found[id(weights)] = weakref.ref(weights)
                self._record(name, weights)

        with ExitStack() as stack:
            for name, module in self.model.named_modules():
                if isinstance(module, torch.nn.MultiheadAttention):
                    hooks = _WithWeights(name, see)
                    stack.callback(
                        module.register_forward_pre_hook(hooks.before, with_kwargs=True).remove
                    )
                    stack.callback(
                        module.register_forward_hook(hooks.after, with_kwargs=True).remove
                    )
                else:
                    hook = module.register_forward_hook(
                        lambda _module, _inputs, output, name=name: see(name, output)
                    )
                    stack.callback(hook.remove)
            stack.enter_context(_eager(self.model))
            stack.enter_context(torch.no_grad())
            yield
        if not self.calls:
            self._refuse()

    def _record(self, name: str, weights: Any) -> None:
        self.names.append(name)
        if not any(matches(name, pattern) for pattern in self.patterns):
            return
        if weights.ndim == 4:
            if self.item >= len(weights):
                raise IndexError(f"item must lie between 0 and {len(weights) - 1}: got {self.item}")
            weights = weights[self.item]
        heads, length = weights.shape[:2]
        every = list(range(heads))
        chosen = counted_heads(every if self.heads is None else self.heads, heads, name)
        rows = np.arange(length) if self.rows is None else self.rows
        if ((rows < -length) | (rows >= length)).any():
            raise IndexError(
                f"rows must lie between {-length} and {length - 1} in {name!r}: "
                f"got {rows[(rows < -length) | (rows >= length)][0]}"
            )
        rows = rows % length
        kept = weights.detach()[list(chosen)][:, rows.tolist()].float()
        if self.average_heads:
            kept = kept.mean(0, keepdim=True)
        names = () if self.average_heads else chosen
        self.calls.append(
            TorchCall(name, kept.cpu().numpy(), names, rows, length, not CROSS.search(name))
        )

    def _refuse(self) -> None:
        if self.names:
            raise ValueError(
                "layers must match attention of the model, which is "
                f"{', '.join(map(repr, dict.fromkeys(self.names)))}: got {named(self.patterns)}"
            )
        raise ValueError(
            "model must have nn.MultiheadAttention, or attention of transformers that returns its "
            f"weights: {type(self.model).__name__} has none"
        )


def _are_weights(found: Any) -> bool:
    """Whether something is a tensor (…, H, Lq, Lk) of rows that sum to 1, or less with a sink."""
    import torch

    if not isinstance(found, torch.Tensor) or found.ndim not in (3, 4) or not found.numel():
        return False
    low, sums = found.min(), found.float().sum(-1)
    return bool(low >= 0) and bool(sums.max() < 1.02) and bool(sums.max() > 0)


class _WithWeights:
    """Hooks of one nn.MultiheadAttention, which returns what it was asked for as before."""

    def __init__(self, name: str, see: Any) -> None:
        self.name, self.see = name, see
        self.wanted: list[tuple[bool, bool]] = []

    def before(self, module: Any, given: Any, options: dict[str, Any]) -> Any:
        options = {**dict(zip(ARGUMENTS, given, strict=False)), **options}
        self.wanted.append(
            (options.get("need_weights", True), options.get("average_attn_weights", True))
        )
        return (), {**options, "need_weights": True, "average_attn_weights": False}

    def after(self, module: Any, given: Any, options: dict[str, Any], output: Any) -> Any:
        needed, averaged = self.wanted.pop()
        self.see(self.name, output)
        weights = output[1].mean(-3) if averaged else output[1]
        return output[0], weights if needed else None


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Within it the model computes without dropout, and attention returns its weights."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with with_eager_attention(model) as found, ExitStack() as stack:
            for config in (module.config for module in found):
                returned = getattr(config, "output_attentions", False)
                config.output_attentions = True
                stack.callback(setattr, config, "output_attentions", returned)
            yield
    finally:
        for module, training in modes:
            module.training = training
