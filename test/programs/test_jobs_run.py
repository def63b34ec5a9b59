# SPDX-License-Identifier: Apache-2.0
"""What children of the loader run, attach, and load from instructions."""

import errno
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bpf_objects import ARRAY, look_up, make_map
from cluster import wait_until
from host import CPUS
from instructions import (
    CALL,
    EXIT,
    GET_CURRENT_TASK,
    IDX,
    IDX_VALUE,
    LOAD_IMM,
    MOVE,
    MOVE_FROM,
    counts,
    insn,
    load,
    returns,
)
from jobs import ATTACH, INSTRUCTIONS, LOAD, RUN, option
from native import ORDER, u32, u64
from test_jobs import fails, only, value_of

pytestmark = pytest.mark.sandbox

SOCKET, XDP, RAW_TRACEPOINT, TRACING, SYSCALL = 1, 6, 17, 26, 31
KPROBES = Path("/sys/bus/event_source/devices/kprobe")


# --- Runs ---------------------------------------------------------------------------


def test_a_run_tells_what_the_program_returned_and_how_long_it_took(jobs, objects, run):
    program = jobs.do(LOAD, only("second"), object=objects).fd("program", "second")
    answer = run(program, bytes(range(64)))
    assert [record.kind for record in answer] == ["return", "nanoseconds", "data"]
    assert answer.one("return").number == 1
    assert answer.one("data").data == bytes(range(64))


def test_a_context_goes_in_and_comes_out(jobs, objects):
    program = jobs.do(LOAD, only("second"), object=objects).fd("program", "second")
    mark = bytearray(192)  # struct __sk_buff
    mark[8:12] = u32(77)
    options = option("data", data=bytes(64)), option("context", data=bytes(mark))
    answer = jobs.do(RUN, *options, fds=[program])
    assert answer.one("context").data[8:12] == u32(77)


def test_output_longer_than_its_input_comes_whole(jobs, compile_bpf):
    object = compile_bpf("grow").read_bytes()
    program = jobs.do(LOAD, object=object).fd("program", "grow")
    answer = jobs.do(RUN, option("data", data=bytes(64)), fds=[program])
    assert len(answer.one("data").data) == 64 + 128


def test_a_program_runs_as_often_as_it_is_told(jobs, objects, run):
    loaded = jobs.do(LOAD, only("pass"), object=objects)
    run(loaded.fd("program", "pass"), repeat=1000)
    sum_of_one = 3 - 1 + ord("b") + 1
    assert value_of(loaded, "runs") == u64(1000 * sum_of_one)
    answer = run(loaded.fd("program", "pass"), repeat=1_000_001)
    assert fails(answer)[0] == "badarg"


def test_a_raw_tracepoint_runs_with_a_context_on_a_cpu(jobs, objects):
    program = jobs.do(LOAD, only("at_raw"), object=objects).fd("program", "at_raw")
    context = option("context", data=bytes(16))
    answer = jobs.do(RUN, context, option("cpu", number=CPUS - 1), fds=[program])
    assert answer.one("return").number == 5
    assert answer.of("context") == []


@pytest.mark.parametrize(
    "name, options, error",
    [
        ("second", [option("data", data=bytes(13))], errno.EINVAL),
        ("second", [], errno.EINVAL),
        ("second", [option("data", data=bytes(1 << 20))], errno.EINVAL),
        ("at_getppid", [option("data", data=bytes(64))], errno.EOPNOTSUPP),
        ("at_raw", [option("data", data=bytes(64))], errno.EINVAL),
        ("at_raw", [option("context", data=bytes(16)), option("repeat", number=2)], errno.EINVAL),
    ],
    ids=["short", "nothing", "long", "a kind that does not run", "data of none", "repeated"],
)
def test_a_run_that_the_kernel_refuses_tells_its_errno(name, options, error, jobs, objects):
    program = jobs.do(LOAD, only(name), object=objects).fd("program", name)
    assert fails(jobs.do(RUN, *options, fds=[program])) == ("errno", error, "")


def test_what_is_no_program_does_not_run(jobs):
    map = make_map(ARRAY, 4, 8, 1)
    data = option("data", data=bytes(64))
    assert fails(jobs.do(RUN, data, fds=[map])) == ("errno", errno.EINVAL, "")
    assert fails(jobs.do(RUN, data)) == ("errno", errno.EPROTO, "")
    os.close(map)


# --- Attachments --------------------------------------------------------------------

TARGET = struct.Struct("=I128s128s4xQIII??xxii")
KINDS = "tracepoint raw_tracepoint btf kprobe kretprobe xdp tc cgroup netns sockmap perf".split()


def target(kind, category="", name="", offset=0, hz=0):
    kind = KINDS.index(kind) if kind in KINDS else kind
    names = category.encode(), name.encode()
    data = TARGET.pack(kind, *names, offset, 0, hz, 0, False, False, -1, -1)
    return option("target", data=data)


class Attached:
    """A program of objects.bpf.c that counts in `runs'."""

    def __init__(self, jobs, objects, name, what):
        self.loaded = jobs.do(LOAD, only(name), object=objects)
        self.answer = jobs.do(ATTACH, what, fds=[self.loaded.fd("program", name)])

    def runs(self):
        return int.from_bytes(value_of(self.loaded, "runs"), ORDER)

    def links(self):
        return [os.readlink(f"/proc/self/fd/{fd}") for fd in self.answer.fds]


GETPPID = target("tracepoint", "syscalls", "sys_enter_getppid")


def test_a_tracepoint_counts_until_its_link_is_closed(jobs, objects, tracefs):
    attached = Attached(jobs, objects, "at_getppid", GETPPID)
    assert attached.links() == ["anon_inode:bpf_link"]
    before = attached.runs()
    for _ in range(100):
        os.getppid()
    assert attached.runs() >= before + 100
    attached.answer.close()
    ended = attached.runs()
    for _ in range(100):
        os.getppid()
    assert attached.runs() == ended


def test_a_clock_has_a_link_for_each_cpu(jobs, objects):
    attached = Attached(jobs, objects, "at_clock", target("perf", hz=1000))
    assert attached.links() == ["anon_inode:bpf_link"] * len(os.sched_getaffinity(0))
    wait_until(lambda: attached.runs() > 10)
    attached.answer.close()
    ended = attached.runs()
    busy = sum(range(10**6))
    assert busy and attached.runs() == ended


@pytest.mark.parametrize("kind", ["kprobe", "kretprobe"])
def test_a_kprobe_is_attached_or_enoent_where_the_kernel_has_none(kind, jobs, objects):
    loaded = jobs.do(LOAD, only("at_kprobe"), object=objects)
    fds = [loaded.fd("program", "at_kprobe")]
    answer = jobs.do(ATTACH, target(kind, name="do_nanosleep"), fds=fds)
    if KPROBES.exists():
        assert [record.kind for record in answer] == ["link"]
    else:
        assert fails(answer) == ("errno", errno.ENOENT, "")


PATH = "../syscalls/sys_enter_getppid"


@pytest.mark.parametrize(
    "name, what, error",
    [
        ("at_getppid", target("tracepoint", "syscalls", "none"), errno.ENOENT),
        ("at_getppid", target("tracepoint", "", "sys_enter_getppid"), errno.EINVAL),
        ("at_getppid", target("tracepoint", "syscalls", PATH), errno.EINVAL),
        ("at_getppid", target("tracepoint", "..", "events"), errno.EINVAL),
        ("at_clock", target("perf", hz=0), errno.EINVAL),
        ("at_clock", target("perf", hz=2**31), errno.EINVAL),
        ("at_getppid", target("perf", hz=100), errno.EINVAL),
        ("at_kprobe", target("kprobe"), errno.EINVAL),
        ("at_getppid", target("xdp"), errno.EINVAL),  # not here
    ],
    ids=[
        "unknown tracepoint",
        "no category",
        "a path",
        "another folder",
        "no frequency",
        "too high a frequency",
        "another type",
        "no function",
        "what the node does",
    ],
)
def test_a_target_that_is_none_is_refused(name, what, error, jobs, objects, tracefs):
    loaded = jobs.do(LOAD, only(name), object=objects)
    answer = jobs.do(ATTACH, what, fds=[loaded.fd("program", name)])
    assert fails(answer) == ("errno", error, "")
    assert answer.fds == []


@pytest.mark.parametrize(
    "what",
    [target(11), target(2**32 - 1), option("target", data=bytes(8)), option("target")],
    ids=["unknown", "far off", "short", "empty"],
)
def test_a_target_that_is_malformed_is_refused(what, jobs, objects):
    loaded = jobs.do(LOAD, only("at_getppid"), object=objects)
    answer = jobs.do(ATTACH, what, fds=[loaded.fd("program", "at_getppid")])
    assert fails(answer)[0] == "badarg"


def test_without_tracing_nothing_is_attached_here(jobs, objects, tracefs):
    loaded = jobs.do(LOAD, only("at_getppid"), object=objects)
    fds = [loaded.fd("program", "at_getppid")]
    assert fails(jobs.do(ATTACH, GETPPID, fds=fds, words="xdp,tc")) == ("errno", errno.EACCES, "")


# --- Instructions -------------------------------------------------------------------

def raw(jobs, code, *options, type=SOCKET, **others):
    given = [option("type", number=type), option("license", data=b"GPL")]
    given += [option("name", data=b"raw"), *options]
    return jobs.do(INSTRUCTIONS, *given, object=code, **others)


def test_instructions_are_loaded_under_their_name(jobs, run):
    answer = raw(jobs, returns(42))
    [program] = answer
    assert (program.kind, program.name) == ("program", "raw")
    assert run(program.fd).one("return").number == 42


def test_an_instruction_finds_its_map_by_its_place(jobs, run):
    maps = [make_map(ARRAY, 4, 8, 1) for _ in range(3)]
    program = raw(jobs, counts(1), fds=maps).one("program").fd
    run(program, repeat=5)
    assert [look_up(map, u32(0), 8) for map in maps] == [u64(0), u64(5), u64(0)]
    for map in maps:
        os.close(map)


@pytest.mark.parametrize(
    "code",
    [
        load(1, IDX, 1) + returns(0),
        load(1, IDX_VALUE, 2**31 - 1) + returns(0),
        load(1, IDX, -1) + returns(0),
        load(1, 1, 3) + returns(0),
        load(1, 2, 3) + returns(0),
        load(1, 3, 0, 1) + returns(0),
        load(1, 7, 0) + returns(0),
        insn(CALL, 0, 2, 1, 1) + returns(0),
        returns(0) + insn(LOAD_IMM, 1),
    ],
    ids=[
        "a place too far",
        "a place far off",
        "a place before",
        "a descriptor",
        "a descriptor's value",
        "a module's variable",
        "unknown",
        "a module's function",
        "half of one",
    ],
)
def test_instructions_reach_no_descriptor_but_those_of_the_request(code, jobs):
    map = make_map(ARRAY, 4, 8, 1)
    answer = raw(jobs, code, fds=[map])
    assert fails(answer)[0] == "badarg"
    assert b"none of the maps" in answer[0].data
    os.close(map)


@pytest.mark.parametrize("code", [b"", bytes(7), returns(0)[:-1]], ids=["none", "7 bytes", "15"])
def test_what_are_no_whole_instructions_is_refused(code, jobs):
    assert fails(raw(jobs, code))[0] == "badarg"


def test_more_than_a_million_instructions_are_too_many(jobs):
    code = insn(MOVE) * 1_000_000 + insn(EXIT)
    assert fails(raw(jobs, code)) == ("errno", errno.E2BIG, "")


@pytest.mark.parametrize(
    "type, words",
    [(XDP, "tc"), (RAW_TRACEPOINT, "xdp"), (SYSCALL, "all"), (999, "all")],
    ids=["xdp without xdp", "tracing without tracing", "syscall", "unknown"],
)
def test_instructions_of_a_type_that_is_not_allowed_are_refused(type, words, jobs):
    answer = raw(jobs, returns(0), type=type, words=words)
    assert fails(answer) == ("errno", errno.EACCES, "raw")


def test_instructions_that_the_verifier_refuses_come_with_its_log(jobs):
    answer = raw(jobs, insn(EXIT))
    assert fails(answer) == ("rejected", errno.EACCES, "raw")
    assert b"R0 !read_ok" in answer[0].data


def test_instructions_may_do_no_more_than_their_type_takes(jobs):
    leaks = insn(MOVE_FROM, 0, 1) + insn(EXIT)
    answer = raw(jobs, leaks, type=XDP)
    assert fails(answer)[0] == "rejected"
    assert b"leaks addr" in answer[0].data


def test_the_log_of_instructions_is_told_if_asked_for(jobs):
    answer = raw(jobs, returns(0), option("log", number=2))
    assert b"processed 2 insns" in answer.one("log").data


def test_a_license_decides_what_may_be_called(jobs):
    code = insn(CALL, imm=GET_CURRENT_TASK) + returns(0)
    assert raw(jobs, code, type=RAW_TRACEPOINT).names("program") == {"raw"}
    other = option("license", data=b"proprietary")
    answer = raw(jobs, code, other, type=RAW_TRACEPOINT)
    assert fails(answer)[0] == "rejected"
    assert b"GPL" in answer[0].data


def test_instructions_for_a_function_of_the_kernel_find_it(jobs):
    tp_btf = option("attach_type", number=23), option("attach_to", data=b"sys_enter")
    answer = raw(jobs, returns(0), *tp_btf, type=TRACING)
    assert [record.kind for record in answer] == ["program"]
    none = option("attach_type", number=23), option("attach_to", data=b"no_such_event")
    assert fails(raw(jobs, returns(0), *none, type=TRACING))[0] == "object"


def test_no_place_no_program(jobs):
    answer = raw(jobs, returns(0), option("max_programs", number=0))
    assert fails(answer) == ("errno", errno.EMFILE, "")
