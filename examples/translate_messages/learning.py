"""Learning: pairs of pieces in batches, and the lexicons that go with them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from catalogues import Pairs
from lexicon import lexicon
from pieces import PAD, START, Pieces, padded
from translator import Translator

from heedful.training import AdamW, SparseCategoricalCrossEntropy, WarmupCosine

BATCH = 32


class Learning:
    """The programs are halved, and each half is learned with the lexicon of the other.

    A lexicon knows its own messages too well: their rare words have one translation in it, the
    right one, and a model that trains with it learns to trust it as no unseen message justifies.
    """

    def __init__(self, programs: dict[str, Pairs], size: int) -> None:
        by_size = sorted(programs, key=lambda name: -len(programs[name]))
        known: dict[str, tuple[str, int]] = {}
        for place, name in enumerate(by_size):
            for message, translation in programs[name].items():
                known.setdefault(message, (translation, place % 2))
        self.known: Pairs = {message: one for message, (one, _) in known.items()}
        self.half = np.array([half for _, half in known.values()])
        self.pieces = Pieces([*self.known, *self.known.values()], size)
        self.sources = self.pieces.rows(list(self.known))
        self.targets = self.pieces.rows(list(self.known.values()))
        self.lexicon = self._counted(np.arange(len(known)))
        self.others = [self._counted(np.flatnonzero(self.half != half)) for half in range(2)]

    def _counted(self, kept: np.ndarray) -> Any:
        sources, targets = ([rows[i] for i in kept] for rows in (self.sources, self.targets))
        return lexicon(sources, targets, self.pieces.count)

    def batches(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
        """Messages and translations of similar length, from one half, and the other's lexicon."""
        lengths = sum(np.array([*map(len, rows)]) for rows in (self.sources, self.targets))
        while True:
            found = []
            for half in range(2):
                order = rng.permutation(np.flatnonzero(self.half == half))
                for begin in range(0, len(order), 50 * BATCH):
                    pool = order[begin : begin + 50 * BATCH]
                    pool = pool[np.argsort(lengths[pool], kind="stable")]
                    found += [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
            for place in rng.permutation(len(found)):
                rows = found[place]
                source = padded([self.sources[i] for i in rows])
                target = padded([[START, *self.targets[i]] for i in rows])
                yield source, target, self.others[self.half[rows[0]]]

    def trained(self, width: int, layers: int, steps: int, seed: int) -> Translator:
        rng = np.random.default_rng(seed)
        model = Translator(self.pieces.count, width, layers, rate=0.1, rng=rng)
        optimizer = AdamW(model, WarmupCosine(3e-3, steps // 10, steps), clip_norm=1.0)
        loss_fn, losses = SparseCategoricalCrossEntropy(label_smoothing=0.05, ignore_index=PAD), []
        for step, (source, target, table) in zip(range(steps), self.batches(rng), strict=False):
            scores, backward = model.forward(source, target[:, :-1], lexicon=table, rng=rng)
            loss, dscores = loss_fn(target[:, 1:], scores)
            model.zero_grad()
            backward(dscores)
            optimizer.step()
            losses.append(loss)
            if (step + 1) % max(steps // 5, 1) == 0:
                recent = np.mean(losses[-steps // 5 :])
                print(f"  step {step + 1}: loss {recent:.3f}", flush=True)
        return model
