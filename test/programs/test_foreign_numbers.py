# SPDX-License-Identifier: Apache-2.0
"""Numbers in raw instructions that the kernel takes for descriptors of whoever
loads them: a program has the maps of its list and no others.
"""

import os

import pytest

from instructions import BTF_ID, CALL, FD, FD_VALUE, FUNCTION, IDX, IDX_VALUE, LOAD_IMM, MOVE
from instructions import insn, load, returns
from map_calls import outcome
from processes import children

pytestmark = pytest.mark.single

INT_MAX = 2**31 - 1
JUMP = 0x05
SOURCES = {"fd": FD, "value": FD_VALUE, "idx": IDX, "idx_value": IDX_VALUE}
END = returns(0)
BADARG = ("raised", "badarg")
EINVAL = ("rejected", "einval")


class Numbers:
    """A node with a map that is listed, and one that is not."""

    def __init__(self, programs):
        self.programs = programs
        self.listed = programs.maps("new", "array", 4, 8, 1)
        self.other = programs.maps("new", "array", 4, 8, 1)
        self.fd = programs.maps("fd", self.listed)
        self.other_fd = programs.maps("fd", self.other)

    def load(self, code):
        """("loaded", ids of its maps), ("raised", Reason), or (what, Posix)."""
        options = [("maps", [self.listed])]
        result = outcome(self.programs.call, "load", "socket_filter", code, options)
        match result:
            case ("ebpf_program", *_):
                maps = self.programs.info(result)["maps"]
                self.programs.close(result)
                return ("loaded", maps)
            case ("error", (what, posix, _, _)):
                return (what, posix)
        return result

    def id(self, map):
        return self.programs.maps("info", map)["id"]


@pytest.fixture
def numbers(shared_programs):
    yield Numbers(shared_programs)
    assert shared_programs.handles() == []


@pytest.mark.parametrize("source", SOURCES)
def test_the_map_of_the_list_is_reached(source, numbers):
    imm = 0 if source.startswith("idx") else numbers.fd
    code = load(1, SOURCES[source], imm) + END
    assert numbers.load(code) == ("loaded", [numbers.id(numbers.listed)])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("imm", [-1, 1, 2, 3, 64, 1023, INT_MAX, -INT_MAX - 1], ids=str)
def test_no_other_number_loads_a_map(source, imm, numbers):
    if source.startswith("idx") or imm != numbers.fd:
        assert numbers.load(load(1, SOURCES[source], imm) + END) == BADARG


@pytest.mark.parametrize("source", ["fd", "value"])
def test_no_descriptor_of_the_node_or_of_its_loader_loads_a_map(source, numbers):
    """Sockets, files, maps of others: whatever there is."""
    node = numbers.programs.node.pid
    fds = {int(fd) for pid in (node, *children(node)) for fd in os.listdir(f"/proc/{pid}/fd")}
    assert len(fds) > 8 and {numbers.fd, numbers.other_fd} < fds
    for fd in fds - {numbers.fd}:
        assert numbers.load(load(1, SOURCES[source], fd) + END) == BADARG, fd


def many(code):
    """The same behind a thousand instructions that are right."""
    return insn(MOVE) * 1000 + code


# what: (instructions of the listed map's and the other's number, what comes of it)
ROWS = {
    "the place of a map is not its number": (lambda fd, _: load(1, IDX, fd), BADARG),
    "another map's number": (lambda _, other: load(1, FD, other), BADARG),
    "a value of another map": (lambda _, other: load(1, FD_VALUE, other), BADARG),
    "another map behind the listed one": (
        lambda fd, other: load(1, FD, fd) + load(1, FD, other), BADARG,
    ),
    "another map far behind": (lambda _, other: many(load(1, FD, other)), BADARG),
    "another map where no way leads": (
        lambda _, other: END + load(1, FD, other), BADARG,
    ),
    "a value beyond the map": (lambda fd, _: load(1, FD_VALUE, fd, 8), EINVAL),
    "a value far beyond the map": (lambda fd, _: load(1, FD_VALUE, fd, -1), EINVAL),
    "a place and what is no value": (lambda fd, _: load(1, IDX, 0, 8), EINVAL),
    "a number and what is no value": (lambda fd, _: load(1, FD, fd, 8), EINVAL),
    "a second half that is an instruction": (
        lambda fd, _: insn(LOAD_IMM, 1, FD, 0, fd) + insn(MOVE), EINVAL,
    ),
    "a second half that is a first one": (
        lambda fd, other: insn(LOAD_IMM, 1, FD, 0, fd) + insn(LOAD_IMM, imm=other), EINVAL,
    ),
    "a first half in the second one, of another map": (
        lambda fd, other: insn(LOAD_IMM, 1) + insn(LOAD_IMM) + load(1, FD, other), BADARG,
    ),
    "a first half alone": (lambda fd, _: insn(LOAD_IMM, 1, FD, 0, fd), EINVAL),
    "a jump into a load": (
        lambda fd, _: insn(JUMP, offset=1) + load(1, FD, fd), EINVAL,
    ),
    "types of a kernel module": (lambda fd, other: load(1, BTF_ID, 1, other), BADARG),
    "types of the listed map's number": (lambda fd, _: load(1, BTF_ID, 1, fd), BADARG),
    "no type": (lambda *_: load(1, BTF_ID, 0), EINVAL),
    "no type, INT_MAX": (lambda *_: load(1, BTF_ID, INT_MAX), ("rejected", "enoent")),
    "a function that is not there": (lambda *_: load(1, FUNCTION, -1), EINVAL),
    "a function at the number of a map": (lambda fd, _: load(1, FUNCTION, fd), EINVAL),
    **{
        f"a source {source} that is none": (lambda fd, _, s=source: load(1, s, fd), BADARG)
        for source in range(7, 16)
    },
    "a call to before the program": (
        lambda *_: insn(CALL, source=1, imm=-1000), EINVAL,
    ),
    "a call to the number of a map": (
        lambda _, other: insn(CALL, source=1, imm=other), EINVAL,
    ),
    "a call far away": (lambda *_: insn(CALL, source=1, imm=INT_MAX), EINVAL),
    "a function of a module": (
        lambda fd, _: insn(CALL, source=2, offset=1, imm=1), BADARG,
    ),
    "a function of a module, of its descriptor": (
        lambda _, other: insn(CALL, source=2, offset=other, imm=1), BADARG,
    ),
    "a function of a module before the first": (
        lambda *_: insn(CALL, source=2, offset=-1, imm=1), BADARG,
    ),
    "no function of the kernel": (lambda *_: insn(CALL, source=2), EINVAL),
    "a function of the kernel, INT_MAX": (
        lambda *_: insn(CALL, source=2, imm=INT_MAX), EINVAL,
    ),
    "a call of a source that is none": (
        lambda fd, _: insn(CALL, source=3, imm=fd), EINVAL,
    ),
    "a number for a map": (
        # bpf_map_lookup_elem(fd, ...)
        lambda _, other: insn(MOVE, 1, imm=other) + insn(CALL, imm=1),
        ("rejected", "eacces"),
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_an_instruction_reaches_nothing_else(what, numbers):
    make, wanted = ROWS[what]
    assert numbers.load(make(numbers.fd, numbers.other_fd) + END) == wanted


@pytest.mark.parametrize("source", [0, *SOURCES.values()])
def test_half_a_load_at_the_end_is_no_instruction(source, numbers):
    imm = numbers.fd if source in (FD, FD_VALUE) else 0
    assert numbers.load(END + insn(LOAD_IMM, 1, source, 0, imm)) == BADARG


@pytest.mark.parametrize("source", SOURCES)
def test_without_a_list_there_is_no_map(source, numbers):
    code = load(1, SOURCES[source], 0 if source.startswith("idx") else numbers.fd) + END
    assert outcome(numbers.programs.call, "load", "socket_filter", code, []) == BADARG


def test_a_map_that_was_closed_is_none(numbers):
    programs = numbers.programs
    closed = programs.maps("new", "array", 4, 8, 1)
    fd = programs.maps("fd", closed)
    programs.maps("close", closed)
    code = load(1, FD, fd) + END
    attempt = outcome(programs.call, "load", "socket_filter", code, [("maps", [closed])])
    assert attempt == ("raised", ("badmap", closed))
    assert numbers.load(code) == BADARG
