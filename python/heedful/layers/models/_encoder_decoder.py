"""EncoderDecoder: an encoder, and a decoder that attends to its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import one_of, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import PositionedOptions, passes_on
from heedful.layers.models._decoder import Decoder
from heedful.layers.models._encoder import Encoder
from heedful.layers.models._mixers import ACROSS

if TYPE_CHECKING:
    from typing_extensions import Unpack


class EncoderDecoder(Typed):
    """An encoder and a decoder that attends to the encoder's output.

    Parameters
    ----------
    d_model, num_heads : int
    num_encoder_layers, num_decoder_layers : int, default 6
    dff, rate, activation, norm_first, eps, bias
        Of each layer, see :class:`EncoderLayer`; eps and bias of the two final norms too.
    num_kv_heads, rotary, scale, softcap, top_k, normalizer, sink, alibi
        See :class:`EncoderLayer` and :class:`DecoderLayer`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`EncoderLayer` and :class:`DecoderLayer`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    mixer : {"attention", "linear"}
        Of all layers, see :class:`DecoderLayer`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Named ``nn.Transformer`` in PyTorch, with
    the same parameters; there a causal mask for the target must be given, here it is the default.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import EncoderDecoder
    >>> model = EncoderDecoder(8, 2, 1, 1, dff=32, rng=0)
    >>> model(np.ones((3, 7, 8)), np.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    @passes_on(PositionedOptions)
    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dff: int = 2048,
        rate: float = 0.1,
        *,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
        bias: bool = True,
        mixer: str = "attention",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[PositionedOptions],
    ) -> None:
        super().__init__(dtype)
        shared: dict[str, Any] = {
            "norm": True, "activation": activation, "norm_first": norm_first, "eps": eps,
            "bias": bias, "dtype": dtype, "rng": generator(rng),
            "mixer": one_of("mixer", mixer, ACROSS), **attention,
        }  # fmt: skip
        encoder_layers = size("num_encoder_layers", num_encoder_layers)
        decoder_layers = size("num_decoder_layers", num_decoder_layers)
        self.encoder: Encoder = Encoder(encoder_layers, d_model, num_heads, dff, rate, **shared)
        self.decoder: Decoder = Decoder(decoder_layers, d_model, num_heads, dff, rate, **shared)

    def compute(
        self, mode: Mode, source: Any, target: Any, *, source_lengths: Any = None,
        target_lengths: Any = None, causal: bool = True,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """source (…, M, E), target (…, L, E) → y (…, L, E); backward: (dsource, dtarget)."""
        with argument_names(x="source", kv_lengths="source_lengths"):
            memory, back_encoder = self.encoder.compute(mode, source, kv_lengths=source_lengths)
        with argument_names(x="target", memory="source", lengths="target_lengths",
                    memory_lengths="source_lengths"):  # fmt: skip
            y, back_decoder = self.decoder.compute(
                mode, target, memory, lengths=target_lengths, memory_lengths=source_lengths,
                causal=causal,
            )  # fmt: skip

        def backward(dy: Any) -> tuple[Array, Array]:
            dtarget, dmemory = back_decoder(dy)
            return back_encoder(dmemory), dtarget

        return y, backward
