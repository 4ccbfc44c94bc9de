"""Pieces: texts as tokens, words and parts of words of both languages (byte-pair encoding)."""

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, START, STOP = 0, 1, 2


class Pieces:
    """At most `size` pieces, merged from letters in the order of their frequency in `texts`."""

    def __init__(self, texts: Iterable[str], size: int) -> None:
        self.tokenizer = Tokenizer(models.BPE(unk_token="?"))
        self.tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(True)]
        )
        self.tokenizer.decoder = decoders.Metaspace()
        special = ["<padding>", "<start>", "<stop>", "?"]
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False)
        self.tokenizer.train_from_iterator(texts, trainer)
        self.count: int = self.tokenizer.get_vocab_size()

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text, STOP at the end."""
        return [[*found.ids, STOP] for found in self.tokenizer.encode_batch(texts)]

    def text(self, tokens: Iterable[int]) -> str:
        kept = [int(token) for token in tokens if token > STOP]
        text: str = self.tokenizer.decode(kept)
        return text.strip()

    def words(self, tokens: Iterable[int]) -> list[str]:
        """The pieces, one by one."""
        return [self.tokenizer.id_to_token(int(token)).replace("▁", " ") for token in tokens]


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """(B, longest), PAD after the end of the shorter ones."""
    out = np.full((len(rows), max(map(len, rows))), PAD)
    for filled, row in zip(out, rows, strict=True):
        filled[: len(row)] = row
    return out
