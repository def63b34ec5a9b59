# SPDX-License-Identifier: Apache-2.0
"""What one function raises and says, by its arguments and the type of its map:
the part of the table of error_words.py that is written out.
"""

from error_words import ENDED, FAILED, READ_ONLY
from error_words import case, of_any_function

ABSENT = "not present in the map"
HANDLE = (
    "this function takes a handle: open the map with open/1, and close it afterwards"
)
PRESENT = "already present in the map"
NO_INDEX = "out of range: the map's indexes are 0 to 3"
SHORT = "<<1>> has 1 byte; a key of the map has 4 bytes"
SHORT_VALUE = "<<1>> has 1 byte; a value of the map has 8 bytes"
NOTHING = "neither a binary nor an integer: hello"
IFNAME = "a map of type hash does not take {ifname, _}"
RELATIVE = 'not an absolute path: "sys/fs/bpf/x"'
PROGRESS = "not {progress, Fun} with a fun of 2 arguments"
COUNT = "not an integer from 1 to 4294967295: 0"
SIZE = "not an integer from 0 to 4294967295: "
FULL = "the map is full (max_entries is 1)"
CPUS = (
    "a list of 99 values: it must have one for each possible CPU of the C node's host"
)
DESCRIPTOR = (
    "a value of a perf_event_array is a descriptor in the C node, which callers cannot "
    "put: 1"
)
NO_PROGRAM = "not a program handle, as ebpf_programs:load/2 returns: "
MAY_NOT_PUT = (
    "it may not load programs, as putting one takes (--allow, --programs of the C node)"
)
PROGRAM = "bytes 5 to 8 are the descriptor of a program in the C node, and must be 0: "
LONG = (
    "the request or its answer would be longer than 65536 bytes, the C node's "
    "--max-message: ask for less at a time, or raise it"
)
FIXED = "entries of a map of type array cannot be removed"
KEYLESS = (
    "a queue or a stack has no keys: use push/2, pop/1, peek/1, drain/1 or clear/1"
)
GIVES = "the map has no keys: remove values with pop/1, drain/1, or take/2 of <<>>"
TAKES = "the map has no keys: add values with push/2, or put/3 under <<>>"
FILTER = "a bloom filter has no keys or entries to read: use push/2 and is_key/2"
KEYED = "the map has keys: this function is for queues, stacks and bloom filters"
SOCKET = (
    "the values of a sockmap are sockets of the C node's own process, which callers "
    "cannot name"
)
SOCKET_KEY = (
    "its keys are sockets of the C node's own process, which callers cannot name"
)
UNABLE = (
    "a map of type ringbuf has no keys or entries: eBPF programs and those that map its "
    "memory share it"
)
NO_READ = (
    "this handle cannot read: the map was created or opened with the option write, or "
    "a security module forbids it"
)
NO_WRITE = (
    "this handle cannot write: the map is frozen, was created or opened with the "
    "option read, or a security module forbids it"
)
NO_LOOK = (
    "the C node may not look through the host's maps: it lacks CAP_SYS_ADMIN, or gave "
    "it up for --no-open-by-id"
)
OPEN_TO_READ = (
    "this node may only read (--allow, --read-only of the C node): open the map with "
    "the option read, and not as permanent"
)
NOT_BELOW_ROOT = (
    "the path is not below the C node's --pin-root, or it is in the folder of its --keep"
)
NO_ROOM = (
    "the C node has no handle or descriptor left: close some maps, or raise its "
    "--max-maps, --max-maps-per-node or ulimit -n"
)
NOT_BELOW = (
    'the C node does not use the path "/etc/passwd": a file must be below its '
    "--file-root"
)
NO_CGROUP = (
    'the C node does not use the path "/etc": a cgroup must be in the cgroup file '
    "system"
)

OF_KEYS = [
    case("get(7, Hash)", "badkey", arg1=ABSENT),
    case("update(7, 1, Hash)", "badkey", arg1=ABSENT),
    case("update_with(7, fun(V) -> V end, Hash)", "badkey", arg1=ABSENT),
    case("get(4, Array)", "badkey", arg1=NO_INDEX),
    case("get(<<9:32>>, Array)", "badkey", arg1=NO_INDEX),
    case("update(9, 1, Array)", "badkey", arg1=NO_INDEX),
    case("get(0, Outer)", "badkey", arg1=ABSENT),
    case("get(9, Outer)", "badkey", arg1=NO_INDEX),
    case("insert(1, 1, Hash)", "keyexists", arg1=PRESENT),
    case("insert(1, 1, Array)", "keyexists", arg1=PRESENT),
    case("get(<<1>>, Hash)", "badarg", arg1=SHORT),
    case("get(300, Byte, none)", "badarg", arg1="300 does not fit in 1 byte"),
    case(
        "find(<<1, 2>>, Byte)",
        "badarg",
        arg1="<<1,2>> has 2 bytes; a key of the map has 1 byte",
    ),
    case("find(hello, Hash)", "badarg", arg1=NOTHING),
    case(
        "remove({pid, 1}, Hash)",
        "badarg",
        arg1="a map of type hash does not take {pid, _} as a key",
    ),
    case("take({ifname, lo}, Hash)", "badarg", arg1=IFNAME),
    case("is_key(<<1>>, Hash)", "badarg", arg1=SHORT),
    case(
        "is_key({cgroup, <<>>}, Tasks)",
        "badarg",
        arg1="not {pid, OsPid} with an integer from 1 to 2147483647: {cgroup,<<>>}",
    ),
    case(
        "get({pid, 0}, Tasks)",
        "badarg",
        arg1="not {pid, OsPid} with an integer from 1 to 2147483647: {pid,0}",
    ),
    case(
        "get({pid, 2147483648}, Tasks)",
        "badarg",
        arg1="not {pid, OsPid} with an integer from 1 to 2147483647: {pid,2147483648}",
    ),
    case("find({file, x}, Inodes)", "badarg", arg1="not an absolute path: x"),
    case(
        "find({file, 1}, Inodes)",
        "badarg",
        arg1="the path is neither a string nor a binary: 1",
    ),
    case("find(<<1:32>>, Inodes)", "badarg", arg1="not {file, Path}: <<0,0,0,1>>"),
    case(
        'find({file, "/x\\0"}, Inodes)',
        "badarg",
        arg1="the path has a zero byte: [47,120,0]",
    ),
    case(
        "find({file, binary:copy(<<$/>>, 5000)}, Inodes)",
        "badarg",
        arg1="the path has 5000 bytes, more than 4095",
    ),
    case("get({{1,2,3}, 8}, Trie)", "badarg", arg1="not an address: {1,2,3}"),
    case(
        "get({{1,2,3,4}, 33}, Trie)",
        "badarg",
        arg1="the prefix length is not an integer from 0 to 32: 33",
    ),
    case(
        "get({{0,0,0,0,0,0,0,1}, 128}, Trie)",
        "badarg",
        arg1="an IPv6 prefix needs keys of 20 bytes; those of the map have 8 bytes",
    ),
    case("get(1, Queue)", "badarg", arg1="the map has no keys: only <<>> fits"),
    case("with([1, <<1>>], Hash)", "badarg", arg1=f"element 2: {SHORT}"),
    case("with(1, Hash)", "badarg", arg1="not a list: 1"),
    case("without([<<1>>, 1], Hash)", "badarg", arg1=f"element 1: {SHORT}"),
    case("without([1 | 2], Hash)", "badarg", arg1="not a list: [1|2]"),
]

OF_VALUES = [
    case("put(<<1>>, hello, Hash)", "badarg", arg1=SHORT, arg2=NOTHING),
    case('put(1, {ifname, <<"nosuch0">>}, Hash)', "badarg", arg2=IFNAME),
    case("insert(1, <<1>>, Hash)", "badarg", arg2=SHORT_VALUE),
    case(
        "update(1, 1 bsl 64, Hash)",
        "badarg",
        arg2="18446744073709551616 does not fit in 8 bytes",
    ),
    case(
        "update_with(1, fun(_) -> <<1>> end, Hash)",
        "badarg",
        arg2="the fun returned a term that is not a value of the map",
    ),
    case("update_with(1, put, Hash)", "badarg", arg2="not a fun of 1 argument: put"),
    case(
        "is_key(<<1>>, Bloom)",
        "badarg",
        arg1="<<1>> has 1 byte; a value of the map has 4 bytes",
    ),
    case(
        "push(<<1>>, Queue)",
        "badarg",
        arg1="<<1>> has 1 byte; a value of the map has 4 bytes",
    ),
    case("put(0, lists:duplicate(99, 0), PerCpu)", "badarg", arg2=CPUS),
    case("put(0, [<<1>>], PerCpu)", "badarg", arg2=SHORT_VALUE),
    case("put(0, [0, 0, <<1>>], PerCpu)", "badarg", arg2=SHORT_VALUE),
    case("put(0, [0 | 0], PerCpu)", "badarg", arg2="not a list: [0|0]"),
    case("put(0, 1, Programs)", "badarg", arg2=f"{NO_PROGRAM}1"),
    case("put(0, {id, 1}, Programs)", "badarg", arg2=f"{NO_PROGRAM}{{id,1}}"),
    case("put(0, 1, Events)", "badarg", arg2=DESCRIPTOR),
    case("merge(Programs, [{0, 1}])", "badarg", arg2=f"element 1: {NO_PROGRAM}1"),
    case(
        "put(1, {1, {ebpf_program, 1}}, Hash)",
        "badarg",
        arg2="a map of type hash does not take {_, Program}",
    ),
    case(
        "merge(Devices, [{0, {-1, {ebpf_program, 1}}}])",
        "badarg",
        arg2=f"element 1: {SIZE}-1",
    ),
    case(
        "merge(Cpus, [{0, {{ifname, lo}, {ebpf_program, 1}}}])",
        "badarg",
        arg2="element 1: a map of type cpumap does not take {ifname, _}",
    ),
    case(
        "put(0, {ebpf_program, 1}, Programs)",
        "eacces",
        f"{READ_ONLY}; or {MAY_NOT_PUT}",
    ),
    case(
        "merge(Devices, [{0, {1, {ebpf_program, 1}}}])",
        "eacces",
        f"{READ_ONLY}; or {MAY_NOT_PUT}",
    ),
    case(
        "put(0, {ebpf_program, 1}, Callees)",
        "badprogram",
        arg2="not a program handle: {ebpf_program,1}",
    ),
    case(
        "merge(Callees, [{0, {ebpf_program, 1}}])",
        "badprogram",
        arg2="a value: not a program handle: {ebpf_program,1}",
    ),
    case(
        "put(0, <<1, 0, 0, 0, 3, 0, 0, 0>>, Devices)",
        "badarg",
        arg2=f"{PROGRAM}<<1,0,0,0,3,0,0,0>>",
    ),
    case(
        "put(0, 1 bsl 32 + 1, Cpus)",
        "badarg",
        arg2=PROGRAM.removesuffix(": "),
    ),
    case("put(0, {cgroup, etc}, Cgroups)", "badarg", arg2="not an absolute path: etc"),
    case("put(0, 1, Cgroups)", "badarg", arg2="not {cgroup, Path}: 1"),
    case(
        "put(0, 1, Outer)",
        "badarg",
        arg2="not a map handle, nor {id, Id}, {name, Name} or {pinned, Path}: 1",
    ),
    case(
        "put(0, {ifname, 1}, Devices)", "badarg", arg2="not the name of an interface: 1"
    ),
    case("put(0, Closed, Outer)", "badmap", arg2=ENDED),
    case("merge(Outer, [{0, Closed}])", "badmap", arg2=f"a value: {ENDED}"),
    case(
        "update_with(0, fun(_) -> Closed end, Holder)",
        "badmap",
        arg2=f"the result of the fun: {ENDED}",
    ),
    case("merge(Hash, [{1, 1}, {<<1>>, 1}])", "badarg", arg2=f"element 2: {SHORT}"),
    case(
        "merge(Hash, #{2 => <<1>>})", "badarg", arg2=f"under the key 2: {SHORT_VALUE}"
    ),
    case(
        "merge(Hash, [one])", "badarg", arg2="element 1: not a pair {Key, Value}: one"
    ),
    case("merge(Hash, one)", "badarg", arg2="not a list: one"),
    case(
        "merge(PerCpu, [{0, [1]}, {1, [1, 2]}])",
        "badarg",
        arg2="lists of 1 and of 2 values: each must have one for each possible CPU",
    ),
    case("merge(PerCpu, [{0, lists:duplicate(99, 0)}])", "badarg", arg2=CPUS),
]

OF_TYPES = [
    case(
        "put(1, #{a => -1, b => <<>>}, Typed)",
        "badmember",
        arg2="the member a: not an integer from 0 to 4294967295: -1",
    ),
    case("put(1, #{a => 1}, Typed)", "badmember", arg2="the member b: it is missing"),
    case("get(x, Typed)", "badmember", arg1="not an integer from 0 to 4294967295: x"),
    case(
        "merge(Typed, [{1, #{a => 1, b => <<>>}}, {2, 3}])",
        "badmember",
        arg2="element 2: the value: not an Erlang map with a, b: 3",
    ),
    case(
        "put_members(1, #{c => 1}, Typed)",
        "badkey",
        arg1=ABSENT,
    ),
    case(
        "put_members(1, #{a => 1}, Hash)",
        "notype",
        "the handle has no types: typed/2 returns one that has",
    ),
    case(
        "top(65537, a, Typed)",
        "badarg",
        arg1="not an integer from 0 to 65536: 65537",
    ),
    case(
        "top(3, 1.5, Typed)",
        "badarg",
        arg2="neither the name of a member nor a path of names and indexes: 1.5",
    ),
    case(
        "sum([a, -1], Typed)",
        "badarg",
        arg1="neither the name of a member nor an index: -1",
    ),
    case("top(3, c, Typed)", "badmember", arg2="there is no member c"),
    case("sum([a, 3], Typed)", "badmember", arg1="there is no member a[3]"),
    case("sum([b], Typed)", "badmember", arg1="the member b is no number: {char,4}"),
    case("top(3, [], Typed)", "badmember", arg2="the value is no number: give one of its members"),
    case("sum(a, Hash)", "notype", "the handle has no types: typed/2 returns one that has"),
    case(
        "top(3, [], ebpf_maps:new(percpu_hash, u32, u64, 4, On(UsualNode)))",
        "unfolded",
        arg3=(
            "the map has a value for each CPU, and one number is wanted: typed(Map, "
            "[{percpu, sum}]) returns a handle that adds them up; max and min are the other ways"
        ),
    ),
    case("new(hash, u7, u32, 1)", "badarg", arg2="the layout: there is no type u7"),
    case(
        "typed(Hash, [{types, {u32, u32}}])",
        "badarg",
        arg2=(
            "the option types: the value's layout has 4 bytes; a value of the map has "
            "8 bytes"
        ),
    ),
    case("typed(Hash, fast)", "badarg", arg2="not a list of options: fast"),
    case("typed({id, 1}, [])", "badarg", arg1=HANDLE),
    case("table(Hash, [fast])", "badarg", arg2="there is no option fast"),
    case("i({error, einval})", "badmap", arg1=FAILED),
    case("i(Closed)", "badmap", arg1=ENDED),
]

OF_OTHER_ARGUMENTS = [
    case(
        "put(Hash, 1, 1)",
        "badmap",
        arg3=(
            "not a map handle: 1; argument 1 is one: call put(Key, Value, Map)"
        ),
    ),
    case(
        "merge([{1, 1}], Hash)",
        "badmap",
        arg1=(
            "not a map handle: [{1,1}]; argument 2 is one: call merge(Map, Pairs)"
        ),
    ),
    case(
        "is_key(Hash, 1)",
        "badmap",
        arg2=(
            "not a map handle: 1; argument 1 is one: call is_key(Key, Map)"
        ),
    ),
    case(
        "next_chunk(Hash, start, 1)",
        "badmap",
        arg2=(
            "not a map handle: start; argument 1 is one: call "
            "next_chunk(Cursor, Map, MaxEntries)"
        ),
    ),
    case(
        "get(1, {ebpf_map, make_ref(), hash, 4, 8, 4})",
        "badmap",
        arg2="not a live map: this node created its reference, not a C node",
    ),
    case("fold(1, 0, Hash)", "badarg", arg1="not a fun of 3 arguments: 1"),
    case("retry(soon, fun() -> ok end)", "badarg", arg1=f"{SIZE}soon"),
    case("retry(1, soon)", "badarg", arg2="not a fun of 0 arguments: soon"),
    case("foreach(self, Hash)", "badarg", arg1="not a fun of 2 arguments: self"),
    case("fold(1, 0, Hash, [])", "badarg", arg1="not a fun of 3 arguments: 1"),
    case("merge(Hash, [], fast)", "badarg", arg3="not a list of options: fast"),
    case("to_list(Hash, [fast])", "badarg", arg2=f"{PROGRESS}: fast"),
    case(
        "fold(fun(_, _, A) -> A end, 0, Hash, [{progress, bar}])",
        "badarg",
        arg4=f"{PROGRESS}: {{progress,bar}}",
    ),
    case("drain(Hash, [{prefetch, 2}])", "badarg", arg2=f"{PROGRESS}: {{prefetch,2}}"),
    case(
        "iterator(Hash, [{prefetch, 0}])",
        "badarg",
        arg2="not {prefetch, N} with an integer from 1 to 4294967295: {prefetch,0}",
    ),
    case("iterator(Hash, 1)", "badarg", arg2="not a list of options: 1"),
    case("next({hash, 1})", "badarg", arg1="not an iterator: {hash,1}"),
    case(
        "next({ebpf_iterator, Hash, <<1>>, [], 1})",
        "badarg",
        arg1=(
            "not a valid iterator: its cursor or its pending entries are not of its map"
        ),
    ),
    case(
        "next_chunk(begin_, Hash, 1)",
        "badarg",
        arg1="neither start nor a cursor: begin_",
    ),
    case("next_chunk(<<1>>, Hash, 0)", "badarg", arg3=COUNT),
    case(
        "next_chunk(<<1>>, Hash, 1)",
        "badarg",
        arg1="not a cursor that next_chunk/3 returned for this map: <<1>>",
    ),
    case(
        "drain_chunk(<<1>>, Hash, 1)",
        "badarg",
        arg1="not a cursor that drain_chunk/3 returned for this map: <<1>>",
    ),
    case(
        "drain_chunk(<<1>>, Queue, 1)",
        "badarg",
        arg1="a map without keys is always drained from start, not from <<1>>",
    ),
    case('pin("sys/fs/bpf/x", Hash)', "badarg", arg1=RELATIVE),
    case("pin(1, Hash)", "badarg", arg1="neither a string nor a binary: 1"),
    case('unpin("sys/fs/bpf/x", Hash)', "badarg", arg1=RELATIVE),
    case('open({pinned, "sys/fs/bpf/x"})', "badarg", arg1=RELATIVE),
    case(
        "open({id, -1})",
        "badarg",
        arg1="the id is not an integer from 0 to 4294967295: -1",
    ),
    case("open({name, 1})", "badarg", arg1="neither a string nor a binary: 1"),
    case(
        "open(hash)",
        "badarg",
        arg1="not {id, Id}, {pinned, Path} or {name, Name}: hash",
    ),
    case(
        "open({id, 1}, [read, {name, x}, no_prealloc])",
        "badarg",
        arg2=(
            "only new/5 takes the option {name,x}; only new/5 takes the option "
            "no_prealloc"
        ),
    ),
    case(
        "open({id, 1}, [{lifetime, long}])",
        "badarg",
        arg2="the option lifetime: not node, process or permanent: long",
    ),
    case("open({id, 1}, read)", "badarg", arg2="not a list of options: read"),
    case(
        "new(nope, 4, 4, 1)",
        "badarg",
        arg1="the C node's libbpf knows no map type nope",
    ),
    case(
        'new("hash", 4, 4, 1)',
        "badarg",
        arg1='not an atom that names a map type: "hash"',
    ),
    case("check(hash, -1, 4, x)", "badarg", arg2=f"{SIZE}-1", arg4=f"{SIZE}x"),
    case(
        "check(array_of_maps, 4, 4, 1, [{inner_map, Closed}])",
        "badmap",
        arg5=f"the option inner_map: {ENDED}",
    ),
    case("new(hash, -1, 4, x)", "badarg", arg2=f"{SIZE}-1", arg4=f"{SIZE}x"),
    case("new(hash, 4, 1 bsl 32, 1, [])", "badarg", arg3=f"{SIZE}4294967296"),
    case(
        "new(hash, 4, 4, 1, [read, {name, x}, prealloc, {flags, -1}])",
        "badarg",
        arg5=f"there is no option prealloc; the option flags: {SIZE}-1",
    ),
    case(
        "new(hash, 4, 4, 1, [{node, nowhere}])",
        "badarg",
        arg5="the option node: not the name of a node: nowhere",
    ),
    case(
        "new(hash, 4, 4, 1, [{map_extra, x}])",
        "badarg",
        arg5="the option map_extra: not an integer from 0 to 2^64-1: x",
    ),
    case(
        "new(hash, 4, 4, 1, [{name, 1}])",
        "badarg",
        arg5="the option name: neither a string nor a binary: 1",
    ),
    case(
        "new(array_of_maps, 4, 4, 1, [{inner_map, 1}])",
        "badmap",
        arg5="the option inner_map: not a map handle: 1",
    ),
    case(
        "new(array_of_maps, 4, 4, 1, [{inner_map, Closed}])",
        "badmap",
        arg5=f"the option inner_map: {ENDED}",
    ),
]

NO_ID = "there is no map with this id"
NO_PATH = "there is nothing at this path"

OF_LOCATORS = [
    case("get(1, {id, 4294967295})", "enoent", arg2=NO_ID),
    case('put(1, 1, {pinned, "/x"})', "enoent", arg3=NO_PATH),
    case('to_list({pinned, "/x"})', "enoent", arg1=NO_PATH),
    case(
        "put({id, 4294967295}, 1, Hash)",
        "badarg",
        arg1="neither a binary nor an integer: {id,4294967295}",
    ),
    case("put(0, {id, 4294967295}, Outer)", "enoent", arg2=f"a value: {NO_ID}"),
    case("merge(Outer, [{0, {id, 4294967295}}])", "enoent", arg2=f"a value: {NO_ID}"),
    case(
        "new(array_of_maps, 4, 4, 1, [{inner_map, {id, 4294967295}}])",
        "enoent",
        arg5=f"the option inner_map: {NO_ID}",
    ),
    case("close({id, 1})", "badarg", arg1=HANDLE),
    case("next_chunk(start, {id, 1}, 0)", "badarg", arg2=HANDLE, arg3=COUNT),
    case(
        "find(1, {id, x})",
        "badarg",
        arg2="the id is not an integer from 0 to 4294967295: x",
    ),
    case("size({pinned, x})", "badarg", arg1="not an absolute path: x"),
    case("info({name, 1})", "badarg", arg1="neither a string nor a binary: 1"),
]

OF_THE_KERNEL = [
    case("put(2, 1, Full)", "e2big", FULL),
    case("put(9, 1, Array)", "e2big", arg1=NO_INDEX),
    case(
        "put(9, 1, PerCpu)", "e2big", arg1="out of range: the map's indexes are 0 to 1"
    ),
    case("push(2, Queue)", "e2big", FULL),
    case("put({{11,0,0,0}, 8}, 1, Trie)", "enospc", FULL),
    case(
        "merge(Full, [{1, 1}, {2, 2}])",
        "e2big",
        f"1 pair was put; the key 2 failed: {FULL}",
    ),
    case(
        "merge(Full, [{1, 1}, {2, 2}], [])",
        "e2big",
        f"1 pair was put; the key 2 failed: {FULL}",
    ),
    case("remove(1, Array)", "einval", FIXED),
    case("take(1, Array)", "einval", FIXED),
    case("without([1], Array)", "einval", FIXED),
    case("clear(Array)", "einval", FIXED),
    case("drain(Array)", "einval", FIXED),
    case("drain_chunk(start, Array, 1)", "einval", FIXED),
    case("remove(<<>>, Queue)", "einval", GIVES),
    case("update(<<>>, 1, Stack)", "einval", TAKES),
    case(
        "put(<<99, 0, 0, 0, 1, 2, 3, 4>>, 1, Trie)",
        "einval",
        arg1="the prefix is longer than 32 bits",
    ),
    case(
        "close(Guarded)",
        "eacces",
        f"the handle is not this node's own, and {READ_ONLY}",
    ),
    case("new(hash, 4, 4, 4, On(GuardedNode))", "eacces", READ_ONLY),
    case("open({id, 1}, On(GuardedNode))", "eacces", OPEN_TO_READ),
    case(
        'open({pinned, "/x"}, On(GuardedNode))',
        "eacces",
        f"{NOT_BELOW_ROOT}; or {OPEN_TO_READ}",
    ),
    case('pin("/x", Guarded)', "eacces", f"{NOT_BELOW_ROOT}; or {READ_ONLY}"),
    case('unpin("/x", Guarded)', "eacces", f"{NOT_BELOW_ROOT}; or {READ_ONLY}"),
    case("get(0, Many)", "emfile", NO_ROOM),
    case(
        "put(0, 99999, Devices)",
        "einval",
        arg2="the C node's host has no network interface with this index",
    ),
    case(
        "put(0, Hash, Outer)",
        "einval",
        arg2="its type or sizes are not those of this map's inner_map",
    ),
    case(
        "put(0, {ifname, nosuch0}, Devices)",
        "enodev",
        "the C node's host has no network interface nosuch0",
    ),
    case('get({file, "/etc/passwd"}, Inodes)', "eacces", NOT_BELOW),
    case(
        'put({file, "/etc/passwd"}, 1, Inodes)',
        "eacces",
        f"{NOT_BELOW}; or {READ_ONLY}",
    ),
    case('put(0, {cgroup, "/etc"}, Cgroups)', "eacces", f"{NO_CGROUP}; or {READ_ONLY}"),
    case(
        'put(0, {cgroup, "/sys/fs/cgroup/nosuch"}, Cgroups)',
        "enoent",
        "the C node's host has no cgroup \"/sys/fs/cgroup/nosuch\"",
    ),
    case(
        "put({pid, 2147483647}, 1, Tasks)",
        "esrch",
        "the C node's host has no process 2147483647",
    ),
    case("size(Queue)", "enotsup", KEYLESS),
    case("keys(Stack)", "enotsup", KEYLESS),
    case("to_list(Bloom)", "enotsup", FILTER),
    case("pop(Bloom)", "enotsup", FILTER),
    case("drain(Bloom)", "enotsup", FILTER),
    case("push(1, Hash)", "enotsup", KEYED),
    case("pop(Hash)", "enotsup", KEYED),
    case("peek(Hash)", "enotsup", KEYED),
    case("put(0, 1, Sockets)", "enotsup", SOCKET),
    case("insert(0, 1, Sockets)", "enotsup", SOCKET),
    case("put(<<>>, <<>>, Ring)", "enotsup", UNABLE),
    case("get(1, SkStorage)", "enotsup", SOCKET_KEY),
    case("put(1, 1, SkStorage)", "enotsup", SOCKET_KEY),
    case("get(0, WriteOnly)", "eperm", NO_READ),
    case("size(WriteOnly)", "eperm", NO_READ),
    case("put(0, 1, Frozen)", "eperm", NO_WRITE),
    case("remove(0, ReadOnly)", "eperm", NO_WRITE),
    case(
        "take(0, ReadOnly)",
        "eperm",
        f"{NO_WRITE}; or it can only write, and this function also reads",
    ),
    case("list(BlindNode)", "eperm", NO_LOOK),
    case("i(BlindNode)", "eperm", NO_LOOK),
    case(
        "open({id, 1}, On(BlindNode))",
        "eperm",
        f"{NO_LOOK}; or a security module refuses the map",
    ),
    case("with([1, 2, 3, 4, 5], Wide)", "too_big", LONG),
    case("get(0, Huge)", "too_big", LONG),
    case("to_list(Huge)", "too_big", LONG),
    case("put(0, <<0:1600000>>, Huge)", "too_big", LONG),
    case("values(Huge)", "too_big", LONG),
]


def cases():
    return [
        *of_any_function(),
        *OF_KEYS,
        *OF_VALUES,
        *OF_TYPES,
        *OF_OTHER_ARGUMENTS,
        *OF_LOCATORS,
        *OF_THE_KERNEL,
    ]
