# SPDX-License-Identifier: Apache-2.0
"""load/3: programs from their instructions, and the maps that they name."""

import os

import pytest

from conftest import raises
from instructions import (
    ADD_TO,
    BTF_ID,
    CALL,
    EXIT,
    FD,
    FD_VALUE,
    FUNCTION,
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
from native import u32, u64

pytestmark = pytest.mark.single

ARRAY = ("array", 4, 8, 1)
PACKET = {"data": bytes(64)}


@pytest.fixture
def maps(shared_programs):
    """Three of them."""
    return [shared_programs.maps("new", *ARRAY) for _ in range(3)]


@pytest.fixture
def raw(shared_programs):
    def raw(code, *options, type="socket_filter"):
        return shared_programs.load(type, code, list(options))

    return raw


def is_badarg(call, *args):
    with raises("badarg"):
        call(*args)


def values(programs, maps):
    return [programs.maps("get", u32(0), map) for map in maps]


# --- What there is ----------------------------------------------------------------------


def test_instructions_become_a_program(shared_programs, raw):
    program = raw(returns(42), ("name", b"answer"), type="xdp")
    assert (program[0], *program[2:]) == ("ebpf_program", "xdp", b"answer")
    assert shared_programs.run(program, PACKET, [])["return"] == 42
    info = shared_programs.info(program)
    assert (info["name"], info["gpl"], info["handles"]) == (b"answer", "true", [program])


def test_a_program_needs_no_name(raw):
    assert raw(returns(0))[3] == b""


@pytest.mark.parametrize("lifetime", ["node", "permanent"])
def test_a_handle_lives_as_long_as_it_is_told(lifetime, shared_programs, raw):
    program = raw(returns(0), ("lifetime", lifetime))
    assert [(handle, life) for handle, _, life in shared_programs.handles()] == [
        (program, lifetime)
    ]


def test_a_license_decides_what_may_be_called(raw):
    code = insn(CALL, imm=GET_CURRENT_TASK) + returns(0)
    assert raw(code, type="raw_tracepoint")[0] == "ebpf_program"
    error, (reason, _, _, log) = raw(code, ("license", "proprietary"), type="raw_tracepoint")
    assert (error, reason) == ("error", "rejected")
    assert b"GPL" in log


@pytest.mark.parametrize("attach_type", ["trace_raw_tp", 23])
def test_a_program_is_loaded_for_a_tracepoint(attach_type, shared_programs, raw):
    options = ("attach_type", attach_type), ("attach_to", b"sys_enter")
    program = raw(returns(0), *options, type="tracing")
    assert shared_programs.attach(program, "btf")[3] == "btf"
    options = ("attach_type", attach_type), ("attach_to", b"no_such_event")
    error, (reason, _) = raw(returns(0), *options, type="tracing")
    assert (error, reason) == ("error", "object")


def test_an_attach_type_goes_with_the_program(shared_programs, raw):
    egress = raw(returns(1), ("attach_type", "cgroup_inet_egress"), type="cgroup_skb")
    link = shared_programs.attach(egress, ("cgroup", b"/sys/fs/cgroup/unified"))
    if link[0] == "error":
        link = shared_programs.attach(egress, ("cgroup", b"/sys/fs/cgroup"))
    assert shared_programs.info(link)["attach_type"] == "cgroup_inet_egress"


# --- Maps -------------------------------------------------------------------------------


def test_a_map_is_named_by_the_number_that_fd_tells(shared_programs, raw, maps):
    fds = [shared_programs.maps("fd", map) for map in maps]
    program = raw(counts(fds[1], FD_VALUE), ("maps", maps))
    shared_programs.run(program, PACKET, [("repeat", 5)])
    assert values(shared_programs, maps) == [u64(0), u64(5), u64(0)]
    ids = [shared_programs.maps("info", map)["id"] for map in maps]
    assert shared_programs.info(program)["maps"] == [ids[1]]


def test_a_map_is_named_by_its_place(shared_programs, raw, maps):
    program = raw(counts(2), ("maps", maps))
    shared_programs.run(program, PACKET, [("repeat", 5)])
    assert values(shared_programs, maps) == [u64(0), u64(0), u64(5)]


def test_a_map_may_be_in_the_list_twice_or_named_without_a_handle(shared_programs, raw, maps):
    located = ("id", shared_programs.maps("info", maps[0])["id"])
    program = raw(counts(2), ("maps", [maps[1], maps[1], located]))
    shared_programs.run(program, PACKET, [])
    assert values(shared_programs, maps) == [u64(1), u64(0), u64(0)]


def test_a_map_itself_is_loaded_as_its_value_is(raw, maps, shared_programs):
    fd = shared_programs.maps("fd", maps[0])
    for code in load(1, FD, fd), load(1, IDX, 0):
        assert raw(code + returns(0), ("maps", maps))[0] == "ebpf_program"


def test_a_program_keeps_its_map(shared_programs, raw, maps):
    program = raw(counts(0), ("maps", maps[:1]))
    shared_programs.maps("close", maps[0])
    assert shared_programs.run(program, PACKET, [])["return"] == 9


def stdio(programs, maps):
    return 0


def map_that_is_not_in_the_list(programs, maps):
    return programs.maps("fd", maps[2])


def program_of_the_node(programs, maps):
    own = f"/proc/{programs.node.pid}/fd"
    programs.load("socket_filter", returns(0), [])
    return next(int(fd) for fd in os.listdir(own) if "bpf-prog" in os.readlink(f"{own}/{fd}"))


def socket_of_the_node(programs, maps):
    own = f"/proc/{programs.node.pid}/fd"
    return next(int(fd) for fd in os.listdir(own) if "socket" in os.readlink(f"{own}/{fd}"))


def negative(programs, maps):
    return -1


def nothing(programs, maps):
    return 2**31 - 1


@pytest.mark.parametrize("source", [FD, FD_VALUE])
@pytest.mark.parametrize(
    "number",
    [
        stdio,
        map_that_is_not_in_the_list,
        program_of_the_node,
        socket_of_the_node,
        negative,
        nothing,
    ],
    ids=lambda f: f.__name__.replace("_", " "),
)
def test_no_other_descriptor_is_taken(number, source, shared_programs, raw, maps):
    code = returns(0) + load(1, source, number(shared_programs, maps)) + returns(0)
    words = "instruction 2 loads a map by a number that is the fd/1 of none of the maps"
    with shared_programs.unchanged():
        shared_programs.says(words, lambda: is_badarg(raw, code, ("maps", maps[:2])))


@pytest.mark.parametrize(
    "code, words",
    [
        (load(1, IDX, 2), "instruction 0 loads a map by a place that none of the maps has"),
        (load(1, IDX_VALUE, -1), "instruction 0 loads a map by a place"),
        (returns(0) + load(1, IDX, 7), "instruction 2 loads a map by a place"),
        (load(1, BTF_ID, 1, 1), "instruction 0 loads a variable of a kernel module"),
        (load(1, 7, 0), "instruction 0 loads from an unknown source"),
        (load(1, 15, 0), "instruction 0 loads from an unknown source"),
        (insn(CALL, 0, 2, 1, 1), "instruction 0 calls a function of a kernel module"),
        (load(1, 0, 1) + load(1, FD, 0), "instruction 2 loads a map by a number"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_an_instruction_that_names_another_object_is_badarg(
    code, words, shared_programs, raw, maps
):
    code += returns(0)
    with shared_programs.unchanged():
        shared_programs.says(words, lambda: is_badarg(raw, code, ("maps", maps[:2])))


def test_half_of_a_load_is_badarg(shared_programs, raw):
    words = "instruction 2 is the first half of a load"
    with shared_programs.unchanged():
        shared_programs.says(words, lambda: is_badarg(raw, returns(0) + insn(LOAD_IMM, 1)))


def test_what_is_no_load_of_a_map_goes_as_it_is(shared_programs, raw):
    """A number of 64 bits, whose second half looks like a load of a map."""
    number = insn(LOAD_IMM, 0, 0, 0, 5) + insn(0, imm=0)
    assert shared_programs.run(raw(number + insn(EXIT)), PACKET, [])["return"] == 5
    calls = insn(CALL, 0, 1, 0, 1) + insn(EXIT) + returns(6)  # a function of its own
    assert shared_programs.run(raw(calls), PACKET, [])["return"] == 6


@pytest.mark.parametrize("access", ["read", "write"])
def test_a_map_that_only_half_is_open_goes_into_no_program(
    access, shared_programs, raw, maps, folder
):
    path = f"{folder}/mine".encode()
    shared_programs.maps("pin", path, maps[0])
    half = shared_programs.maps("open", ("pinned", path), [access])
    with shared_programs.unchanged(), raises("eacces"):
        raw(counts(0), ("maps", [half]))


# --- What is wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "type, code, options, words",
    [
        ("none", returns(0), [], "the type is none"),
        (6, returns(0), [], "the type is none"),
        ("xdp", b"", [], "0 bytes are no instructions"),
        ("xdp", returns(0)[:-1], [], "15 bytes are no instructions"),
        ("xdp", [returns(0)], [], "the instructions are no binary"),
        ("xdp", returns(0), [("maps", {})], "maps is not a list"),
        ("xdp", returns(0), [("programs", [])], "none that load/3 has"),
        ("xdp", returns(0), [("pin", b"/sys/fs/bpf")], "none that load/3 has"),
        ("xdp", returns(0), [("sleepable", "true")], "none that load/3 has"),
        ("xdp", returns(0), ["sleepable", "sleepable"], "sleepable is there twice"),
        ("xdp", returns(0), [("maps", []), ("maps", [])], "maps is there twice"),
        ("xdp", returns(0), [("license", b"l" * 128)], "license is not a text of 1 to 127"),
        ("xdp", returns(0), [("attach_type", "none")], "attach_type is neither"),
        ("xdp", returns(0), [("attach_type", -1)], "attach_type is neither"),
        ("xdp", returns(0), [("attach_to", 1)], "attach_to is not a text"),
        ("xdp", returns(0), [("name", [])], "name is not a text"),
        ("xdp", returns(0), [("name", b"my program")], "name has others than letters, digits"),
        ("xdp", returns(0), [("log", -1)], "log is none of"),
        ("xdp", returns(0), "log", "the options are no list"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_is_wrong_is_badarg_with_words(type, code, options, words, shared_programs):
    words = f"badarg of load/3 for .*: .*{words}"
    with shared_programs.unchanged():
        shared_programs.says(words, lambda: is_badarg(shared_programs.load, type, code, options))


def test_a_million_instructions_are_looked_at_and_one_more_is_too_many(shared_programs, raw):
    million = insn(MOVE) * 999_999 + insn(EXIT)
    with shared_programs.unchanged():
        assert raw(million + insn(EXIT)) == ("error", "e2big")
        error, reason = raw(million[8:] + insn(MOVE))
        assert (error, reason[0]) == ("error", "rejected")  # falls off its end


def test_what_the_verifier_refuses_comes_with_its_log(shared_programs, raw):
    with shared_programs.unchanged():
        error, reason = raw(insn(EXIT), ("name", b"empty"))
        assert reason[:3] == ("rejected", "eacces", b"empty")
        assert b"R0 !read_ok" in reason[3]
        leaks = insn(MOVE_FROM, 0, 1) + insn(EXIT)
        assert b"leaks addr" in raw(leaks, type="xdp")[1][3]


def test_the_log_of_a_refusal_is_longer_at_level_2(raw):
    code = insn(MOVE, 0, imm=0) + insn(ADD_TO, 1, 0) + insn(EXIT)
    logs = [raw(code, ("log", level))[1][3] for level in (0, 2)]
    assert all(logs)


@pytest.mark.parametrize("type", ["syscall", "ext", "struct_ops", "unspec"])
def test_some_types_are_never_loaded(type, shared_programs, raw):
    def load():
        with raises("eacces"):
            raw(returns(0), type=type)

    words = rf"refused load/3 .*--programs does not allow the type: {type}$"
    with shared_programs.unchanged():
        shared_programs.says(words, load)


def test_there_are_no_more_programs_than_may_be(start_programs):
    programs = start_programs("--max-programs", "1")
    first = programs.load("xdp", returns(0), [])
    with programs.unchanged():
        assert programs.load("xdp", returns(0), []) == ("error", "emfile")
    programs.node.wait_log(r"refused \S+ a program or link: there are --max-programs 1 already")
    programs.close(first)
    assert programs.load("xdp", returns(0), [])[0] == "ebpf_program"
