# SPDX-License-Identifier: Apache-2.0
"""All types by all functions: what each pair does or raises, one word a meaning.

    .       it is done, or {badkey, Key}, {keyexists, Key} is raised
    no      enotsup: the type has no such operation
    stays   einval: nothing is removed from such a type
    keyless einval: a queue is put to and taken from, and has no keys
    term    badarg: there is no term for what the kernel would take
    cookie  enospc: values of 4 bytes have no room for the cookie of a socket
    none    enoent: only a program that is attached makes entries
"""

import ctypes
import os
import sys

import pytest

from beam import BeamError
from conftest import raises

pytestmark = pytest.mark.single

CPUS = ctypes.CDLL("libbpf.so.1").libbpf_num_possible_cpus()
OWN = ("pid", os.getpid())
WORDS = {
    "no": "enotsup",
    "stays": "einval",
    "keyless": "einval",
    "term": "badarg",
    "cookie": "enospc",
    "none": "enoent",
    "eperm": "eperm",
    ".": None,
}


def table(text):
    """{row: {column: cell}}"""
    head, *rows = [line.split() for line in text.strip().splitlines()]
    return {row: dict(zip(head, cells, strict=True)) for row, *cells in rows}


TABLE = table(
    """
                          read    put     insert  update  remove  take    push    pop     walk    size    clear   drain
    hash                  .       .       .       .       .       .       no      no      .       .       .       .
    percpu_hash           .       .       .       .       .       .       no      no      .       .       .       .
    lru_hash              .       .       .       .       .       .       no      no      .       .       .       .
    lru_percpu_hash       .       .       .       .       .       .       no      no      .       .       .       .
    lpm_trie              .       .       .       .       .       .       no      no      .       .       .       .
    hash_of_maps          .       .       .       .       .       .       no      no      .       .       .       .
    array_of_maps         .       .       .       .       .       .       no      no      .       .       .       .
    devmap                .       .       .       .       .       .       no      no      .       .       .       .
    devmap_hash           .       .       .       .       .       .       no      no      .       .       .       .
    cpumap                .       .       .       .       .       .       no      no      .       .       .       .
    array                 .       .       .       .       stays   stays   no      no      .       .       stays   stays
    percpu_array          .       .       .       .       stays   stays   no      no      .       .       stays   stays
    cgroup_storage        .       none    none    .       stays   stays   no      no      .       .       stays   stays
    percpu_cgroup_storage .       none    none    .       stays   stays   no      no      .       .       stays   stays
    task_storage          .       .       .       .       .       .       no      no      no      no      no      no
    sk_storage            no      no      no      no      no      no      no      no      no      no      no      no
    queue                 .       .       keyless keyless keyless .       .       .       no      no      .       .
    stack                 .       .       keyless keyless keyless .       .       .       no      no      .       .
    bloom_filter          no      .       no      no      no      no      .       no      no      no      no      no
    prog_array            .       term    term    term    .       .       no      no      .       .       .       .
    perf_event_array      no      term    term    term    .       no      no      no      no      no      .       no
    cgroup_array          no      term    term    term    .       no      no      no      no      no      .       no
    stack_trace           .       no      no      no      .       .       no      no      .       .       .       .
    sockmap/4             cookie  no      no      no      .       cookie  no      no      cookie  cookie  .       cookie
    sockmap/8             .       no      no      no      .       .       no      no      .       .       .       .
    sockhash/4            cookie  no      no      no      .       cookie  no      no      .       .       .       .
    sockhash/8            .       no      no      no      .       .       no      no      .       .       .       .
    reuseport_sockarray/4 cookie  no      no      no      .       cookie  no      no      cookie  cookie  .       cookie
    reuseport_sockarray/8 .       no      no      no      .       .       no      no      .       .       .       .
    xskmap                no      no      no      no      .       no      no      no      no      no      .       no
    ringbuf               no      no      no      no      no      no      no      no      no      no      no      no
    user_ringbuf          no      no      no      no      no      no      no      no      no      no      no      no
    """
)
# Of a descriptor to write only: what takes no look does not want to read.
WRITE_ONLY = table(
    """
                          read    put     insert  update  remove  take    push    pop     walk    size    clear   drain
    hash                  eperm   .       .       .       .       eperm   no      no      eperm   eperm   eperm   eperm
    percpu_hash           eperm   .       .       .       .       eperm   no      no      eperm   eperm   eperm   eperm
    lru_hash              eperm   .       .       .       .       eperm   no      no      eperm   eperm   eperm   eperm
    lpm_trie              eperm   .       .       .       .       eperm   no      no      eperm   eperm   eperm   eperm
    hash_of_maps          eperm   .       .       .       .       eperm   no      no      eperm   eperm   eperm   eperm
    array                 eperm   .       .       .       stays   stays   no      no      eperm   .       stays   stays
    percpu_array          eperm   .       .       .       stays   stays   no      no      eperm   .       stays   stays
    task_storage          eperm   .       .       .       .       eperm   no      no      eperm   eperm   eperm   eperm
    array_of_maps         eperm   .       eperm   eperm   .       eperm   no      no      eperm   eperm   eperm   eperm
    devmap                eperm   .       eperm   eperm   .       eperm   no      no      eperm   eperm   eperm   eperm
    devmap_hash           eperm   .       eperm   eperm   .       eperm   no      no      eperm   eperm   eperm   eperm
    queue                 eperm   .       keyless keyless keyless eperm   .       eperm   no      no      eperm   eperm
    """
)
READ_ONLY = {
    **dict.fromkeys("put insert update remove take clear drain".split(), "eperm"),
    **dict.fromkeys(("read", "walk", "size"), "."),
}
SHAPES = {
    "lpm_trie": (8, 8, 4, ["no_prealloc"]),
    "array_of_maps": (4, 4, 4),
    "hash_of_maps": (4, 4, 4),
    "devmap": (4, 4, 4),
    "devmap_hash": (4, 4, 4),
    "cpumap": (4, 4, CPUS),
    "cgroup_storage": (8, 8, 0),
    "percpu_cgroup_storage": (8, 8, 0),
    "task_storage": (4, 8, 0, ["no_prealloc"]),
    "sk_storage": (4, 8, 0, ["no_prealloc"]),
    "queue": (0, 8, 4),
    "stack": (0, 8, 4),
    "bloom_filter": (0, 8, 4),
    "prog_array": (4, 4, 4),
    "perf_event_array": (4, 4, CPUS),
    "cgroup_array": (4, 4, 4),
    "stack_trace": (4, 80, 4),
    "sockmap/4": (4, 4, 4),
    "sockhash/4": (4, 4, 4),
    "reuseport_sockarray/4": (4, 4, 4),
    "xskmap": (4, 4, 4),
    "ringbuf": (0, 0, 4096),
    "user_ringbuf": (0, 0, 4096),
}
PLAIN = (4, 8, 4)
FUNCTIONS = {
    "read": "get find is_key with",
    "put": "put merge",
    "insert": "insert",
    "update": "update",
    "remove": "remove without",
    "take": "take",
    "push": "push",
    "pop": "pop peek",
    "walk": "keys values to_list next next_chunk",
    "size": "size",
    "clear": "clear",
    "drain": "drain drain_chunk",
}


def ask(maps, function, map, key, value):
    match function:
        case "get" | "find" | "is_key" | "take" | "remove":
            return maps.call(function, key, map)
        case "put" | "insert" | "update":
            return maps.call(function, key, value, map)
        case "push":
            return maps.push(value, map)
        case "with" | "without":
            return maps.call(function, [key], map)
        case "merge":
            return maps.merge(map, [(key, value)])
        case "next":
            return maps.next(maps.iterator(map))
        case "next_chunk" | "drain_chunk":
            return maps.call(function, "start", map, 10)
    return maps.call(function, map)


def word(maps, function, *args):
    """The word of an exception; None where the type does it."""
    try:
        ask(maps, function, *args)
    except BeamError as e:
        match e.reason:
            case ("exception", reason, _) | (reason, 0):
                return reason
            case ("badkey" | "keyexists", _):
                return None
            case reason:
                return reason
    return None


class Typed:
    """A map of a type, and a key and a value for it."""

    def __init__(self, maps, name):
        type, _, value_size = name.partition("/")
        shape = SHAPES.get(name, PLAIN)
        options = list(shape[3]) if len(shape) > 3 else []
        self.value = bytes(shape[1])
        if type in ("array_of_maps", "hash_of_maps"):
            self.value = maps.new("array", 4, 4, 1)
            options.append(("inner_map", self.value))
        elif type in ("devmap", "devmap_hash"):
            self.value = (1).to_bytes(4, sys.byteorder)
        self.key = OWN if type == "task_storage" else bytes(shape[0])
        self.map = maps.new(type, *shape[:3], options)
        assert self.map[0] == "ebpf_map", self.map
        assert not value_size or self.map[4] == int(value_size)


def words_of(maps, map, typed, row):
    return {
        function: word(maps, function, map, typed.key, typed.value)
        for column in row
        for function in FUNCTIONS[column].split()
    }


def expected(row, bloom=False):
    wanted = {
        function: WORDS[cell]
        for column, cell in row.items()
        for function in FUNCTIONS[column].split()
    }
    if bloom:  # asked for a key, which is a value there
        wanted["is_key"] = "badarg"
    return wanted


@pytest.mark.parametrize("name", TABLE)
def test_a_pair_of_type_and_function_has_its_word(name, maps):
    typed = Typed(maps, name)
    given = words_of(maps, typed.map, typed, TABLE[name])
    assert given == expected(TABLE[name], bloom=name == "bloom_filter")


def reopened(maps, map, right):
    again = maps.open(("id", maps.info(map)["id"]), [right])
    assert again[0] == "ebpf_map", again
    maps.made.append(again)
    return again


@pytest.mark.parametrize("name", WRITE_ONLY)
def test_what_takes_no_look_is_done_by_a_map_that_is_open_to_write(name, maps):
    typed = Typed(maps, name)
    map = reopened(maps, typed.map, "write")
    given = words_of(maps, map, typed, WRITE_ONLY[name])
    assert given == expected(WRITE_ONLY[name])


@pytest.mark.parametrize("name", ["hash", "lpm_trie", "hash_of_maps"])
def test_a_map_that_is_open_to_read_is_read_only(name, maps):
    typed = Typed(maps, name)
    maps.put(typed.key, typed.value, typed.map)
    map = reopened(maps, typed.map, "read")
    assert words_of(maps, map, typed, READ_ONLY) == expected(READ_ONLY)


ABSENT = {"array": 4, "percpu_array": 4, "hash": 9, "lpm_trie": bytes([99]) + bytes(7)}


@pytest.mark.parametrize("type", ABSENT)
@pytest.mark.parametrize("right", ["write", "both"])
def test_an_update_of_no_key_of_the_map_is_badkey(right, type, maps):
    typed = Typed(maps, type)
    map = reopened(maps, typed.map, "write") if right == "write" else typed.map
    with raises(("badkey", ABSENT[type])):
        maps.update(ABSENT[type], 1, map)


@pytest.mark.parametrize(
    "name", ["prog_array", "array_of_maps", "devmap", "cpumap", "reuseport_sockarray/8"]
)
def test_a_number_beyond_the_end_is_removed_as_what_is_not_there(name, maps):
    map = Typed(maps, name).map
    assert maps.remove(1000, map) == map
