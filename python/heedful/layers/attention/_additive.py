"""AdditiveAttention: scores from a small network instead of a dot product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, flag, real, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._sums import plus
from heedful.base._taps import taps_of
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import (
    additive_attention,
    additive_attention_vjp,
    penalised_additive_attention_vjp,
)
from heedful.layers.attention._additive_call import AdditiveCall
from heedful.layers.attention._choice import Choice, hard_additive_vjp
from heedful.layers.attention._masks import check_mask_of_rows, mask_or_bias
from heedful.layers.attention._noise import make_noise, noise_shown, random_options
from heedful.layers.attention._penalties import (
    PenalisedLayer,
    Penalties,
    penalised_vjp,
    penalties_shown,
)
from heedful.layers.attention._scores import Scores
from heedful.layers.blocks._initial import kaiming
from heedful.layers.blocks._linear import Linear

if TYPE_CHECKING:
    from heedful.base._parameter_types import OptionalOwn, Own


class AdditiveAttention(PenalisedLayer):
    """Attention with learned additive scores.

    ::

        score[i, j]  = v · tanh(W query[i] + U key[j] + b) − slope · abs(p − j)
        weight[i, j] = exp(score[i, j]) / (exp(sink) + Σ_j exp(score[i, j]))
        y[i]         = Σ_j weight[i, j] · value[j]

    with slope and sink if given, p the position of query i.

    Parameters
    ----------
    d_model : int
        Width of query.
    units : int, optional
        E, the width of projected queries and keys; None is d_model.
    kdim : int, optional
        Width of key; None is d_model. value may have any width.
    bias : bool, default False
        Whether there is a b.
    dropout, key_dropout : float, default 0
    gumbel_temperature : float, optional
    hard : bool, default False
    penalties : mapping of str to float, optional
        In training, see :class:`MultiHeadAttention`.
    sink : bool, default False
        Whether a score without a value is learned, so that a query may attend to nothing.
    alibi : bool or float, default False
        Whether distances are subtracted from the scores, with slope 2^(−8), or the slope itself.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    query_proj : Linear
        W (units, d_model), and b.
    key_proj : Linear
        U (units, kdim).
    weight : numpy.ndarray, (units,)
        v.
    sink : numpy.ndarray, (1,), or None
        0 at first.

    Notes
    -----
    Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, where the query is the decoder's state
    and keys and values are the encoder's; "concat" in Luong et al. 2015, whose one matrix is W and
    U side by side. Keras's ``AdditiveAttention`` has no projections, its scale is v: that is
    :func:`heedful.additive_attention`.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import AdditiveAttention
    >>> layer = AdditiveAttention(6, 16, kdim=8, rng=0)
    >>> state, annotations = np.ones((3, 1, 6), np.float32), np.ones((3, 7, 8), np.float32)
    >>> context, weights = layer(state, annotations, kv_lengths=[7, 2, 1], return_weights=True)
    >>> context.shape, weights.shape
    ((3, 1, 8), (3, 1, 7))
    >>> context, backward = layer.forward(state, annotations)
    >>> dstate, dannotations = backward(np.ones_like(context))
    """

    score_kind: ClassVar[str] = "additive"
    # of a layer that an earlier version pickled
    key_dropout: float = 0.0
    gumbel_temperature: float | None = None
    hard = False
    weight: Own
    sink: OptionalOwn

    def __init__(
        self, d_model: int, units: int | None = None, *, kdim: int | None = None,
        bias: bool = False, dropout: float = 0.0, key_dropout: float = 0.0,
        gumbel_temperature: float | None = None, hard: bool = False, penalties: Penalties = None,
        sink: bool = False, alibi: bool | float = False, dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng = generator(rng)
        self.d_model: int = size("d_model", d_model)
        self.units: int = self.d_model if units is None else size("units", units)
        self.kdim: int = self.d_model if kdim is None else size("kdim", kdim)
        make_noise(self, dropout, key_dropout, gumbel_temperature, hard, sink)
        slopes = alibi if isinstance(alibi, (bool, np.bool_)) else [real("alibi", alibi)]
        self.scores: Scores = Scores.of(1, None, None, slopes)
        self.sink = Parameter(np.zeros(1, self.dtype)) if sink else None
        self.penalties = penalties
        self.query_proj: Linear = Linear(
            self.d_model, self.units, bias=flag("bias", bias), dtype=dtype, rng=rng
        )
        self.key_proj: Linear = Linear(self.kdim, self.units, bias=False, dtype=dtype, rng=rng)
        self.weight = Parameter(kaiming(rng, (self.units,), self.units, self.dtype))

    def compute(
        self,
        mode: Mode,
        query: Any,
        key: Any = None,
        value: Any = None,
        *,
        mask: Any = None,
        causal: bool = False,
        window: Any = None,
        exclude_self: bool = False,
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        return_weights: bool = False,
    ) -> tuple[Array, Backward]:
        """query (…, Lq, d_model), key (…, Lk, kdim), value (…, Lk, Ev) → y (…, Lq, Ev).

        Parameters
        ----------
        key, value : array_like, optional
            Without key: self-attention. Without value: key is the value.
        mask : array_like, optional
            Boolean, True where a query may attend, or floating: added to the scores. Broadcasts to
            (…, Lq, Lk); padding (B, Lk) is ``mask[:, None, :]``, or `kv_lengths`.
        causal, window, exclude_self, align, q_lengths, kv_lengths
            As in :func:`heedful.attention`.
        return_weights : bool, default False
            Return (y, weights), the weights (…, Lq, Lk).

        Returns
        -------
        y, backward
            ``backward(dy)`` returns the gradient of query, or of (query, key), or of (query, key,
            value): of the arguments given. With `return_weights` it is ``backward(dy, dweights)``,
            where dweights may be None.
        """
        if key is None and value is not None:
            raise ValueError("key must be given where value is: got None")
        self_attention, key_is_value = key is None, value is None
        query = _rows("query", self.array("query", query, self.d_model))
        key = query if self_attention else key
        key = _rows("key", self.array("key", key, self.kdim))
        value = key if key_is_value else _rows("value", self.array("value", value))
        q, back_query = self.query_proj.compute(mode, query)
        k, back_key = self.key_proj.compute(mode, key)
        arrays = (*(np.expand_dims(array, -3) for array in (q, k, value)), self.weight)
        options: dict[str, Any] = {
            "causal": causal, "window": window, "exclude_self": exclude_self, "align": align,
            "q_lengths": q_lengths, "kv_lengths": kv_lengths, "return_weights": return_weights,
            "alibi_slopes": self.scores.alibi_slopes, "sink": self.optional("sink", (1,)),
            **mask_or_bias(_with_head(check_mask_of_rows(mask, query.shape, key.shape))),
        }  # fmt: skip
        pullback = None
        taps = taps_of(self)
        chooses = self.hard and not (mode.training and self.gumbel_temperature)
        if taps or chooses:
            of_head = [array[..., None, :] for array in (q, k, value)]  # (…, L, 1, E)
            call = AdditiveCall(
                self, of_head[0], of_head[1], of_head[2], options, training=mode.training,
                is_self=self_attention, chooses=chooses,
            )  # fmt: skip
            options |= call.steered(taps)
            call.seen(taps)
        with argument_names(alibi_slopes="alibi"):
            if chooses:
                choice = Choice(call.choices(), value)
                found = choice.results(return_weights)
                if mode.training:
                    options |= random_options(self, mode)
                    pullback = choice.pullback(additive_attention_vjp(*arrays, **options)[1])
            elif mode.training:
                options |= random_options(self, mode)
                run: Any = hard_additive_vjp if self.hard else additive_attention_vjp
                if self._penalties:
                    run = penalised_vjp(self.penalties, mode, penalised_additive_attention_vjp)
                found, pullback = run(*arrays, **options)
            else:
                found = additive_attention(*arrays, **options)
        out, *weights = found if return_weights else (found,)
        y = out[..., 0, :, :]

        def backward(dy: Any, dweights: Any = None) -> Any:
            assert pullback is not None
            dy = np.expand_dims(self.gradient(dy, y.shape), -3)
            if dweights is not None:
                dweights = self.array("dweights", dweights)[..., np.newaxis, :, :]
            gradients = pullback(dy, dweights=dweights)
            for tap in taps:
                tap.see_gradient(call, dy.swapaxes(-2, -3), gradients.bias)
            self.add_gradient("weight", gradients.weight)
            if gradients.sink is not None:
                self.add_gradient("sink", gradients.sink)
            dquery = back_query(gradients.query[..., 0, :, :])
            dkey: Array = back_key(gradients.key[..., 0, :, :])
            dvalue = gradients.value[..., 0, :, :]
            if not key_is_value:
                return dquery, dkey, dvalue
            dkey = plus(dkey, dvalue)
            return plus(dquery, dkey) if self_attention else (dquery, dkey)

        result: Any = (y, weights[0][..., 0, :, :]) if weights else y
        return result, backward

    def extra_repr(self) -> str:
        kdim = "" if self.kdim == self.d_model else f", kdim={self.kdim}"
        sink = "" if self.sink is None else ", sink=True"
        shown = f"{self.d_model}, {self.units}{kdim}{self.scores.shown()}{sink}{noise_shown(self)}"
        return shown + penalties_shown(self._penalties)


def _rows(name: str, array: Array) -> Array:
    if array.ndim < 2:
        raise ValueError(
            f"{name} must have positions and features as axes: got shape {array.shape}"
        )
    return array


def _with_head(mask: Any) -> Any:
    """(…, Lq, Lk) as (…, 1, Lq, Lk)."""
    if mask is None or np.ndim(mask) < 3:
        return mask
    return np.expand_dims(as_array("mask", mask), -3)
