# SPDX-License-Identifier: Apache-2.0
"""The contest of a scrape: its text is made, or was there before."""

from contextlib import contextmanager

import labels as by
from cluster import kill
from etf import Atom
from world import LONG

WAYS = {by.SCRAPED: "scrape", by.READY: "ready"}


@contextmanager
def scraped(world, size, labels, entries):
    """Milliseconds."""
    entries = size.entries(entries)
    caller = world.beam("metrics", world.ebin)
    try:
        with world.fresh_cnode() as node:
            caller.apply("bench_metrics", "start", Atom(node.name), entries, timeout=LONG)

            def run(way):
                took, series = caller.apply("bench_metrics", "time", way, timeout=LONG)
                assert series == entries, (way, series)
                return took / 1e6

            yield {label: lambda way=WAYS[label]: run(way) for label in labels}
    finally:
        kill(caller.process)
