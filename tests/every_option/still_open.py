"""What is known to be refused wrongly, or not at all: such a test is expected to fail.

A pair is taken out of here when it is mended; nothing that works is let in.
"""

_DTYPE = "a word that is no type is told by NumPy, without the argument's name"
_MASK = "a mask of strings or complex numbers is told as the bias"
_CACHES = "what is no list of caches is told by Python, or in the name of one layer's cache"
_PATH = "what is no path is told by Python, without the argument's name"
_KIND = "a value of another type is a ValueError"

STILL_OPEN: dict[tuple[str, str], str] = {
    **{(name, "mask"): _MASK for name in (
        "AdditiveAttention", "AttentionPooling", "Decoder", "DecoderLayer", "Encoder",
        "EncoderLayer", "MultiHeadAttention")},
    **{(name, "memory_mask"): _MASK for name in ("Decoder", "DecoderLayer")},
    **{(name, "caches"): _CACHES for name in ("Decoder", "Encoder", "LanguageModel")},
    ("DecoderLayer", "cache"): _CACHES,
    ("BertEncoder", "vocabulary"): "is told as num_embeddings",
    ("BertEncoder", "segments"): "is told as num_embeddings",
    ("BertEncoder", "pooler"): "is not checked",
    ("BertEncoder", "first_position"): "is not checked",
    ("Softmax", "axis"): "is not checked before the call",
    ("LearnedPositions", "first"): "a negative one is told as the positions that follow from it",
    ("Embedding", "padding_idx"): _KIND,
    ("Transformer", "padding_idx"): _KIND,
    ("GELU", "approximate"): _KIND,
    ("GlobalAveragePooling", "mask"): _KIND,
    **{(name, "path"): _PATH for name in (
        "load_training", "load_weights", "save_training", "save_weights")},
    ("load_weights", "strict"): "is checked only once the file is read",
}  # fmt: skip


def why(owner: str, name: str) -> str | None:
    return STILL_OPEN.get((owner, name), _DTYPE if name == "dtype" else None)
