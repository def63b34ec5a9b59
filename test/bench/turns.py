# SPDX-License-Identifier: Apache-2.0
"""Contenders take turns; a comparison is the median of the ratios of turns.

A number from another day, or from a quarter of an hour ago, says little: the
clock rate, the neighbours and the caches were others. So one round has one run
of each contender, one right after the other, and a ratio is of two runs of the
same round.
"""

from dataclasses import dataclass
from statistics import median


ABOVE = "ms above"  # how a difference is read; all others are ratios


class NotGiven(Exception):
    """Raised with the name of something that a contender needs and that this machine
    lacks."""


def take_turns(contenders, rounds, warm_up=True):
    """{label: [value of each round]} of {label: function that runs it}."""
    if warm_up:
        for run in contenders.values():
            run()
    values = {label: [] for label in contenders}
    for _ in range(rounds):
        for label, run in contenders.items():
            values[label].append(run())
    return values


@dataclass(frozen=True)
class Spread:
    """Some values: their median and their range."""

    values: tuple

    @property
    def median(self):
        return median(self.values)

    @property
    def low(self):
        return min(self.values)

    @property
    def high(self):
        return max(self.values)


def differences(ours, theirs):
    """How much more ours are than those of the same rounds."""
    return Spread(tuple(a - b for a, b in zip(ours, theirs, strict=True)))


def ratios(upper, lower):
    """The ratios of the runs of the same rounds."""
    return Spread(tuple(u / v for u, v in zip(upper, lower, strict=True)))
