# SPDX-License-Identifier: Apache-2.0
"""How fast the C node is, beside all that could do its work: `make bench`.

    make bench                    all of it, in less than twenty minutes
    make bench QUICK=1            the main part, in less than three
    make bench SAVE=1             and put picture and figures into the sources
    make bench EBPF_NIF_DIR=DIR   with the NIF library among the contenders
    make bench ONLY=get           contests whose names begin so, see contests.py

prints a table, and leaves bench.json and bench.svg in the folder of the build.
It runs as root (eBPF wants it), on a machine that has nothing else to do.

EBPF_NIF_DIR is a built copy of github.com/oskardrums/ebpf, a folder with ebin/
and priv/. Without it the rows of the NIF say "not given". To build one, outside
of this repository, in a clone of it:

    make -C c_src && mkdir -p ebin && erlc -I include -o ebin src/*.erl

The files, in the order in which one reads them:

    contests.py   the table: what is compared with what, and the target if any
    labels.py     the names of the contenders
    turns.py      contenders take turns; medians of ratios
    calls.py      contests of single requests
    whole.py      contests of whole maps
    nodes.py      many nodes at once, start, memory
    world.py      the processes: C node, Erlang nodes, the C programs
    bench_*.erl   what runs in the Erlang nodes; their clocks time it
    pingpong.c    a round trip of TCP between two cores
    maploop.c     the bpf(2) calls of a piece of work in a loop
    report.py     results, table
    picture.py    bench.svg, made of bench.json alone

What is fair, and what one has to know: All Erlang nodes run with erl's default
flags; so their schedulers poll for a while before they sleep, which speeds up
a lone caller and costs CPU time beside it. The C node does not poll. The Erlang
contender has nothing to do but to answer with terms of the same size, the C
node looks into a map. Caller, C node, Erlang node share the cores of this host.
Times of requests are those of the calling processes, as monotonic_time gives
them in the caller's node; Python times nothing.
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
from turns import take_turns  # noqa: E402
from world import World  # noqa: E402


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    name: str
    rounds: int
    calls: int  # of one caller in a run
    many_calls: int  # of many together
    stream: int
    by_call: int  # entries, where each is a call
    nodes: int  # C nodes at once
    connections: int
    handles: int
    most: int = 1_000_000  # entries of a map
    most_held: int = 512  # connections at once
    warm_up: bool = True  # but not for what takes long

    def entries(self, wanted):
        return min(wanted, self.most)

    def held(self, wanted):
        return min(wanted, self.most_held)


FULL = Size("full", 5, 3000, 8192, 100_000, 5000, 200, 400, 4000)
QUICK = Size("quick", 5, 1000, 4096, 20_000, 1000, 200, 100, 4000, most=100_000)
SMALLEST = Size(
    "smallest", 2, 8, 256, 40, 10, 3, 4, 50, most=60, most_held=8, warm_up=False
)
SIZES = {size.name: size for size in (FULL, QUICK, SMALLEST)}

# One contest that fails is no reason to throw the others away.
FAULTS = (BeamError, BeamTimeout, OSError, EOFError, AssertionError)
FAULTS += (subprocess.SubprocessError,)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--program", default=TOP / "cnode" / "ebpf_cnode", help="the C node")
    add("--ebin", default=TOP / "erlang" / "ebin", help="the compiled facade")
    add("--helpers", default=HERE, help="where pingpong and maploop are")
    add("--output", type=Path, default=Path(), help="folder of the results")
    add("--size", choices=SIZES, default="quick" if on("QUICK") else "full")
    add("--only", default=os.environ.get("ONLY", ""), help="contests that begin so")
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
    """{label: [values], or None for what is not given}"""
    with contest.make(world, size, contest.contenders) as runs:
        given = {label: run for label, run in runs.items() if run}
        warm_up = size.warm_up and contest.entries < 100_000
        rounds = take_turns(given, size.rounds, warm_up)
    return {label: rounds.get(label) for label in contest.contenders}


def progress(words):
    print(f"bench: {words}", file=sys.stderr, flush=True)


def run_all(world, size, only, results):
    """Adds to results; those that fail are named there, and left out."""
    for contest in chosen(size, only):
        begun = time.monotonic()
        try:
            values = run(contest, world, size)
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
