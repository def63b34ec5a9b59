%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade of programs and links: a function for each that the C node serves, and those that are
%% made of several, with types, and with exceptions as if they had been raised here. The C node
%% judges what it is given; ebpf_programs_request asks it, ebpf_programs_whole makes several calls
%% of one.

%% @doc eBPF programs of any host of the cluster: loaded, attached, run and looked at from any node.
%%
%% An eBPF program runs in the Linux kernel, at an event that it is attached to: a packet, a system
%% call, a tracepoint. It shares maps with user space: see {@link ebpf_maps}. It lives on a host
%% that runs the C node `ebpf_cnode' with `--programs', which must give this node the permission
%% `load' (`--allow'); nothing is needed here, and no root.
%%
%% ```
%% 1> {ok, Elf} = file:read_file("count.bpf.o").
%% 2> #{programs := Programs, maps := #{<<"counts">> := M}} = ebpf_programs:load(Elf, []).
%% 3> L = ebpf_programs:attach(map_get(<<"count">>, Programs), auto).
%% 4> ebpf_maps:to_list(M).
%% 5> ebpf_programs:detach(L).
%% ok
%% '''
%% {@link with_program/3} does all of that, and cleans up.
%%
%% == Handles ==
%% {@link load/2} returns handles of programs and of maps, {@link attach/2} that of a link: the
%% attachment. A handle can be sent to any node and used there. It lives as long as its {@type
%% lifetime()} says, at most until {@link close/1}. The kernel keeps a program as long as a handle,
%% a link or a pin holds it, and an attachment as long as a handle or a pin holds its link: whatever
%% a node attached, and nobody pinned, ends with the node, and at the latest with the C node.
%%
%% A function asks the C node that made its handle. Where there is none, as in {@link load/2}, the
%% option `{node, Node}' says which; by default it is the one of {@section Environment}.
%%
%% == Rights ==
%% Loading, attaching, detaching, updating, running, opening, pinning and unpinning take the
%% permission `load', and so does closing what another node has made; {@link count/1} takes `rw'.
%% Otherwise the call raises `eacces', as every call does where the C node runs without
%% `--programs', and one that loads, attaches or runs a program of a type that `--programs' does not
%% name. Be careful to whom you give `load': a tracing program reads the memory of the kernel and of
%% all processes.
%%
%% == Cost ==
%% Every function takes one message to the C node and one back, about 0.1 to 0.2 ms on one host, and
%% what its documentation names. {@link load/2}, {@link load/3}, {@link run/3} and the attachments
%% that need perf events are done by a process of their own for each call, which costs 3 to 4 ms; of
%% those the C node runs `--max-loads' at once, and others wait for up to 30 s. If many nodes load
%% at once, raise the variable `timeout' of the application.
%%
%% == Errors ==
%% A function returns `{error, Reason}' only where its documentation says so; otherwise it raises.
%% {@link format_error/2} explains both in words; {@link verifier/1} what the verifier has to say.
%% Exceptions are of class `error', and raised as if by this module, so that the shell explains
%% them. Besides those that it names, each function may raise
%%
%% <dl>
%% <dt>`{badprogram, Term}', `{badlink, Term}'</dt><dd>`Term' is not a handle of a program, or of a
%%   link; or it is not live: it was closed or detached, its {@type lifetime()} is over, or its C
%%   node has restarted. Where either may stand, what is neither raises `badprogram'.</dd>
%% <dt>`{badmap, Term}'</dt><dd>The same for a map, in an option or a target.</dd>
%% <dt>`badarg'</dt><dd>An argument has the wrong type, or names something that the object does not
%%   have. The C node logs in words what is wrong, at level `info'.</dd>
%% <dt>`eacces'</dt><dd>The C node refuses: see {@section Rights}.</dd>
%% <dt>`enomem', `{too_big, Max}', `{nodedown, Node}', `{timeout, Node}', `notalive',
%%   `{undef, Node}', `{badenv, {Variable, Value}}'</dt><dd>As in {@link ebpf_maps}.</dd>
%% </dl>
%%
%% == Environment ==
%% The variables of the application `ebpf_cnode' are those of {@link ebpf_maps}: `node' is the C
%% node that is asked where neither a handle nor an option says which, `timeout' how long a call
%% waits for its answer, and `retry' for how long it is repeated when it loses its connection. The
%% last sentence on each function says whether it is.
%% @since 0.3.0
-module(ebpf_programs).

-export([
    %% programs
    load/2, load/3,
    load_file/2,
    run/3,
    count/1,
    %% attachments
    attach/2, attach/3,
    attach_all/1, attach_all/2,
    detach/1,
    update/2,
    with_program/3,
    %% either
    open/1, open/2,
    close/1,
    pin/2, unpin/2,
    type/1,
    info/1,
    %% the host
    list/0, list/1,
    links/0, links/1,
    handles/0, handles/1,
    %% words
    verifier/1,
    format_error/2
]).

-export_type([
    program/0,
    link/0,
    type/0,
    name/0,
    what/0,
    target/0,
    targets/0,
    interface/0,
    load_option/0,
    instructions_option/0,
    loaded/0,
    attached/0,
    variable/0,
    program_info/0,
    link_info/0,
    input/0,
    output/0,
    counts/0,
    lifetime/0,
    owned/0,
    reason/0,
    rejected/0,
    loader/0,
    text/0,
    posix/0
]).

%% The stack frame of an exception is that of the function that was called. This is a macro because
%% an inlined function raises with the line of its own definition.
-define(RESULT(Outcome),
    case Outcome of
        {value, Returned_} -> Returned_;
        {raise, Reason_, Args_} -> error(Reason_, Args_, [{error_info, #{module => ?MODULE}}])
    end
).

-import(ebpf_cnode_request, [default_node/0, remote_node/1]).
-import(ebpf_programs_request, [ask/4, ask_node/4, ask_by_option/4]).

-opaque program() :: tuple().
%% The handle of a program. It prints readably, with the program's {@type type()} and name, and
%% names its C node. It can be sent and kept like any term.

-opaque link() :: tuple().
%% The handle of a link, which is an attachment. It prints readably, with its kind and the {@type
%% target()} it was attached to: of `auto' that which came of it, of a link that was opened `none'.

-type text() :: ebpf_maps:text().
%% A name, or a path on the C node's host.

-type name() :: text().
%% The name of a program, a map or a variable of an object, as in its source. Returned names are
%% binaries.

-type type() ::
    socket_filter | kprobe | sched_cls | sched_act | tracepoint | xdp | perf_event | cgroup_skb
    | cgroup_sock | lwt_in | lwt_out | lwt_xmit | sock_ops | sk_skb | cgroup_device | sk_msg
    | raw_tracepoint | cgroup_sock_addr | lwt_seg6local | sk_reuseport | flow_dissector
    | cgroup_sysctl | raw_tracepoint_writable | cgroup_sockopt | tracing | lsm | sk_lookup
    | atom().
%% A type of program by its name in libbpf. The C node loads those that its `--programs' allows, and
%% programs of the types `syscall', `ext' and `struct_ops' never.

-type what() ::
    {id | link, non_neg_integer()} | {pinned, Path :: text()} | {name, text()}.
%% A program by its id or its name, a link by its id, or either by the path where it is pinned.

-type interface() :: text() | pos_integer().
%% A network interface of the C node's host, by its name or its index.

-type target() ::
    {tracepoint, Category :: text(), Name :: text()}
    | {raw_tracepoint, Name :: text()}
    | btf
    | {kprobe | kretprobe, Function :: text(), Offset :: non_neg_integer()}
    | {xdp, interface(), native | generic}
    | {tc, interface(), ingress | egress, first | last | {before | 'after', link()}}
    | {cgroup, Path :: text()}
    | {netns, (Path :: text()) | own}
    | {sockmap, ebpf_maps:any_map()}
    | {perf, cpu_clock, Hertz :: pos_integer()}
    | auto.
%% What a program is attached to, on the host of its C node.
%%
%% `btf' is the function or the tracepoint that the program was loaded for: tp_btf, fentry, fexit,
%% fmod_ret and lsm programs, where the kernel has them. `native' runs an XDP program in the driver
%% of the interface, `generic' in the kernel behind any driver. The place of a tc program among
%% others of that interface is `first', `last', or next to another link. `{cgroup, Path}' is below
%% the host's cgroup file system, `{netns, Path}' below the C node's `--netns-root'; `own' is the
%% network namespace of the C node. A perf event samples each CPU that often in a second of its
%% time, up to 100,000 times.
%%
%% `auto' is the target that the section of the program's source names, such as
%% `SEC("tracepoint/syscalls/sys_enter_getppid")', but never an interface or a file.

-type targets() :: #{name() => target()}.
%% The targets of programs of an object, by their names. One that is not among them gets `auto'.

-type lifetime() :: node | process | permanent.
%% How long a handle lives unless it is closed. `node', the default: until the node that created it
%% has been disconnected for the C node's `--grace', by default 60 s. `process': until the process
%% that created it ends, or its node has been disconnected for that long. `permanent': as long as
%% the C node runs, or with `--keep' until the host is booted.

-type owned() ::
    {program() | link(), Owner :: node() | pid() | none, lifetime()}
    | {program() | link(), Owner :: node() | pid() | none, lifetime(), ebpf_maps:proof()}.
%% A handle, as {@link handles/0} has it.

-type load_option() ::
    {programs, [name()]}
    | {maps, #{name() => ebpf_maps:any_map()}}
    | {max_entries | value_size, #{name() => pos_integer()}}
    | {variables, #{name() => integer() | binary()}}
    | {program_types, #{name() => type()}}
    | {attach_to, #{name() => text()}}
    | {name, text()}
    | {lifetime, lifetime()}
    | {pin, Folder :: text()}
    | {log, 0..2}
    | {types, btf}
    | {as, map | tuple}
    | {node, node()}.
%% `programs' are those to load, by default all but those whose section begins with `?'; with `[]'
%% only the maps are made. `maps' take the place of the object's own maps: their type, sizes and
%% flags must be those of the source, and the caller must be able to read and write them. They are
%% in the result as they were given. `max_entries' and
%% `value_size' (in bytes) replace those of the source. `variables' are set before the programs are
%% loaded, constants too: an integer that fits the variable, or all of its bytes.
%%
%% `program_types' gives the type of programs whose section does not name it. `attach_to' is the
%% kernel's function or tracepoint for which a program is loaded, in place of that of its section.
%% `name' is the object's, which begins the names of the maps of its variables. `pin' is the folder
%% in a bpf file system in which maps that ask to be pinned by name are pinned, or from which they
%% are taken if they are there; without it, no pin is made or used. With `log' 1 or 2 the result has
%% the verifier's log of each program, too. `node' is the C node that loads.
%%
%% With `{types, btf}' the maps in the result have terms in place of bytes, by the types of the
%% source; with `{as, tuple}' too, those of structures are tuples. {@link ebpf_maps} explains them.
%% This needs no CAP_SYS_ADMIN in the C node. A map that has no types, or too large ones, has bytes.
%%
%% An option may be given once for each name, and once if it has none.

-type instructions_option() ::
    {maps, [ebpf_maps:any_map()]}
    | {license, text()}
    | {attach_type, atom() | non_neg_integer()}
    | {attach_to, text()}
    | {name, text()}
    | sleepable
    | {lifetime, lifetime()}
    | {log, 0..2}
    | {node, node()}.
%% `maps' are all that the instructions use. `license' is by default `GPL', which many of the
%% kernel's functions require. `attach_type' has libbpf's name, such as `cgroup_inet_ingress', and
%% `attach_to' is the kernel's function or tracepoint: types of which the verifier must know them
%% need these. The others are as in {@type load_option()}.

-type variable() :: #{
    map := ebpf_maps:ebpf_map(),
    offset := non_neg_integer(),
    size := pos_integer()
}.
%% Where a global variable is: `size' bytes from `offset' on, in the value under key 0 of an array
%% that all variables of its kind share.

-type loaded() :: #{
    programs := #{Name :: binary() => program()},
    maps := #{Name :: binary() => ebpf_maps:ebpf_map()},
    variables := #{Name :: binary() => variable()},
    log => #{Name :: binary() => binary()}
}.
%% What an object has become. `log' is there with the option `{log, 1 | 2}'.

-type attached() :: #{
    programs := #{Name :: binary() => program()},
    maps := #{Name :: binary() => ebpf_maps:ebpf_map()},
    variables := #{Name :: binary() => variable()},
    links := #{Name :: binary() => link()},
    log => #{Name :: binary() => binary()}
}.
%% As {@type loaded()}, and the link of each program.

-type program_info() :: #{
    id := non_neg_integer(),
    name := binary(),
    type := type() | non_neg_integer(),
    tag := binary(),
    gpl := boolean(),
    loaded := non_neg_integer(),
    uid := non_neg_integer(),
    instructions := non_neg_integer(),
    translated := non_neg_integer(),
    jited := non_neg_integer(),
    maps := [non_neg_integer()],
    btf := non_neg_integer() | none,
    pinned := [binary()],
    handles := [program()]
}.
%% What is known of a program. `tag' is the kernel's hash of its instructions, of 8 bytes; `loaded'
%% is when it was loaded, in nanoseconds since the host started, and `uid' the user that did.
%% `instructions' is how many the verifier followed, `translated' and `jited' are lengths in bytes.
%% `maps' and `btf' are ids, `pinned' are the paths at which it was found pinned, and `handles' its
%% live handles.

-type link_info() :: #{
    id := non_neg_integer(),
    type := atom() | non_neg_integer(),
    program := non_neg_integer(),
    attach_type := atom() | non_neg_integer(),
    target := #{ifindex | cgroup | map | netns | place => term()},
    pinned := [binary()],
    handles := [link()]
}.
%% What is known of a link. `program' is the id of its program, `target' what the kernel tells of
%% what it is attached to: the index of an interface, the id of a cgroup or of a map, the inode of a
%% network namespace. `pinned' and `handles' are as in {@type program_info()}.

-type input() :: #{data => binary(), context => binary()}.
%% What a program runs on: a packet, and the bytes of its context (such as `struct __sk_buff').

-type output() :: #{
    return := non_neg_integer(),
    nanoseconds := non_neg_integer(),
    data => binary(),
    context => binary()
}.
%% What a run gave: what the program returned, how long it took (on average, if it ran several
%% times), and the packet and the context as it left them, for types that have these.

-type counts() :: #{
    runs := non_neg_integer(),
    nanoseconds := non_neg_integer(),
    recursion_misses := non_neg_integer()
}.
%% How often a program ran, how long in all, and how often it did not because it was running
%% already.

-type posix() :: atom().
%% A kernel error number by its name in lower case, such as `einval'. EOPNOTSUPP is
%% `enotsup', and so is 524.

-type rejected() :: {rejected, posix(), Program :: binary(), Log :: binary()}.
%% The kernel refuses to load that program. `Log' has the end of what its verifier tells, up to 64
%% KiB: {@link verifier/1} picks what matters.

-type loader() :: {loader, gone | killed | timeout}.
%% The process that was to do it failed. `gone': the C node's loader has ended, and only a restart
%% of the C node brings it back; maps, programs and links that are there go on. `killed': a signal
%% ended the process, as when a malformed object crashes libbpf or takes too much memory or CPU
%% time. `timeout': it took longer than `--load-seconds', or a run longer than `--run-seconds'.

-type reason() ::
    posix() | rejected() | {object, Text :: binary()} | loader() | nodedown | timeout | notalive.
%% Why a load failed.
%%
%% `{object, Text}': libbpf can make nothing of the object, in its words. `ebusy': eight requests of
%% this node are waiting already, or this one has waited for 30 s. `eperm': the C node lacks a
%% capability, or the kernel does not load programs of that type. `emfile' and `enomem': a limit of
%% the C node is reached: `--max-programs', `--max-maps', `--max-maps-per-node'; `--max-map-memory',
%% `--load-memory'. Another {@type posix()}: the kernel refuses.
%%
%% `nodedown', `timeout', `notalive': no answer from the C node. After a `timeout', or if the
%% connection was lost meanwhile, it may have been loaded; it goes when this node does.

%%--------------------------------------------------------------------------------------------------
%% Programs
%%--------------------------------------------------------------------------------------------------

%% @doc Loads the programs of an object file, as clang compiles it with `-target bpf'.
%%
%% `Elf' is the content of the file. The object's maps are created with it, and are ordinary handles
%% of {@link ebpf_maps}. So are the arrays in which its global variables are; `variables' says where
%% each is. All programs of the object are loaded or none, and a failure leaves nothing. A section
%% of a type that the C node does not allow raises `eacces'.
%%
%% Returns `{error, Reason}' if it cannot be loaded: see {@type reason()}.
%%
%% Raises `badarg' for a wrong option, and for one that names a program, map or variable that the
%% object does not have; `{badmap, Map}' if a map is not live, and `eacces' for one that may only be
%% read, or only be written.
%%
%% Programs of `--programs' types other than tracing are loaded without CAP_PERFMON. The verifier
%% then refuses what may leak pointers, as many parsers of Debian's libxdp1 do: `{rejected, eacces,
%% Program, Log}' with "pointer -= pointer prohibited", or with "prohibited for !root" of
%% arithmetic with variable offsets.
%%
%% Cost: one round trip and a process; 0.2 ms for a program of 2 instructions, 10 to 20 ms for one
%% of 1,000. An object that relocates by BTF makes libbpf read the kernel's, 5 MB. The object's
%% content travels with the message, and must fit in the C node's `--max-message'. `retry' never
%% repeats it.
%% @since 0.3.0
-spec load(Elf :: binary(), Options :: [load_option()]) -> loaded() | {error, reason()}.
load(Elf, Options) ->
    ?RESULT(ask_by_option(load, [Elf], Options, [Elf, Options])).

%% @doc Loads a program from its instructions: 8 bytes each, in the byte order of the C node's host.
%%
%% An instruction that loads a map by descriptor must bear the number that {@link ebpf_maps:fd/1}
%% returns for one of the maps in the option `maps'; or, by `BPF_PSEUDO_MAP_IDX', the place of one
%% in that list, from 0 on. Any other number is `badarg'.
%%
%% Returns `{error, Reason}' as {@link load/2} does, except `{object, Text}'. Raises `badarg' for an
%% unknown type or option, and for what are no instructions; `eacces' for a type that the C node
%% does not allow.
%%
%% Cost: as {@link load/2}, without what libbpf does to an object. `retry' never repeats it.
%% @since 0.3.0
-spec load(Type :: type(), Instructions :: binary(), Options :: [instructions_option()]) ->
    program() | {error, reason()}.
load(Type, Instructions, Options) ->
    Args = [Type, Instructions, Options],
    ?RESULT(ask_by_option(load, [Type, Instructions], Options, Args)).

%% @doc As {@link load/2}, of a file of this node.
%%
%% Returns `{error, {file, Posix}}' if the file cannot be read, such as `{error, {file, enoent}}'.
%% Raises `badarg' if `File' is not the name of a file.
%%
%% Cost: that of {@link load/2}, and of reading the file. `retry' never repeats it.
%% @since 0.3.0
-spec load_file(File :: file:name_all(), Options :: [load_option()]) ->
    loaded() | {error, reason() | {file, file:posix()}}.
load_file(File, Options) ->
    ?RESULT(ebpf_programs_whole:load_file(File, Options, [File, Options])).

%% @doc Runs a program once, on a packet and a context of the caller's, whether it is attached or
%% not. It runs in the kernel, with the maps that it has.
%%
%% With `{repeat, N}' it runs that often, at most 1,000,000 times; with `{cpu, N}' a raw_tracepoint
%% program runs on that CPU.
%%
%% Types of the network take `data' of at least 14 bytes, raw tracepoints only a `context', and
%% other types cannot be run: `{error, enotsup}'. The kernel returns `{error, einval}' for an input
%% or an option that the type does not take. `{error, ebusy}' and `{error, {loader, _}}' are as in
%% {@type reason()}; `{error, eintr}' tells of a run that a signal ended.
%%
%% Raises `badarg' for other options, and what is not an {@type input()}.
%%
%% Cost: one round trip, a process and one system call, which takes as long as the runs, and at most
%% the C node's `--run-seconds'. `retry' never repeats it.
%% @since 0.3.0
-spec run(Program, Input, Options) ->
    output() | {error, posix() | loader()} when
    Program :: program(),
    Input :: input(),
    Options :: [{repeat, 1..1000000} | {cpu, non_neg_integer()}].
run(Program, Input, Options) ->
    Args = [Program, Input, Options],
    ?RESULT(ask(program, Program, run, Args)).

%% @doc Returns how often a program has run since somebody first asked for its counts.
%%
%% The kernel counts only while somebody asks, because that slows each run of every program a
%% little. The first call for a handle turns it on, until that handle ends; so it may return zeros
%% for a program that runs.
%%
%% Returns `{error, eperm}' if the C node may not turn it on: that takes CAP_SYS_ADMIN, or the
%% host's `kernel.bpf_stats_enabled' to be 1.
%%
%% Cost: one round trip, and one or two system calls. `retry' repeats it.
%% @since 0.3.0
-spec count(Program :: program()) -> counts() | {error, posix()}.
count(Program) -> ?RESULT(ask(program, Program, count, [Program])).

%%--------------------------------------------------------------------------------------------------
%% Attachments
%%--------------------------------------------------------------------------------------------------

%% @equiv attach(Program, Target, [])
%% @since 0.3.0
-spec attach(Program :: program(), Target :: target()) -> link() | {error, posix() | loader()}.
attach(Program, Target) -> ?RESULT(ask(program, Program, attach, [Program, Target])).

%% @doc Attaches a program, which runs from then on whenever its target happens.
%%
%% The attachment lasts as long as the link's handle, or a pin of the link. Several programs can be
%% attached to most targets, and a program to several; only one XDP program to an interface.
%%
%% Returns `{error, Reason}' if the kernel refuses:
%% <ul>
%% <li>`enoent', `enodev', `esrch': there is no such tracepoint, cgroup, interface or function.</li>
%% <li>`einval': the program is of a type that does not go there.</li>
%% <li>`ebusy': something is attached there already, and it takes only one; or as in {@type
%%   reason()}.</li>
%% <li>`eperm': the C node lacks a capability.</li>
%% <li>`enotsup': the kernel, or the driver of the interface, does not have this kind.</li>
%% <li>`emfile': the C node already holds its `--max-programs' programs and links.</li>
%% <li>`enospc': before Linux 6.6 no priority is left for `tc' at that place.</li>
%% <li>{@type loader()}: only for perf events, tracepoints and kprobes, for `tc' before Linux 6.6,
%%   and for sockmaps before 6.10.</li>
%% </ul>
%% Raises `badarg' for an unknown target, and for `auto' where the section of the program's source
%% names no target, or an interface or a file; `eacces' for a cgroup or a network namespace that the
%% C node does not use, and for a map that may only be read, or only be written.
%%
%% Before Linux 6.6 `tc', and before 6.10 a sockmap, has no links. Such an attachment has the kind
%% `clsact' or `sockmap_attach', and lasts as long as its handle: a process of its own on the C
%% node's host sees to that. It has neither pins nor updates, and no place beside another link.
%%
%% Cost: one round trip and one to three system calls, at most 2 ms; a process for perf events,
%% tracepoints and kprobes. The end of an attachment to a tracepoint takes the kernel 30 ms. `retry'
%% never repeats it.
%% @since 0.3.0
-spec attach(Program, Target, Options) ->
    link() | {error, posix() | loader()} when
    Program :: program(),
    Target :: target(),
    Options :: [{lifetime, lifetime()}].
attach(Program, Target, Options) ->
    ?RESULT(ask(program, Program, attach, [Program, Target, Options])).

%% @doc As {@link attach_all/2} without options: each program by its section, with the lifetime
%% `node'. For an object that was loaded with `{lifetime, process}' you want
%% `attach_all(Loaded, [{lifetime, process}])': otherwise its programs stay attached when the
%% process has ended. `retry' never repeats it.
%% @since 0.3.0
-spec attach_all(Loaded :: loaded()) ->
    #{Name :: binary() => link()} | {error, {Name :: binary(), badarg | posix() | loader()}}.
attach_all(Loaded) -> ?RESULT(ebpf_programs_whole:attach_all(Loaded, [], [Loaded])).

%% @doc Attaches all programs that {@link load/2} returned. The option `targets' says to what;
%% those that it does not name are attached to `auto', the target of their section. An interface, a
%% cgroup, a network namespace or a map stands in no section, so programs of xdp, tc, cgroups and
%% sockmaps need theirs here.
%%
%% The option `lifetime' is that of the links, by default `node'. Links do not take it from the
%% object.
%%
%% All are attached or none: if one cannot be, those that are attached already are detached, and it
%% returns `{error, {Name, Reason}}', with the program's name. `Reason' is `badarg' if the program
%% has no target in `targets', and its section names none, or one that `auto' does not take. An
%% exception is raised as {@link attach/2} does, after the same. If it is `{timeout, Node}' or
%% `{nodedown, Node}', the attachment that was under way may still come to be; it goes when this
%% node does.
%%
%% Raises `badarg' for what is not of {@link load/2}, for other options, for a name in `targets'
%% that is no program's, and for an unknown target.
%%
%% ```
%% ebpf_programs:attach_all(Loaded, [{targets, #{<<"filter">> => {xdp, "eth0", native}}}]).
%% '''
%%
%% Cost: as {@link attach/2}, for each program. `retry' never repeats it.
%% @since 0.3.0
-spec attach_all(Loaded, Options) ->
    #{Name :: binary() => link()} | {error, {Name :: binary(), badarg | posix() | loader()}} when
    Loaded :: loaded(),
    Options :: [{targets, targets()} | {lifetime, lifetime()}].
attach_all(Loaded, Options) ->
    ?RESULT(ebpf_programs_whole:attach_all(Loaded, Options, [Loaded, Options])).

%% @doc Ends an attachment now, and its handle with it, whether or not the link is pinned.
%%
%% Returns `{error, enotsup}' where the kernel cannot end a link that somebody else holds: a
%% tracepoint, raw tracepoint, perf event, kprobe or tracing program whose link is pinned or has
%% another handle. Then nothing has changed: {@link unpin/2} and {@link close/1} it.
%%
%% The handle of a `clsact' or a `sockmap_attach' ends in any case; it may still be attached after
%% `{error, esrch}', when the process that was to detach it had been killed, and `{error,
%% etimedout}', when that takes more than 5 s.
%%
%% Cost: one round trip and one system call; of a tracepoint it takes the kernel 30 ms. `retry'
%% never repeats it.
%% @since 0.3.0
-spec detach(Link :: link()) -> ok | {error, posix()}.
detach(Link) -> ?RESULT(ask(link, Link, detach, [Link])).

%% @doc Gives a link another program, atomically: each event runs the old one or the new one. The
%% handle stays the same, and is returned.
%%
%% Returns `{error, einval}' if the program is not of the type of the old one, and `{error,
%% Posix}', as a rule `enotsup' or `einval', for kinds of links that the kernel cannot update:
%% tracepoints, kprobes, perf events and tracing programs.
%%
%% Cost: one round trip, one system call. `retry' repeats it.
%% @since 0.3.0
-spec update(Link :: link(), Program :: program()) -> link() | {error, posix()}.
update(Link, Program) -> ?RESULT(ask(link, Link, update, [Link, Program])).

%% @doc Loads the programs of an object, attaches all as {@link attach_all/2} does, and calls `Fun'
%% with what came of it. Afterwards detaches them, and closes its programs and maps, whatever
%% happens; maps that the option `maps' gave stay open.
%%
%% Returns what `Fun' returns, and passes on its exceptions. If the object cannot be loaded, returns
%% `{error, Reason}' as {@link load/2} does; if a program cannot be attached, `{error, {Name,
%% Reason}}' as {@link attach_all/2} does. Then `Fun' was not called.
%%
%% Besides those of {@link load/2} it takes the option `targets', as {@link attach_all/2} does.
%%
%% The option `lifetime' is `process' here if it is not given, so that everything ends as well when
%% this process is killed, or the connection is lost. What a `pin' keeps, stays.
%%
%% Raises `badarg' if `Fun' is not a fun of one argument, and as {@link load/2} and {@link
%% attach_all/2} do.
%%
%% ```
%% Targets = #{<<"count_packets">> => {cgroup, "/sys/fs/cgroup/demo"}},
%% ebpf_programs:with_program(Elf, [{targets, Targets}], fun(#{maps := #{<<"packets">> := Map}}) ->
%%     timer:sleep(1000),
%%     ebpf_maps:to_list(Map)
%% end).
%% '''
%%
%% Cost: as {@link load/2} and {@link attach_all/2}, and one round trip to detach or close each.
%% `retry' never repeats it.
%% @since 0.3.0
-spec with_program(Elf, Options, fun((attached()) -> Result)) ->
    Result | {error, reason() | {Name :: binary(), badarg | posix() | loader()}} when
    Elf :: binary(),
    Options :: [load_option() | {targets, targets()}].
with_program(Elf, Options, Fun) ->
    ?RESULT(ebpf_programs_whole:with_program(Elf, Options, Fun, [Elf, Options, Fun])).

%%--------------------------------------------------------------------------------------------------
%% Programs and links
%%--------------------------------------------------------------------------------------------------

%% @equiv open(What, [])
%% @since 0.3.0
-spec open(What) -> program() | link() | {error, Reason} when
    What :: what(),
    Reason :: posix() | ambiguous | nodedown | timeout | notalive.
open(What) -> ?RESULT(ask_by_option(open, [What], none, [What])).

%% @doc Opens a program or a link that exists, whoever created it.
%%
%% Each call returns a new handle, on which all functions work. It belongs to this node, or as the
%% option `lifetime' says. `node' is the C node on whose host it is.
%%
%% Returns `{error, enoent}' if there is nothing of that id, name or path, `{error, ambiguous}' if
%% several programs have that name, `{error, einval}' if at that path is neither a program nor a
%% link, and `{error, emfile}' if the C node already holds its `--max-programs'.
%%
%% Raises `eperm' for an id or a name if the C node may not open by id, which takes CAP_SYS_ADMIN,
%% and `eacces' for a path that is not below its `--pin-root'.
%%
%% Cost: one round trip and a few system calls; by name, a few for each program of the host. `retry'
%% never repeats it.
%% @since 0.3.0
-spec open(What, Options) -> program() | link() | {error, Reason} when
    What :: what(),
    Options :: [{lifetime, lifetime()} | {node, node()}],
    Reason :: posix() | ambiguous | nodedown | timeout | notalive.
open(What, Options) -> ?RESULT(ask_by_option(open, [What], Options, [What, Options])).

%% @doc Closes the handle of a program or a link, on every node. The kernel frees the program once
%% nothing holds it; an attachment ends with its last handle, unless it is pinned.
%%
%% Returns `{error, ebadf}' if the handle is not live. Raises `{badprogram, Term}' only if `Term'
%% does not look like a handle, and `eacces' for a handle of another node if this one may not load.
%%
%% Cost: one round trip, one system call; the end of an attachment to a tracepoint takes the kernel
%% 30 ms. `retry' never repeats it.
%% @since 0.3.0
-spec close(program() | link()) -> ok | {error, ebadf}.
close(Handle) -> ?RESULT(ask(either, Handle, close, [Handle])).

%% @doc Pins a program or a link at a path in a bpf file system, where it outlives all handles: a
%% pinned link stays attached. It is there until {@link unpin/2}, or until the host restarts.
%%
%% Returns `{error, eexist}' if something is there already, `{error, enoent}' if the folder is not,
%% `{error, eperm}' outside of a bpf file system or for a name with a dot, `{error, enospc}' if
%% there are `--max-pins' pins, and `{error, enotsup}' for what is not one kernel link: a `clsact',
%% a `sockmap_attach', and `perf' on a host with several processors, each of which has a link.
%% Raises `eacces' if the path is not below the C node's `--pin-root'.
%%
%% Cost: one round trip and a few system calls. `retry' never repeats it.
%% @since 0.3.0
-spec pin(Path :: text(), program() | link()) -> ok | {error, posix()}.
pin(Path, Handle) -> ?RESULT(ask(either, Handle, pin, [Path, Handle])).

%% @doc Removes the pin of a program or a link.
%%
%% Returns `{error, enoent}' if there is none at that path, and `{error, einval}' if it is
%% another's.
%% Raises `eacces' if the path is not below the C node's `--pin-root'.
%%
%% Cost: one round trip and a few system calls. `retry' never repeats it.
%% @since 0.3.0
-spec unpin(Path :: text(), program() | link()) -> ok | {error, posix()}.
unpin(Path, Handle) -> ?RESULT(ask(either, Handle, unpin, [Path, Handle])).

%% @doc Returns the type of a program, or the kind of a link.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
%% @since 0.3.0
-spec type(program() | link()) -> type() | non_neg_integer().
type(Handle) -> ?RESULT(ask(either, Handle, type, [Handle])).

%% @doc Returns what is known of a program or a link: its entry in {@link list/0} or {@link
%% links/0}.
%%
%% Cost: one round trip and a few system calls; to look for pins, as many as there are files in the
%% bpf file systems of the C node. `retry' repeats it.
%% @since 0.3.0
-spec info(program() | link()) -> program_info() | link_info().
info(Handle) -> ?RESULT(ask(either, Handle, info, [Handle])).

%%--------------------------------------------------------------------------------------------------
%% The host
%%--------------------------------------------------------------------------------------------------

%% @doc Returns the programs of the default C node's host, whoever loaded them. One that comes or
%% goes meanwhile may be in the list or not.
%%
%% Raises `eperm' if the C node may not look: that takes CAP_SYS_ADMIN, which `--no-open-by-id'
%% gives up.
%%
%% Cost: one round trip, a few system calls for each program and one for each pin. `retry' repeats
%% it.
%% @since 0.3.0
-spec list() -> [program_info()].
list() -> ?RESULT(ask_node(default_node(), list, [], [])).

%% @doc Returns the programs of the host of that C node; otherwise as {@link list/0}. `retry'
%% repeats it.
%% @since 0.3.0
-spec list(Node :: node()) -> [program_info()].
list(Node) -> ?RESULT(ask_node(remote_node(Node), list, [], [Node])).

%% @doc Returns the links of the default C node's host, whoever made them; otherwise as {@link
%% list/0}. What is attached without a link, as by `tc' or `ip', is not among them. `retry' repeats
%% it.
%% @since 0.3.0
-spec links() -> [link_info()].
links() -> ?RESULT(ask_node(default_node(), links, [], [])).

%% @doc Returns the links of the host of that C node; otherwise as {@link links/0}. `retry' repeats
%% it.
%% @since 0.3.0
-spec links(Node :: node()) -> [link_info()].
links(Node) -> ?RESULT(ask_node(remote_node(Node), links, [], [Node])).

%% @doc Returns the live handles of programs and links of the default C node, each with the node or
%% the process that it belongs to. With `--tls' each has a fourth element: what its node has proved.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
%% @since 0.3.0
-spec handles() -> [owned()].
handles() -> ?RESULT(ask_node(default_node(), handles, [], [])).

%% @doc Returns the live handles of that C node; otherwise as {@link handles/0}. `retry' repeats it.
%% @since 0.3.0
-spec handles(Node :: node()) -> [owned()].
handles(Node) -> ?RESULT(ask_node(remote_node(Node), handles, [], [Node])).

%%--------------------------------------------------------------------------------------------------
%% Words
%%--------------------------------------------------------------------------------------------------

%% @doc Picks out of a verifier's log what a person wants to read: the line of the source, the
%% instruction, and the reason, at most 15 lines. It takes what {@link load/2} returned, or a log.
%%
%% ```
%% 1> Error = ebpf_programs:load(Elf, []).
%% {error,{rejected,eacces,<<"count">>,<<"0: R1=ctx() R10=fp0\n; "...>>}}
%% 2> io:format("~ts~n", [ebpf_programs:verifier(Error)]).
%% ; *value += 1; @ count.bpf.c:24
%% 7: (79) r1 = *(u64 *)(r0 +0)
%% R0 invalid mem access 'map_value_or_null'
%% '''
%% Source lines are there if the object was compiled with `-g'.
%%
%% Raises `badarg' for any other term. Cost: none; the C node has no part in it.
%% @since 0.3.0
-spec verifier(Error :: {error, rejected()} | (Log :: binary())) -> binary().
verifier(Error) -> ?RESULT(ebpf_programs_verifier:words(Error, [Error])).

%% @doc Explains an exception of this module in words, for the shell and for `erl_error': EEP 54.
%%
%% Each text is under the number of the argument that it is about, or under `general'. Texts are
%% binaries, as Elixir wants them.
%%
%% It explains `{error, Reason}' too, which a function returned: the stack may then be empty, or its
%% first entry say which function that was.
%% ```
%% 1> {error, eperm} = Error = ebpf_programs:load(Elf, []).
%% 2> #{general := Text} = ebpf_programs:format_error(Error, []).
%% '''
%% @since 0.3.0
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error(Reason, Stack) -> ebpf_programs_errors:format_error(Reason, Stack).
