"""SegmentRecurrentLM: a language model that reads segment by segment, with a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, each_of, flag, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._taps import batch_items, first_query
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import NoiseOptions, passes_on
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._initial import scaled
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._stack import chained
from heedful.layers.generation._foreign_options import with_generation_hints
from heedful.layers.generation._generate import generate
from heedful.layers.generation._guided import Guiding
from heedful.layers.models._segment_recurrent_layer import SegmentRecurrentLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from heedful.base._call_types import Computes, P


class SegmentRecurrentLM(Typed):
    """A causal language model for texts of any length.

    The hidden states of the last rows of one segment are the memory of the next: a layer attends to
    them as to its own rows, so the context grows with every layer, and positions are relative.

    Parameters
    ----------
    vocabulary : int
        Number of different tokens.
    d_model, num_heads, num_layers : int
    dff : int, optional
        None is 4 · d_model.
    memory_length : int, default 128
        Number of rows in the memory, M.
    rate : float, default 0.1
        Of dropout.
    tied : bool, default True
        Whether the projection shares the embedding's weight.
    norm_first, activation
        See :class:`EncoderLayer`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of its attention, see :class:`MultiHeadAttention`.

    Notes
    -----
    Dai et al. 2019, Transformer-XL, https://arxiv.org/abs/1901.02860; pre-norm unless
    ``norm_first=False``.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import SegmentRecurrentLM
    >>> model = SegmentRecurrentLM(50, 16, 2, 2, memory_length=4, rng=0)
    >>> logits, memory = model([[1, 2, 3]], return_memory=True)
    >>> logits, memory = model([[4, 5, 6]], memory=memory, return_memory=True)
    >>> logits.shape, memory[0].shape
    ((1, 3, 50), (1, 4, 16))
    """

    @passes_on(NoiseOptions)
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
        **attention: Unpack[NoiseOptions],
    ) -> None:
        super().__init__(dtype)
        rng, d_model = generator(rng), size("d_model", d_model)
        dff = 4 * d_model if dff is None else size("dff", dff)
        self.vocabulary: int = size("vocabulary", vocabulary)
        self.memory_length: int = size("memory_length", memory_length)
        self.embedding: Embedding = Embedding(vocabulary, d_model, dtype=dtype, rng=rng)
        scaled(self.embedding.weight, 0.02)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.layers: list[SegmentRecurrentLayer] = [
            SegmentRecurrentLayer(
                d_model, num_heads, dff, rate, norm_first=norm_first,
                activation=activation, dtype=dtype, rng=rng, **attention,
            )
            for _ in range(size("num_layers", num_layers))
        ]  # fmt: skip
        self.norm: LayerNorm | None = LayerNorm(d_model, dtype=dtype) if norm_first else None
        self.projection: Linear = Linear(d_model, vocabulary, bias=False, dtype=dtype, rng=rng)
        if flag("tied", tied):
            self.projection.weight = self.embedding.weight

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __call__(
            self, *inputs: Any, return_memory: bool, return_weights: bool, **options: Any
        ) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, return_memory: Literal[True], **options: Any
        ) -> tuple[Array, list[Array]]: ...
        @overload
        def __call__(self, *inputs: Any, return_memory: bool, **options: Any) -> Any: ...
        @overload
        def __call__(
            self, *inputs: Any, return_weights: Literal[True], **options: Any
        ) -> tuple[Array, list[Array]]: ...
        @overload
        def __call__(self: Computes[P, Array], *inputs: P.args, **options: P.kwargs) -> Array: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any: ...

    def compute(
        self, mode: Mode, tokens: Any, *, memory: list[Array] | None = None,
        memory_lengths: Any = None, return_memory: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """tokens (B, L) → logits (B, L, vocabulary), or (logits, memory).

        Parameters
        ----------
        memory : list of numpy.ndarray (B, M, E), optional
            One for each layer, as returned by the call for the previous segment.
        memory_lengths : array_like of int (B,), optional
            Number of valid rows of each memory, the last ones.
        return_memory : bool, default False
        """
        own = each_of("memory", memory, len(self.layers))
        return_memory = flag("return_memory", return_memory)
        x, back_embedding = self.embedding.compute(mode, tokens)
        if memory is not None:
            own = [self._memory(index, given, x.shape) for index, given in enumerate(own)]
        x, drop = self.dropout.compute(mode, x)
        closures: list[Backward] = []
        new_memory: list[Array] = []
        for layer, old in zip(self.layers, own, strict=True):
            if return_memory:
                seen = x if old is None else np.concatenate([old, x], 1)
                new_memory.append(seen[:, max(0, seen.shape[1] - self.memory_length) :].copy())
            x, closure = layer.compute(mode, x, old, memory_lengths)
            if mode.training:
                closures.append(closure)
        if self.norm is not None:
            x, closure = self.norm.compute(mode, x)
            closures.append(closure)
        logits, back_projection = self.projection.compute(mode, x)
        back_layers = chained(closures)

        def backward(dlogits: Any) -> None:
            back_embedding(drop(back_layers(back_projection(dlogits))))

        return ((logits, new_memory) if return_memory else logits), backward

    def _memory(self, index: int, given: Any, shape: tuple[int, ...]) -> Array:
        """The memory of one layer, checked for x of a shape (B, L, E)."""
        memory = self.array(f"memory[{index}]", given)
        if memory.ndim != 3 or (memory.shape[0], memory.shape[2]) != (shape[0], shape[-1]):
            raise ValueError(
                f"memory must have shape ({shape[0]}, M, {shape[-1]}): got {memory.shape} "
                f"for layer {index}"
            )
        return memory

    def read(self, tokens: Any, segment: int = 512) -> tuple[Array, list[Array]]:
        """A long text segment by segment: the last segment's logits, and the memory after it.

        tokens (B, L) with L ≥ 1; logits (B, length of the last segment, vocabulary).
        """
        tokens = as_array("tokens", tokens)
        if tokens.ndim != 2 or not tokens.shape[1]:
            raise ValueError(
                f"tokens must be (B, L), at least one token of each text: got shape {tokens.shape}"
            )
        segment = size("segment", segment)
        memory: list[Array] | None = None
        for first in range(0, tokens.shape[1], segment):
            with first_query(np.int64(first)):
                logits, memory = self(
                    tokens[:, first : first + segment], memory=memory, return_memory=True
                )
        assert memory is not None
        return logits, memory

    def generation_steps(self) -> SegmentSteps:
        return SegmentSteps(self)

    @with_generation_hints
    def generate(
        self, prompts: Any, *, stop: int | Sequence[int] | None = None,
        max_length: int = 100, temperature: float | None = None, top_k: int | None = None,
        top_p: float | None = None, num_beams: int = 1, length_penalty: float = 1.0,
        rng: Rng = None, guidance: Guiding | None = None,
    ) -> list[Array]:  # fmt: skip
        """Each prompt with its continuation.

        Parameters
        ----------
        prompts : sequence of sequences of int
        stop, max_length, temperature, top_k, top_p, num_beams, length_penalty, rng,
        guidance
            See :func:`heedful.layers.generate`.
        """
        return generate(
            self, prompts, stop=stop, max_length=max_length,
            temperature=temperature, top_k=top_k, top_p=top_p, num_beams=num_beams,
            length_penalty=length_penalty, rng=rng, guidance=guidance,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.vocabulary}, memory_length={self.memory_length}"


class SegmentSteps:
    """The steps of a segment-recurrent model, with its memory."""

    lengths: Array
    read: Array
    longest: int | None = None

    def __init__(self, model: SegmentRecurrentLM) -> None:
        self.model = model
        self.memory: list[Array] = []
        self.lengths = self.read = np.zeros(0, np.int64)  # of the memories, of the texts

    def start(self, prompts: list[Array]) -> Array:
        with argument_names(tokens="prompts"):
            found = []
            for item, prompt in enumerate(prompts):
                with batch_items(np.array([item])):
                    found.append(self.model.read(prompt[None]))
        self.read = np.array([len(prompt) for prompt in prompts])
        memories = [memory for _, memory in found]
        self.lengths = np.array([memory[0].shape[1] for memory in memories])
        rows = int(self.lengths.max())
        self.memory = [
            np.concatenate([_padded(memory[layer], rows) for memory in memories])
            for layer in range(len(self.model.layers))
        ]
        return np.concatenate([logits[:, -1] for logits, _ in found])

    def step(self, tokens: Array) -> Array:
        with first_query(self.read):
            logits, self.memory = self.model(
                tokens[:, None], memory=self.memory, memory_lengths=self.lengths, return_memory=True
            )
        self.lengths = np.minimum(self.lengths + 1, self.model.memory_length)
        self.read = self.read + 1
        last: Array = logits[:, -1]
        return last

    def reorder(self, items: Array) -> None:
        self.memory = [memory[items] for memory in self.memory]
        self.lengths, self.read = self.lengths[items], self.read[items]


def _padded(memory: Array, rows: int) -> Array:
    """Memory (1, M, E) with rows of zeros in front."""
    return np.pad(memory, ((0, 0), (rows - memory.shape[1], 0), (0, 0)))
