"""Texts on countries with questions about them, made from the tables of CLDR in the package babel.

What answers_in_a_text.py learns from. CLDR is free, under the terms in babel's LICENSE.unicode.

    pip install babel
    python country_texts.py    prints three of them
"""

# %% What it needs
import sys
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

if not find_spec("babel"):
    sys.exit("babel is missing: pip install babel")

# %% Templates: sentences and questions of each kind; the last two of each are those of the test
TEMPLATES = {
    "currency": (
        ["In {c} people pay in {a}.", "The currency of {c} is the {a}.",
         "Prices in {c} are given in {a}.", "Banks of {c} keep their accounts in {a}.",
         "Shops in {c} accept the {a}.", "The money of {c} is called {a}."],
        ["What is the currency of {c}?", "In what do people pay in {c}?",
         "Which currency has {c}?", "In which currency are prices given in {c}?",
         "What money is used in {c}?", "With what can I pay in shops of {c}?"],
    ),
    "language": (
        ["Most people of {c} speak {a}.", "The language of {c} is {a}.",
         "Schools of {c} teach in {a}.", "Laws of {c} are written in {a}.",
         "In {c} one talks in {a}.", "Books from {c} are printed in {a}."],
        ["Which language is spoken in {c}?", "What is the language of {c}?",
         "What do people of {c} speak?", "In which language are laws of {c} written?",
         "What tongue do they talk in {c}?", "In which language can I read books from {c}?"],
    ),
    "clock": (
        ["The clocks of {c} show the time of {a}.", "In {c} it is as late as in {a}.",
         "{c} has the time zone of {a}.", "Trains in {c} leave by the time of {a}.",
         "Watches in {c} follow the hours of {a}.", "When it is noon in {a}, it is noon in {c}."],
        ["Which time zone has {c}?", "Whose time do the clocks of {c} show?",
         "By the time of which city do trains leave in {c}?", "What is the time zone of {c}?",
         "Which city sets the hours in {c}?", "Which place do watches in {c} follow?"],
    ),
    "German": (
        ["Germans call {c} {a}.", "The German name of {c} is {a}.",
         "On German maps {c} is {a}.", "In German, {c} is named {a}.",
         "A German says {a} for {c}.", "German books write {a} for {c}."],
        ["What is {c} called in German?", "What is the German name of {c}?",
         "How do Germans call {c}?", "What is {c} on German maps?",
         "How does a German say {c}?", "What do German books write for {c}?"],
    ),
    "Finnish": (
        ["Finns call {c} {a}.", "The Finnish name of {c} is {a}.",
         "On Finnish maps {c} is {a}.", "In Finnish, {c} is named {a}.",
         "A Finn says {a} for {c}.", "Finnish books write {a} for {c}."],
        ["What is {c} called in Finnish?", "What is the Finnish name of {c}?",
         "How do Finns call {c}?", "What is {c} on Finnish maps?",
         "How does a Finn say {c}?", "What do Finnish books write for {c}?"],
    ),
}  # fmt: skip


def read_countries() -> list[dict[str, str]]:
    """What CLDR says of each country: its name, and the answer of each kind."""
    from babel import Locale
    from babel.core import get_global
    from babel.numbers import get_territory_currencies

    english, german, finnish = map(Locale, ("en", "de", "fi"))
    zones: dict[str, str] = {}
    for zone, code in get_global("zone_territories").items():
        zones.setdefault(code, zone.split("/")[-1].replace("_", " "))
    found = []
    for code, name in english.territories.items():
        spoken = get_global("territory_languages").get(code, {})
        official = [one for one, about in spoken.items() if about["official_status"]]
        money = get_territory_currencies(code) if len(code) == 2 and code.isalpha() else []
        if not money or not official or code not in zones:
            continue
        language = max(official, key=lambda one: spoken[one]["population_percent"])
        facts = {"c": name, "currency": english.currencies.get(money[0]),
                 "language": english.languages.get(language), "clock": zones[code],
                 "German": german.territories[code],
                 "Finnish": finnish.territories[code]}  # fmt: skip
        if all(facts.values()):
            found.append(facts)
    return found


class Example(NamedTuple):
    question: str
    text: str
    answer: str
    place: int  # the answer's first character in the text


def make(countries, count: int, rng, unseen_words: bool = False) -> list[Example]:
    """Questions with texts of three countries, two sentences on each, in any order."""
    chosen = slice(4, None) if unseen_words else slice(4)
    found = []
    while len(found) < count:
        facts = []
        for index in rng.choice(len(countries), 3, replace=False):
            kinds = rng.choice(list(TEMPLATES), 2, replace=False)
            facts += [(countries[index], kind) for kind in kinds]
        facts = [facts[index] for index in rng.permutation(len(facts))]
        asked = rng.integers(len(facts))
        text, place = "", 0
        for number, (country, kind) in enumerate(facts):
            template = str(rng.choice(TEMPLATES[kind][0][chosen]))
            if number == asked:
                before = template.partition("{a}")[0].format(c=country["c"])
                place = len(text) + len(before)
            text += template.format(c=country["c"], a=country[kind]) + " "
        country, kind = facts[asked]
        question = str(rng.choice(TEMPLATES[kind][1][chosen])).format(c=country["c"])
        found.append(Example(question, text.strip(), country[kind], place))
    return found


if __name__ == "__main__":
    for example in make(read_countries(), 3, np.random.default_rng(0)):
        print(f"{example.text}\n  {example.question} {example.answer}\n")
