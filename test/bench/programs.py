# SPDX-License-Identifier: Apache-2.0
"""Contests of programs: loading objects, and what a get costs meanwhile.

A load is all of it: open the object, load its programs and maps, attach each
program to what its section names, detach, close all. bpftool does less: this
version attaches nothing, so it pins the programs, and the pins are removed.
"""

import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import calls
import debian_objects
import labels as by
from bpf_objects import compiled
from cluster import kill, spawn, wait_until
from turns import NotGiven
from world import HERE, LONG, cpu_time

PROGRAMS = ("--programs", "tracing", "--allow", "*=load")
SOME_LOADS = 5  # times as many gets as elsewhere: a load takes as long as hundreds
BEGUN = 50_000_000  # nanoseconds of CPU, by which a loop is under way


def least(folder):
    """Two instructions, no map."""
    if not shutil.which("clang"):
        raise NotGiven("no clang in PATH")
    return compiled(HERE.parent / "bpf" / "least.bpf.c", folder)


def runqlat(folder):
    """A tool's own object, of Debian's libbpf-tools: 48 KB, six programs, four of
    its maps, CO-RE."""
    try:
        tools = debian_objects.of_tools()
    except (OSError, subprocess.SubprocessError):
        tools = {}
    if "runqlat" not in tools:
        raise NotGiven("no package libbpf-tools with runqlat")
    path = folder / "runqlat.o"
    path.write_bytes(tools["runqlat"])
    return path


OBJECTS = {"small": (least, 1), "big": (runqlat, 6)}  # with the number of programs


@contextmanager
def pins(folder):
    """A file system of our own for them."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@contextmanager
def load(world, size, labels, object):
    """Milliseconds for a load."""
    make, programs = OBJECTS[object]
    path = make(world.home)
    elf = path.read_bytes()
    count = max(1, size.loads // programs)

    def each(nanoseconds, links, wanted=programs):
        assert links == wanted * count, (object, links)
        return nanoseconds / count / 1e6

    with ExitStack() as stack:
        node = stack.enter_context(world.fresh_cnode(*PROGRAMS)).name

        def erlang(beam, function, *args, **more):
            def run():
                told = beam.apply("bench_programs", function, *args, count, timeout=LONG)
                return each(*told, **more)

            return run

        def loop():
            wall, _, links = world.run_helper("loadloop", path, count)
            return each(wall, links)

        def bpftool():
            try:
                found = world.bpftool()
            except NotGiven:
                return None
            folder = stack.enter_context(pins(world.home / "pins")) / "object"
            args = ([*str(text).encode()] for text in (found, path, folder))
            return erlang(world.caller, "bpftool", *args, wanted=0)

        makers = {
            by.CNODE: lambda: erlang(world.caller, "bare", node, elf),
            by.FACADE: lambda: erlang(world.facade, "facade", node, elf),
            by.LOAD_LOOP: lambda: loop,
            by.BPFTOOL_LOAD: bpftool,
        }
        yield {label: makers[label]() for label in labels}


@contextmanager
def get_while_loading(world, size, labels, object):
    """One caller's gets, microseconds each, while another node has the same C node
    load, while nothing loads, and while a C program loads the same as fast as it can.

    Each of these keeps a core busy, so where there are but two, caller and C node
    share the other one in turns with Erlang's schedulers. How much of the time is the
    loss of that core shows beside the C program, of which the C node knows nothing.
    """
    path = OBJECTS[object][0](world.home)
    elf = path.read_bytes()
    count = SOME_LOADS * size.calls
    with ExitStack() as stack:
        node = stack.enter_context(world.fresh_cnode(*PROGRAMS))
        loader = world.beam("loader")
        stack.callback(kill, loader.process)
        map = world.caller.erpc(node.name, "new", "array", calls.KEY_SIZE, 8, size.calls)

        def gets():
            way = ("erpc", node.name, calls.MODULE)
            work = ("get", map, 8, 0, count)
            took = world.caller.apply("bench_calls", "callers", way, work, 1, timeout=LONG)
            return took / count / 1e3

        def loading():
            loader.apply("bench_programs", "start", node.name, elf, timeout=LONG)
            try:
                return gets()
            finally:
                loader.apply("bench_programs", "stop", timeout=LONG)

        def loading_in_c():
            command = [world.helpers / "loadloop", path, 100_000_000]
            process = spawn(command, stdout=subprocess.DEVNULL)
            try:
                wait_until(lambda: cpu_time(process.pid) > BEGUN, 60)
                took = gets()
                assert process.poll() is None, "loadloop has ended"
                return took
            finally:
                kill(process)

        runs = {by.LOADING: loading, by.NOT_LOADING: gets, by.LOADING_IN_C: loading_in_c}
        yield {label: runs[label] for label in labels}
