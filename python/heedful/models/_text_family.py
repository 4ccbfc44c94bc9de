"""What the families of BERT share: how their configs are read, and the names of their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from heedful.base._types import Array, DType, Rng
from heedful.layers import BertEncoder, Layer, bert_from_config
from heedful.layers.models._bert_names import from_checkpoint
from heedful.models._architecture import Architecture, Builder, Named
from heedful.models._config import Config
from heedful.models._loading import without
from heedful.models._text_model import TextModel

# by the names of a class of a family's files: the model's own names; None for what it does not need
HeadNames = Mapping[type[TextModel], Mapping[str, str | None]]


def encoder(
    config: Config, sizes: Sequence[str], attention_rate: str, *, pooler: bool, dtype: DType,
    rng: Rng,
) -> BertEncoder:  # fmt: skip
    """The encoder; `sizes` are the keys that must be there."""
    for key in sizes:
        config.integer(key)
    bert = bert_from_config(config, pooler=pooler, dtype=dtype, rng=rng)
    padding = config.integer("pad_token_id", 0 if bert.padding_idx is None else 1, minimum=0)
    if padding < bert.token_embedding.num_embeddings:  # its vector gets no gradient
        bert.token_embedding.padding_idx = padding
    rate = config.rate(attention_rate, 0.1)
    for layer in bert.encoder.layers:
        layer.self_attn.dropout = rate
    return bert


def architectures(
    prefixes: Mapping[str, str], heads: HeadNames, *, encoder: Builder, sequences: Builder,
    tokens: Builder, answers: Builder, masked: Builder,
) -> tuple[Architecture, ...]:  # fmt: skip
    """One for each model_type, with what the classes of transformers begin with."""
    builders = {
        "Model": encoder, "ForSequenceClassification": sequences, "ForTokenClassification": tokens,
        "ForQuestionAnswering": answers, "ForMaskedLM": masked,
    }  # fmt: skip
    return tuple(
        Architecture(
            kind, {prefix + name: builder for name, builder in builders.items()},
            partial(text_names, heads=heads),
        )
        for kind, prefix in prefixes.items()
    )  # fmt: skip


def text_names(state: Mapping[str, Array], model: Layer, heads: HeadNames) -> Named:
    """The arrays of a checkpoint under the names of an encoder, or of a model with a head."""
    own = heads.get(type(model), {})  # type: ignore[arg-type]
    found: Named = {}
    rest: dict[str, Array] = {}
    for given, array in without(state, "module.").items():
        name = given.replace(".gamma", ".weight").replace(".beta", ".bias")  # of TensorFlow
        theirs = next((theirs for theirs in own if name.startswith(theirs)), None)
        if theirs is None:
            rest[name] = array
        elif (mine := own[theirs]) is not None:
            found[mine + name[len(theirs) :]] = array
    bert = model.bert if isinstance(model, TextModel) else model
    assert isinstance(bert, BertEncoder)
    if not any(name.endswith("pooler.dense.weight") for name in rest):
        bert.pooler = None  # as of a model that was trained on masked tokens alone
    prefix = "bert." if isinstance(model, TextModel) else ""
    inside = from_checkpoint(rest, bert.pooler is not None)
    return found | {prefix + name: array for name, array in inside.items()}
