# SPDX-License-Identifier: Apache-2.0
"""A table of what the facade raises and says: each function by each reason.

A case is a call as one types it, the reason that it raises, and the words for
it by the number of the argument that they are of, 0 for none.  Names that begin
with a capital letter are maps and nodes of world(); those with a $ stand for the
names of nodes in the words.
"""

import re
from dataclasses import dataclass
from string import Template

# --- the maps that calls are made on

MAPS = {
    "Hash": "new(hash, 4, 8, 4, On(UsualNode))",
    "Byte": "new(hash, 1, 1, 1, On(UsualNode))",
    "Full": "new(hash, 4, 8, 1, On(UsualNode))",
    "Array": "new(array, 4, 8, 4, On(UsualNode))",
    "PerCpu": "new(percpu_array, 4, 8, 2, On(UsualNode))",
    "Queue": "new(queue, 0, 4, 1, On(UsualNode))",
    "Stack": "new(stack, 0, 4, 2, On(UsualNode))",
    "Bloom": "new(bloom_filter, 0, 4, 4, On(UsualNode))",
    "Trie": "new(lpm_trie, 8, 4, 1, [no_prealloc | On(UsualNode)])",
    "Programs": "new(prog_array, 4, 4, 2, On(UsualNode))",
    "Events": "new(perf_event_array, 4, 4, 2, On(UsualNode))",
    "Callees": "new(prog_array, 4, 4, 2, On(LoadingNode))",
    "Devices": "new(devmap, 4, 8, 2, On(UsualNode))",
    "Cpus": "new(cpumap, 4, 8, 1, On(UsualNode))",
    "Cgroups": "new(cgroup_array, 4, 4, 2, On(UsualNode))",
    "Tasks": "new(task_storage, 4, 8, 0, [no_prealloc | On(UsualNode)])",
    "Inodes": "new(inode_storage, 4, 8, 0, [no_prealloc | On(UsualNode)])",
    "Sockets": "new(sockmap, 4, 4, 2, On(UsualNode))",
    "SkStorage": "new(sk_storage, 4, 8, 0, [no_prealloc | On(UsualNode)])",
    "Ring": "new(ringbuf, 0, 0, 65536, On(UsualNode))",
    "Outer": "new(array_of_maps, 4, 4, 4, [{inner_map, Array} | On(UsualNode)])",
    "Frozen": "new(array, 4, 4, 2, On(UsualNode))",
    "WriteOnly": "new(hash, 4, 4, 2, [write | On(UsualNode)])",
    "ReadOnly": "new(hash, 4, 4, 2, [read | On(UsualNode)])",
    "Holder": "new(array_of_maps, 4, 4, 1, [{inner_map, Array} | On(UsualNode)])",
    "Typed": "new(hash, u32, {struct, 8, [{a, 0, u32}, {b, 32, {char, 4}}]}, 4, On(UsualNode))",
    "Closed": "new(hash, 4, 8, 4, On(UsualNode))",
    "Gone": "new(hash, 4, 8, 4, On(GoneNode))",
    "Slow": "new(hash, 4, 8, 4, On(SlowNode))",
    "Guarded": "OfAlice(new, [hash, 4, 8, 4])",
    "Foreign": "{ebpf_map, erpc:call(AliceNode, erlang, make_ref, []), hash, 4, 8, 4}",
    "Some": "new(array, 4, 4, 1, On(TightNode))",
    "Many": "new(array_of_maps, 4, 4, 1, [{inner_map, Some} | On(TightNode)])",
    "Wide": "new(hash, 4, 20000, 8, On(TightNode))",
    "Huge": "new(array, 4, 200000, 8, On(TightNode))",
}

FILLED = """
    ebpf_maps:put(1, 1, Full),
    ebpf_maps:push(1, Queue),
    ebpf_maps:put({{10,0,0,0}, 8}, 1, Trie),
    ebpf_maps:put(1, 1, Hash),
    ebpf_maps:put(0, Array, Holder),
    OfAlice(put, [1, 1, Guarded]),
    ebpf_maps:merge(Wide, [{K, K} || K <- [1, 2, 3, 4, 5]]),
    ebpf_maps:put(0, Some, Many),
    ebpf_maps:close(Some),
    ebpf_maps:new(array, 4, 4, 1, On(TightNode)),
    ebpf_maps:freeze(Frozen),
    ebpf_maps:close(Closed)
"""


def world():
    """An expression: the maps, by their names, in the order of MAPS."""
    lines = [
        "On = fun(N) -> [{node, N}] end",
        "OfAlice = fun(F, A) ->"
        " erpc:call(AliceNode, erpc, call, [GuardedNode, ebpf_maps, F, A]) end",
    ]
    for name, made in MAPS.items():
        if made.startswith("new("):
            made = f"ebpf_maps:{made}"
        lines.append(f"{name} = {made}")
    return ",\n".join([*lines, FILLED, f"{{{', '.join(MAPS)}}}"])


@dataclass
class Case:
    call: str
    reason: str  # or what it begins with
    words: dict
    module: str = "ebpf_maps"

    def __str__(self):
        return f"{self.call} raises {self.reason}"


# --- of any function, by the state of the C node and by what is no map

ON_A_MAP = [
    *("close($M)", "fd($M)", "type($M)", "info($M)", "freeze($M)"),
    *('pin("/sys/fs/bpf/x", $M)', 'unpin("/sys/fs/bpf/x", $M)'),
    *("get(1, $M)", "get(1, $M, none)", "find(1, $M)", "is_key(1, $M)"),
    *("put(1, 1, $M)", "insert(1, 1, $M)", "update(1, 1, $M)"),
    *("update_with(1, fun(V) -> V end, $M)", "remove(1, $M)", "take(1, $M)"),
    *("push(1, $M)", "pop($M)", "peek($M)", "with([1], $M)", "without([1], $M)"),
    *("merge($M, [{1, 1}])", "size($M)", "keys($M)", "values($M)", "to_list($M)"),
    *("fold(fun(_, _, A) -> A end, 0, $M)", "foreach(fun(_, _) -> ok end, $M)"),
    *("clear($M)", "drain($M)", "iterator($M)", "iterator($M, [{prefetch, 2}])"),
    *("next_chunk(start, $M, 2)", "drain_chunk(start, $M, 2)"),
    *("merge($M, [{1, 1}], [])", "to_list($M, [])", "drain($M, [])"),
    "fold(fun(_, _, A) -> A end, 0, $M, [])",
    *("typed($M, [])", "types($M)", "table($M)", "table($M, [])"),
    "put_members(1, #{a => 1}, $M)",
    *("top(3, [], $M)", "sum([], $M)"),
    "next({ebpf_iterator, $M, start, [], 1})",
]
WRITING = (
    *("freeze", "put", "insert", "update", "update_with", "remove", "take", "push"),
    *("pop", "without", "merge", "clear", "drain", "drain_chunk"),
)
OF_A_NODE = ["list($M)", "handles($M)", "stats($M)", "features($M)", "host($M)", "i($M)"]
MAKING = ["new(hash, 4, 4, 4, $M)", "check(hash, 4, 4, 4, $M)", "open({id, 1}, $M)"]
ASKING = ["list()", "handles()", "stats()", "features()", "host()", "i()", "new(hash, 4, 4, 4)"]
ASKING += ["check(hash, 4, 4, 4)", "open({id, 1})"]
SINCE = {"check": "0.2.0", "features": "0.2.0"}
SINCE |= {name: "0.4.0" for name in ("typed", "types", "put_members", "top", "sum", "host")}

DOWN = (
    "no connection to $gone: check that ebpf_cnode runs there under this name, with "
    "the same cookie, and that both speak TLS or neither does; its log says whom it "
    "refuses; if the connection was lost during the call, the operation may have been "
    "carried out"
)
LATE = (
    "no answer from $slow in time; the operation may have been carried out, or may "
    "still be"
)
READ_ONLY = "this node may only read: see --allow and --read-only of the C node"
ENDED = "not a live map: it was closed, its owner has gone, or $usual has restarted without --keep"
FAILED = "not a map handle but {error,einval}, as a failed new or open returns"
NO_NODE = (
    "the variable node of the application ebpf_cnode is not the name of another node, "
    "such as ebpf@host: nowhere"
)


def name_of(call):
    return call.split("(", 1)[0]


def function_of(call):
    """Its name and its arity."""
    depth, arity = 0, 1
    for c in re.sub("<<.*?>>", "", call.split("(", 1)[1]):
        arity += c == "," and depth == 0
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(c, 0)
    return name_of(call), 0 if call.endswith("()") else arity


def place(call):
    """The number of the argument that is the map."""
    two = ("pin", "unpin", "get", "find", "is_key", "remove", "take", "push", "with")
    two += ("without", "sum", "foreach", "next_chunk", "drain_chunk")
    if name_of(call) in ("put", "insert", "update", "update_with", "put_members", "fold", "top"):
        return 3
    return 2 if name_of(call) in two else 1


def unserved(call):
    name, arity = function_of(call)
    text = f"$alice does not serve ebpf_maps:{name}/{arity}, "
    text += "or a function that it needs"
    if since := SINCE.get(name):
        text += f": that came with version {since}, and the node is older than 0.2.0"
    return text


def case(call, reason, *general, **words):
    """case("get(7, Hash)", "badkey", arg1="not present in the map")"""
    numbered = {int(name.removeprefix("arg")): text for name, text in words.items()}
    return Case(call, reason, dict(enumerate(general)) | numbered)


def on(map, call):
    return Template(call).substitute(M=map)


def of_no_map():
    for call in ON_A_MAP:
        if name_of(call) == "next":
            no_iterator = {"arg1": "not an iterator: its map is not a handle: nothing"}
            yield case(on("nothing", call), "badarg", **no_iterator)
            ended = {"arg1": f"the iterator's map is {ENDED}"}
            yield case(on("Closed", call), "badmap", **ended)
            continue
        n = f"arg{place(call)}"
        yield case(on("{error, einval}", call), "badmap", **{n: FAILED})
        yield case(on("nothing", call), "badmap", **{n: "not a map handle: nothing"})
        if name_of(call) != "close":
            yield case(on("Closed", call), "badmap", **{n: ENDED})
    yield case("node(nothing)", "badmap", arg1="not a map handle: nothing")


def of_any_function():
    yield from of_no_map()
    for call in ON_A_MAP:
        yield case(on("Gone", call), "nodedown", DOWN)
        yield case(on("Slow", call), "timeout", LATE)
        yield case(on("Foreign", call), "undef", unserved(call))
        if name_of(call) in WRITING:
            yield case(on("Guarded", call), "eacces", READ_ONLY)
    for call in OF_A_NODE:
        yield case(on("GoneNode", call), "nodedown", DOWN)
        yield case(on("SlowNode", call), "timeout", LATE)
        yield case(on("AliceNode", call), "undef", unserved(call))
        no_name = "not the name of a node: nowhere"
        yield case(on("nowhere", call), "badarg", arg1=no_name)
    for call in MAKING:
        yield case(on("On(AliceNode)", call), "undef", unserved(call))
    for call in ASKING:
        yield case(call, "badenv", NO_NODE)
