"""The keys: what WordNet says of each answer, and where it names one."""

import re
from typing import NamedTuple

from wordnet import Sense, Senses, look_up

MOST = 4  # senses of a name
COMMON = """
what which who where when how is are was were the a an of in on to for and with by from that this
it its do does did you your would have has had as at or be been not will many make made his her one
two three first most only name called known given
"""


class Key(NamedTuple):
    place: int  # of the answer
    text: str
    kind: str
    mention: bool = False  # the text is on something else and names the answer


def name_of(answer: str) -> str:
    """As WordNet writes it: "The moon" → "moon", "A. A. Milne" → "a. a. milne"."""
    words = re.sub(r"[^\w\s'’&.-]", " ", answer.split(":")[0].lower()).strip(". ").split()
    return " ".join(words[len(words) > 1 and words[0] in ("a", "an", "the") :])


def senses_of(answer: str, senses: Senses) -> list[Sense]:
    """Of the answer; or of both parts of "X and Y"; or of its last words: a surname, a noun."""
    name = name_of(answer)
    for form in (name, re.sub(r"\s\d+$", "", name)):  # Sputnik 1
        if found := look_up(form, senses):
            return found[:MOST]
    if " and " in name:
        return [one for part in name.split(" and ") for one in senses_of(part, senses)[:2]]
    words = name.split()
    for first in range(1, len(words)):
        found = look_up(" ".join(words[first:]), senses)
        if answer.split()[-1][0].isupper():  # of a name: no common noun
            found = [one for one in found if one.instance]
        if found:
            return found[:MOST]
    return []


def keys_of(place: int, answer: str, senses: Senses) -> list[Key]:
    """The answer itself, its glosses and its kinds."""
    if answer.isdigit():
        return [Key(place, answer, "a year, a date" if len(answer) == 4 else "a number")]
    found = senses_of(answer, senses)
    kinds = [one.kind or one.gloss for one in found]
    keys = [Key(place, answer, kinds[0] if look_up(name_of(answer), senses) else answer)]
    for one, kind in zip(found, kinds, strict=True):
        names = ", ".join(dict.fromkeys([answer, *one.names[:4]]))
        keys += [Key(place, f"{answer}: {one.gloss}", kind), Key(place, f"{names}, {kind}", kind)]
    return keys


# %% "squab: an unfledged pigeon" is a key of Pigeon, for questions with the word squab
def words_of(questions: list[str]) -> set[str]:
    """The words of the questions, one to four of them together, but for the most common."""
    found, common = set(), set(COMMON.split())
    for question in questions:
        words = re.findall(r"[\w'-]+", question.lower().replace("’", "'"))
        words = [re.sub(r"^'+|('s?|')$", "", word) for word in words]
        for count in range(1, 5):
            for some in zip(*(words[first:] for first in range(count)), strict=False):
                if not {some[0], some[-1]} & common and len(some[0]) > 1:
                    found.add(" ".join(some))
    return found


def names_of(answer: str, senses: Senses) -> set[str]:
    """What an entry may call an answer."""
    name = name_of(answer)
    meant = look_up(name, senses)[:1]
    if name.isdigit():  # 12: twelve
        return {name, *(one.names[0] for one in meant)}
    found = {name, *name.split(" and ")} | {other.lower() for one in meant for other in one.names}
    if answer.split()[-1].islower():  # no name: its noun
        found.add(name.split()[-1])
    found |= {one.removesuffix("s") for one in found if len(one) > 5}
    return {one for one in found if len(one) > 3}


def mentions(questions: list[str], answers: list[str], senses: Senses) -> list[Key]:
    """Entries for the words of the questions that name an answer."""
    entries = {s.entry for word in words_of(questions) for s in look_up(word, senses)[:MOST]}
    found = []
    for place, answer in enumerate(answers):
        names = sorted(map(re.escape, names_of(answer, senses)), key=len, reverse=True)
        pattern = re.compile(rf"\b({'|'.join(names)})(e?s)?\b")
        kind = keys_of(place, answer, senses)[0].kind
        there = [one for one in sorted(entries) if names and pattern.search(one.lower())]
        found += [Key(place, entry, kind, mention=True) for entry in there]
    return found
