"""SegmentRecurrentLM: a language model that reads segment by segment and remembers the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, each_of, flag, probability, size
from heedful.base._foreign_arguments import answers_generation
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._called import called
from heedful.layers._typed import Typed
from heedful.layers.attention._relative import RelativeAttention
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._feed_forward import feed_forward
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._stack import unwound
from heedful.layers.blocks._sublayer import sublayer


class SegmentRecurrentLayer(Typed):
    """Relative attention to memory and segment, and feed-forward; see :class:`EncoderLayer`.

    Parameters
    ----------
    d_model, num_heads, dff : int
    rate : float
        Of dropout.
    norm_first : bool, default True
    activation : str, default "gelu"
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Computes in `dtype`, whatever it is given; threads may share it, see :class:`Layer`.
    """

    def __init__(
        self, d_model: int, num_heads: int, dff: int, rate: float, *, norm_first: bool = True,
        activation: str = "gelu", dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng, dff, rate = generator(rng), size("dff", dff), probability("rate", rate)
        self.norm_first = flag("norm_first", norm_first)
        self.self_attn = RelativeAttention(d_model, num_heads, rate, dtype=dtype, rng=rng)
        self.linear1 = Linear(d_model, dff, activation=activation, dtype=dtype, rng=rng)
        self.linear2 = Linear(dff, d_model, dtype=dtype, rng=rng)
        self.norm1 = LayerNorm(d_model, dtype=dtype)
        self.norm2 = LayerNorm(d_model, dtype=dtype)
        self.dropout = Dropout(rate, dtype=dtype)

    def compute(
        self, mode: Mode, x: Any, memory: Any = None, memory_lengths: Any = None
    ) -> tuple[Array, Backward]:
        """x (B, L, E), memory (B, M, E) → y (B, L, E), as of :class:`RelativeAttention`; but no
        gradient goes into memory.
        """
        x = self.array("x", x, self.self_attn.d_model)
        first = self.norm_first
        back_memory: Backward | None = None
        if first and memory is not None:  # read as x is
            with called(x="memory"):
                memory, back_memory = self.norm1.compute(mode, memory)

        def attend(x: Array, residual: Array | None) -> tuple[Any, Backward]:
            return self.self_attn.compute(mode, x, memory, memory_lengths, residual)

        def feed(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            return feed_forward(mode, self.linear1, self.dropout, self.linear2, x, residual)

        x, back_attend = sublayer(mode, x, self.norm1, self.dropout, first, attend)
        x, back_feed = sublayer(mode, x, self.norm2, self.dropout, first, feed)

        def backward(dy: Any) -> Any:
            dx = back_attend(back_feed(dy))
            if memory is None:
                return dx
            if back_memory is not None:  # for the norm's own gradient
                back_memory(dx[1])
            return dx[0]

        return x, backward


class SegmentRecurrentLM(Typed):
    """A causal language model for texts of any length.

    The hidden states of the last rows of one segment are the memory of the next: a layer attends to
    them as to its own rows, so what is read reaches back further with every layer, and positions
    are distances.

    Parameters
    ----------
    vocabulary : int
        Number of different tokens.
    d_model, num_heads, num_layers : int
    dff : int, optional
        None is 4 · d_model.
    memory_length : int, default 128
        Rows that are remembered, M.
    rate : float, default 0.1
        Of dropout.
    tied : bool, default True
        Whether the projection shares the embedding's weight.
    norm_first, activation
        See :class:`EncoderLayer`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Dai et al. 2019, Transformer-XL, https://arxiv.org/abs/1901.02860; norms stand before each block
    unless ``norm_first=False``.
    Computes in `dtype`, whatever it is given; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import SegmentRecurrentLM
    >>> model = SegmentRecurrentLM(50, 16, 2, 2, memory_length=4, rng=0)
    >>> logits, memory = model([[1, 2, 3]], return_memory=True)
    >>> logits, memory = model([[4, 5, 6]], memory=memory, return_memory=True)
    >>> logits.shape, memory[0].shape
    ((1, 3, 50), (1, 4, 16))
    """

    def __init__(
        self,
        vocabulary: int,
        d_model: int = 256,
        num_heads: int = 4,
        num_layers: int = 4,
        dff: int | None = None,
        memory_length: int = 128,
        rate: float = 0.1,
        *,
        tied: bool = True,
        norm_first: bool = True,
        activation: str = "gelu",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        rng, d_model = generator(rng), size("d_model", d_model)
        dff = 4 * d_model if dff is None else size("dff", dff)
        self.vocabulary = size("vocabulary", vocabulary)
        self.memory_length = size("memory_length", memory_length)
        self.embedding = Embedding(vocabulary, d_model, dtype=dtype, rng=rng)
        self.embedding.weight = self.embedding.weight * 0.02
        self.dropout = Dropout(rate, dtype=dtype)
        self.layers = [
            SegmentRecurrentLayer(
                d_model, num_heads, dff, rate, norm_first=norm_first,
                activation=activation, dtype=dtype, rng=rng,
            )
            for _ in range(size("num_layers", num_layers))
        ]  # fmt: skip
        self.norm = LayerNorm(d_model, dtype=dtype) if norm_first else None
        self.projection = Linear(d_model, vocabulary, bias=False, dtype=dtype, rng=rng)
        if flag("tied", tied):
            self.projection.weight = self.embedding.weight

    def compute(
        self, mode: Mode, tokens: Any, *, memory: list[Array] | None = None,
        memory_lengths: Any = None, return_memory: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """tokens (B, L) → logits (B, L, vocabulary), or (logits, memory).

        Parameters
        ----------
        memory : list of numpy.ndarray (B, M, E), optional
            One for each layer, as the call for the segment before returned it.
        memory_lengths : array_like of int (B,), optional
            How many rows of each memory count, the last ones.
        return_memory : bool, default False
        """
        own = each_of("memory", memory, len(self.layers))
        return_memory = flag("return_memory", return_memory)
        x, back_embedding = self.embedding.compute(mode, tokens)
        if memory is not None:
            own = [self._memory(index, given, x.shape) for index, given in enumerate(own)]
        x, drop = self.dropout.compute(mode, x)
        closures: list[Backward] = []
        remembered: list[Array] = []
        for layer, old in zip(self.layers, own, strict=True):
            if return_memory:
                seen = x if old is None else np.concatenate([old, x], 1)
                remembered.append(seen[:, max(0, seen.shape[1] - self.memory_length) :].copy())
            x, closure = layer.compute(mode, x, old, memory_lengths)
            if mode.training:
                closures.append(closure)
        if self.norm is not None:
            x, closure = self.norm.compute(mode, x)
            closures.append(closure)
        logits, back_projection = self.projection.compute(mode, x)
        back_layers = unwound(closures)

        def backward(dlogits: Any) -> None:
            back_embedding(drop(back_layers(back_projection(dlogits))))

        return ((logits, remembered) if return_memory else logits), backward

    def _memory(self, index: int, given: Any, shape: tuple[int, ...]) -> Array:
        """That of one layer, for x of a shape (B, L, E)."""
        memory = self.array(f"memory[{index}]", given)
        if memory.ndim != 3 or (memory.shape[0], memory.shape[2]) != (shape[0], shape[-1]):
            raise ValueError(
                f"memory must have shape ({shape[0]}, M, {shape[-1]}): got {memory.shape} "
                f"for layer {index}"
            )
        return memory

    def read(self, tokens: Any, segment: int = 512) -> tuple[Array, list[Array]]:
        """A long text segment by segment: the last segment's logits, and the memory behind it.

        tokens (B, L), at least one of each text; logits (B, its length, vocabulary).
        """
        tokens = as_array("tokens", tokens)
        if tokens.ndim != 2 or not tokens.shape[1]:
            raise ValueError(
                f"tokens must be (B, L), one token at least of each text: got shape {tokens.shape}"
            )
        segment = size("segment", segment)
        logits, memory = self(tokens[:, :segment], return_memory=True)
        for first in range(segment, tokens.shape[1], segment):
            logits, memory = self(
                tokens[:, first : first + segment], memory=memory, return_memory=True
            )
        return logits, memory

    @answers_generation
    def generate(
        self, prompts: Any, *, stop: int | Sequence[int] | None = None,
        max_length: int = 100, temperature: float | None = None, top_k: int | None = None,
        top_p: float | None = None, num_beams: int = 1, length_penalty: float = 1.0,
        rng: Rng = None,
    ) -> list[Array]:  # fmt: skip
        """What the model writes behind each prompt, prompt included.

        Parameters
        ----------
        prompts : sequence of sequences of int
        stop, max_length, temperature, top_k, top_p, num_beams, length_penalty, rng
            See :func:`heedful.layers.generate`.
        """
        from heedful.layers.generation._generate import generate
        from heedful.layers.generation._steps import SegmentSteps

        return generate(
            SegmentSteps(self), prompts, stop=stop, max_length=max_length,
            temperature=temperature, top_k=top_k, top_p=top_p, num_beams=num_beams,
            length_penalty=length_penalty, rng=rng,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.vocabulary}, memory_length={self.memory_length}"
