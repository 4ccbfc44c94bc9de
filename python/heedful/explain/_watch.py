"""watch: the attention weights of a model's layers while it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import flag, integer_array
from heedful.base._watch import Watch
from heedful.explain._layer_choice import Heads, Patterns, chosen_heads, chosen_layers


def watch(
    model: Any,
    layers: Patterns = "*",
    *,
    heads: Heads = None,
    rows: int | Sequence[int] | None = None,
    average_heads: bool = False,
    gradients: bool = False,
) -> Watch:
    """Record where the attention of a model goes while it computes.

    ::

        with watch(model, "decoder.*.multihead_attn") as seen:
            model(source, target)
        seen["decoder.layers.0.multihead_attn"]               (B, H, Lq, Lk)

    The weights are those of the layers themselves, with all their options, in inference, in
    training and in generation; without dropout and noise, which a look should not depend on.

    Parameters
    ----------
    model : Layer
        Any model of heedful, or of your own layers around heedful's; or an object with one as its
        `model`, such as :class:`heedful.integrations.sentences.SentenceEncoder`.
    layers : str or sequence of str, default "*"
        Patterns of the dotted names of attention layers, as of files: "encoder.layers.*",
        "decoder.*.multihead_attn"; "encoder.layers.0" is all inside. Attention layers are
        :class:`~heedful.layers.MultiHeadAttention`, ``RelativeAttention``, ``LinearAttention``,
        ``AdditiveAttention``, ``AttentionPooling`` and ``FeatureAttention``.
    heads : int, sequence of int, or mapping of patterns to them, optional
        Which heads; None is all. A layer without heads has one.
    rows : int or sequence of int, optional
        Which queries, counted from the end if negative; None is all. Only their weights are
        computed. With a cache they are positions in the text, at whatever step they are read.
    average_heads : bool, default False
        The mean over the heads, accumulated as they are computed.
    gradients : bool, default False
        In training, also keep the gradients of the loss with respect to the weights, which the
        backward function computes: ``seen.calls[i].gradient``.

    Returns
    -------
    Watch
        To be used in a ``with``; weights can be read within it and after it.

        ``seen[name]``
            Those of the latest call of a layer, (…, H, Lq, Lk), in the layer's type; H is 1 for
            layers without heads and for means. A row that attends to nothing is 0. Of
            ``FeatureAttention`` the features are the keys, and positions the queries.
        ``seen.calls``, ``seen.of(name)``
            Every call, or those of a layer, in the order of the computation, with `name`,
            `weights`, `heads`, `rows`, `gradient`, `items`.
        ``seen.text(name, item=0)``
            Of a text that was read with a cache, such as a generation: (H, L, Lk), put together
            from all steps.

    Raises
    ------
    ValueError
        Patterns that match no attention layer, heads that do not exist. At a call: a cache with a
        policy, which no longer has all keys.
    IndexError
        At a call: rows that a layer's query does not have.
    TypeError
        A model that is not a layer.

    Notes
    -----
    Where there are rows, heads or means, memory is that of what is recorded: weights are recomputed
    from queries and keys by :func:`heedful.attention_weights`, which costs about as much as the
    attention of these rows. Every call is kept: of a long training watch one step. Several may be
    active at once, also of the same layers. Each belongs to the thread that entered it: calls of
    other threads are not recorded. Nothing is paid where nothing is watched.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import watch
    >>> from heedful.layers import Encoder
    >>> model = Encoder(2, 8, 4, 32, rng=0)
    >>> x = np.random.default_rng(0).standard_normal((3, 5, 8), np.float32)
    >>> with watch(model, "layers.1", rows=[0, -1], heads=[2]) as seen:
    ...     y = model(x)
    >>> list(seen), seen["layers.1.self_attn"].shape
    (['layers.1.self_attn'], (3, 1, 2, 5))
    """
    found = chosen_layers(model, "layers", layers)
    return Watch(
        found, heads=chosen_heads(found, heads), rows=rows_of(rows),
        average_heads=flag("average_heads", average_heads), gradients=flag("gradients", gradients),
    )  # fmt: skip


def rows_of(given: Any) -> Any:
    """Positions (R,), None for all."""
    if given is None:
        return None
    if isinstance(given, range):
        given = list(given)
    rows = integer_array("rows", given)
    if rows.ndim > 1 or not rows.size:
        raise ValueError(f"rows must be at least one position in one axis: got shape {rows.shape}")
    return rows.astype(np.int64).reshape(-1)
