# SPDX-License-Identifier: Apache-2.0
"""Who may do what: --allow, --read-only, and what a refusal looks like."""

import re
import secrets
import struct
import subprocess

import pytest

import dist
import etf
import tls
from cluster import wait_until
from native import u32, u64
from served import served

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 16)
EACCES = ("error", "eacces")

READING = """
    close/1 fd/1 open/1 open/2 type/1 list/0 info/1 handles/0 get/2 get/3 find/2
    is_key/2 peek/1 iterator/1 next/1 next_chunk/3 keys/1 values/1 to_list/1
    size/1 with/2 stats/0 features/0 check/4 check/5 typed/2 types/1 top/3 sum/2 host/0""".split()
WRITING = """
    new/4 new/5 pin/2 unpin/2 freeze/1 put/3 insert/3 update/3 remove/2 take/2
    push/2 pop/1 drain_chunk/3 clear/1 drain/1 without/2 merge/2""".split()


def reason(answer):
    """("error", Reason) or ("return", Value) of what a peer was answered."""
    return tuple(answer[:2])


def ask(peer, function, *args):
    return reason(peer.erpc("ebpf_maps", function, args))


class Guarded:
    """A C node on which writer may write and reader may only read."""

    def __init__(self, node, connect):
        self.node = node
        self.connect = connect
        self.writer = connect(node, name="writer@here")
        self.reader = connect(node, name="reader@here")
        self.name = f"g{secrets.token_hex(6)}"  # the one before may not be gone
        self.map = self.writer.maps("new", *HASH, [("name", self.name)])
        self.writer.maps("put", 1, 7, self.map)

    @property
    def id(self):
        return self.writer.maps("info", self.map)[etf.Atom("id")]


@pytest.fixture
def guarded(start_cnode, connect):
    node = start_cnode("--allow", "writer@*=rw", "--allow", "reader@*=ro")
    return Guarded(node, connect)


# --- what a reader may do


def arguments(function, map, iterator):
    """Good arguments, of which nothing is wrong but who asks."""
    pairs = [(2, 2)]
    return {
        "new/4": [*HASH],
        "new/5": [*HASH, []],
        "check/4": [*HASH],
        "check/5": [*HASH, []],
        "open/1": [("id", 1)],
        "open/2": [("id", 2**32 - 1), ["read"]],
        "pin/2": [b"/sys/fs/bpf/never/there", map],
        "unpin/2": [b"/sys/fs/bpf/never/there", map],
        "put/3": [1, 1, map],
        "insert/3": [2, 1, map],
        "update/3": [1, 1, map],
        "push/2": [1, map],
        "get/2": [1, map],
        "get/3": [1, map, "none"],
        "find/2": [1, map],
        "is_key/2": [1, map],
        "remove/2": [1, map],
        "take/2": [1, map],
        "with/2": [[1], map],
        "without/2": [[1], map],
        "merge/2": [map, pairs],
        "next/1": [iterator],
        "top/3": [3, [], map],
        "sum/2": [[], map],
        "typed/2": [map, [("types", ("u32", "u64"))]],
        "next_chunk/3": ["start", map, 10],
        "drain_chunk/3": ["start", map, 10],
        "list/0": [],
        "handles/0": [],
        "stats/0": [],
        "features/0": [],
        "host/0": [],
    }.get(function, [map])


def test_every_function_is_known_to_read_or_to_write(program):
    functions = {f"{name}/{arity}" for name, arity in served(program)}
    assert functions == set(READING) | set(WRITING)


@pytest.mark.parametrize("function", WRITING)
def test_a_reader_is_refused_what_writes(function, guarded):
    map = guarded.map
    start = guarded.node.mark()
    name, arity = function.split("/")
    args = arguments(function, map, None)
    assert len(args) == int(arity)
    assert ask(guarded.reader, name, *args) == EACCES
    guarded.node.wait_log(
        rf"Z warning refused {function} to reader@here <\d+\.0>: it may only read",
        start=start,
    )
    assert guarded.writer.maps("to_list", map) == [(u32(1), u64(7))]
    assert guarded.writer.maps("put", 2, 2, map) == map


@pytest.mark.parametrize("function", READING)
def test_a_reader_is_not_refused_what_reads(function, guarded):
    map = guarded.reader.maps("open", ("id", guarded.id), ["read"])
    iterator = guarded.reader.maps("iterator", map)
    name, arity = function.split("/")
    args = arguments(function, map, iterator)
    assert len(args) == int(arity)
    answer = ask(guarded.reader, name, *args)
    if function == "open/1":
        assert answer == EACCES  # it would open to write
    elif function == "open/2":
        assert answer == ("return", ("error", "enoent"))
    elif function == "peek/1":
        assert answer == ("error", "enotsup")  # of a hash
    elif function in ("top/3", "sum/2"):
        assert answer == ("error", "notype")
    else:
        assert answer[0] == "return"


def test_a_reader_reads_through_the_handle_of_a_writer_and_writes_not(guarded):
    assert ask(guarded.reader, "get", 1, guarded.map) == ("return", u64(7))
    assert ask(guarded.reader, "put", 1, 8, guarded.map) == EACCES
    assert guarded.writer.maps("get", 1, guarded.map) == u64(7)


def test_a_reader_peeks_at_a_queue_and_pops_nothing(guarded):
    queue = guarded.writer.maps("new", "queue", 0, 8, 4)
    guarded.writer.maps("push", 5, queue)
    assert ask(guarded.reader, "peek", queue) == ("return", u64(5))
    for call in (("pop", queue), ("push", 6, queue), ("take", b"", queue)):
        assert ask(guarded.reader, *call) == EACCES
    assert guarded.writer.maps("drain", queue) == [(b"", u64(5))]


@pytest.mark.parametrize("shape", ["rex", "cast", "spawn"])
def test_no_form_of_asking_gets_around_it(shape, guarded):
    reader, map = guarded.reader, guarded.map
    start = guarded.node.mark()
    if shape == "rex":
        answer = reader.rex("ebpf_maps", "put", [1, 8, map])
        assert answer[0] == "badrpc"
        assert answer[1][1][0] == "eacces"
    else:
        me, request = reader.pid(), reader.ref()
        mfa, args = {
            "cast": (("erpc", "execute_cast", 3), ["ebpf_maps", "put", [1, 8, map]]),
            "spawn": (("ebpf_maps", "put", 3), [1, 8, map]),
        }[shape]
        reader.send((dist.SPAWN_REQUEST, request, me, me, mfa, []), args)
    guarded.node.wait_log("warning refused put/3 to reader@here", start=start)
    assert guarded.writer.maps("get", 1, map) == u64(7)


# --- opening


@pytest.mark.parametrize("by", ["id", "name", "pinned"])
def test_a_reader_opens_to_read_and_only_so(by, guarded, folder):
    path = str(folder / "map").encode()
    assert guarded.writer.maps("pin", path, guarded.map) == "ok"
    what = {
        "id": ("id", guarded.id),
        "name": ("name", guarded.name),
        "pinned": ("pinned", path),
    }[by]
    for args in (
        [what],
        [what, []],
        [what, ["write"]],
        [what, ["read", "write"]],
        [what, [("flags", 16)]],
        [what, [("flags", 24)]],
        [what, ["read", ("lifetime", "permanent")]],
    ):
        assert ask(guarded.reader, "open", *args) == EACCES, args
    for options in (["read"], [("flags", 8)], ["read", ("lifetime", "process")]):
        map = guarded.reader.maps("open", what, options)
        assert guarded.reader.maps("get", 1, map) == u64(7)
        # the kernel holds whoever may write to it as well
        assert ask(guarded.writer, "put", 1, 8, map) == ("error", "eperm")
        assert guarded.reader.maps("close", map) == "ok"


# --- closing


def test_a_reader_closes_its_own_handles_and_no_others(guarded):
    reader, node = guarded.reader, guarded.node
    own = reader.maps("open", ("id", guarded.id), ["read"])
    permanent = guarded.writer.maps("new", *HASH, [("lifetime", "permanent")])
    another = guarded.connect(node, name="reader@there")
    theirs = another.maps("open", ("id", guarded.id), ["read"])
    for map in (guarded.map, permanent, theirs):
        start = node.mark()
        assert ask(reader, "close", map) == EACCES
        node.wait_log("refused close/1 to reader@here .*not its own", start=start)
        assert guarded.writer.maps("is_key", 1, map) in ("true", "false")
    assert reader.maps("close", own) == "ok"
    assert reader.maps("close", own) == ("error", "ebadf")
    assert guarded.writer.maps("close", theirs) == "ok"
    assert guarded.writer.maps("close", permanent) == "ok"


def test_a_reader_does_not_close_what_it_shares(guarded):
    """The handle of a nested map is held by all that came upon it."""
    inner = guarded.writer.maps("new", "array", 4, 4, 1)
    outer = guarded.writer.maps(
        "new", "array_of_maps", 4, 4, 1, [("inner_map", inner)]
    )
    guarded.writer.maps("put", 0, inner, outer)
    guarded.writer.maps("close", inner)
    found = guarded.reader.maps("get", 0, outer)
    assert guarded.writer.maps("get", 0, outer) == found
    assert ask(guarded.reader, "close", found) == EACCES
    assert guarded.writer.maps("put", 0, 9, found) == found
    assert ask(guarded.reader, "put", 0, 1, found) == EACCES


# --- whose names


def refused(node, connect, name):
    """What such a node may do; it is told within its handshake where nothing."""
    start = node.mark()
    try:
        peer = connect(node, name=name)
    except dist.Refused as told:
        assert told.args == (b"snot_allowed",)
        node.wait_log(r"warning refused \S+ .*--allow gives it nothing", start=start)
        return "none"
    with peer:
        kind, *rest = peer.erpc("ebpf_maps", "new", HASH)
    return "rw" if kind == "return" else "ro"


RULES = [
    (["a@h=rw"], {"a@h": "rw", "aa@h": "none", "a@hh": "none", "A@h": "none"}),
    (["a*@*=rw"], {"a@h": "rw", "abc@x.y": "rw", "ba@h": "none"}),
    (["*=ro"], {"a@h": "ro"}),
    (["*=none"], {"a@h": "none"}),
    (["a@*=ro", "*=rw"], {"a@h": "ro", "b@h": "rw"}),
    (["*=rw", "a@*=ro"], {"a@h": "rw"}),
    (["a@*=none", "*@h=rw"], {"a@h": "none", "b@h": "rw", "b@i": "none"}),
    (["[a-c]?@*=rw"], {"a1@h": "rw", "d1@h": "none", "a@h": "none"}),
    (["[!a]@*=rw"], {"a@h": "none", "b@h": "rw"}),
    ([r"a\*@*=rw"], {"a*@h": "rw", "ab@h": "none"}),
    (["[a@h=rw"], {"[a@h": "rw", "a@h": "none"}),
    (["a=b@*=rw"], {"a=b@h": "rw", "a@h": "none"}),
    (["*@a/b=rw"], {"x@a/b": "rw", "x@a/c": "none"}),
    (["*@.h=rw"], {"x@.h": "rw", ".x@.h": "rw"}),
    (["ü@*=rw"], {"ü@h": "rw", "u@h": "none"}),
    (["a@h=rw"], {"a@h\n": "none", " a@h": "none", "a@h ": "none"}),
    (["* *@*=rw"], {"a b@h": "rw", "ab@h": "none"}),
    (["a*a*a*a*a*a*a*a*a*a*b@h=rw"], {"a" * 200 + "@h": "none"}),
]


@pytest.mark.parametrize("rules, names", RULES, ids=str)
def test_the_first_pattern_that_matches_counts(rules, names, start_cnode, connect):
    node = start_cnode(*tls.ANY_NAMES, *(part for rule in rules for part in ("--allow", rule)))
    assert {name: refused(node, connect, name) for name in names} == names


@pytest.mark.parametrize("by_rule, wanted", [("rw", "ro"), ("ro", "ro"), ("none", "none")])
def test_read_only_is_at_most_to_read(by_rule, wanted, start_cnode, connect):
    node = start_cnode("--allow", f"*={by_rule}", "--read-only")
    assert refused(node, connect, "a@h") == wanted


def test_read_only_alone_is_for_everyone(start_cnode, connect):
    assert refused(start_cnode("--read-only"), connect, "a@h") == "ro"


def test_a_refused_node_takes_no_place_and_ends_nobody(start_cnode, connect, cluster):
    node = start_cnode("--allow", "a@*=rw", "--max-connections", "1")
    peer = connect(node, name="a@h")
    for _ in range(3):
        assert refused(node, connect, "b@h") == "none"
    assert peer.maps("new", *HASH)[0] == "ebpf_map"
    assert not node.find_log("notice connected b@h")


def test_an_erlang_node_that_gets_nothing_has_no_connection(
    start_cnode, start_beam, ebin
):
    node = start_cnode("--allow", "nobody@*=rw")
    beam = start_beam(paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", node.name)
    assert beam.apply("ebpf_maps", "new", *HASH) == ("error", "nodedown")
    node.wait_log(rf"warning refused .* {beam.name}: --allow gives it nothing")


CONNECT = """
Told = [nodedown_reason, {node_type, all}],
ok = net_kernel:monitor_nodes(true, Told),
Answers = [net_kernel:connect_node(N) || _ <- [1, 2, 3]],
Heard = (fun Hear() ->
    receive
        {Up, N, Info} when Up =:= nodeup; Up =:= nodedown -> [{Up, Info} | Hear()]
    after 0 -> []
    end
end)(),
ok = net_kernel:monitor_nodes(false, Told),
{Answers, Heard, lists:member(N, nodes(connected))}
"""


@pytest.mark.parametrize("rule", ["b@*=none", "x@h=rw"])
def test_an_erlang_node_that_gets_nothing_is_never_up(rule, start_cnode, start_beam):
    """The node is told no, and so are its processes; none hears of a nodeup."""
    node = start_cnode("--allow", rule)
    beam = start_beam(sname="b")
    assert beam.eval(CONNECT, N=node.name) == (["false"] * 3, [], "false")
    told = rf"warning refused .* {beam.name}: --allow gives it nothing"
    wait_until(lambda: len(node.find_log(told)) == 3)
    allowed = start_cnode("--allow", "b@*=ro")
    answers, heard, connected = beam.eval(CONNECT, N=allowed.name)
    assert (answers, connected) == (["true"] * 3, "true")
    assert [up for up, _ in heard] == ["nodeup"]


def refusals_told(node):
    numbers = node.find_log(
        r"warning (\d+) more (like the next line|of this kind) were not logged"
    )
    logged = node.find_log(r"warning refused 127\.\S+ b@h: --allow")
    return len(logged) + sum(int(match[1]) for match in numbers)


def test_what_the_log_leaves_out_is_told_though_nothing_follows(start_cnode, connect):
    node = start_cnode("--allow", "a@h=rw")
    left_out = r"more of this kind were not logged: (.*)"
    tried = 0
    while not node.find_log(left_out):  # else the next second's line told of them
        for _ in range(100):
            with pytest.raises(dist.Refused):
                connect(node, name="b@h")
        tried += 100
        assert tried <= 1000
        wait_until(lambda: refusals_told(node) == tried)
    for line in node.find_log(left_out):
        assert line[1].endswith(" b@h: --allow gives it nothing")


@pytest.mark.plain  # of TLS the node says the second word
def test_what_the_log_leaves_out_is_told_at_the_end(start_cnode, connect):
    node = start_cnode("--allow", "a@h=rw")
    with node.asleep():
        waiting = [connect(node, name="b@h", handshake=False) for _ in range(60)]
        for peer in waiting:
            peer.send_short(b"N" + struct.pack(">QIH", dist.FLAGS, 7, 3) + b"b@h")
    for peer in waiting:
        assert peer.receive_short() == b"snot_allowed"
    node.stop()
    assert refusals_told(node) == 60


def test_who_is_refused_within_its_handshake_is_counted(start_cnode, connect):
    node = start_cnode("--allow", "a@h=rw")
    for _ in range(3):
        assert refused(node, connect, "b@h") == "none"
    peer = connect(node, name="a@h")
    assert peer.maps("stats")["refused"] == 3


def test_who_may_load_may_write_and_read_only_takes_both_away(start_cnode, connect):
    rules = ["--allow", "a@h=load", "--allow", "*=ro"]
    peer = connect(start_cnode(*rules), name="a@h")
    map = peer.maps("new", *HASH)
    peer.maps("put", 1, 7, map)
    assert peer.maps("get", 1, map) == u64(7)
    peer = connect(start_cnode(*rules, "--read-only"), name="a@h")
    assert ask(peer, "new", *HASH) == EACCES


@pytest.mark.parametrize(
    "rule",
    ["", "=", "=rw", "a@b", "a@b=", "a@b=RW", "a@b=rw ", "app=rw", "rw", "a@b=rw=x", "a@b=LOAD"],
)
def test_what_is_no_rule_is_told_with_status_2(rule, program):
    done = subprocess.run(
        [program, "--allow", rule], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--allow {rule}: " in done.stderr


# --- the log, and the facade's words


def test_refusals_cannot_flood_the_log(guarded):
    start = guarded.node.mark()
    asked = [
        guarded.reader.start_erpc("ebpf_maps", "put", [1, 1, guarded.map])
        for _ in range(2000)
    ]
    for request in asked:
        assert reason(guarded.reader.finish_erpc(request)) == EACCES

    def told():
        ask(guarded.reader, "put", 1, 1, guarded.map)
        return guarded.node.find_log(r"(\d+) more (like the next line|of this kind) were not", start)

    wait_until(told)
    assert len(guarded.node.find_log("refused put/3", start)) < 500


def test_a_name_cannot_forge_a_line_of_a_refusal(start_cnode, connect):
    node = start_cnode("--read-only", *tls.ANY_NAMES)
    peer = connect(node, name="evil\nerror forged@x\x1b[2J")
    start = node.mark()
    assert ask(peer, "new", *HASH) == EACCES
    node.wait_log("refused new/4 to evil", start=start)
    assert all(line.isprintable() for line in node.lines[start:])
    assert all(re.match(r"\d{4}-", line) for line in node.lines[start:])


def test_the_facade_raises_eacces_and_says_why(start_cnode, start_beam, alice, ebin):
    beam = start_beam(paths=[ebin])
    node = start_cnode("--allow", f"{beam.sname}@*=ro", "--allow", "*=rw")
    map = alice.erpc(node.name, "new", *HASH)
    alice.erpc(node.name, "put", 1, 1, map)
    words = beam.eval(
        """
        Words = fun(F, A) ->
            try apply(ebpf_maps, F, A) of V -> {returned, V}
            catch error:eacces:S ->
                [{_, F, _, Info} | _] = S,
                #{module := M} = proplists:get_value(error_info, Info),
                #{general := Text} = M:format_error(eacces, S),
                unicode:characters_to_binary(Text)
            end
        end,
        {[Words(put, [1, 1, Map]), Words(merge, [Map, [{1, 1}]]),
          Words(update_with, [1, fun(V) -> V end, Map]),
          Words(drain, [Map]), Words(clear, [Map]), Words(take, [1, Map]),
          Words(new, [hash, 4, 4, 4, [{node, N}]])],
         Words(close, [Map]), Words(open, [{id, 1}, [{node, N}]]),
         Words(put, [{file, <<"/x">>}, 1, Map]), Words(get, [1, Map])}""",
        N=node.name,
        Map=map,
    )
    writing, close, opened, file, get = words
    for text in (*writing, file):
        assert b"may only read" in text and b"--allow" in text
    assert b"not this node's own" in close
    assert b"option read" in opened and b"--pin-root" not in opened
    assert b"--file-root" in file
    assert get == ("returned", u64(1))
