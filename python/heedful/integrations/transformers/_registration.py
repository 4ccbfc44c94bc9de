"""register: heedful by name in the transformers library, attention and masks."""

from __future__ import annotations

import inspect

import transformers
from transformers import AttentionInterface, masking_utils

from heedful.integrations.transformers._forward import forward
from heedful.integrations.transformers._masks import mask

IMPLEMENTATION = "heedful"


def register() -> None:
    """Make ``attn_implementation="heedful"`` known to the transformers library.

    Nothing changes until a model asks for it by that name: in ``from_pretrained`` and
    ``from_config``, with ``model.set_attn_implementation("heedful")`` for a model that exists, or
    through sentence-transformers' ``model_kwargs``. Its attention is then computed by
    :func:`heedful.integrations.torch.attention`, in inference, in training and in generation.

    Raises
    ------
    ImportError
        The library builds its masks from other arguments: it is older than 5, or much newer.

    See Also
    --------
    heedful.integrations.torch.activate : models that stay with the implementation "sdpa".
    heedful.integrations.torch.attention : what computes, its types and its limits.

    Notes
    -----
    Attention and masks are registered together: the library ignores padding where a name has no
    masks. A causal or windowed pattern is passed on as what it is, and padding as one value for
    each key, (B, 1, 1, Lk); every other pattern (chunks, packed sequences, functions of the
    caller's) is written out, (B, 1, Lq, Lk). Softcap, sinks, a position bias and its gradient,
    grouped heads, values of another depth, dropout seeded by PyTorch, and `output_attentions` are
    supported. A query that may attend to nothing, as in left padding, gives 0, where "eager" gives
    the mean of all values.

    Registering twice is the same as once.

    Examples
    --------
    >>> import heedful.integrations.transformers
    >>> heedful.integrations.transformers.register()
    >>> from transformers import AutoModel, BertConfig
    >>> config = BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1)
    >>> model = AutoModel.from_config(config, attn_implementation="heedful")
    >>> model.config._attn_implementation
    'heedful'
    """
    if "q_length" not in inspect.signature(masking_utils.sdpa_mask).parameters:
        raise ImportError(
            "heedful.integrations.transformers needs a version of transformers whose masks are "
            f"made from q_length, such as 5.24: found {transformers.__version__}"
        )
    AttentionInterface.register(IMPLEMENTATION, forward)
    masking_utils.AttentionMaskInterface.register(IMPLEMENTATION, mask)
