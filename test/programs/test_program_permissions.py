# SPDX-License-Identifier: Apache-2.0
"""Who may do what with programs: --allow, --programs, and what a refusal logs."""

import json

import pytest

import dist
from served import served

pytestmark = pytest.mark.single

# mov r0, 0; exit
INSTRUCTIONS = bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
TARGET = ("raw_tracepoint", "sys_enter")
PATH = b"/sys/fs/bpf/never/there"
NO_ID = 2**32 - 1
# who is refused; close is of the handle of another node
TABLE = {
    "load/2": "ro rw",
    "load/3": "ro rw",
    "attach/2": "ro rw",
    "attach/3": "ro rw",
    "detach/1": "ro rw",
    "update/2": "ro rw",
    "run/3": "ro rw",
    "open/1": "ro rw",
    "open/2": "ro rw",
    "pin/2": "ro rw",
    "unpin/2": "ro rw",
    "close/1": "ro rw",
    "count/1": "ro",
    "info/1": "",
    "type/1": "",
    "list/0": "",
    "links/0": "",
    "handles/0": "",
}
RULES = [
    *("--allow", "load@there=load", "--allow", "load@here=load", "--allow", "rw@*=rw"),
    *("--allow", "ro@*=ro", "--allow", "*=none"),
]
ONLY_READ = "it may only read (--allow, --read-only)"
NO_LOAD = "it may not load programs (--allow PATTERN=load)"
NOT_ITS_OWN = "it may not load programs, and the handle is not its own"


class World:
    """A node, a peer that may load, and another one that asks."""

    def __init__(self, node, connect, permission="load"):
        self.node = node
        self.loads = connect(node, name="load@there")
        self.asks = connect(node, name=f"{permission}@here")

    def of(self, peer, function, *args):
        """The value; ("error", Reason) where one is raised."""
        kind, value, *_ = peer.erpc("ebpf_programs", function, args)
        return value if kind == "return" else (kind, value)

    def program(self):
        program = self.of(self.loads, "load", "raw_tracepoint", INSTRUCTIONS, [])
        assert program[0] == "ebpf_program", program
        return program

    def link(self):
        link = self.of(self.loads, "attach", self.program(), TARGET)
        assert link[0] == "ebpf_link", link
        return link

    def id(self, handle):
        return self.of(self.loads, "info", handle)["id"]

    def ask(self, function, *args):
        return tuple(self.asks.erpc("ebpf_programs", function, args)[:2])

    def refusal(self, function, *args):
        """What is logged of a request that is refused, after who asked."""
        start = self.node.mark()
        assert self.ask(function, *args) == ("error", "eacces")
        head = rf"Z warning refused {function}/{len(args)} to {self.asks.name} <\d+\.\d+>: "
        return self.node.wait_log(head + "(.*)", start=start)[1]


@pytest.fixture
def world(start_cnode, connect):
    def world(permission, *options):
        node = start_cnode(*RULES, "--programs", "all", *options)
        return World(node, connect, permission)

    return world


def arguments(function, program, link):
    """Good ones, of which nothing is wrong but who asks."""
    return {
        "load/2": [b"no object", []],
        "load/3": ["raw_tracepoint", INSTRUCTIONS, []],
        "attach/2": [program, TARGET],
        "attach/3": [program, TARGET, []],
        "detach/1": [link],
        "update/2": [link, program],
        "run/3": [program, {}, []],
        "open/1": [("id", NO_ID)],
        "open/2": [("link", NO_ID), []],
        "pin/2": [PATH, program],
        "unpin/2": [PATH, link],
        "close/1": [link],
        "list/0": [],
        "links/0": [],
        "handles/0": [],
    }.get(function, [program])


def refused(ask, make):
    """The functions that raise eacces."""
    found = set()
    for row in TABLE:
        name, arity = row.split("/")
        args = arguments(row, *make())
        assert len(args) == int(arity)
        if ask(name, *args) == ("error", "eacces"):
            found.add(row)
    return found


# --- the table


def test_the_table_has_every_function(program):
    functions = {f"{name}/{arity}" for name, arity in served(program, "ebpf_programs")}
    assert functions == set(TABLE)


@pytest.mark.parametrize("permission", ["ro", "rw", "load"])
def test_each_is_refused_what_it_may_not_do(permission, world):
    w = world(permission)
    wanted = {row for row, who in TABLE.items() if permission in who.split()}
    assert refused(w.ask, lambda: (w.program(), w.link())) == wanted


@pytest.mark.parametrize("permission", ["ro", "rw", "load"])
def test_a_node_without_programs_refuses_all_functions(permission, start_cnode, connect):
    node = start_cnode(*RULES)
    w = World(node, connect, permission)
    nothing = ("ebpf_program", w.loads.ref(), "xdp", b""), ("ebpf_link", w.loads.ref(), "xdp", 1)
    start = node.mark()
    assert refused(w.ask, lambda: nothing) == set(TABLE)
    for row in TABLE:
        why = f"refused {row} to {w.asks.name} <\\d+\\.\\d+>: this node serves no programs "
        node.wait_log(why, start=start)


@pytest.mark.parametrize("options", [(), ("--programs", "all")], ids=["without", "with"])
def test_who_may_do_nothing_does_not_even_connect(options, start_cnode, connect):
    node = start_cnode(*RULES, *options)
    with pytest.raises(dist.Refused):
        connect(node, name="other@here")


# --- what a refusal logs


def test_a_refusal_names_the_object(world):
    w = world("rw")
    program, link = w.program(), w.link()
    of_program, of_link = f"program {w.id(program)}", f"link {w.id(link)}"
    for call, words in [
        (("attach", program, TARGET), of_program),
        (("run", program, {}, []), of_program),
        (("pin", PATH, program), f"{of_program}: {PATH.decode()}"),
        (("unpin", PATH, link), f"{of_link}: {PATH.decode()}"),
        (("detach", link), of_link),
        (("update", link, program), of_link),
        (("open", ("id", 5)), "id 5"),
        (("open", ("link", 5)), "link 5"),
        (("open", ("pinned", PATH), []), f"pinned {PATH.decode()}"),
        (("open", ("name", "one")), "name one"),
    ]:
        assert w.refusal(*call) == f"{NO_LOAD}: {words}"
    for call in [("load", b"", []), ("attach", "nothing", TARGET), ("open", 7)]:
        assert w.refusal(*call) == NO_LOAD
    for handle, words in (program, of_program), (link, of_link):
        assert w.refusal("close", handle) == f"{NOT_ITS_OWN}: {words}"


def test_a_reader_that_counts_is_told_that_it_may_only_read(world):
    w = world("ro")
    program = w.program()
    assert w.refusal("count", program) == f"{ONLY_READ}: program {w.id(program)}"


def test_a_type_that_the_node_does_not_allow_is_refused_by_name(start_cnode, connect):
    w = World(start_cnode(*RULES, "--programs", "xdp"), connect)
    line = w.refusal("load", "raw_tracepoint", INSTRUCTIONS, [("name", "mine")])
    assert line.startswith("--programs does not allow the type")


def test_a_line_of_json_names_the_kind_of_the_object(start_cnode, connect):
    options = ("--programs", "all", "--log-format", "json")
    node = start_cnode(*RULES, *options, ready=False)
    node.port = json.loads(node.wait_log('"event":"ready"').string)["port"]
    w = World(node, connect, "rw")
    for what, kind in (("id", 5), "program"), (("link", 6), "link"):
        assert w.ask("open", what) == ("error", "eacces")
        line = json.loads(node.wait_log(f'"object":"{kind}"').string)
        assert (line["id"], line["reason"]) == (what[1], "may_not_load")


# --- closing


@pytest.mark.parametrize("kind", ["program", "link"])
def test_a_node_that_may_not_load_closes_nothing_of_others(kind, world):
    w = world("rw")
    handle = getattr(w, kind)()
    assert w.ask("close", handle) == ("error", "eacces")
    assert w.of(w.loads, "info", handle)["handles"] == [handle]
    assert w.of(w.loads, "close", handle) == "ok"


@pytest.mark.parametrize("kind", ["program", "link"])
@pytest.mark.parametrize("permission", ["rw", "load"])
def test_a_reference_of_a_program_is_none_of_a_map(permission, kind, world):
    w = world(permission)
    handle = getattr(w, kind)()
    as_map = ("ebpf_map", handle[1], "hash", 4, 8, 4)
    assert w.asks.maps("close", as_map) == ("error", "ebadf")
    answer = w.asks.erpc("ebpf_maps", "get", [1, as_map])
    assert tuple(answer[:2]) == ("error", ("badmap", as_map))
    other = {"program": "ebpf_link", "link": "ebpf_program"}[kind]
    if permission == "load":
        assert w.ask("close", (other, *handle[1:])) == ("return", ("error", "ebadf"))
    assert w.of(w.loads, "info", handle)["handles"] == [handle]


def test_a_reference_of_a_map_is_none_of_a_program(world):
    w = world("load")
    map = w.loads.maps("new", "hash", 4, 8, 4)
    assert w.ask("close", ("ebpf_program", map[1], "xdp", b"")) == ("return", ("error", "ebadf"))
    assert w.ask("info", ("ebpf_link", map[1], "xdp", 1))[0] == "error"
    assert w.loads.maps("size", map) == 0


def test_a_node_that_may_load_closes_handles_of_others(world):
    w = world("load")
    link = w.link()
    assert w.ask("close", link) == ("return", "ok")
    assert w.of(w.loads, "info", link) == ("error", ("badlink", link))
