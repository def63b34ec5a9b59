# SPDX-License-Identifier: Apache-2.0
"""A table of what the facade of programs raises and says: see error_words.py.

Names that begin with a capital letter are those of world(): handles, and nodes.
"""

from string import Template

from error_words import DOWN, LATE, Case, function_of, name_of

# --- what calls are made on

HANDLES = {
    "Gone": "Of(program, GoneNode)",
    "Slow": "Of(program, SlowNode)",
    "Plain": "Of(program, PlainNode)",
    "Weak": "Of(program, WeakNode)",
    "Foreign": "{ebpf_program, OfAlice(), xdp, <<>>}",
    "Closed": "Of(program, UsualNode)",
    "GoneLink": "Of(link, GoneNode)",
    "SlowLink": "Of(link, SlowNode)",
    "PlainLink": "Of(link, PlainNode)",
    "WeakLink": "Of(link, WeakNode)",
    "ForeignLink": "{ebpf_link, OfAlice(), xdp, none}",
    "ClosedLink": "Of(link, UsualNode)",
}

OURS = "{ebpf_program, make_ref(), xdp, <<>>}"

# The reference of a map is no program's, but its C node is asked.
WORLD = """
    On = fun(N) -> [{node, N}] end,
    OfAlice = fun() -> erpc:call(AliceNode, erlang, make_ref, []) end,
    Of = fun(Kind, N) ->
        Ref = element(2, ebpf_maps:new(hash, 4, 4, 1, On(N))),
        case Kind of
            program -> {ebpf_program, Ref, xdp, <<"pass">>};
            link -> {ebpf_link, Ref, xdp, none}
        end
    end,
    File = "/proc/self/environ"
"""


def world():
    """An expression: the handles, by their names."""
    lines = [f"{name} = {made}" for name, made in HANDLES.items()]
    return ",\n".join([WORLD, *lines, "ok"])


def case(call, reason, *general, **words):
    numbered = {int(name.removeprefix("arg")): text for name, text in words.items()}
    return Case(call, reason, dict(enumerate(general)) | numbered, "ebpf_programs")


def on(handle, call):
    return Template(call).substitute(P=handle, L=f"{handle}Link")


# --- of any function, by the state of the C node and by what is no handle

ON_A_PROGRAM = [
    *("attach($P, auto)", "attach($P, auto, [])", "run($P, #{}, [])", "count($P)"),
    *("type($P)", "info($P)"),
    *('pin("/sys/fs/bpf/x", $P)', 'unpin("/sys/fs/bpf/x", $P)'),
]
ON_A_LINK = ["detach($L)", "update($L, $P)"]
ON_ALL = [
    "attach_all(#{programs => #{<<\"pass\">> => $P}})",
    "attach_all(#{programs => #{<<\"pass\">> => $P}}, [{lifetime, process}])",
]
OF_A_NODE = ["list($P)", "links($P)", "handles($P)"]
MAKING = [
    "load(<<>>, $O)",
    "load(xdp, <<0:64>>, $O)",
    "load_file(File, $O)",
    "with_program(<<>>, $O, fun(_) -> ok end)",
    "open({id, 1}, $O)",
]
ASKING = [
    *("list()", "links()", "handles()", "open({id, 1})"),
    *(call.replace("$O", "[]") for call in MAKING),
]
LOADING = ("load", "load_file", "with_program")
TYPED = LOADING + ("attach", "attach_all", "update", "run")

NO_PROGRAMS = "the C node runs without --programs"
NO_LOAD = "this node may not load programs: --allow of the C node must give it load"
NO_TYPE = "--programs of the C node does not name the type of the program"
ONLY_READ = "this node may only read: see --allow and --read-only of the C node"
OUTSIDE = "the path is not below the C node's --pin-root, or it is in the folder of its --keep"
ENDED = "not a live program: it was closed, its owner has gone, or $usual has restarted without --keep"
LINK_ENDED = (
    "not a live link: it was closed or detached, its owner has gone, or $usual has "
    "restarted"
)
NO_NODE = (
    "the variable node of the application ebpf_cnode is not the name of another node, "
    "such as ebpf@host: nowhere"
)


def refused(call):
    """Why a node may not call this, whatever the cause is."""
    name = name_of(call)
    if name == "count":
        causes = [ONLY_READ]
    elif name in ("list", "links", "handles", "info", "type", "close"):
        causes = []
    else:
        causes = [OUTSIDE] if name in ("pin", "unpin") else []
        causes += [NO_LOAD] + [NO_TYPE] * (name in TYPED)
    return "; or ".join([*causes, NO_PROGRAMS])


def unserved(call):
    name, arity = function_of(call)
    return (
        f"$alice does not serve ebpf_programs:{name}/{arity}, or a function that it "
        "needs: that came with version 0.3.0, and the node is older than 0.2.0"
    )


def place(call):
    return 2 if name_of(call) in ("pin", "unpin") else 1


def of_no_handle():
    for call in ON_A_PROGRAM:
        n = f"arg{place(call)}"
        no_program = "not a program handle: nothing"
        yield case(on("nothing", call), "badprogram", **{n: no_program})
        yield case(on("Closed", call), "badprogram", **{n: ENDED})
        ours = "not a live program: this node created its reference, not a C node"
        yield case(on(OURS, call), "badprogram", **{n: ours})
    for call in ON_A_LINK:
        no_link = "not a link handle: nothing"
        call = call.replace("$P", "Closed")
        yield case(call.replace("$L", "nothing"), "badlink", arg1=no_link)
        yield case(on("Closed", call), "badlink", arg1=LINK_ENDED)
    a_link = "a link, where a program belongs: {ebpf_link,"
    yield case("attach({ebpf_link, make_ref()}, auto)", "badprogram", arg1=a_link)
    a_program = "a program, where a link belongs: {ebpf_program,"
    yield case("detach({ebpf_program, make_ref()})", "badlink", arg1=a_program)
    yield case("info(ClosedLink)", "badlink", arg1=LINK_ENDED)
    yield case("close(nothing)", "badprogram", arg1="not a program handle: nothing")
    failed = "not a program handle but {error,einval}, as a failed load or open returns"
    yield case("attach({error, einval}, auto)", "badprogram", arg1=failed)
    failed = "not a link handle but {error,einval}, as a failed attach or open returns"
    yield case("detach({error, einval})", "badlink", arg1=failed)
    loaded = (
        "not a program handle but a map, as load/2 returns, where programs are under "
        "their names"
    )
    yield case("attach(#{}, auto)", "badprogram", arg1=loaded)
    for call in ON_ALL:
        yield case(on("Closed", call), "badprogram", arg1=f"the program pass: {ENDED}")


def of_any_function():
    yield from of_no_handle()
    for call in [*ON_A_PROGRAM, *ON_A_LINK, *ON_ALL, "close($P)"]:
        yield case(on("Gone", call), "nodedown", DOWN)
        yield case(on("Slow", call), "timeout", LATE)
        yield case(on("Foreign", call), "undef", unserved(call))
        if name_of(call) != "close":
            yield case(on("Plain", call), "eacces", refused(call))
    for call in [*ON_A_PROGRAM, *ON_A_LINK, *ON_ALL]:
        if name_of(call) not in ("count", "type", "info"):
            yield case(on("Weak", call), "eacces", refused(call))
    for call in OF_A_NODE:
        yield case(on("GoneNode", call), "nodedown", DOWN)
        yield case(on("SlowNode", call), "timeout", LATE)
        yield case(on("AliceNode", call), "undef", unserved(call))
        yield case(on("PlainNode", call), "eacces", refused(call))
        no_name = "not the name of a node: nowhere"
        yield case(on("nowhere", call), "badarg", arg1=no_name)
    for call in MAKING:
        yield case(call.replace("$O", "On(AliceNode)"), "undef", unserved(call))
        yield case(call.replace("$O", "On(PlainNode)"), "eacces", refused(call))
        yield case(call.replace("$O", "On(WeakNode)"), "eacces", refused(call))
        no_name = "the option node: not the name of a node: nowhere"
        n = "arg3" if call.startswith("load(xdp") else "arg2"
        yield case(call.replace("$O", "On(nowhere)"), "badarg", **{n: no_name})
    for call in ASKING:
        yield case(call, "badenv", NO_NODE)


# --- of one function, by its arguments

NO_OBJECT = (
    "not a binary, the content of an object file: \"count.o\"; load_file/2 takes the "
    "name of a file"
)
RELATIVE = 'not an absolute path: "sys/fs/bpf/x"'
FUN = "not a fun of 1 argument: now"

OF_ARGUMENTS = [
    case('load("count.o", On(nowhere))', "badarg", arg1=NO_OBJECT,
         arg2="the option node: not the name of a node: nowhere"),
    case("with_program(<<>>, [], now)", "badarg", arg3=FUN),
    case("load_file({a, file}, [])", "badarg", arg1="not the name of a file: {a,file}"),
    case("attach_all(nothing)", "badarg", arg1="not what load/2 returns of an object: nothing"),
    case("attach_all({error, eperm})", "badarg",
         arg1="not what load/2 returns of an object, but {error,eperm}"),
    case("attach_all(nothing, fast)", "badarg",
         arg1="not what load/2 returns of an object: nothing",
         arg2="not a list of options: fast"),
    case("verifier(nothing)", "badarg",
         arg1="neither {error, {rejected, Posix, Program, Log}} nor a log, which is a "
              "binary: nothing"),
    case("open(nothing, On(UsualNode))", "badarg",
         arg1="not {id, Id}, {link, Id}, {pinned, Path} or {name, Name}: nothing"),
    case("open({link, -1}, On(UsualNode))", "badarg",
         arg1="not an integer from 0 to 4294967295: -1"),
    case('open({pinned, "sys/fs/bpf/x"}, On(UsualNode))', "badarg", arg1=RELATIVE),
    case("open({id, 1}, [{log, 1} | On(UsualNode)])", "badarg",
         arg2="there is no option {log,1}"),
    case("open({id, 1}, [{lifetime, long} | On(UsualNode)])", "badarg",
         arg2="the option lifetime: not node, process or permanent: long"),
]

# Those of badarg as the facade sees them: (function, arguments, words by number)
FAULTS = [
    ("load", "<<>>, nothing", {2: "not a list of options: nothing"}),
    ("load", "<<>>, [{programs, x}]", {2: "the option programs: not a list: x"}),
    ("load", "<<>>, [{programs, [1]}]",
     {2: "the option programs: a name is not a text of 1 to 255 bytes: 1"}),
    ("load", "<<>>, [{maps, []}]", {2: "the option maps: not a map, with names as keys: []"}),
    ("load", "<<>>, [{max_entries, #{m => x}}]",
     {2: "the option max_entries: of m: not an integer from 0 to 4294967295: x"}),
    ("load", "<<>>, [{value_size, #{1 => 1}}]",
     {2: "the option value_size: a name is not a text of 1 to 255 bytes: 1"}),
    ("load", "<<>>, [{variables, #{v => 1.5}}]",
     {2: "the option variables: of v: neither a binary nor an integer of 64 bits: 1.5"}),
    ("load", "<<>>, [{program_types, #{p => \"xdp\"}}]",
     {2: "the option program_types: of p: not an atom: \"xdp\""}),
    ("load", "<<>>, [{pin, \"bpf\"}]", {2: "the option pin: not an absolute path: \"bpf\""}),
    ("load", "<<>>, [{attach_to, #{p => <<>>}}]",
     {2: "the option attach_to: of p: the name is not a text of 1 to 127 bytes: <<>>"}),
    ("load", "<<>>, [{name, <<>>}]",
     {2: "the option name: the name is not a text of 1 to 63 bytes: <<>>"}),
    ("load", "xdp, <<0:64>>, [{name, <<\"my program\">>}]",
     {3: "the option name: the name has others than letters, digits, _ and .: "
         "<<\"my program\">>"}),
    ("load", "<<>>, [{log, 1}, {log, 1}]", {2: "the option log is there twice"}),
    ("load", "<<>>, [{programs, [a, \"a\"]}]", {2: "the option programs has a twice"}),
    ("load", "<<>>, [{max_entries, #{m => 1}}, {max_entries, #{\"m\" => 2}}]",
     {2: "the option max_entries has m twice"}),
    ("load", "xdp, <<0:64>>, [sleepable, sleepable]",
     {3: "the option sleepable is there twice"}),
    ("load", "xdp, <<0:64>>, [{license, 1}]",
     {3: "the option license: the license is not a text of 1 to 127 bytes: 1"}),
    ("load", "<<>>, [{log, 3}, fast]",
     {2: "the option log: not 0, 1 or 2: 3; there is no option fast"}),
    ("load", "<<>>, [{types, {u32, u32}}, {as, list}]",
     {2: "the option types: not btf: {u32,u32}; the option as: not map or tuple: list"}),
    ("load", "<<>>, [{programs, [a]}]",
     {2: "an option names a program, map or variable that the object does not have, or "
         "what does not fit it: the C node logs what, at level info"}),
    ("load", "xdp, <<1>>, []", {2: "1 byte: an instruction has 8, and there is at least one"}),
    ("load", "xdp, <<>>, []", {2: "0 bytes: an instruction has 8, and there is at least one"}),
    ("load", "xdp, [], []", {2: "not a binary of instructions: []"}),
    ("load", "\"xdp\", <<0:64>>, [{maps, #{}}]",
     {1: "not an atom that names a type of program: \"xdp\"",
      3: "the option maps: not a list: #{}"}),
    ("load", "xdp, <<0:64>>, [{programs, []}]", {3: "there is no option {programs,[]}"}),
    ("attach", "p, {sockmap, {id, -1}}", {2: "the id is not an integer from 0 to 4294967295: -1"}),
    ("load", "<<>>, [{maps, #{a => {pinned, \"x\"}}}]",
     {2: "the option maps: of a: not an absolute path: \"x\""}),
    ("attach", "p, {kprobe, f}", {2: "there is no target {kprobe,f}"}),
    ("attach", "p, {tracepoint, a, <<>>}",
     {2: "the name is not a text of 1 to 127 bytes: <<>>"}),
    ("attach", "p, {kprobe, f, -1}",
     {2: "the offset is not an integer from 0 to 2^64-1: -1"}),
    ("attach", "p, {xdp, lo, fast}", {2: "not native or generic: fast"}),
    ("attach", "p, {xdp, 0, native}", {2: "not the index of an interface: 0"}),
    ("attach", "p, {tc, lo, both, first}", {2: "not ingress or egress: both"}),
    ("attach", "p, {tc, lo, egress, 1}",
     {2: "the place is not first, last, {before, Link} or {after, Link}: 1"}),
    ("attach", "p, {cgroup, \"x\"}", {2: "not an absolute path: \"x\""}),
    ("attach", "p, {netns, 1}", {2: "neither a string nor a binary: 1"}),
    ("attach", "p, {perf, cycles, 1}", {2: "not cpu_clock: cycles"}),
    ("attach", "p, {perf, cpu_clock, 0}",
     {2: "the frequency is not an integer from 1 to 100000: 0"}),
    ("attach", "p, auto, [{node, a@b}]", {3: "there is no option {node,a@b}"}),
    ("attach", "p, auto",
     {2: "the section of the program's source names no target that auto takes: name one "
         "in its place"}),
    ("attach_all", "#{programs => #{<<\"p\">> => p}}, [{targets, #{p => btf, q => btf}}]",
     {2: "the option targets: the object has no program q"}),
    ("attach_all", "#{programs => #{}}, [{targets, #{q => {xdp, lo, fast}}}]",
     {2: "the option targets: of q: not native or generic: fast"}),
    ("attach_all", "#{programs => #{}}, [{targets, []}, {lifetime, long}, {node, a@b}]",
     {2: "the option targets: not a map, with names as keys: []; the option lifetime: not "
         "node, process or permanent: long; there is no option {node,a@b}"}),
    ("attach_all", "#{programs => #{}}, [{targets, #{p => btf, \"p\" => auto}}]",
     {2: "the option targets has p twice"}),
    ("attach_all", "#{programs => #{<<\"p\">> => p}}, [{targets, #{p => btf}}]",
     {2: "the option targets: the C node of a program takes no such target: the C node logs "
         "what, at level info"}),
    ("load", "<<>>, [{targets, #{}}]", {2: "there is no option {targets,#{}}"}),
    ("run", "p, [], []", {2: "not a map with data and context: []"}),
    ("run", "p, #{data => 1}, []", {2: "the data is not a binary: 1"}),
    ("run", "p, #{packet => <<>>}, []", {2: "there is data and context, but not packet"}),
    ("run", "p, #{}, [{repeat, 0}]",
     {3: "the option repeat: not an integer from 1 to 1000000: 0"}),
    ("run", "p, #{}, [{cpu, -1}, {lifetime, node}]",
     {3: "the option cpu: not an integer from 0 to 65535: -1; there is no option "
         "{lifetime,node}"}),
    ("pin", "\"sys/fs/bpf/x\", p", {1: RELATIVE}),
    ("with_program", "1, [], 2",
     {1: "not a binary, the content of an object file: 1; load_file/2 takes the name of a "
         "file", 3: "not a fun of 1 argument: 2"}),
    ("with_program", "<<>>, [{targets, #{p => {cgroup, \"x\"}}}], fun(_) -> ok end",
     {2: "the option targets: of p: not an absolute path: \"x\""}),
    ("with_program", "<<>>, [{targets, #{p => btf}}], fun(_) -> ok end",
     {2: "targets or another option names a program, map or variable that the object does "
         "not have, or what does not fit it: if targets names only programs that are there, "
         "the C node logs what, at level info"}),
]

# Those of other reasons that need a program: (reason, function, arguments, words)
RAISED = [
    ("{badlink, x}", "attach", "p, {tc, lo, egress, {before, x}}",
     {2: "the link of the place: not a link handle: x"}),
    ("{badmap, x}", "attach", "p, {sockmap, x}", {2: "not a map handle: x"}),
    ("{badmap, x}", "load", "<<>>, [{maps, #{a => x}}]",
     {2: "the option maps: not a map handle: x"}),
    ("{badmap, x}", "load", "xdp, <<>>, [{maps, [x]}]",
     {3: "the option maps: not a map handle: x"}),
    ("enoent", "attach", "p, {sockmap, {id, 1}}", {2: "{id,1}: there is no map with this id"}),
    ("ambiguous", "load", "<<>>, [{maps, #{a => x, b => {name, n}}}]",
     {2: "the option maps: {name,n}: several maps have this name: use {id, Id} or "
         "{pinned, Path}; list/0 shows all maps"}),
    ("enoent", "load", "xdp, <<>>, [{maps, [{id, 1}]}]",
     {3: "the option maps: {id,1}: there is no map with this id"}),
    ("enoent", "attach_all", "#{programs => #{}}, [{targets, #{p => {sockmap, {id, 1}}}}]",
     {2: "the option targets: of p: {id,1}: there is no map with this id"}),
    ("eacces", "load", "<<>>, [{maps, #{}}]",
     {0: "the map may only be read, or only be written, by its handle or by this node; "
         f"or {NO_LOAD}; or {NO_TYPE}; or {NO_PROGRAMS}"}),
    ("eacces", "attach", "p, {cgroup, \"/etc\"}",
     {0: f"the path is not in the cgroup file system; or {NO_LOAD}; or {NO_TYPE}; or "
         f"{NO_PROGRAMS}"}),
    ("eacces", "attach", "p, {netns, \"/etc\"}",
     {0: "the path is not below the C node's --netns-root; or "
         f"{NO_LOAD}; or {NO_TYPE}; or {NO_PROGRAMS}"}),
    ("eacces", "attach", "p, {netns, own}", {0: f"{NO_LOAD}; or {NO_TYPE}; or {NO_PROGRAMS}"}),
    ("{badlink, x}", "attach_all",
     "#{programs => #{}}, [{targets, #{p => {tc, lo, egress, {before, x}}}}]",
     {2: "the option targets: of p: the link of the place: not a link handle: x"}),
    ("{badmap, x}", "attach_all", "#{programs => #{}}, [{targets, #{p => {sockmap, x}}}]",
     {2: "the option targets: of p: not a map handle: x"}),
    ("{badmap, x}", "with_program",
     "<<>>, [{maps, #{m => y}}, {targets, #{p => {sockmap, x}}}], f",
     {2: "the option targets: of p: not a map handle: x"}),
    ("{badmap, x}", "with_program",
     "<<>>, [{maps, #{m => x}}, {targets, #{p => btf}}], f",
     {2: "the option maps: not a map handle: x"}),
    ("eacces", "attach_all", "#{}, [{targets, #{p => {cgroup, \"/etc\"}}}]",
     {0: f"of p the path is not in the cgroup file system; or {NO_LOAD}; or {NO_TYPE}; or "
         f"{NO_PROGRAMS}"}),
    ("eacces", "close", "p",
     {0: "the handle is not this node's own, and this node may not load programs "
         f"(--allow of the C node); or {NO_PROGRAMS}"}),
    ("eacces", "open", "{pinned, \"/x\"}", {0: f"{OUTSIDE}; or {NO_LOAD}; or {NO_PROGRAMS}"}),
    ("eperm", "list", "",
     {0: "the C node may not look through the host's programs and links: it lacks "
         "CAP_SYS_ADMIN, or gave it up for --no-open-by-id"}),
    ("enomem", "list", "",
     {0: "the C node's host is out of memory, or the C node has reached its --max-memory"}),
    ("ecanceled", "list", "", {0: "the kernel says ecanceled"}),
    ("{too_big, 9}", "load", "<<>>, []",
     {0: "the request or its answer would be longer than 9 bytes, the C node's "
         "--max-message: ask for less at a time, or raise it"}),
    ("{badprogram, x}", "update", "l, x", {2: "not a program handle: x"}),
    ("anything_else", "format_error", "1, 2, 3", {0: "the kernel says anything_else"}),
]

# --- errors that were returned: (reason, function, words)

EPERM = (
    "the C node lacks a capability (CAP_BPF; CAP_NET_ADMIN for types of the network; "
    "CAP_PERFMON for tracing), or the kernel is locked down, or was built without this "
    "kind of program; a permission that this node lacks would raise eacces"
)
QUEUE = (
    "eight requests of this node wait already, or this one has waited for 30 s: ask for "
    "fewer at a time, or raise --max-loads of the C node"
)
UNSUPPORTED = (
    "the kernel, or the driver of the interface, does not have this for such a link"
)

RETURNED = [
    ("eperm", "load", EPERM),
    ("eperm", None, EPERM),
    ("eperm", "with_program", EPERM),
    ("eperm", "attach", EPERM),
    ("eperm", "count",
     "counting takes CAP_SYS_ADMIN in the C node, or kernel.bpf_stats_enabled = 1 on its "
     "host"),
    ("eperm", "pin",
     "the path is not in a bpf file system, or the name of the pin has a dot"),
    ("eperm", "unpin", "what is at this path is no pin in a bpf file system"),
    ("enotsup", "pin",
     "a pin would not keep this attachment: it is no kernel link, or one for each processor"),
    ("{rejected, eacces, <<\"pass\">>, <<\"0: (95) exit\\nR0 !read_ok\\nprocessed 1 insns\">>}",
     "load", "the verifier rejects the program pass (eacces):\n0: (95) exit\nR0 !read_ok"),
    ("{rejected, eperm, <<\"pass\">>, <<>>}", "load",
     "the kernel does not load the program pass, and its verifier tells no reason: " + EPERM),
    ("{object, <<\"no ELF\">>}", "load", "libbpf cannot load the object: no ELF"),
    ("{loader, gone}", "load",
     "the C node's loader has ended: nothing can be loaded or run until the C node is "
     "restarted; maps, programs and links that are there go on"),
    ("{loader, killed}", "load",
     "a signal ended the process that did this: a malformed object can crash libbpf, and "
     "so can one that takes more than --load-memory of the C node, or too much CPU time"),
    ("{loader, killed}", "run",
     "a signal ended the process that ran the program: the program may have sent it"),
    ("{loader, timeout}", "load", "it took longer than --load-seconds of the C node"),
    ("{loader, timeout}", "run", "the run took longer than --run-seconds of the C node"),
    ("ebusy", "load", QUEUE),
    ("ebusy", "run", QUEUE),
    ("ebusy", "attach",
     "something is attached there already, and there can be only one; or eight requests "
     "of this node wait already, or this one has waited for 30 s"),
    ("{file, enoent}", "load_file",
     "the file cannot be read on this node: no such file or directory"),
    ("{<<\"pass\">>, badarg}", "attach_all",
     "the program pass: its section names no target that auto takes; the option targets "
     "gives it one"),
    ("{<<\"pass\">>, enoent}", "with_program",
     "the program pass: the C node's host has no such tracepoint, function, cgroup or "
     "network namespace"),
    ("nodedown", "load",
     "no connection to the C node: check that ebpf_cnode runs there under this name, with "
     "the same cookie, and that both speak TLS or neither does; its log says whom it "
     "refuses; if the connection was lost during the call, the operation may have been "
     "carried out"),
    ("timeout", "open",
     "no answer from the C node in time; the operation may have been carried out, or may "
     "still be"),
    ("notalive", "load", "this node is not distributed: start it with -sname or -name"),
    ("emfile", "attach",
     "the C node has no room left: close programs, links or maps, or raise its "
     "--max-programs, --max-maps, --max-maps-per-node or ulimit -n"),
    ("enomem", "load",
     "the C node's host is out of memory, or the C node has reached its --max-map-memory "
     "or, for one load, --load-memory"),
    ("e2big", "load",
     "a program has more than 1000000 instructions, or a map more entries than the kernel "
     "takes"),
    ("einval", "load",
     "the kernel does not take a map or a program as it is: often a map that needs another "
     "size, by the options max_entries and value_size"),
    ("esrch", "load",
     "the kernel has no function or tracepoint of the name that a program is made for: the "
     "option attach_to gives another"),
    ("enodev", "attach", "the C node's host has no such network interface"),
    ("einval", "attach",
     "a program of this type, or loaded for this, cannot be attached to that target"),
    ("enotsup", "attach", UNSUPPORTED),
    ("enotsup", "update", UNSUPPORTED),
    ("enotsup", "detach",
     "the kernel cannot end this link while a pin or another handle holds it: unpin and "
     "close it"),
    ("einval", "update",
     "the program is not of the type of the one that is attached, or such a link keeps its "
     "program"),
    ("enotsup", "run", "the kernel cannot run a program of this type on input"),
    ("einval", "run",
     "the type of the program does not take this input: types of the network take data of "
     "at least 14 bytes, raw_tracepoint a context, and no repeat"),
    ("eintr", "run", "a signal ended the run"),
    ("enospc", "pin", "there are as many pins as --max-pins of the C node allows"),
    ("eexist", "pin", "there is something at this path"),
    ("enoent", "pin", "there is no such folder, or nothing at this path"),
    ("enoent", "unpin", "there is no such folder, or nothing at this path"),
    ("eacces", "pin",
     "the permissions of the folder or the pin do not allow this to the C node's user"),
    ("einval", "unpin", "what is pinned at this path is another program or link"),
    ("enoent", "open", "there is nothing with this id or name, or at this path"),
    ("einval", "open", "there is neither a program nor a link at this path"),
    ("ambiguous", "open",
     "several programs have this name: use {id, Id} or {pinned, Path}; list/0 shows all "
     "programs"),
    ("ebadf", "close",
     "the handle is not live: it was closed, its owner has gone, or the C node has "
     "restarted"),
    ("eio", "load", "the kernel says: I/O error"),
]


def cases():
    return [*of_any_function(), *OF_ARGUMENTS]
