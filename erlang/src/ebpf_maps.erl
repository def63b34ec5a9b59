%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade: the functions that the C node serves, and those of `maps' that take a fun, with
%% types, and with exceptions as if they had been raised here. What a map, a key or an option may be
%% is the C node's to judge; ebpf_maps_request knows how to ask it, ebpf_maps_walk and
%% ebpf_maps_merge make many messages of one call.

%% @doc eBPF maps of any host of the cluster, used as `maps' are.
%%
%% The maps live in the kernel of a host on which the C node `ebpf_cnode' runs. A map is made there
%% with {@link new/5}, and its handle can be sent to any node and used there.
%%
%% ```
%% 1> M = ebpf_maps:new(hash, 4, 8, 1024).
%% 2> ebpf_maps:put(80, 1, M).
%% 3> ebpf_maps:get(80, M).
%% <<1,0,0,0,0,0,0,0>>
%% '''
%%
%% == Cost ==
%% Every function is one message to the C node and one back, about 0.1 to 0.2 ms on one host, and as
%% many system calls there as its documentation says. Those on whole maps ({@link to_list/1},
%% {@link keys/1}, {@link values/1}, {@link fold/3}, {@link foreach/2}, {@link drain/1},
%% {@link merge/2}) take one for each chunk of up to 16384 entries and about 1 MiB: the C node never
%% holds more than a chunk, and other callers get in between two of them. What does not even look
%% like a handle is refused here, without a message.
%%
%% == Maps without a handle ==
%% A handle cannot be typed. Wherever a map stands `{id, Id}', `{name, Name}' and `{pinned, Path}' do
%% too, on the host of the default C node:
%% ```
%% 4> ebpf_maps:get(80, {name, ports}).
%% <<1,0,0,0,0,0,0,0>>
%% '''
%% The map is opened for that call, to read where that is enough, and no handle is left of it: it
%% does not count for `--max-maps'. Functions that take several messages (those on whole maps, by the
%% chunk) open a handle for as long as they take, which does count. What returns the map returns what
%% stood there.
%%
%% Where it cannot be opened, what {@link open/2} returns as `{error, Reason}' is raised: `enoent',
%% `ambiguous', `eacces'. With `--no-open-by-id' an id or a name raises `eperm'.
%%
%% {@link close/1}, {@link fd/1}, {@link iterator/1}, {@link next/1}, {@link next_chunk/3} and
%% {@link drain_chunk/3} take handles only, and raise `badarg': they are about a handle, or go on
%% where another message has stopped.
%%
%% == Walks ==
%% What a walk through a map promises while others insert and delete all the time, whether it is by
%% {@link next/1}, by {@link next_chunk/3} or by a function that uses them:
%% <ul>
%% <li>It ends.</li>
%% <li>On `hash', `lru_hash', `percpu_hash', `lru_percpu_hash' and on arrays, a key that is there all
%%   the time comes exactly once.</li>
%% <li>On others (lpm_trie, devmap_hash, ...) it comes at least once as long as nothing is deleted
%%   but what has come already, and in a trie no value is replaced. Under deletes of others the
%%   kernel may begin anew, so that keys come again, or some do not come; the walk ends after four
%%   times as many entries as the map has room for.</li>
%% <li>No key comes that never was. An entry that comes or goes during the walk may be in it or
%%   not.</li>
%% </ul>
%% It is no snapshot: key and value are those of the moment at which the kernel read them.
%%
%% == Progress ==
%% {@link merge/3}, {@link to_list/2}, {@link fold/4} and {@link drain/2} take `[{progress, Fun}]'.
%% After each of their messages `Fun(Done, Total)' is called, in the process of the caller: `Done' of
%% the entries are done. `Total' is the number of pairs of a merge. How many entries a map has is not
%% known before the end: until then `Total' is the map's `max_entries', or one more than `Done' where
%% that is more. The last call is `Fun(N, N)', and no other has two equal numbers; for nothing it is
%% `Fun(0, 0)'. Work that fails has no last call.
%%
%% An exception in `Fun' ends the work, as one in the fun of {@link fold/3} does. {@link progress/0}
%% is such a fun for the shell:
%% ```
%% 5> L = ebpf_maps:to_list(M, [{progress, ebpf_maps:progress()}]), length(L).
%% '''
%% No message more is sent for it.
%%
%% == Errors ==
%% Exceptions are of class `error', raised as if this module had found the fault itself, so that the
%% shell says in words what is wrong. Besides what the functions name, each of them may raise
%% <dl>
%% <dt>`{badmap, Term}'</dt><dd>`Term' is no handle, or the map is not live: it was closed, the node
%%   that made it has been gone for too long, or its C node has restarted.</dd>
%% <dt>`badarg'</dt><dd>An argument is not of its type, or not of the map's size.</dd>
%% <dt>{@type posix()}</dt><dd>What the kernel said, as `eperm' or `e2big'.</dd>
%% <dt>`enotsup'</dt><dd>The type of the map does not have this operation: there is nothing to walk
%%   in a queue, and nothing but {@link push/2} and {@link is_key/2} in a bloom filter. Also for
%%   writing to sockmap, sockhash, reuseport_sockarray, xskmap and sk_storage, which need a socket
%%   of the C node's own process: they can be made, shared, listed, and read where the kernel lets
%%   them be read.</dd>
%% <dt>`enospc'</dt><dd>There is no room for one more entry of a trie, or for one more pin; and where
%%   the value of a sockmap, a sockhash or a reuseport_sockarray has to be read that has 4 bytes
%%   only: the kernel has cookies of 8 to show.</dd>
%% <dt>`eacces'</dt><dd>The C node refuses it: this node may only read there (`--allow',
%%   `--read-only'), and then opens maps with the option `read' and closes no handles but its own; a
%%   path to pin, unpin or open is not below `--pin-root', a `{file, Path}' not below `--file-root',
%%   or a `{cgroup, Path}' not in the cgroup file system.</dd>
%% <dt>`enomem'</dt><dd>The host has no memory for it, or not within the C node's limits; with
%%   `--max-memory' that is over when what others ask for is. Nothing was taken out. Where the
%%   kernel has none for a new map or for entries, as its caches for per-CPU values run out for
%%   some milliseconds, the C node tries again for 100 ms before it says so.</dd>
%% <dt>`{too_big, Max}'</dt><dd>The request or its answer would be longer than `Max' bytes, the
%%   `--max-message' of the C node. Functions that work by the chunk do not raise it, unless a
%%   single entry, or a single bucket of a hash, is too long.</dd>
%% <dt>`{nodedown, Node}'</dt><dd>There is no connection to the C node, or it was lost during the
%%   call: then the operation may have happened.</dd>
%% <dt>`{timeout, Node}'</dt><dd>No answer came in time; the operation may have happened, or may
%%   still happen.</dd>
%% <dt>`notalive'</dt><dd>This node is not distributed.</dd>
%% <dt>`{undef, Node}'</dt><dd>`Node' is up, but does not serve this function.</dd>
%% <dt>`{badenv, {Variable, Value}}'</dt><dd>A variable of the application's environment has a value
%%   that it cannot have.</dd>
%% </dl>
%%
%% == Environment ==
%% The module works without the application being started or loaded; the application `ebpf_maps' has
%% these variables:
%% <dl>
%% <dt>`node'</dt><dd>The C node that {@link new/5}, {@link open/2}, {@link list/0},
%%   {@link handles/0} and {@link stats/0} ask when they are not told; by default `ebpf' on the host
%%   of this node.</dd>
%% <dt>`timeout'</dt><dd>How long a call waits for its answer: milliseconds, by default 15000, or
%%   `infinity'. With `infinity' a call still ends when the connection to the C node is lost, with
%%   `{nodedown, Node}': when the C node or its host goes, within about `net_ticktime'.</dd>
%% <dt>`cnode'</dt><dd>`embedded': starting the application starts a C node on this host, unless one
%%   of that name is up already, and starts it again when it ends. It ends with the application, and
%%   with the emulator however that ends. Its log goes to `logger'.</dd>
%% <dt>`program'</dt><dd>Its program: a path, by default the installed `ebpf_cnode', else the one in
%%   `PATH'.</dd>
%% <dt>`args'</dt><dd>Its further arguments, a list of strings.</dd>
%% </dl>
-module(ebpf_maps).

-export([
    %% maps
    new/4, new/5,
    check/4, check/5,
    open/1, open/2,
    close/1,
    fd/1,
    node/1,
    type/1,
    info/1,
    list/0, list/1,
    i/0, i/1,
    handles/0, handles/1,
    stats/0, stats/1,
    features/0, features/1,
    pin/2, unpin/2,
    freeze/1,
    %% entries
    get/2, get/3,
    find/2,
    is_key/2,
    put/3,
    insert/3,
    update/3,
    update_with/3,
    remove/2,
    take/2,
    push/2,
    pop/1,
    peek/1,
    %% many entries
    with/2,
    without/2,
    merge/2, merge/3,
    size/1,
    keys/1,
    values/1,
    to_list/1, to_list/2,
    fold/3, fold/4,
    foreach/2,
    clear/1,
    drain/1, drain/2,
    progress/0,
    %% walks
    iterator/1, iterator/2,
    next/1,
    next_chunk/3,
    drain_chunk/3,
    format_error/2
]).

-export_type([
    ebpf_map/0,
    locator/0,
    any_map/0,
    iterator/0,
    cursor/0,
    key/0,
    value/0,
    type/0,
    map_option/0,
    map_info/0,
    stats/0,
    features/0,
    lifetime/0,
    text/0,
    progress/0,
    posix/0
]).

-compile({no_auto_import, [node/1, size/1]}).

%% The frame of an exception is that of the function that was called. A macro and not an inlined
%% function: what that raises has the line of its own definition.
-define(RESULT(Outcome),
    case Outcome of
        {value, Returned_} -> Returned_;
        {raise, Reason_, Args_} -> error(Reason_, Args_, [{error_info, #{module => ?MODULE}}])
    end
).

-import(ebpf_maps_request, [ask/3, ask/4, ask_node/4, error_instead/1, node_option/1]).

-opaque ebpf_map() :: tuple().
%% The handle of a map. It prints readably and names its C node; it can be sent and kept as any
%% term, and lives until {@link close/1}, or as long as its {@type lifetime()} says.

-type locator() :: {id, non_neg_integer()} | {name, text()} | {pinned, Path :: text()}.
%% A map of the host of the default C node that has no handle, or none that can be typed: see
%% {@section Maps without a handle}.

-type any_map() :: ebpf_map() | locator().
%% What stands for a map wherever no handle is needed.

-opaque iterator() :: tuple().
%% A place in a walk: a plain term, with which any node can go on.

-type cursor() :: binary().
%% Where a walk by chunks goes on; of use with the same map only.

-type key() ::
    binary()
    | integer()
    | {inet:ip_address(), PrefixLength :: 0..128}
    | {pid, OsPid :: non_neg_integer()}
    | {file | cgroup | ifname, text()}.
%% A binary of exactly the map's key size, or an integer that fits in it: two's complement in the
%% byte order of the C node's host, `-(2^(8n-1)) =< I < 2^(8n)' for `n' bytes. A map without keys
%% (queue, stack) has the key `<<>>'.
%%
%% `{Address, PrefixLength}' is a key of an lpm_trie whose keys are of 8 bytes (IPv4) or 20 (IPv6):
%% `{{10,1,2,3}, 32}'. `{pid, OsPid}' is a key of a task_storage, `{file, Path}' of an inode_storage
%% and `{cgroup, Path}' of a cgrp_storage: processes and paths of the C node's host, files below its
%% `--file-root' only. `{ifname, Name}' stands wherever an interface index does. `OsPid' may be the
%% number of a thread, from Linux 6.9 on; before, only of one that leads its process.
%%
%% What has gone has no entry: {@link find/2} is `error' then, {@link is_key/2} `false', and so on.
%% To put one is the kernel's `esrch', `enoent' or `enodev'.
%%
%% Keys that come back are binaries.

-type value() ::
    binary()
    | integer()
    | [binary() | integer()]
    | any_map()
    | {cgroup | ifname, text()}.
%% As {@type key()}, of the map's value size. The value of a per-CPU map is a list with one for each
%% possible CPU, in their order; one alone is put for all of them. The value of an array_of_maps or
%% a hash_of_maps is the handle of a map of the same C node, or a {@type locator()} of one of its
%% host, that of a cgroup_array `{cgroup, Path}'; `{ifname, Name}' stands wherever an interface index
%% does.
%%
%% A value that has a `bpf_spin_lock' is read and written whole, under that lock, by all functions;
%% the bytes of the lock itself come as zeros and are left alone.
%%
%% Values that come back are binaries, or a list of binaries; of a map of maps handles: the one of
%% that map that is live, or else a new one, which lives as long as a node that got it. It ends before
%% when its map has left the map of maps that it was read from, and nobody has used it for the C
%% node's `--grace'; what {@link take/2} and {@link drain/1} have taken out does not.

-type text() :: atom() | string() | binary().
%% A name, or a path on the C node's host.

-type type() ::
    unspec | hash | array | prog_array | perf_event_array | percpu_hash | percpu_array
    | stack_trace | cgroup_array | lru_hash | lru_percpu_hash | lpm_trie | array_of_maps
    | hash_of_maps | devmap | sockmap | cpumap | xskmap | sockhash | cgroup_storage
    | reuseport_sockarray | percpu_cgroup_storage | queue | stack | sk_storage | devmap_hash
    | struct_ops | ringbuf | inode_storage | task_storage | bloom_filter | user_ringbuf
    | cgrp_storage
    | atom().
%% A type of map, by its name in the kernel; every one that the C node's libbpf knows.

-type map_option() ::
    no_prealloc | no_common_lru | read | write | zero_seed | prog_read | prog_write | clone
    | mmapable | stack_build_id | preserve_elems | inner_map_resizable
    | {name, text()}
    | {inner_map, any_map()}
    | {map_extra, non_neg_integer()}
    | {numa_node, non_neg_integer()}
    | {flags, non_neg_integer()}
    | {lifetime, lifetime()}
    | {node, node()}.
%% The atoms are the kernel's flags of that name: `read' and `write' limit user space to that,
%% `prog_read' and `prog_write' the eBPF programs; `inner_map_resizable' is its `BPF_F_INNER_MAP',
%% an inner array whose siblings may differ in their number of entries. `flags' is for what has no
%% name here, and is added to them.
%%
%% A name has up to 15 letters, digits, `_' and `.'. `inner_map' is the template that array_of_maps
%% and hash_of_maps need: what they hold is of its type and sizes. `map_extra' is the number of hash
%% functions of a bloom filter, `numa_node' where the memory is to be. `node' is the C node that is
%% to make the map; where it is given twice the first counts.

-type lifetime() :: node | process | permanent.
%% How long a handle lives, if nobody closes it. `node', by default: until the node that made it has
%% been gone for the C node's `--grace', 60 s by default. `process': until the process that made it
%% ends, or its node has been gone for that time. `permanent': as long as the C node.

-type map_info() :: #{
    id := non_neg_integer(),
    name := binary(),
    type := type() | non_neg_integer(),
    key_size := non_neg_integer(),
    value_size := non_neg_integer(),
    max_entries := non_neg_integer(),
    flags := non_neg_integer(),
    frozen := boolean(),
    memlock := non_neg_integer(),
    btf := non_neg_integer() | none,
    pinned := [binary()],
    handles := [ebpf_map()]
}.
%% What is known of a map. `type' is an integer where the C node's libbpf has no name for it,
%% `flags' are the kernel's, `memlock' is the memory it takes, in bytes, `btf' the id of the BTF
%% that describes its entries, `pinned' the paths at which it was found pinned, and `handles' are
%% those of it that are live.

-type stats() :: #{
    uptime := non_neg_integer(),
    connections := non_neg_integer(),
    refused := non_neg_integer(),
    handles := non_neg_integer(),
    bytes := #{in | out := non_neg_integer()},
    requests := #{{Function :: atom(), arity()} => pos_integer()},
    errors := #{Reason :: atom() => pos_integer()},
    latency := [{LessThan :: pos_integer(), pos_integer()}]
}.
%% What a C node has done for all nodes since it was started. `uptime' is in milliseconds,
%% `connections' are the nodes that are connected, `refused' the connections that were not taken in,
%% and `bytes' those that came from nodes and went to them after their handshakes. `errors' has
%% what was raised by its first atom, as `badkey', and what was returned as `{error, Reason}'; a
%% request that was refused is among them, as `eacces', `emfile' or `enomem'.
%% `latency' has how many requests were answered in less than so many nanoseconds, and in no less
%% than half of that: from when the last byte of a request was taken in to when its answer was
%% ready to be sent.

-type features() :: #{
    version := binary(),
    modules := #{module() => [{Function :: atom(), arity()}]},
    options := #{
        read_only | open_by_id | pin_root | file_root := boolean(),
        max_message | grace := non_neg_integer(),
        max_maps | max_maps_per_node | max_pins := pos_integer() | infinity
    }
}.
%% What a C node serves. `options' are those of its command line that change what its callers may
%% do, as they are for this node: `read_only' is true where it may only read, by `--allow' or by
%% `--read-only'; `pin_root' and `file_root' say whether there is such a folder, and not which;
%% `grace' is in seconds. Later versions may have more keys.

-type progress() :: fun((Done :: non_neg_integer(), Total :: non_neg_integer()) -> term()).
%% Is told how far long work is: see {@section Progress}.

-type posix() :: atom().
%% An error number of the kernel by its name in small letters, as `e2big'; for its 524 it is `enotsup'.

%%--------------------------------------------------------------------------------------------------
%% Maps
%%--------------------------------------------------------------------------------------------------

%% @equiv new(Type, KeySize, ValueSize, MaxEntries, [])
-spec new(Type, KeySize, ValueSize, MaxEntries) -> ebpf_map() | {error, Reason} when
    Type :: type(),
    KeySize :: non_neg_integer(),
    ValueSize :: non_neg_integer(),
    MaxEntries :: non_neg_integer(),
    Reason :: posix() | nodedown | timeout | notalive.
new(Type, KeySize, ValueSize, MaxEntries) ->
    Args = [Type, KeySize, ValueSize, MaxEntries],
    ?RESULT(error_instead(ask_node(ebpf_maps_request:default_node(), new, Args, Args))).

%% @doc Makes a map.
%%
%% `KeySize' and `ValueSize' are in bytes, `MaxEntries' is the number of entries the map can hold;
%% all of them from 0 to 2^32-1, with what further limits the kernel has for the type.
%%
%% The handle belongs to this node, or as its option `lifetime' says; see {@type lifetime()}.
%%
%% The storage types get the BTF that the kernel asks for. A struct_ops needs that of a program, and
%% is an `{error, Posix}'.
%%
%% An lpm_trie and the storage types have the option `no_prealloc' whether it is given or not.
%%
%% Returns `{error, Posix}' where the kernel refuses, as `{error, einval}' for sizes that do not fit
%% the type ({@link check/5} says in words which, and so does the C node's log at level `info'), `{error, eperm}' for a missing privilege of the C node, `{error, emfile}' when the C
%% node holds its `--max-maps' already, or `--max-maps-per-node' for this node, and `{error, enomem}'
%% where its maps would take more than `--max-map-memory'; `{error, nodedown | timeout | notalive}'
%% where no C node can be asked (after a `timeout', or a connection lost meanwhile, the map may have
%% been made; it goes when this node does). Raises `badarg' for what is no type, size or option.
%%
%% Cost: one round trip, one system call to make the map and a few to look at it. A preallocated
%% hash of a million entries takes the kernel about 50 ms.
-spec new(Type, KeySize, ValueSize, MaxEntries, Options) -> ebpf_map() | {error, Reason} when
    Type :: type(),
    KeySize :: non_neg_integer(),
    ValueSize :: non_neg_integer(),
    MaxEntries :: non_neg_integer(),
    Options :: [map_option()],
    Reason :: posix() | nodedown | timeout | notalive.
new(Type, KeySize, ValueSize, MaxEntries, Options) ->
    {Node, Rest} = node_option(Options),
    Sent = [Type, KeySize, ValueSize, MaxEntries, Rest],
    Args = [Type, KeySize, ValueSize, MaxEntries, Options],
    ?RESULT(error_instead(ask_node(Node, new, Sent, Args))).

%% @equiv check(Type, KeySize, ValueSize, MaxEntries, [])
%% @since 0.2.0
-spec check(Type, KeySize, ValueSize, MaxEntries) -> ok | {error, [Text :: binary()]} when
    Type :: type(),
    KeySize :: non_neg_integer(),
    ValueSize :: non_neg_integer(),
    MaxEntries :: non_neg_integer().
check(Type, KeySize, ValueSize, MaxEntries) ->
    Args = [Type, KeySize, ValueSize, MaxEntries],
    ?RESULT(ask_node(ebpf_maps_request:default_node(), check, Args, Args)).

%% @doc Says in words what is wrong with the arguments of {@link new/5}, and makes no map.
%%
%% The texts are all that is known to be wrong, one for each fault; `ok' means that the kernel will
%% not refuse the arguments as such. What depends on how it was built, or on its memory, it alone
%% knows: there it may still say `einval', `e2big' or `enomem' to {@link new/5}. Nothing is known of
%% types that are newer than the C node, and of the bits in `flags' that have no name here.
%%
%% ```
%% 1> ebpf_maps:check(array, 8, 4, 0).
%% {error,[<<"the size of a key is 8: a map of type array takes 4">>,
%%         <<"the number of entries is 0: a map of type array takes at least 1">>]}
%% '''
%%
%% Raises `badarg' for what is no type, size or option, as {@link new/5} does.
%%
%% Cost: one round trip, no system call.
%% @since 0.2.0
-spec check(Type, KeySize, ValueSize, MaxEntries, Options) -> ok | {error, [Text :: binary()]} when
    Type :: type(),
    KeySize :: non_neg_integer(),
    ValueSize :: non_neg_integer(),
    MaxEntries :: non_neg_integer(),
    Options :: [map_option()].
check(Type, KeySize, ValueSize, MaxEntries, Options) ->
    {Node, Rest} = node_option(Options),
    Sent = [Type, KeySize, ValueSize, MaxEntries, Rest],
    Args = [Type, KeySize, ValueSize, MaxEntries, Options],
    ?RESULT(ask_node(Node, check, Sent, Args)).

%% @equiv open(What, [])
-spec open(What) -> ebpf_map() | {error, Reason} when
    What :: locator(),
    Reason :: posix() | ambiguous | nodedown | timeout | notalive.
open(What) ->
    ?RESULT(error_instead(ask_node(ebpf_maps_request:default_node(), open, [What], [What]))).

%% @doc Opens a map that is there already, whoever made it: by its id, by a path at which it is
%% pinned, or by its name.
%%
%% Every call gives a handle of its own, on which all functions work; it belongs to this node, or as
%% its option `lifetime' says. `read' and `write' limit this handle to that. `node' is the C node on
%% whose host the map is.
%%
%% Returns `{error, enoent}' where there is no such map, `{error, ambiguous}' for a name that
%% several maps bear, `{error, eacces}' for a pin whose permissions do not allow it: one that may
%% only be read is opened with `read'. `{error, nodedown | timeout | notalive}' is as of
%% {@link new/5}. Raises `badarg' for what is none of these, and `eperm' by id and name where the C
%% node may not open by id, which takes CAP_SYS_ADMIN, or a security module of the host refuses the
%% map. A name is looked for among the maps that may be read.
%%
%% Cost: one round trip and a few system calls; by name a few for each map of the host.
-spec open(What, Options) -> ebpf_map() | {error, Reason} when
    What :: locator(),
    Options :: [read | write | {lifetime, lifetime()} | {node, node()}],
    Reason :: posix() | ambiguous | nodedown | timeout | notalive.
open(What, Options) ->
    {Node, Rest} = node_option(Options),
    ?RESULT(error_instead(ask_node(Node, open, [What, Rest], [What, Options]))).

%% @doc Closes a map. The handle is dead from then on, on every node; the kernel frees the map when
%% nothing else (an eBPF program, a pin) holds it.
%%
%% Returns `{error, ebadf}' for a handle that is not live. Raises `{badmap, Term}' only for what
%% does not look like a handle.
%%
%% Cost: one round trip, one system call.
-spec close(Map :: ebpf_map()) -> ok | {error, ebadf}.
close(Map) -> ?RESULT(ask(Map, close, [Map])).

%% @doc The number of the map's descriptor in the C node: what a program that is loaded there would
%% use. It means nothing anywhere else.
%%
%% Cost: one round trip, no system call.
-spec fd(Map :: ebpf_map()) -> non_neg_integer().
fd(Map) -> ?RESULT(ask(Map, fd, [Map])).

%% @doc The C node of a map.
%%
%% Raises `{badmap, Term}' only for what does not look like a handle. Cost: none, it is part of the
%% handle. Of a {@type locator()} it is the default C node.
-spec node(Map :: any_map()) -> node().
node(Map) -> ?RESULT(ebpf_maps_request:node_of(Map, [Map])).

%% @doc The type of a map; an integer where the C node's libbpf has no name for it.
%%
%% Cost: one round trip, no system call.
-spec type(Map :: any_map()) -> type() | non_neg_integer().
type(Map) -> ?RESULT(ask(Map, type, [Map])).

%% @doc What is known of a map: its entry in {@link list/0}.
%%
%% Cost: one round trip and a few system calls; those that look for pins are as many as there are
%% files in the bpf file systems of the C node.
-spec info(Map :: any_map()) -> map_info().
info(Map) -> ?RESULT(ask(Map, info, [Map])).

%% @doc The maps of the host of the default C node, whoever made them.
%%
%% Raises `eperm' where the C node may not look: it takes CAP_SYS_ADMIN, which `--no-open-by-id'
%% gives up. A map that comes or goes meanwhile may be in the list or not. One that a security module
%% of the host does not let the C node read is left out.
%%
%% Cost: one round trip, a few system calls for each map and one for each pin.
-spec list() -> [map_info()].
list() -> ?RESULT(ask_node(ebpf_maps_request:default_node(), list, [], [])).

%% @doc The maps of the host of that C node; else as {@link list/0}.
-spec list(Node :: node()) -> [map_info()].
list(Node) -> ?RESULT(ask_node(ebpf_maps_request:remote_node(Node), list, [], [Node])).

%% @doc The live handles of the default C node, with the node or the process that each of them
%% belongs to.
%%
%% Cost: one round trip, no system call.
-spec handles() -> [{ebpf_map(), Owner :: node() | pid() | none, lifetime()}].
handles() -> ?RESULT(ask_node(ebpf_maps_request:default_node(), handles, [], [])).

%% @doc The live handles of that C node; else as {@link handles/0}.
-spec handles(Node :: node()) -> [{ebpf_map(), Owner :: node() | pid() | none, lifetime()}].
handles(Node) -> ?RESULT(ask_node(ebpf_maps_request:remote_node(Node), handles, [], [Node])).

%% @doc Prints a table of the maps of the default C node's host, as `ets:i/0' does of tables: what
%% {@link list/0} says of each, in lines of up to 80 columns.
%%
%% `key' and `value' are their sizes and `memory' is what the kernel counts for the map, in bytes, by
%% the K, M or G (1024 each time) where they are long. `entries' is how many it has room for, its
%% `max_entries': to count those that are there takes a walk through each map. `pins' and `handles'
%% are how many it has of them. A long type is cut.
%%
%% Raises and costs what {@link list/0} does.
%% @since 0.2.0
-spec i() -> ok.
i() -> ?RESULT(ebpf_maps_table:print(ebpf_maps_request:default_node(), [])).

%% @doc Prints the maps of the host of that C node; else as {@link i/0}.
%% @since 0.2.0
-spec i(Node :: node()) -> ok.
i(Node) -> ?RESULT(ebpf_maps_table:print(ebpf_maps_request:remote_node(Node), [Node])).

%% @doc What the default C node has done since it was started.
%%
%% Cost: one round trip, no system call. Nobody else's request waits for it.
-spec stats() -> stats().
stats() -> ?RESULT(ask_node(ebpf_maps_request:default_node(), stats, [], [])).

%% @doc What that C node has done since it was started.
-spec stats(Node :: node()) -> stats().
stats(Node) -> ?RESULT(ask_node(ebpf_maps_request:remote_node(Node), stats, [], [Node])).

%% @doc What the default C node serves: its version, its functions and the options that are on.
%%
%% By bare rpc too, and to nodes that may only read.
%%
%% Cost: one round trip, no system call.
%% @since 0.2.0
-spec features() -> features().
features() -> ?RESULT(ask_node(ebpf_maps_request:default_node(), features, [], [])).

%% @doc What that C node serves.
%% @since 0.2.0
-spec features(Node :: node()) -> features().
features(Node) -> ?RESULT(ask_node(ebpf_maps_request:remote_node(Node), features, [], [Node])).

%% @doc Pins a map at a path of the C node's host: until it is unpinned the kernel keeps the map,
%% whether or not there are handles.
%%
%% The path has to be in a bpf file system, and its folder has to be there; its last part has no
%% dots. The C node mounts `/sys/fs/bpf' when it starts, where it is not mounted and it may.
%%
%% Returns `{error, eexist}' where there is something at that path, and `{error, enospc}' where there
%% are as many pins as the C node's `--max-pins' lets be: unpin some, or raise it.
%%
%% Cost: one round trip, a few system calls to look at the path and one to pin; and some for the
%% folders where pins may be, which are read to count what is there: half a microsecond for each pin.
-spec pin(Path :: text(), Map :: any_map()) -> ok | {error, posix()}.
pin(Path, Map) -> ?RESULT(ask(Map, pin, [Path, Map])).

%% @doc Removes a pin of that map. Handles of the map live on.
%%
%% Returns `{error, enoent}' where there is nothing at that path, and another {@type posix()} where
%% it is not a pin of this map; then it stays. A pin that may only be read is removed as any other,
%% where the C node may write its folder.
%%
%% Cost: one round trip, and a few system calls.
-spec unpin(Path :: text(), Map :: any_map()) -> ok | {error, posix()}.
unpin(Path, Map) -> ?RESULT(ask(Map, unpin, [Path, Map])).

%% @doc Makes a map one that user space can never again write, by whatever handle; eBPF programs
%% can.
%%
%% Returns `{error, eperm}' for a map that is frozen already, `{error, ebusy}' for one that somebody
%% has mapped into memory for writing.
%%
%% Cost: one round trip, one system call.
-spec freeze(Map :: any_map()) -> ok | {error, posix()}.
freeze(Map) -> ?RESULT(ask(Map, freeze, [Map])).

%%--------------------------------------------------------------------------------------------------
%% Entries
%%--------------------------------------------------------------------------------------------------

%% @doc The value of a key. In a queue or a stack, with the key `<<>>', the next value; it stays
%% there.
%%
%% Raises `{badkey, Key}' where there is none; `enotsup' on types that user space cannot read.
%%
%% Cost: one round trip, one system call.
-spec get(Key :: key(), Map :: any_map()) -> value().
get(Key, Map) -> ?RESULT(ask(Map, get, [Key, Map])).

%% @doc The value of a key, or `Default' where there is none; else as {@link get/2}. The default
%% travels to the C node and back.
-spec get(Key :: key(), Map :: any_map(), Default) -> value() | Default.
get(Key, Map, Default) -> ?RESULT(ask(Map, get, [Key, Map, Default])).

%% @doc `{ok, Value}' of a key, or `error' where there is none; else as {@link get/2}.
-spec find(Key :: key(), Map :: any_map()) -> {ok, value()} | error.
find(Key, Map) -> ?RESULT(ask(Map, find, [Key, Map])).

%% @doc Whether there is a value under a key. Of a bloom filter, whether a value may have been
%% pushed into it: `false' is certain, `true' is not. In an lpm_trie, whether a prefix of the key is
%% there.
%%
%% Cost: one round trip, one system call.
-spec is_key(Key :: key() | value(), Map :: any_map()) -> boolean().
is_key(Key, Map) -> ?RESULT(ask(Map, is_key, [Key, Map])).

%% @doc Puts a value under a key, whether there was one or not, and returns the map, which is the
%% same one. In a queue or a stack, with the key `<<>>', adds the value.
%%
%% Raises `e2big' where the map is full or an array's index is out of range, `eperm' on a map that
%% user space may not write.
%%
%% Cost: one round trip, one system call.
-spec put(Key :: key(), Value :: value(), Map :: any_map()) -> any_map().
put(Key, Value, Map) -> ?RESULT(ask(Map, put, [Key, Value, Map])).

%% @doc Puts a value under a key that is not there yet, and returns the map. The kernel looks and
%% puts at once.
%%
%% Raises `{keyexists, Key}' where there is one: always in an array, of which all keys are there.
%% Else as {@link put/3}.
%%
%% Cost: one round trip, one system call.
-spec insert(Key :: key(), Value :: value(), Map :: any_map()) -> any_map().
insert(Key, Value, Map) -> ?RESULT(ask(Map, insert, [Key, Value, Map])).

%% @doc Puts a value under a key that is there already, and returns the map.
%%
%% Raises `{badkey, Key}' where there is none, an index out of an array's range among them; `einval'
%% on a queue or a stack; and, of a map that is open to write only, `eperm' where the kernel does not
%% tell itself whether there is one, and it takes a look.
%%
%% Cost: one round trip; one system call, or two on types on which the kernel does not tell itself
%% (array-like ones, devmap, devmap_hash). There it is looked up and put under a lock in the C node,
%% which does not hold back an eBPF program.
-spec update(Key :: key(), Value :: value(), Map :: any_map()) -> any_map().
update(Key, Value, Map) -> ?RESULT(ask(Map, update, [Key, Value, Map])).

%% @doc Puts under a key what `Fun' makes of its value, and returns the map.
%%
%% It is a {@link get/2}, a call of `Fun' here, and an {@link update/3}: not atomic. What others put
%% under the key between the two is lost, and where they remove it `{badkey, Key}' is raised, as it
%% is where there is none at first.
%%
%% Cost: two round trips and their system calls.
-spec update_with(Key :: key(), Fun, Map :: any_map()) -> any_map() when
    Fun :: fun((Value :: value()) -> value()).
update_with(Key, Fun, Map) ->
    ?RESULT(ebpf_maps_walk:update_with(Key, Fun, Map, [Key, Fun, Map])).

%% @doc Removes a key, if it is there, and returns the map.
%%
%% Raises `einval' on types from which nothing can be removed: arrays, and the cgroup storages.
%%
%% Cost: one round trip, one system call.
-spec remove(Key :: key(), Map :: any_map()) -> any_map().
remove(Key, Map) -> ?RESULT(ask(Map, remove, [Key, Map])).

%% @doc Removes a key and returns its value with the map, or `error' where there is none. In a queue
%% or a stack, with the key `<<>>', takes out the next value.
%%
%% On hash types, queue and stack this is one atomic operation of the kernel. On others it is a get
%% and a remove under a lock in the C node, which all of its callers respect, but an eBPF program
%% can still come between the two. Raises `einval' on types from which nothing can be removed.
%%
%% Cost: one round trip, one system call, or two on types without the atomic operation.
-spec take(Key :: key(), Map :: any_map()) -> {Value :: value(), any_map()} | error.
take(Key, Map) -> ?RESULT(ask(Map, take, [Key, Map])).

%% @doc Adds a value to a queue, a stack or a bloom filter, and returns the map.
%%
%% Raises `e2big' where a queue or a stack is full, `enotsup' on a map with keys.
%%
%% Cost: one round trip, one system call.
-spec push(Value :: value(), Map :: any_map()) -> any_map().
push(Value, Map) -> ?RESULT(ask(Map, push, [Value, Map])).

%% @doc Takes the next value out of a queue or a stack: `empty' where there is none.
%%
%% Raises `enotsup' on other types. Cost: one round trip, one system call.
-spec pop(Map :: any_map()) -> value() | empty.
pop(Map) -> ?RESULT(ask(Map, pop, [Map])).

%% @doc The next value of a queue or a stack, which stays there: `empty' where there is none.
%%
%% Raises `enotsup' on other types. Cost: one round trip, one system call.
-spec peek(Map :: any_map()) -> value() | empty.
peek(Map) -> ?RESULT(ask(Map, peek, [Map])).

%%--------------------------------------------------------------------------------------------------
%% Many entries
%%--------------------------------------------------------------------------------------------------

%% @doc Those of some keys that are there, with their values, as an Erlang map. Its keys are as they
%% are given: `1' stays `1'.
%%
%% Raises `{too_big, Max}' where that takes a longer message than the C node takes or sends; the
%% rest as {@link get/2}, but for `{badkey, Key}'.
%%
%% Cost: one round trip, one system call for each key.
-spec with(Keys :: [key()], Map :: any_map()) -> #{key() => value()}.
with(Keys, Map) -> ?RESULT(ask(Map, with, [Keys, Map])).

%% @doc Removes some keys, as far as they are there, and returns the map.
%%
%% All keys are looked at first: with `badarg' nothing has been removed. Raises `einval' on types
%% from which nothing can be removed.
%%
%% Cost: one round trip, one system call for each key.
-spec without(Keys :: [key()], Map :: any_map()) -> any_map().
without(Keys, Map) -> ?RESULT(ask(Map, without, [Keys, Map])).

%% @doc Puts many pairs, in their order, and returns the map, which comes first here as in
%% `maps:merge/2'.
%%
%% All pairs are checked before the first is put: `badarg' means that nothing has been done. Where
%% the kernel stops, `{Posix, Done}' is raised, as `{e2big, Done}' of a map that is full: the first
%% `Done' pairs of the list have been put, and no other. So it is where what a pair names has gone
%% while others were put: a handle is `{ebadf, Done}' then.
%%
%% Pairs are sent in messages of up to 16384 and about 1 MiB; of 256 where values are maps, because
%% the kernel may take 10 ms for each. All are checked here before the first message is sent, by the
%% sizes and the type that the handle prints, and the C node checks those of a message again. What
%% only the C node can know (how many CPUs there are, which paths, processes, interfaces and handles
%% are good) it can refuse in a later message. When anything but the kernel stops the work after the
%% first message it is raised as `{Reason, Done}': `{badarg, Done}', `{{nodedown, Node}, Done}'.
%% Then at least the first `Done' pairs have been put, and of the next message perhaps some where
%% the reason is `nodedown' or `timeout'.
%%
%% Cost: one round trip for each message; one system call for each 256 KiB of entries, or for each
%% pair on types without batches. About 1 s for a million pairs of 4 and 8 bytes.
-spec merge(Map :: any_map(), Pairs :: [{key(), value()}] | #{key() => value()}) -> any_map().
merge(Map, Pairs) -> ?RESULT(ebpf_maps_merge:merge(Map, Pairs, [], [Map, Pairs])).

%% @doc As {@link merge/2}, and tells how far it is: see {@section Progress}.
%%
%% Raises `badarg' for other options, and has done nothing then. Where the fun raises, the pairs that
%% it was told of have been put, and no other.
%% @since 0.2.0
-spec merge(Map, Pairs, Options) -> Map when
    Map :: any_map(),
    Pairs :: [{key(), value()}] | #{key() => value()},
    Options :: [{progress, progress()}].
merge(Map, Pairs, Options) ->
    ?RESULT(ebpf_maps_merge:merge(Map, Pairs, Options, [Map, Pairs, Options])).

%% @doc The number of entries. The kernel has no counter: they are counted, as a walk goes, but on
%% arrays, where all entries are always there.
%%
%% Raises `enotsup' on maps without keys.
%%
%% Cost: one round trip and a walk in the C node, whose system calls read up to 1 MiB of entries
%% each, or one entry on types without batches. Other callers of the same connection wait meanwhile.
-spec size(Map :: any_map()) -> non_neg_integer().
size(Map) -> ?RESULT(ask(Map, size, [Map])).

%% @doc The keys of all entries. Promises and cost are those of {@link to_list/1}: the values travel
%% too, but those of maps of maps and of a sockhash without cookies.
-spec keys(Map :: any_map()) -> [key()].
keys(Map) -> ?RESULT(ebpf_maps_walk:keys(Map, [Map])).

%% @doc The values of all entries. Promises and cost are those of {@link to_list/1}.
-spec values(Map :: any_map()) -> [value()].
values(Map) -> ?RESULT(ebpf_maps_walk:values(Map, [Map])).

%% @doc All entries, in the order of the kernel. What that means while others write is said above,
%% under {@section Walks}.
%%
%% Raises `enotsup' on maps without keys.
%%
%% Cost: one round trip for each chunk of up to 16384 entries and about 1 MiB; in it one or a few
%% system calls, or two for each entry on types without batches.
-spec to_list(Map :: any_map()) -> [{key(), value()}].
to_list(Map) -> ?RESULT(ebpf_maps_walk:to_list(Map, [], [Map])).

%% @doc As {@link to_list/1}, and tells how far it is: see {@section Progress}.
%%
%% Raises `badarg' for other options.
%% @since 0.2.0
-spec to_list(Map :: any_map(), Options :: [{progress, progress()}]) -> [{key(), value()}].
to_list(Map, Options) -> ?RESULT(ebpf_maps_walk:to_list(Map, Options, [Map, Options])).

%% @doc Calls `Fun' with every entry and what the call before it returned, the first time with
%% `Acc', and returns what the last call returned.
%%
%% Entries come by the chunk, and `Fun' is called here: what it does to the map itself is a write as
%% any other, and when it takes its time the entries it gets are as old. Promises and cost are those
%% of {@link to_list/1}, but that one chunk at a time is in memory here too. Raises `badarg' where
%% `Fun' is no fun of three arguments.
-spec fold(Fun, Acc, Map :: any_map()) -> Acc when
    Fun :: fun((Key :: key(), Value :: value(), Acc) -> Acc).
fold(Fun, Acc, Map) -> ?RESULT(ebpf_maps_walk:fold(Fun, Acc, Map, [], [Fun, Acc, Map])).

%% @doc As {@link fold/3}, and tells how far it is, when `Fun' has had all entries of a chunk: see
%% {@section Progress}.
%%
%% Raises `badarg' for other options.
%% @since 0.2.0
-spec fold(Fun, Acc, Map :: any_map(), Options :: [{progress, progress()}]) -> Acc when
    Fun :: fun((Key :: key(), Value :: value(), Acc) -> Acc).
fold(Fun, Acc, Map, Options) ->
    ?RESULT(ebpf_maps_walk:fold(Fun, Acc, Map, Options, [Fun, Acc, Map, Options])).

%% @doc Calls `Fun' with every entry; else as {@link fold/3}.
-spec foreach(Fun, Map :: any_map()) -> ok when
    Fun :: fun((Key :: key(), Value :: value()) -> term()).
foreach(Fun, Map) -> ?RESULT(ebpf_maps_walk:foreach(Fun, Map, [Fun, Map])).

%% @doc Removes all entries and returns the map. A queue or a stack is popped until it is empty.
%%
%% What is put meanwhile may stay. Raises `einval' on types from which nothing can be removed, and
%% does nothing then.
%%
%% Cost: one round trip and a walk in the C node, as {@link size/1}. Where values are maps the
%% kernel takes 10 ms for each: with more than about a thousand, see that `timeout' is long enough.
-spec clear(Map :: any_map()) -> any_map().
clear(Map) -> ?RESULT(ask(Map, clear, [Map])).

%% @doc Takes out all entries and returns them: no entry is in two such lists, and none that was
%% there gets lost. Of a queue or a stack they are `{<<>>, Value}', in the order of {@link pop/1}.
%%
%% On hash types the kernel takes out an entry as it reads it, by whole buckets; on others each is
%% looked up and removed under a lock in the C node, as {@link take/2} does. What is put meanwhile
%% may stay.
%%
%% Where it fails midway it raises `{Reason, Entries}' with what has been taken out so far, and
%% `Reason' itself where that is nothing. Only the entries of a chunk that is under way when the
%% connection is lost, or whose answer does not come in time, are nowhere. Where the caller is killed
%% meanwhile all that it has taken is gone, as nobody else has it. {@link drain_chunk/3} bounds
%% that: no more is under way than the chunk that was asked for, and what came before is the
%% caller's to keep. Raises `einval' on types from which nothing can be removed, and does nothing
%% then.
%%
%% Cost: as {@link to_list/1}, and one system call for each value of a queue or a stack, and for
%% each map in a map.
-spec drain(Map :: any_map()) -> [{key(), value()}].
drain(Map) -> ?RESULT(ebpf_maps_walk:drain(Map, [], [Map])).

%% @doc As {@link drain/1}, and tells how far it is: see {@section Progress}.
%%
%% Where the fun raises, `{Reason, Entries}' is raised with what has been taken out so far, and
%% `Reason' itself where that is nothing; of the class and with the stack of the fun's exception.
%% Raises `badarg' for other options, and does nothing then.
%% @since 0.2.0
-spec drain(Map :: any_map(), Options :: [{progress, progress()}]) -> [{key(), value()}].
drain(Map, Options) -> ?RESULT(ebpf_maps_walk:drain(Map, Options, [Map, Options])).

%% @doc A fun that shows in a shell how far long work is, for the option `progress': see
%% {@section Progress}.
%%
%% It draws a bar in one line, at most five times a second, and ends the line when the work is done.
%% It prints by the group leader of the process, and nothing where that has no columns, as a file or
%% a pipe. The fun can be used again when the work is done.
%%
%% Cost: none; none of it is for the C node.
%% @since 0.2.0
-spec progress() -> progress().
progress() -> ebpf_maps_progress:bar().

%%--------------------------------------------------------------------------------------------------
%% Walks
%%--------------------------------------------------------------------------------------------------

%% @equiv iterator(Map, [{prefetch, 1000}])
-spec iterator(Map :: ebpf_map()) -> iterator().
iterator(Map) -> ?RESULT(ebpf_maps_walk:iterator(Map, [], [Map])).

%% @doc The start of a walk through the map, for {@link next/1}.
%%
%% `{prefetch, N}' is how many entries come in one message, by default 1000, and are then kept in
%% the iterator; with more than one, they are as of the moment of that message. With `{prefetch, 1}'
%% each value is read when {@link next/1} is called.
%%
%% Raises `enotsup' on maps without keys, `badarg' for other options.
%%
%% Cost: one round trip.
-spec iterator(Map :: ebpf_map(), Options :: [{prefetch, pos_integer()}]) -> iterator().
iterator(Map, Options) -> ?RESULT(ebpf_maps_walk:iterator(Map, Options, [Map, Options])).

%% @doc The next entry of a walk, and where to go on; `none' at the end. What a walk promises while
%% others write is said above, under {@section Walks}; what has gone when it would be its turn is
%% skipped.
%%
%% It takes an iterator whoever made it. One that came from the C node itself, through a bare `rpc',
%% has no prefetching.
%%
%% Raises `badarg' for what is no iterator.
%%
%% Cost: one round trip for as many entries as are prefetched, or one bucket of them, and else
%% nothing. Without prefetching one round trip and one or two system calls; the iterator carries up
%% to 16 keys, or those of a bucket, that are still to come.
-spec next(Iterator :: iterator()) -> {Key :: key(), Value :: value(), iterator()} | none.
next(Iterator) -> ?RESULT(ebpf_maps_walk:next(Iterator, [Iterator])).

%% @doc The next entries of a walk, and where to go on; what the functions on whole maps are made
%% of.
%%
%% A chunk has at most `MaxEntries' and 1 MiB, or the entries of one bucket of a hash, whichever is
%% more. It may be empty before the end, which is `done'. The walk can be left at any time. Its
%% promises are said above, under {@section Walks}.
%%
%% Raises `enotsup' on maps without keys, `badarg' for a cursor that is none of such a map, and
%% `{too_big, Max}' only where the bucket that is next does not fit into an answer.
%%
%% Cost: one round trip, one or a few system calls, or two for each entry on types without batches.
-spec next_chunk(start | cursor() | done, Map :: ebpf_map(), MaxEntries :: pos_integer()) ->
    {[{key(), value()}], cursor() | done}.
next_chunk(Cursor, Map, MaxEntries) -> ?RESULT(ask(Map, next_chunk, [Cursor, Map, MaxEntries])).

%% @doc As {@link next_chunk/3}, and the entries have been removed; what {@link drain/1} is made of.
%% Cursors of the two are not each other's.
%%
%% Raises `einval' on types from which nothing can be removed.
%%
%% Of a queue or a stack it is up to `MaxEntries' values, and `start' where there may be more.
-spec drain_chunk(start | cursor() | done, Map :: ebpf_map(), MaxEntries :: pos_integer()) ->
    {[{key(), value()}], cursor() | done}.
drain_chunk(Cursor, Map, MaxEntries) -> ?RESULT(ask(Map, drain_chunk, [Cursor, Map, MaxEntries])).

%% @doc Explains an exception of this module in words, for the shell and for `erl_error': EEP 54.
%%
%% The words are under the number of the argument that they are of, or under `general'. They are
%% binaries, as Elixir wants them.
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error(Reason, Stack) -> ebpf_maps_errors:format_error(Reason, Stack).
