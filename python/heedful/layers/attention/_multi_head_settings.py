"""The settings and parameters of MultiHeadAttention: as they are read, changed and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heedful.base._types import Array
from heedful.layers.attention._adaptive_span import span_shown
from heedful.layers.attention._head_sizes import HeadSizes
from heedful.layers.attention._noise import noise_shown
from heedful.layers.attention._normalizer import Normalizer, alphas_of
from heedful.layers.attention._penalties import PenalisedLayer, penalties_shown
from heedful.layers.attention._query_key import query_key_shown
from heedful.layers.attention._rotary_angles import RotaryAngles
from heedful.layers.attention._scores import Scores
from heedful.layers.blocks._int8 import int8_shown
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import RMSNorm

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own


class MultiHeadSettings(PenalisedLayer):
    """What MultiHeadAttention sets when it is made."""

    d_model: int
    num_heads: int
    num_kv_heads: int
    depth: int
    kdim: int
    vdim: int
    causal: bool
    dropout: float
    rotary: RotaryAngles | None
    scores: Scores
    out_proj: Linear
    in_proj_weight: Own
    in_proj_bias: OptionalOwn
    sink: OptionalOwn
    alpha_logits: OptionalOwn
    logit_scale: OptionalOwn
    span: Own
    q_norm: RMSNorm
    k_norm: RMSNorm
    # of a layer that an earlier version pickled
    top_k: int | None = None
    normalizer: Normalizer = "softmax"
    key_dropout: float = 0.0
    head_dropout: float = 0.0
    gumbel_temperature: float | None = None
    hard = False
    qk_norm: str | None = None
    adaptive_span: int | None = None
    score_kind: ClassVar[str] = "dot product"
    gradient_options: tuple[str, ...] = ("bias",)
    pruned_heads: tuple[int, ...] = ()
    pruned_kv_heads: tuple[int, ...] = ()

    @property
    def alphas(self) -> Array | None:
        """α of each head, None with softmax."""
        return None if self.normalizer == "softmax" else alphas_of(self)

    def extra_repr(self) -> str:
        shown = HeadSizes(self.num_heads, self.num_kv_heads, self.depth).shown(self.d_model)
        for name, width in (("kdim", self.kdim), ("vdim", self.vdim)):
            shown += "" if width == self.d_model else f", {name}={width}"
        shown += f", dropout={self.dropout:g}" if self.dropout else ""
        shown += "" if self.top_k is None else f", top_k={self.top_k}"
        if self.normalizer != "softmax":
            shown += f", normalizer={self.normalizer!r}"
        shown += noise_shown(self) + penalties_shown(self._penalties)
        shown += query_key_shown(self) + span_shown(self)
        shown += self.scores.shown() + ("" if self.sink is None else ", sink=True")
        return shown + int8_shown(self.own_parameters().values())
