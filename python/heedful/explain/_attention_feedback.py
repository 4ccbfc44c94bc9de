"""AttentionFeedback: a person's corrections of attention, as a bias or as a training signal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import ArrayLike

from heedful._checks import is_integer, named, size
from heedful._whole_file import AnyPath
from heedful.explain._attention_map import AttentionMap
from heedful.explain._attention_prior import AttentionPrior, attention_prior
from heedful.explain._corrected_inputs import Aims, bias_of
from heedful.explain._correction import (
    AVOID,
    LOOK,
    Correction,
    listed,
    made,
    painted,
    preferred,
)
from heedful.explain._feedback_file import Saved, read_feedback, write_feedback
from heedful.explain._feedback_widget import feedback_widget
from heedful.explain._guidance import Guidance, Unsteered
from heedful.explain._layer_choice import Heads, Patterns, chosen_heads, chosen_layers
from heedful.explain._signature import differing, model_signature, vocabulary_signature
from heedful.explain._table import frame


class AttentionFeedback:
    """Corrections of where a model looks: collected, applied, saved, merged and undone.

    ::

        feedback = AttentionFeedback(model)
        feedback.look_here("delivery", tokens)           # in every text that has the word
        feedback.not_there(slice(12, 20), tokens)        # in this text
        with feedback.steer(model, tokens):              # as a bias
            model(x)
        with feedback.prior(model, tokens, weight=0.1):  # as a training signal
            model.fit(x, y)

    Words and patterns hold in every text that has them; positions, spans and painted maps hold for
    the text that they were said about, or without a text (patches, features) for all inputs of this
    number of positions; `example` restricts a correction to one input.

    Parameters
    ----------
    model : Layer, or an object with one as its `model`
        The feedback is for models of its kind alone: with these layers and shapes, whatever their
        values, which training changes.
    tokenizer : optional
        With ``get_vocab()``, or a list of tokens, or a mapping from them to numbers; None is that
        of a SentenceEncoder. Feedback is for this vocabulary alone.
    where, heads
        Which layers and heads are corrected, as of :func:`steer`.

    Raises
    ------
    ValueError, TypeError
        Layers, heads or tokenizers that do not exist.

    Examples
    --------
    >>> from heedful.explain import AttentionFeedback
    >>> from heedful.layers import AttentionPooling
    >>> model = AttentionPooling(8, rng=0)
    >>> feedback = AttentionFeedback(model)
    >>> tokens = ["a", "dull", "film", "well", "shot"]
    >>> correction = feedback.look_here("dull", tokens, strength=2)
    >>> correction = feedback.not_there([0, -1], tokens, note="fillers")
    >>> feedback.guide(tokens).bias
    array([-2.,  2.,  0.,  0., -2.])
    >>> feedback.guide(["so", "dull"]).bias
    array([0., 2.])
    >>> print(feedback)
    2 corrections
    look here  dull  every input  strength 2
    not there  0, 4  every input  strength 2  fillers
    >>> feedback.undo().note
    'fillers'
    """

    def __init__(
        self, model: Any, tokenizer: Any = None, *, where: Patterns = "*", heads: Heads = None
    ) -> None:
        self.model: str = model_signature(model)
        self.vocabulary: str = vocabulary_signature(model, tokenizer)
        self.corrections: tuple[Correction, ...] = ()
        self.where: list[str] = []
        self.heads: dict[str, list[int]] | None = None
        self.trust(model, where, heads)

    def look_here(
        self, marks: Any, tokens: Any, *, example: str | int | None = None, strength: float = 2.0,
        note: str = "",
    ) -> Correction:  # fmt: skip
        """Attention should be on some words, patterns, positions or spans, see :func:`guide`.

        Parameters
        ----------
        marks : mark, or list of them
        tokens : sequence of str, or int
            The input that it is said about, in which the marks must be.
        example : str or int, optional
            A name or number of the input; None: it is said about all inputs.
        strength : float, default 2
            Logarithm of the factor of the odds, where feedback is applied as a bias.
        note : str, optional

        Returns
        -------
        Correction
        """
        return self._add(made(LOOK, marks, tokens, example, strength, note))

    def not_there(
        self, marks: Any, tokens: Any, *, example: str | int | None = None, strength: float = 2.0,
        note: str = "",
    ) -> Correction:  # fmt: skip
        """Attention should not be on these; parameters as of `look_here`."""
        return self._add(made(AVOID, marks, tokens, example, strength, note))

    def paint(
        self, target: ArrayLike, tokens: Any, *, example: str | int | None = None,
        strength: float = 2.0, note: str = "",
    ) -> Correction:  # fmt: skip
        """Attention should be spread as a map, not negative, with a number for each position.

        As a bias each position is attracted by strength · target / max(target); as a training
        signal it is the target of the weights. Parameters else as of `look_here`.
        """
        return self._add(painted(target, tokens, example, strength, note))

    def prefer(
        self, answer: Any, over: Any, tokens: Any, *, example: str | int | None = None,
        strength: float = 2.0, note: str = "",
    ) -> Correction:  # fmt: skip
        """One answer, passage or place of the input is right, and not the others.

        As a bias, the odds of the answer's weight against the others' change by e^strength, half of
        it for each. As a training signal, the loss is −log Σ_answer p / Σ_(answer, over) p: where
        the weight of all else stays, it moves from the others to the answer.

        Parameters
        ----------
        answer, over : mark, or list of them
            Which is right, and what it is preferred to, as the marks of `look_here`. Where both
            mark a position it is the answer's. It holds for inputs that have both.
        tokens, example, strength, note
            As of `look_here`.
        """
        return self._add(preferred(answer, over, tokens, example, strength, note))

    def trust(self, model: Any, where: Patterns = "*", heads: Heads = None) -> None:
        """Correct these layers and heads from now on: ``trust(model, **found.best(8))``."""
        self._check(model)
        layers = chosen_layers(model, "where", where, without=("linear",))
        chosen = chosen_heads(layers, heads)
        self.where = list(layers)
        self.heads = None if chosen is None else {name: list(of) for name, of in chosen.items()}

    def undo(self, which: str | int = 1) -> Correction:
        """Take back the latest correction, the latest few, or the one with an id.

        Returns
        -------
        Correction
            The earliest of those taken back.
        """
        if is_integer(which):
            count = size("which", which)
            if count > len(self.corrections):
                raise ValueError(f"which must be at most {len(self.corrections)}: got {count}")
            gone = self.corrections[-int(count)]
            self.corrections = self.corrections[: -int(count)]
            return gone
        found = [one for one in self.corrections if one.id == which]
        if not found:
            raise ValueError(f"which must be the id of a correction: got {named(which)}")
        self.corrections = tuple(one for one in self.corrections if one.id != which)
        return found[0]

    def merge(self, other: AttentionFeedback) -> AttentionFeedback:
        """The corrections of both; those that both have count once. Neither is changed."""
        if not isinstance(other, AttentionFeedback):
            raise TypeError(f"other must be an AttentionFeedback: got {named(other)}")
        if differs := differing(self, other):
            raise ValueError(f"other must be feedback for the same {differs}: it is for another")
        if (self.where, self.heads) != (other.where, other.heads):
            raise ValueError("other must correct the same layers and heads, see trust()")
        mine = {one.id for one in self.corrections}
        new = tuple(one for one in other.corrections if one.id not in mine)
        return self._with(self.corrections + new)

    def guide(self, tokens: Any, example: str | int | None = None) -> Guidance:
        """The corrections that are about an input, as a bias over its keys (Lk,).

        Its bias is None where none is. It depends on what was said, not in which order, and is for
        the layers and heads that are corrected: ``model.generate(x, guidance=feedback.guide(t))``.
        """
        return Guidance(bias_of(self.corrections, tokens, example), None, self.where, self.heads)

    def steer(self, model: Any, tokens: Any, example: str | int | None = None) -> Any:
        """Guide a model within a ``with`` by what is about an input."""
        self._check(model)
        return self.guide(tokens, example).steer(model)

    def prior(
        self, model: Any, tokens: Any, examples: Sequence[str | int | None] | None = None, *,
        weight: float = 1.0,
    ) -> AttentionPrior | Unsteered:  # fmt: skip
        """Train a model's attention within a ``with``, see :func:`attention_prior`.

        What should be looked at is a region; without such, all but what should not. A painted map
        is a target, a preferred answer a region among itself and its rivals, or where there are
        other corrections of the input, among all keys.

        Parameters
        ----------
        model
        tokens : sequence of str, int, or list of sequences
            Of all inputs, or of each.
        examples : sequence, optional
            The names or numbers of the batch's inputs, in its order; inputs that nothing is said
            about are trained as usual. None: what is said about all inputs.
        weight : float, default 1
        """
        self._check(model)
        aims = Aims.of(self.corrections, tokens, examples)
        if not (aims.target.any() or aims.inside.any()):
            return Unsteered()
        among = aims.among if aims.among.any() else None
        return attention_prior(
            model, aims.target, inside=aims.inside, among=among, weight=weight,
            where=self.where, heads=self.heads,
        )  # fmt: skip

    def widget(self, seen: AttentionMap) -> Any:
        """A panel for notebooks: click the tokens of a map to mark them, then *Add* or *Prefer*.

        Needs ipywidgets. The keys are those of the map's last layer.
        """
        return feedback_widget(self, seen)

    def table(self) -> list[dict[str, Any]]:
        """A row for each correction: id, kind, marks, example, strength, note."""
        return [one.shown() for one in self.corrections]

    def to_pandas(self) -> Any:
        """`table` as a DataFrame."""
        return frame(self.table())

    def save(self, path: AnyPath) -> None:
        """One safetensors file, or NumPy's where it ends in .npz; its text has the corrections."""
        write_feedback(
            Saved(self.model, self.vocabulary, self.where, self.heads, list(self.corrections)), path
        )

    @classmethod
    def load(cls, path: AnyPath, model: Any, tokenizer: Any = None) -> AttentionFeedback:
        """The feedback in a file, which must be for this model and this tokenizer."""
        saved, found = read_feedback(path), cls(model, tokenizer)
        if differs := differing(saved, found):
            raise ValueError(
                f"{differs} must be the one that the feedback is for: "
                f"{os.fspath(path)!r} is for another"
            )
        found.trust(model, saved.where, saved.heads)
        found.corrections = tuple(saved.corrections)
        return found

    def __len__(self) -> int:
        return len(self.corrections)

    def __iter__(self) -> Iterator[Correction]:
        return iter(self.corrections)

    def __str__(self) -> str:
        return listed(self.corrections)

    def __repr__(self) -> str:
        return f"AttentionFeedback({len(self.corrections)} corrections)"

    def _add(self, correction: Correction) -> Correction:
        self.corrections = (*self.corrections, correction)
        return correction

    def _check(self, model: Any) -> None:
        if model_signature(model) != self.model:
            raise ValueError("model must be the one that the feedback is for: got another")

    def _with(self, corrections: tuple[Correction, ...]) -> AttentionFeedback:
        found = object.__new__(AttentionFeedback)
        vars(found).update(vars(self), corrections=corrections)
        return found
