# SPDX-License-Identifier: Apache-2.0
"""Compares the C node with everything that could do its work: `make bench`.

    make bench                    everything, in less than twenty minutes
    make bench QUICK=1            the main part, in less than three
    make bench SAVE=1             and store picture and figures in the sources
    make bench EBPF_NIF_DIR=DIR   with the NIF library as a contender
    make bench ONLY=get           contests with this prefix, see contests.py

Prints a table, and writes bench.json and bench.svg to the build folder. Needs
root, for eBPF, and a machine that does nothing else.

EBPF_NIF_DIR is a built copy of github.com/oskardrums/ebpf, a folder with ebin/
and priv/. Without it the rows of the NIF say "not given". To build one, in a
clone outside of this repository:

    make -C c_src && mkdir -p ebin && erlc -I include -o ebin src/*.erl

The files, in reading order:

    contests.py   the table: what is compared with what, and the targets
    labels.py     the names of the contenders
    turns.py      contenders take turns; medians of ratios
    calls.py      contests of single requests
    whole.py      contests of whole maps
    typed.py      contests of typed maps, beside bytes
    programs.py   contests of programs: loads, and gets meanwhile
    events.py     contests of events, from a ring to Erlang processes
    keep.py       contests of handles that are kept over a restart
    secured.py    contests of distribution over TLS, and the nodes for them
    fleet.py      contests of all hosts as one
    scrapes.py    the contest of a scrape by HTTP
    nodes.py      many nodes at once, start, memory
    world.py      the processes: C node, Erlang nodes, the C programs
    bench_*.erl   the code in the Erlang nodes, which also takes the times
    pingpong.c    a TCP round trip between two cores
    maploop.c     the bpf(2) calls of an operation, in a loop
    loadloop.c    libbpf's load of an object, in a loop
    eventmake.c   a program that makes events at a steady rate
    eventread.c   reads them by libbpf, for itself or as a port program
    report.py     results, table
    picture.py    bench.svg, from bench.json alone; draws it again, too
    caption.py    the sentences below the picture

On fairness: all Erlang nodes run with erl's default flags, so their schedulers
poll for a while before they sleep, which speeds up a lone caller and costs CPU
time. The C node does not poll. The Erlang contender only answers, with terms of
the same size; the C node reads a map. Caller, C node and Erlang node share the
cores of this host. Over TLS, a caller seals and opens as much as what it asks, and
does so in Erlang; its time is in each figure, beside an Erlang node too. The
calling processes time the requests, by monotonic_time; Python times nothing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.append(str(TOP / "test" / "lib"))

import contests  # noqa: E402
import picture  # noqa: E402
import report  # noqa: E402
from beam import BeamError, BeamTimeout  # noqa: E402
from turns import NotGiven, take_turns  # noqa: E402
from world import World  # noqa: E402


@dataclass(frozen=True)
class Size:
    """How much work there is in a run."""

    name: str
    rounds: int
    calls: int  # of a single caller, in a run
    many_calls: int  # of many callers together
    stream: int
    by_call: int  # entries, if each takes a call
    nodes: int  # C nodes at once
    connections: int
    handles: int
    loads: int  # of small objects; fewer of big ones
    events: int  # at a million a second
    most: int = 1_000_000  # entries of a map
    most_held: int = 512  # connections at once
    warm_up: bool = True  # except for long runs

    def entries(self, wanted):
        return min(wanted, self.most)

    def held(self, wanted):
        return min(wanted, self.most_held)


FULL = Size("full", 5, 3000, 8192, 100_000, 5000, 200, 400, 4000, 40, 10_000_000)
QUICK = Size(
    "quick", 5, 1000, 4096, 20_000, 1000, 200, 100, 4000, 12, 2_000_000, most=100_000
)
SMALLEST = Size(
    "smallest", 2, 8, 256, 40, 10, 3, 4, 50, 2, 2000, most=60, most_held=8, warm_up=False
)
SIZES = {size.name: size for size in (FULL, QUICK, SMALLEST)}

# If a contest fails, the others still count.
FAULTS = (BeamError, BeamTimeout, OSError, EOFError, AssertionError)
FAULTS += (subprocess.SubprocessError,)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--program", default=TOP / "cnode" / "ebpf_cnode", help="the C node")
    add("--ebin", default=TOP / "erlang" / "ebin", help="the compiled facade")
    add("--helpers", default=HERE, help="folder of the C programs")
    add("--output", type=Path, default=Path(), help="folder of the results")
    add("--size", choices=SIZES, default="quick" if on("QUICK") else "full")
    add("--only", default=os.environ.get("ONLY", ""), help="contests with this prefix")
    return parser.parse_args()


def on(variable):
    return os.environ.get(variable, "") not in ("", "0")


def chosen(size, only):
    """The contests of a run: all, those of a quick one, or each kind once."""
    left_out = {c.id for c in contests.CONTESTS if size is QUICK and not c.quick}
    if size is SMALLEST:
        left_out = contests.SAME_BUT_LARGER
    for contest in contests.CONTESTS:
        if contest.id not in left_out and contest.id.startswith(only):
            yield contest


def run(contest, world, size):
    """{label: [values], or None if not given}"""
    with contest.make(world, size, contest.contenders) as runs:
        given = {label: run for label, run in runs.items() if run}
        warm_up = size.warm_up and contest.entries < 100_000
        rounds = take_turns(given, size.rounds, warm_up)
    return {label: rounds.get(label) for label in contest.contenders}


def progress(words):
    print(f"bench: {words}", file=sys.stderr, flush=True)


def run_all(world, size, only, results):
    """Adds to results; names the contests that fail, and leaves them out."""
    for contest in chosen(size, only):
        begun = time.monotonic()
        try:
            values = run(contest, world, size)
        except NotGiven as lacking:
            results["left_out"][contest.id] = str(lacking)
            progress(f"{contest.id} left out: {lacking}")
            continue
        except FAULTS as fault:
            results["failed"].append(contest.id)
            progress(f"{contest.id} failed: {fault!r}")
            continue
        results["contests"].append(report.result(contest, size, values))
        progress(f"{contest.id}, {time.monotonic() - begun:.1f} s")


def main():
    args = arguments()
    size = SIZES[args.size]
    picture.check()
    results = report.header(size, args.program)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ebpf_bench.") as home:
        nif = os.environ.get("EBPF_NIF_DIR")
        with World(args.program, args.ebin, args.helpers, nif, home) as world:
            run_all(world, size, args.only, results)
    results["seconds"] = round(time.monotonic() - begun)
    print(report.table(results))
    for folder in [args.output, *([HERE] if on("SAVE") else [])]:
        report.write(results, folder / "bench.json")
        picture.draw(results, folder / "bench.svg")
    if results["failed"]:
        sys.exit(f"bench: failed: {', '.join(results['failed'])}")


if __name__ == "__main__":
    main()
