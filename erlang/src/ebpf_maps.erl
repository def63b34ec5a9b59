%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade: a function for each that the C node serves, and those of `maps' that take a fun, with
%% types, and with exceptions as if they had been raised here. The C node judges maps, keys and
%% options; ebpf_maps_request asks it, ebpf_maps_walk and ebpf_maps_merge split a call into many
%% messages.

%% @doc eBPF maps of any host of the cluster, used like `maps'.
%%
%% An eBPF map is a table in the Linux kernel that eBPF programs and user space share. It lives on a
%% host that runs the C node `ebpf_cnode'. {@link new/5} creates one there; its handle can be sent
%% to any node and used there.
%%
%% ```
%% 1> M = ebpf_maps:new(hash, 4, 8, 1024, [{name, ports}]).
%% 2> ebpf_maps:put(80, 1, M).
%% 3> ebpf_maps:get(80, M).
%% <<1,0,0,0,0,0,0,0>>
%% 4> <<N:64/little>> = ebpf_maps:get(80, M), N.
%% 1
%% '''
%% Keys and values are bytes of the sizes given to {@link new/5}, here 4 and 8. An integer is stored
%% in the byte order of the C node's host, and comes back as a binary. A typed handle has terms
%% instead: see {@section Values as terms}.
%%
%% == Cost ==
%% Every function takes one message to the C node and one back, about 0.1 to 0.2 ms on one host, and
%% there the system calls that its documentation names. Functions on whole maps ({@link to_list/1},
%% {@link keys/1}, {@link values/1}, {@link fold/3}, {@link foreach/2}, {@link drain/1},
%% {@link merge/2}) take one round trip for each chunk of up to 16384 entries and about 1 MiB: the C
%% node never holds more than a chunk, and serves other callers between two of them. A term that
%% does not even look like a handle is refused here, without a message.
%%
%% == Maps without a handle ==
%% A handle cannot be typed. In its place `{id, Id}', `{name, Name}' and `{pinned, Path}' name a map
%% on the host of the default C node, see {@section Environment}:
%% ```
%% 5> ebpf_maps:get(80, {name, ports}).
%% <<1,0,0,0,0,0,0,0>>
%% '''
%% The C node opens the map for that call, read-only where that is enough, and keeps no handle: it
%% does not count for `--max-maps'. Functions that take several messages (those on whole maps, by
%% the chunk) open a handle until they end, which does count. A function that returns its map
%% returns what it was given.
%%
%% If the map cannot be opened, the call raises what {@link open/2} returns as `{error, Reason}':
%% `enoent', `ambiguous' or `eacces'. With `--no-open-by-id' an id or a name raises `eperm'.
%%
%% {@link close/1}, {@link fd/1}, {@link iterator/1}, {@link next/1}, {@link next_chunk/3} and
%% {@link drain_chunk/3} take handles only, and otherwise raise `badarg': they are about a handle,
%% or continue where another message stopped.
%%
%% == Values as terms ==
%% The kernel keeps the types of most maps, as BTF. A handle that has them, here called typed, has
%% terms in place of bytes, in all functions:
%% ```
%% 6> T = ebpf_maps:open({name, flows}, [{types, btf}]), ebpf_maps:to_list(T).
%% [{#{<<"saddr">> => 16777343,<<"dport">> => 443},#{<<"packets">> => 7,<<"bytes">> => 4711}}]
%% '''
%% {@link typed/2} returns one of a map that is open; {@link open/2} and `ebpf_programs:load/2' do
%% with the option `{types, btf}'. {@link open/2} and {@link typed/2} also take
%% `{types, {KeyLayout, ValueLayout}}', for maps without BTF and for C nodes that may not read it.
%% {@link new/4} takes layouts in place of sizes, and {@link types/1} returns them: see
%% {@type layout()}. {@link i/1} and {@link table/2} print such a map.
%%
%% The terms are:
%% <dl>
%% <dt>numbers</dt><dd>Integers and floats; also `nan', `infinity' and `-infinity', as atoms. An
%%   integer that does not fit is refused. Pointers are unsigned integers, and an integer in network
%%   order (`be16', `be32', `be64') is the number that it means.</dd>
%% <dt>`bool'</dt><dd>`true' and `false'; another byte is an integer.</dd>
%% <dt>`enum'</dt><dd>The name of the constant, a binary; of several the first. A number without a
%%   name is an integer. Put is either; a name can also be an atom or a string.</dd>
%% <dt>text (`char')</dt><dd>A binary up to the first zero byte. Put is a binary or a string that
%%   fits; the rest becomes zeros.</dd>
%% <dt>bytes</dt><dd>A binary of exactly that size.</dd>
%% <dt>arrays</dt><dd>Lists of exactly that length. An array at the end whose length is 0 has as many
%%   elements as the value has room for.</dd>
%% <dt>structures</dt><dd>Erlang maps whose keys are the names of members, as binaries; those of a
%%   member without a name are among those of its parent. Put must be all members and no others;
%%   their names can also be atoms or strings. Padding is always written as zeros: a key that a
%%   program wrote with other bytes in it, or behind the zero byte of a text, is listed, and its term
%%   finds no entry.</dd>
%% <dt>unions</dt><dd>An Erlang map of all members; put must be exactly one, and of a union without a
%%   name the names of exactly one alternative. So what was read cannot be put back as it is.</dd>
%% <dt>hidden</dt><dd>What the kernel keeps for itself (a spin lock, a timer, a kernel pointer, a
%%   list) is not there. Zeros are put in its place, for which the kernel keeps its own; a member that
%%   a layout of yours hides is zeros afterwards.</dd>
%% <dt>values per CPU</dt><dd>Lists of such terms, one for each possible CPU; one term is put for
%%   all.</dd>
%% </dl>
%% The option `{as, tuple}' makes tuples of structures, of their members in the order of
%% {@link types/1}; a member without a name is a tuple of its own there, and a union always an Erlang
%% map. This is faster, as no names travel, and suits readers of whole maps: an entry whose value is
%% four numbers takes 10 words of the caller's memory, and 29 with an Erlang map. With
%% `{as, [Member]}' a value is a tuple of those members; its key is as with `{as, map}', and the
%% handle only reads. `{percpu, sum}', `max' or `min' has the C node fold the values of all CPUs into
%% one, number by number, for values that have nothing but numbers; sums do not wrap. Such a handle
%% only reads, too: what puts or removes raises `enotsup'.
%%
%% Values that name objects of the kernel (maps, programs, cgroups, sockets) stay what they are in
%% other handles: see {@type value()}.
%%
%% A typed handle is one more handle of the same map, and counts as one. It never has more rights
%% than the one that it was made from, and each lives until it is closed itself. Of what is put, the
%% first member that does not fit raises `{badmember, Path}', and nothing of its message is put; see
%% {@link merge/2} for more than a message has.
%%
%% == Walks ==
%% While others insert and delete all the time, a walk through a map guarantees the following,
%% whether it is by {@link next/1}, by {@link next_chunk/3} or by a function that uses them:
%%
%% <ul>
%% <li>It ends.</li>
%% <li>On `hash', `lru_hash', `percpu_hash', `lru_percpu_hash' and on arrays, a key that is there
%%   all the time comes exactly once.</li>
%% <li>On other types (lpm_trie, devmap_hash, ...) it comes at least once, as long as nothing is
%%   deleted that has not come yet, and no value in a trie is replaced. When others delete, the
%%   kernel may start over: keys may come again, or not at all. The walk ends after four times as
%%   many entries as the map can hold.</li>
%% <li>No key comes that was never there. An entry that is inserted or deleted during the walk may
%%   come or not.</li>
%% </ul>
%% A walk is not a snapshot: each key and value is as the kernel read it at that moment.
%%
%% == Progress ==
%% {@link merge/3}, {@link to_list/2}, {@link fold/4} and {@link drain/2} take `[{progress, Fun}]'.
%% After each of their messages they call `Fun(Done, Total)' in the calling process: `Done' entries
%% are done. For a merge, `Total' is the number of pairs. For the others the number of entries is
%% not known before the end: until then `Total' is the map's `max_entries', or `Done + 1' if that is
%% more. The last call is `Fun(N, N)', and no other has two equal numbers; with nothing to do it is
%% `Fun(0, 0)'. Work that fails makes no last call.
%%
%% An exception in `Fun' ends the work, as one in the fun of {@link fold/3} does. {@link progress/0}
%% returns such a fun for the shell:
%% ```
%% 6> L = ebpf_maps:to_list(M, [{progress, ebpf_maps:progress()}]), length(L).
%% '''
%% Progress sends no further message.
%%
%% == Errors ==
%% A function returns `{error, Reason}' only where its documentation says so; otherwise it raises.
%% Exceptions are of class `error', and raised as if by this module, so that the shell explains them
%% in words. Besides those that it names, each function may raise
%%
%% <dl>
%% <dt>`{badmap, Term}'</dt><dd>`Term' is not a handle, or the map is not live: it was closed, its
%%   {@type lifetime()} is over, or its C node has restarted.</dd>
%% <dt>`badarg'</dt><dd>An argument has the wrong type, or not the map's size.</dd>
%% <dt>`{badmember, Path}'</dt><dd>Only on a typed handle: what is put is not as its layout wants it.
%%   `Path' leads there from the key or the value, by names of members (binaries) and by indexes of
%%   arrays from 0 on; `[]' is the key or the value itself. {@link top/3} and {@link sum/2} raise it
%%   if there is no number.</dd>
%% <dt>`notype'</dt><dd>The handle has no types: see {@link put_members/3} and {@link top/3}.</dd>
%% <dt>`unfolded'</dt><dd>The handle has a value for each CPU where one number is wanted: see
%%   {@link top/3}.</dd>
%% <dt>{@type posix()}</dt><dd>An error of the kernel, such as `eperm' or `e2big'.</dd>
%% <dt>`enotsup'</dt><dd>The type of the map does not support this operation: a queue has nothing to
%%   walk, and a bloom filter only {@link push/2} and {@link is_key/2}. Also for putting and removing
%%   with a handle that has `{as, [Member]}' or folds the values of CPUs, and for putting into sockmap, sockhash, reuseport_sockarray, xskmap and sk_storage, which needs a socket of the C
%%   node's own process: such maps can be created, shared, listed, and read where the kernel lets
%%   them be read.</dd>
%% <dt>`enospc'</dt><dd>The trie is full. Also for reading a value of a sockmap, a sockhash or a
%%   reuseport_sockarray that has only 4 bytes: the kernel returns cookies of 8.</dd>
%% <dt>`eacces'</dt><dd>The C node refuses: this node may only read there (`--allow',
%%   `--read-only'), and so opens maps only with the option `read' and closes only its own handles;
%%   or a path to pin, unpin or open is not below `--pin-root', a `{file, Path}' not below
%%   `--file-root', or a `{cgroup, Path}' not in the cgroup file system.</dd>
%% <dt>`enomem'</dt><dd>The host is out of memory, or a limit of the C node is reached;
%%   `--max-memory' only until other requests are done. Nothing was removed. When the kernel has no
%%   memory for a new map or for entries, as its caches for per-CPU values run out for some
%%   milliseconds, the C node retries for 100 ms first.</dd>
%% <dt>`{too_big, Max}'</dt><dd>The request or its answer would be longer than `Max' bytes, the
%%   `--max-message' of the C node. Functions that work by the chunk raise it only if a single
%%   entry, or a single bucket of a hash, is too long.</dd>
%% <dt>`{nodedown, Node}'</dt><dd>There is no connection to the C node. If it was lost during the
%%   call, the operation may have been carried out. See {@section Lost connections}.</dd>
%% <dt>`{timeout, Node}'</dt><dd>No answer came in time. The operation may have been carried out, or
%%   may still be.</dd>
%% <dt>`notalive'</dt><dd>This node is not distributed.</dd>
%% <dt>`{undef, Node}'</dt><dd>`Node' is up, but does not serve this function.</dd>
%% <dt>`{badenv, {Variable, Value}}'</dt><dd>A variable of the application has an invalid
%%   value.</dd>
%% </dl>
%%
%% == Lost connections ==
%% Inside {@link retry/2}, and everywhere with the variable `retry', a call that finds no connection,
%% or loses it, is repeated for so many milliseconds before it raises `{nodedown, Node}', with pauses
%% of 20 to 200 ms. A C node that is started anew, as after an update, is then not noticed.
%%
%% But what was asked first may have been carried out. So only functions that leave the same behind
%% when they are carried out twice are repeated: those that read, and {@link put/3}, {@link remove/2}
%% and the like, which then undo what others have put under the same keys in between. The
%% documentation of each says in its last sentence which it is. After `{timeout, Node}' nothing is
%% repeated.
%%
%% When a C node has restarted, a handle is live only if the C node keeps handles (`--keep'); others
%% raise `{badmap, Map}'. A {@type locator()} names the same map as before, and what takes several
%% messages goes on from where it was.
%%
%% A C node that keeps handles gives its callers `--grace' to connect again. The application
%% `ebpf_cnode', once it is started, does that: it connects again to the C nodes from which its node
%% has got handles through this module or {@link ebpf_programs} while it runs, up to 1024 of them,
%% after 100 ms and then with longer and longer pauses of up to 2 s, whatever `dist_auto_connect'
%% says; until its own end, or from `erlang:disconnect_node/1', which has to find a connection, to
%% the next call. A node that does not run the application, or calls by plain `rpc', has to call
%% once, any function.
%%
%% == Environment ==
%% The module works whether or not the application is started or loaded. The application
%% `ebpf_cnode' has these variables:
%%
%% <dl>
%% <dt>`node'</dt><dd>The C node that is asked where neither a handle nor an option says which; by
%%   default `ebpf' on the host of this node. It is never this node itself.</dd>
%% <dt>`timeout'</dt><dd>How long a call waits for its answer: milliseconds, by default 15000, or
%%   `infinity'. Even then a call ends with `{nodedown, Node}' when the connection to the C node is
%%   lost: if the C node or its host dies, within about `net_ticktime'.</dd>
%% <dt>`retry'</dt><dd>For how long a call is repeated that lost its connection: milliseconds, by
%%   default 0, which is never. See {@section Lost connections}.</dd>
%% <dt>`fleet'</dt><dd>Which C nodes {@link ebpf_fleet} asks, as its option `nodes' says; by default
%%   `hosts'.</dd>
%% <dt>`metrics'</dt><dd>What is served to Prometheus, and where: options of {@link ebpf_metrics};
%%   by default nothing.</dd>
%% <dt>`cnode'</dt><dd>`embedded': starting the application starts a C node on this host, unless one
%%   of that name is already up, and restarts it when it ends. It ends with the application, and
%%   with the emulator however that ends. Its log goes to `logger'. It speaks what this node speaks:
%%   see {@section Embedded over TLS}.</dd>
%% <dt>`program'</dt><dd>The program to start: a path, by default the installed `ebpf_cnode', or
%%   else the one in `PATH'.</dd>
%% <dt>`args'</dt><dd>Further arguments for it, a list of strings.</dd>
%% </dl>
%%
%% == Embedded over TLS ==
%% Where this node runs with `-proto_dist inet_tls' or `inet6_tls', the embedded C node speaks TLS,
%% too, with the files that `-ssl_dist_optfile' or `-ssl_dist_opt' name: `certfile', `keyfile' and
%% `cacertfile' of the server, or of the client where the server has none, and with `crl_check' the
%% lists in the folder of `{crl_cache, {ssl_crl_hash_dir, _}}', as they are at the start. It takes
%% them by `--tls FOLDER', a folder with links to them in the cache of the user
%% (`filename:basedir(user_cache, "ebpf_cnode")'), which goes with it. Where `versions' has 1.3 alone
%% it also gets `--tls-min 1.3', and over IPv6 `--listen ::'. Options among `args' win over these.
%%
%% Of ssl's other options it gets none: it always checks the certificate of a node that connects,
%% also for the name of its host. `["--tls-names", "any"]' as `args' is for certificates that name no
%% host. What it cannot be given ends the start of the application with
%% `{cnode, tls, Text}': certificates and keys that are not files (`cert', `key', `certs_keys',
%% `cacerts'), a key with a password, a file that is not there.
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
    typed/2,
    types/1,
    info/1,
    list/0, list/1,
    i/0, i/1,
    table/1, table/2,
    handles/0, handles/1,
    stats/0, stats/1,
    features/0, features/1,
    host/0, host/1,
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
    put_members/3,
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
    top/3,
    sum/2,
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
    %% the connection
    retry/2,
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
    typed_key/0,
    typed_value/0,
    layout/0,
    layout_member/0,
    member/0,
    path/0,
    number_member/0,
    type/0,
    owned/0,
    proof/0,
    map_option/0,
    open_option/0,
    view_option/0,
    display/0,
    map_info/0,
    stats/0,
    features/0,
    host/0,
    lifetime/0,
    text/0,
    progress/0,
    posix/0
]).

-compile({no_auto_import, [node/1, size/1]}).

%% The stack frame of an exception is that of the function that was called. This is a macro because
%% an inlined function raises with the line of its own definition.
-define(RESULT(Outcome),
    case Outcome of
        {value, Returned_} -> Returned_;
        {raise, Reason_, Args_} -> error(Reason_, Args_, [{error_info, #{module => ?MODULE}}])
    end
).

-import(ebpf_maps_request, [ask/3, ask_node/4]).
-import(ebpf_cnode_request, [error_instead/1, node_option/1]).

-opaque ebpf_map() :: tuple().
%% The handle of a map. It prints readably and names its C node. It can be sent and kept like any
%% term, and lives until {@link close/1}, or as long as its {@type lifetime()} says.

-type locator() :: {id, non_neg_integer()} | {name, text()} | {pinned, Path :: text()}.
%% Names a map on the host of the default C node, for a caller without a handle: see
%% {@section Maps without a handle}.

-type any_map() :: ebpf_map() | locator().
%% Stands for a map wherever no handle is needed.

-opaque iterator() :: tuple().
%% A position in a walk: a plain term, with which any node can continue.

-type cursor() :: binary().
%% Where a walk by chunks continues; valid for the same map only.

-type key() ::
    binary()
    | integer()
    | {inet:ip_address(), PrefixLength :: 0..128}
    | {pid, OsPid :: non_neg_integer()}
    | {file | cgroup | ifname, text()}
    | typed_key().
%% A binary of exactly the map's key size, or an integer that fits in it: two's complement in the
%% byte order of the C node's host, `-(2^(8n-1)) =< I < 2^(8n)' for `n' bytes. A map without keys
%% (queue, stack) has the key `<<>>'.
%%
%% `{Address, PrefixLength}' is a key of an lpm_trie whose keys have 8 bytes (IPv4) or 20 (IPv6):
%% `{{10,1,2,3}, 32}'. `{pid, OsPid}' is a key of a task_storage, `{file, Path}' of an inode_storage
%% and `{cgroup, Path}' of a cgrp_storage: processes and paths of the C node's host, and files only
%% below its `--file-root'. `{ifname, Name}' stands for the index of a network interface. Since
%% Linux 6.9 `OsPid' may be the id of any thread; before, only of a whole process.
%%
%% What no longer exists has no entry: {@link find/2} returns `error', {@link is_key/2} `false', and
%% so on. Putting it raises the kernel's `esrch', `enoent' or `enodev'.
%%
%% Keys are returned as binaries; those of a typed handle as {@type typed_key()}.

-type value() ::
    binary()
    | integer()
    | [binary() | integer()]
    | any_map()
    | {cgroup | ifname, text()}
    | ebpf_programs:program()
    | {non_neg_integer() | {ifname, text()}, ebpf_programs:program()}
    | typed_value().
%% As {@type key()}, of the map's value size. The value of a per-CPU map is a list with one for each
%% possible CPU, in order; a single one is put for all of them. The value of an array_of_maps or a
%% hash_of_maps is the handle of a map of the same C node, or a {@type locator()} on its host; that
%% of a cgroup_array is `{cgroup, Path}'. `{ifname, Name}' stands for the index of a network
%% interface.
%%
%% The value of a prog_array is the handle of a program of the same C node; that of a devmap,
%% devmap_hash or cpumap with values of 8 bytes can be `{Number, Program}', with the index of an
%% interface or the length of a queue. Putting a program takes the permission `load', as in {@link
%% ebpf_programs}.
%%
%% A value with a `bpf_spin_lock' is read and written whole, under that lock, by all functions; the
%% bytes of the lock itself read as zeros and are left alone.
%%
%% Values are returned as binaries, or as a list of binaries; those of a map of maps as handles: the
%% live one of that map, or else a new one, which lives as long as a node that received it. It
%% expires earlier if its map is no longer in the map of maps that it was read from, and nobody has
%% used it for the C node's `--grace'. Handles that {@link take/2} and {@link drain/1} have taken
%% out do not.
%%
%% A program is returned by its id, `{id, Id}' or `{Number, {id, Id}}', by a C node that
%% runs with `--programs', and otherwise as part of the binary.
%%
%% With a typed handle, values are {@type typed_value()}.

-type typed_key() :: term().
%% A key of a typed handle, as the layout says: see {@section Values as terms}. `#{pid => 1}' and
%% `#{<<"pid">> => 1}' are put alike, and returned as the latter.

-type typed_value() :: term().
%% A value of a typed handle, as the layout says: see {@section Values as terms}. Of a per-CPU map
%% it is a list of them, unless the handle folds them.

-type layout() ::
    u8 | u16 | u32 | u64 | u128 | s8 | s16 | s32 | s64 | s128
    | be16 | be32 | be64
    | bool | f32 | f64 | ptr
    | {char | bytes, Size :: non_neg_integer()}
    | {array, Length :: non_neg_integer(), layout()}
    | {enum, Size :: 1 | 2 | 4 | 8, [{member(), integer()}]}
    | {struct | union, Size :: non_neg_integer(), [layout_member()]}
    | {vmlinux, text()}.
%% How the bytes of a key or a value are a term: see {@section Values as terms}. Sizes are in bytes.
%% The number in a name is its bits; numbers are in the byte order of the C node's host, `be16',
%% `be32' and `be64' in network order. `bool' has 1 byte, `ptr' 8.
%%
%% ```
%% {struct, 24, [{pid, 0, u32}, {comm, 32, {char, 16}}, {up, 160, 1, u32}, {ttl, 161, 7, u32}]}
%% '''
%% {@link types/1} returns names as binaries. An array of length 0 as the last member of the whole
%% takes what the size leaves. A layout may have 4096 parts (members, constants, arrays) in all, 64
%% KiB of names and 32 levels; with those of all elements of its arrays, 67108864 parts and no more
%% than 4096 and another 64 for each byte. More is `e2big'. It has less than 512 MiB. Members of a
%% structure must not overlap, and no two share a name.
%%
%% `{vmlinux, Name}' is a type of the kernel of the C node's host: the struct, union, typedef, enum or
%% int of that name, the first that there is in this order. It stands for a whole key or value, not
%% for a part of one, and takes a C node that runs with `--vmlinux-types'; others raise `eacces'.
%% Where the kernel has no such type, `{error, notype}' is returned.
%% ```
%% 1> M = ebpf_maps:new(hash, u32, {vmlinux, "in6_addr"}, 16), ebpf_maps:types(M).
%% '''

-type layout_member() ::
    {member(), BitOffset :: non_neg_integer(), layout() | hidden}
    | {member(), BitOffset :: non_neg_integer(), BitSize :: 1..64, layout()}.
%% A member of a structure or a union. Offsets are in bits from its start, as in BTF: a multiple of
%% 8, but for a bit-field, which has a `BitSize' and is of an integer, `bool' or `enum'. `hidden' is
%% what the kernel keeps for itself; it is not in the term. `<<>>' names a structure or a union
%% whose members are among those of its parent.

-type member() :: text().
%% The name of a member.

-type path() :: [member() | non_neg_integer()].
%% Leads to a part of a key or a value, by names of members and by indexes from 0 on.

-type number_member() :: member() | path() | [].
%% Names a number in each value, for {@link top/3} and {@link sum/2}: a member of the outermost
%% structure by its name; any other one by the path to it; `[]' is the whole value. Where a value is
%% an array, a list is always a path: `[0]' is its first element. Numbers are the integers, floats,
%% `bool' and `ptr' of a {@type layout()}, also as bit-fields; an `enum' is none.

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
%% A type of map by its name in the kernel: any that the C node's libbpf knows.

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
%% Options of {@link new/5}. With layouts in place of sizes it also takes `as' and `percpu', of
%% {@type view_option()}.
%%
%% The atoms are the kernel's flags of that name: `read' and `write' limit user space to that,
%% `prog_read' and `prog_write' eBPF programs; `inner_map_resizable' is its `BPF_F_INNER_MAP', an
%% inner array whose siblings may differ in their number of entries. `flags' adds bits that have no
%% name here.
%%
%% A name has up to 15 letters, digits, `_' and `.'. `inner_map' is the template that array_of_maps
%% and hash_of_maps need: the maps that they hold have its type and sizes. `map_extra' is the number
%% of hash functions of a bloom filter, `numa_node' is where the memory comes from. `node' is the C
%% node that creates the map; if it is given twice, the first counts.

-type view_option() ::
    {types, btf | {KeyLayout :: 0 | layout(), ValueLayout :: layout()}}
    | {as, map | tuple | [member()]}
    | {percpu, list | sum | max | min}.
%% How a typed handle shows its map: see {@section Values as terms}. `types' says by what layouts;
%% `btf' are those that the kernel has. `as' says what a structure is, an Erlang map by default;
%% `percpu' what the value of a per-CPU map is, a list by default.
%% A list of members goes with `list' only. A handle with it, or one that folds, neither puts nor
%% removes.

-type open_option() :: read | write | {lifetime, lifetime()} | {node, node()} | view_option().
%% Options of {@link open/2}. `as' or `percpu' without `types' takes those of the kernel.

-type display() :: ipv4 | ipv6 | mac | ifname | {nanoseconds, boot | unix} | log2.
%% What a member means, for {@link table/2}. `ipv4', `ipv6' and `mac' are addresses in network
%% order, of 4, 16 and 6 bytes: an integer, bytes, an array or a structure. Of an integer the bytes
%% are taken to be in the order of this node, unless its type says that they are in network order.
%%
%% `ifname' is the index of a network interface. Its name is known if this node runs on the C node's
%% host, as the names of the two nodes tell; elsewhere it stays a number. `{nanoseconds, boot}' is
%% the time since that host has booted, as `bpf_ktime_get_ns' returns it, in seconds;
%% `{nanoseconds, unix}' is a time of day, in UTC. `log2' is a histogram: an array whose element `N'
%% counts values from `2^N' to `2^(N+1)-1', the first one also 0.

-type lifetime() :: node | process | permanent.
%% How long a handle lives unless it is closed. `node', the default: until the node that created it
%% has been disconnected for the C node's `--grace', by default 60 s. `process': until the process
%% that created it ends, or its node has been disconnected for that long. `permanent': as long as
%% the C node runs, or with `--keep' until the host is booted.

-type owned() ::
    {ebpf_map(), Owner :: node() | pid() | none, lifetime()}
    | {ebpf_map(), Owner :: node() | pid() | none, lifetime(), proof()}.
%% A handle, as {@link handles/0} has it.

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
%% What is known of a map. `type' is an integer if the C node's libbpf has no name for it. `flags'
%% are the kernel's, `memlock' is the memory that the map takes, in bytes, `btf' is the id of the
%% BTF that describes its entries, `pinned' are the paths at which it was found pinned, and
%% `handles' are its live handles.

-type stats() :: #{
    uptime := non_neg_integer(),
    connections := non_neg_integer(),
    refused := non_neg_integer(),
    handles := non_neg_integer(),
    loader := none | running | gone,
    bytes := #{in | out := non_neg_integer()},
    requests := #{
        {Function :: atom(), arity()} => pos_integer(),
        {module(), Function :: atom(), arity()} => pos_integer()
    },
    errors := #{Reason :: atom() => pos_integer()},
    latency := [{LessThan :: pos_integer(), pos_integer()}],
    nodes => #{node() => proof()}
}.
%% What a C node has done for all nodes since it started. `uptime' is in milliseconds, `connections'
%% are those open now, `refused' those turned away, and `bytes' those received from nodes and sent
%% to them after their handshakes. `loader' is the process that loads and runs programs: `none'
%% without `--programs', and `gone' if it was killed, after which the C node has to be started anew
%% for programs. `requests' has functions of this module as `{Function, Arity}', and those of others
%% with their module. `errors' counts what was raised, by its first atom, such as `badkey', and what
%% was returned as `{error, Reason}'; refused requests are among them, as `eacces', `emfile' or
%% `enomem'. `latency' counts requests that were answered in less than so many nanoseconds, and in
%% no less than half of that: from reading the last byte of a request until its answer is ready to
%% be sent. `nodes' are those that are connected, and is there only with `--tls'.

-type proof() :: #{tls := 'tlsv1.3' | 'tlsv1.2' | none, names := [binary()]}.
%% What is known of a node of a C node with `--tls': the version of TLS by which it is connected,
%% and the names in its verified certificate, as `<<"DNS:db1.example">>', `<<"IP:10.0.0.7">>',
%% `<<"URI:spiffe://prod/db">>' or `<<"email:app@db1.example">>'. A certificate without such names
%% has its digest, `<<"SHA256:...">>'. {@link handles/0} has the first of them, up to 128 bytes,
%% {@link stats/0} up to 1024. Without a certificate there are no names, and `tls' is `none';
%% it is so, too, of a node that has not connected since the C node has restarted, whose names are
%% those of before.

-type features() :: #{
    version := binary(),
    modules := #{module() => [{Function :: atom(), arity()}]},
    options := #{
        read_only | may_load | open_by_id | keep | pin_root | file_root | vmlinux_types :=
            boolean(),
        programs := [Word :: atom()],
        max_message | grace | max_programs := non_neg_integer(),
        max_maps | max_maps_per_node | max_programs_per_node | max_pins :=
            pos_integer() | infinity
    }
}.
%% What a C node serves. `options' are those options of its command line that change what its
%% callers may do, as they are for this node: `read_only' is true if it may only read, by `--allow'
%% or by `--read-only'; `may_load' if it may load programs; `programs' are the words of
%% `--programs', `[]' without it; `pin_root', `file_root' and `keep' say whether there is such a
%% folder, and not which; `vmlinux_types' if layouts may name types of the kernel; `grace' is in
%% seconds. Later versions may have more keys.

-type host() :: #{
    name | kernel | machine | version := binary(),
    cpus := #{online | possible := pos_integer()},
    uptime | boot := non_neg_integer(),
    features := map(),
    interfaces := #{Index :: pos_integer() => Name :: binary()},
    cgroups := #{Id :: pos_integer() => Path :: binary()}
}.
%% The host of a C node. `name' is that of the host by itself, as `uname -n' has it; `kernel' is the
%% release of Linux, `machine' as `x86_64', `version' that of the C node. `uptime' is the number of
%% seconds since the host was booted, by the clock of `bpf_ktime_get_boot_ns', and `boot' when that
%% was, in seconds of Unix time, as the wall clock has it now. `features' are the `options' of
%% {@type features()}.
%%
%% `interfaces' are the names of network interfaces in the C node's network namespace by their index,
%% up to 4096. `cgroups' are those of version 2 by the id that `bpf_get_current_cgroup_id' returns:
%% up to 16384, level by level, and 32 levels below the first. Paths begin at the folder where they
%% are mounted, `/sys/fs/cgroup' or `/sys/fs/cgroup/unified', which is itself `<<"/">>', and in the
%% cgroup namespace of the C node. It is `#{}' where they were not mounted when the C node started.
%% The rest is left out. Names are the bytes that the kernel has; those of cgroups need not be UTF-8.
%% Later versions may have more keys.

-type progress() :: fun((Done :: non_neg_integer(), Total :: non_neg_integer()) -> term()).
%% Is called as the work goes on: see {@section Progress}.

-type posix() :: atom().
%% A kernel error number by its name in lower case, such as `e2big'; 524 is `enotsup' too.

%%--------------------------------------------------------------------------------------------------
%% Maps
%%--------------------------------------------------------------------------------------------------

%% @equiv new(Type, KeySize, ValueSize, MaxEntries, [])
-spec new(Type, KeySize, ValueSize, MaxEntries) -> ebpf_map() | {error, Reason} when
    Type :: type(),
    KeySize :: non_neg_integer() | layout(),
    ValueSize :: non_neg_integer() | layout(),
    MaxEntries :: non_neg_integer(),
    Reason :: posix() | nodedown | timeout | notalive.
new(Type, KeySize, ValueSize, MaxEntries) ->
    Args = [Type, KeySize, ValueSize, MaxEntries],
    ?RESULT(error_instead(ask_node(ebpf_cnode_request:default_node(), new, Args, Args))).

%% @doc Creates a map.
%%
%% `KeySize' and `ValueSize' are in bytes; `MaxEntries' is the number of entries that the map can
%% hold. All are from 0 to 2^32-1, within the limits that the kernel has for the type.
%%
%% With layouts in place of both sizes, the map has keys and values that are terms: see
%% {@section Values as terms}. The layout of no keys is 0. Where it can, the kernel gets BTF that is
%% made of them, so that `bpftool' shows the types, too. The options `as' and `percpu' of {@type view_option()} go with them.
%% ```
%% 1> Flow = {struct, 16, [{packets, 0, u64}, {bytes, 64, u64}]}.
%% 2> M = ebpf_maps:new(hash, be32, Flow, 1024).
%% 3> ebpf_maps:put(16#7f000001, #{packets => 1, bytes => 60}, M).
%% '''
%%
%% The handle belongs to this node, or as the option `lifetime' says: see {@type lifetime()}.
%%
%% The storage types get the BTF that the kernel requires. A struct_ops needs that of a program, and
%% returns `{error, Posix}'. An lpm_trie and the storage types always get the option `no_prealloc'.
%%
%% Returns `{error, Reason}' if the map cannot be created:
%%
%% <ul>
%% <li>`einval': the sizes do not fit the type. {@link check/5} says why, and so does the C node's
%%   log at level `info'.</li>
%% <li>`eperm': the C node lacks a privilege.</li>
%% <li>`emfile': the C node already holds its `--max-maps', or `--max-maps-per-node' for this
%%   node.</li>
%% <li>`enomem': its maps would take more than `--max-map-memory'.</li>
%% <li>Another {@type posix()}: the kernel refuses.</li>
%% <li>`nodedown', `timeout', `notalive': no answer from the C node. After a `timeout', or if the
%%   connection was lost meanwhile, the map may have been created; it goes when this node does.</li>
%% </ul>
%% Raises `badarg' for an unknown type or option, for a size out of range and for a wrong layout: the
%% shell says what is wrong with it. For one that is too large, returns `{error, e2big}'. A layout
%% `{vmlinux, Name}' raises `eacces' and returns `{error, notype}' as {@type layout()} says.
%%
%% Cost: one round trip, one system call to create the map and a few to look at it; with layouts one
%% more. A preallocated hash of a million entries takes the kernel about 50 ms. `retry' never
%% repeats it.
-spec new(Type, KeySize, ValueSize, MaxEntries, Options) -> ebpf_map() | {error, Reason} when
    Type :: type(),
    KeySize :: non_neg_integer() | layout(),
    ValueSize :: non_neg_integer() | layout(),
    MaxEntries :: non_neg_integer(),
    Options :: [map_option() | view_option()],
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
    KeySize :: non_neg_integer() | layout(),
    ValueSize :: non_neg_integer() | layout(),
    MaxEntries :: non_neg_integer().
check(Type, KeySize, ValueSize, MaxEntries) ->
    Args = [Type, KeySize, ValueSize, MaxEntries],
    ?RESULT(ask_node(ebpf_cnode_request:default_node(), check, Args, Args)).

%% @doc Says in words what is wrong with the arguments of {@link new/5}. Creates no map.
%%
%% Returns a text for each fault that is known. `ok' means that the kernel will not refuse the
%% arguments as such. {@link new/5} may still return `einval', `e2big' or `enomem' for reasons that
%% only the kernel knows: how it was built, and how much memory it has. Not checked are types newer
%% than the C node, and bits in `flags' that have no name here.
%%
%% ```
%% 1> ebpf_maps:check(array, 8, 4, 0).
%% {error,[<<"the key size is 8: a map of type array takes 4">>,
%%         <<"the number of entries is 0: a map of type array takes at least 1">>]}
%% '''
%%
%% Raises `badarg' as {@link new/5} does.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
%% @since 0.2.0
-spec check(Type, KeySize, ValueSize, MaxEntries, Options) -> ok | {error, [Text :: binary()]} when
    Type :: type(),
    KeySize :: non_neg_integer() | layout(),
    ValueSize :: non_neg_integer() | layout(),
    MaxEntries :: non_neg_integer(),
    Options :: [map_option() | view_option()].
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
    ?RESULT(error_instead(ask_node(ebpf_cnode_request:default_node(), open, [What], [What]))).

%% @doc Opens an existing map, whoever created it: by its id, by a path at which it is pinned, or by
%% its name.
%%
%% Each call returns a new handle, on which all functions work. It belongs to this node, or as the
%% option `lifetime' says. `read' and `write' limit this handle to that. `node' is the C node on
%% whose host the map is.
%%
%% With `{types, btf}' the handle has terms in place of bytes, by the types that the kernel has of
%% the map; `{types, {KeyLayout, ValueLayout}}' gives them. The options `as' and `percpu' go with
%% it: see {@type view_option()}.
%%
%% Returns `{error, enoent}' if there is no such map, `{error, ambiguous}' if several maps have that
%% name, and `{error, eacces}' if the permissions of the pin do not allow it: a pin that may only be
%% read opens with `read'. `{error, nodedown | timeout | notalive}' is as in {@link new/5}.
%%
%% Raises `badarg' for any other argument. An id or a name raises `eperm' if the C node may not open
%% maps by id, which takes CAP_SYS_ADMIN, or if a security module of the host refuses the map. A
%% name is looked for among the maps that the C node may read. With `types', `as' or `percpu' it
%% returns and raises what {@link typed/2} does, too.
%%
%% Cost: one round trip and a few system calls; by name, a few for each map of the host. `retry'
%% never repeats it.
-spec open(What, Options) -> ebpf_map() | {error, Reason} when
    What :: locator(),
    Options :: [open_option()],
    Reason :: posix() | ambiguous | notype | nodedown | timeout | notalive.
open(What, Options) ->
    {Node, Rest} = node_option(Options),
    ?RESULT(error_instead(ask_node(Node, open, [What, Rest], [What, Options]))).

%% @doc Closes a map. The handle is dead from then on, on every node; the kernel frees the map once
%% nothing else (an eBPF program, a pin) holds it.
%%
%% Returns `{error, ebadf}' if the handle is not live. Raises `{badmap, Term}' only if `Term' does
%% not look like a handle.
%%
%% Cost: one round trip, one system call. `retry' never repeats it.
-spec close(Map :: ebpf_map()) -> ok | {error, ebadf}.
close(Map) -> ?RESULT(ask(Map, close, [Map])).

%% @doc Returns the number of the map's file descriptor in the C node, for a program that is loaded
%% there. It means nothing anywhere else.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
-spec fd(Map :: ebpf_map()) -> non_neg_integer().
fd(Map) -> ?RESULT(ask(Map, fd, [Map])).

%% @doc Returns the C node of a map; for a {@type locator()}, the default C node.
%%
%% Raises `{badmap, Term}' only if `Term' does not look like a handle. Cost: none, it is part of the
%% handle.
-spec node(Map :: any_map()) -> node().
node(Map) -> ?RESULT(ebpf_maps_request:node_of(Map, [Map])).

%% @doc Returns the type of a map, as an integer if the C node's libbpf has no name for it.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
-spec type(Map :: any_map()) -> type() | non_neg_integer().
type(Map) -> ?RESULT(ask(Map, type, [Map])).

%% @doc Returns another handle of the same map, whose keys and values are terms: see
%% {@section Values as terms}.
%%
%% `{types, btf}' takes the types that the kernel has of the map, `{types, {KeyLayout, ValueLayout}}'
%% gives them, and without either they are those of `Map', or else the kernel's. `as' and `percpu'
%% say how they are shown, and have their defaults whatever they are for `Map': see
%% {@type view_option()}. The sizes of layouts must be those of the map. The handle belongs to this
%% node, or as the option `lifetime' says, has the rights of `Map' and counts as a handle. Closing one
%% leaves the other.
%%
%% Returns `{error, Reason}':
%% <ul>
%% <li>`notype': the kernel has no BTF of the map. Give layouts. Or it has no type of the name in a
%%   layout `{vmlinux, Name}'.</li>
%% <li>`eperm': the C node may not read BTF by its id, which takes CAP_SYS_ADMIN and is given up with
%%   `--no-open-by-id'. Give layouts.</li>
%% <li>`e2big': the types are too large; see {@type layout()}.</li>
%% <li>`emfile': the C node has no handle left.</li>
%% </ul>
%% Raises `badarg' for a layout that is wrong, or not of the map's size; for a member in
%% `{as, [Member]}' that is not there; and for `percpu' where there is anything but numbers, or no
%% value per CPU; the shell says which it is. Raises `eacces' for a layout `{vmlinux, Name}' if the C
%% node runs without `--vmlinux-types'.
%%
%% Cost: one round trip and a few system calls. The layout is read once, in less than a millisecond.
%% `retry' never repeats it.
%% @since 0.4.0
-spec typed(Map, Options) -> ebpf_map() | {error, notype | posix()} when
    Map :: ebpf_map(),
    Options :: [view_option() | {lifetime, lifetime()}].
typed(Map, Options) -> ?RESULT(ask(Map, typed, [Map, Options])).

%% @doc Returns the layouts of the keys and values of a typed handle, or of another map those that
%% the kernel has. Names are binaries; the layout of no keys is 0.
%%
%% They can be given to {@link new/4} and, as `{types, {KeyLayout, ValueLayout}}', to {@link open/2}
%% and {@link typed/2}, on any host. Returns `{error, notype | eperm | e2big}' as {@link typed/2}
%% does.
%%
%% Cost: one round trip; without types a few system calls, to read the kernel's. `retry' repeats it.
%% @since 0.4.0
-spec types(Map :: any_map()) ->
    {KeyLayout :: 0 | layout(), ValueLayout :: layout()} | {error, notype | posix()}.
types(Map) -> ?RESULT(ask(Map, types, [Map])).

%% @doc Returns what is known of a map: its entry in {@link list/0}.
%%
%% Cost: one round trip and a few system calls; to look for pins, as many as there are files in the
%% bpf file systems of the C node. `retry' repeats it.
-spec info(Map :: any_map()) -> map_info().
info(Map) -> ?RESULT(ask(Map, info, [Map])).

%% @doc Returns the maps of the default C node's host, whoever created them. One that comes or goes
%% meanwhile may be in the list or not. One that a security module of the host does not let the C
%% node read is left out.
%%
%% Raises `eperm' if the C node may not look: that takes CAP_SYS_ADMIN, which `--no-open-by-id'
%% gives up.
%%
%% Cost: one round trip, a few system calls for each map and one for each pin. `retry' repeats it.
-spec list() -> [map_info()].
list() -> ?RESULT(ask_node(ebpf_cnode_request:default_node(), list, [], [])).

%% @doc Returns the maps of the host of that C node; otherwise as {@link list/0}. `retry' repeats
%% it.
-spec list(Node :: node()) -> [map_info()].
list(Node) -> ?RESULT(ask_node(ebpf_cnode_request:remote_node(Node), list, [], [Node])).

%% @doc Returns the live handles of the default C node, each with the node or the process that it
%% belongs to.
%%
%% With `--tls' each has a fourth element: what its node has proved.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
-spec handles() -> [owned()].
handles() -> ?RESULT(ask_node(ebpf_cnode_request:default_node(), handles, [], [])).

%% @doc Returns the live handles of that C node; otherwise as {@link handles/0}. `retry' repeats it.
-spec handles(Node :: node()) -> [owned()].
handles(Node) -> ?RESULT(ask_node(ebpf_cnode_request:remote_node(Node), handles, [], [Node])).

%% @doc Prints a table of the maps of the default C node's host, as `ets:i/0' does of tables: what
%% {@link list/0} says of each, in lines of up to 80 columns.
%%
%% `key' and `value' are sizes, and `memory' is what the kernel counts for the map: bytes, or K, M
%% or G (1024 each time) where they are long. `entries' is `max_entries', how many the map can hold:
%% to count those that are there takes a walk through each map. `pins' and `handles' are their
%% numbers. A long type is cut.
%%
%% Raises and costs the same as {@link list/0}. `retry' repeats it.
%% @since 0.2.0
-spec i() -> ok.
i() -> ?RESULT(ebpf_maps_table:print(ebpf_cnode_request:default_node(), [])).

%% @doc Prints the maps of the host of that C node, as {@link i/0} does; or the entries of a map, as
%% {@link table/1} does. `retry' repeats it.
%% @since 0.2.0
-spec i(Node :: node() | any_map()) -> ok.
i(Node) when is_atom(Node) ->
    ?RESULT(ebpf_maps_table:print(ebpf_cnode_request:remote_node(Node), [Node]));
i(Map) ->
    ?RESULT(ebpf_maps_show:print(Map, [], [Map])).

%% @equiv table(Map, [])
%% @since 0.4.0
-spec table(Map :: any_map()) -> ok.
table(Map) -> ?RESULT(ebpf_maps_show:print(Map, [], [Map])).

%% @doc Prints the entries of a map as a table: a line for each, and a column for each member of a
%% typed handle's keys and values; of a handle without types by those that the kernel has. Where
%% there are none, keys and values are bytes in hexadecimal digits.
%%
%% Columns of the key come first. A member of a structure within has a name with a dot, `a.b'. Numbers
%% are aligned to the right. An entry of a per-CPU map has a line for each CPU, unless the handle
%% folds them. The table is cut to the width of the terminal, or to 80 columns where there is none,
%% and a last line counts what is not shown. Entries are sorted if these are all, and otherwise in
%% the kernel's order.
%% ```
%% 1> ebpf_maps:table(M, [{rows, 2}, {display, #{saddr => ipv4}}]).
%% saddr      dport  packets  bytes
%% 10.0.0.1     443        7   4711
%% 127.0.0.1   8080        1     60
%% 12 entries are not shown
%% ok
%% '''
%%
%% `{rows, N}' prints up to `N' entries, 20 by default, or with `infinity' all. `{display, Displays}'
%% says what members mean that are mere numbers or bytes: see {@type display()}. A member goes by
%% the name of its column, or by the last part of it; a whole key or value by `key' or `value'. With
%% `log2' each entry is printed as a histogram, under its other members; if that is the whole value
%% of a map whose keys are the slots, the map is printed as one.
%%
%% Raises `badarg' for other options, and `enotsup' for maps without keys.
%%
%% Cost: one round trip for the layout, one or a few for the entries that are printed, and one to
%% count the others, which is a walk in the C node as for {@link size/1}. A handle whose structures
%% are no Erlang maps is opened once more meanwhile, and then has the values of all CPUs. `retry'
%% repeats it.
%% @since 0.4.0
-spec table(Map, Options) -> ok when
    Map :: any_map(),
    Options :: [
        {rows, pos_integer() | infinity}
        | {display, #{member() => display()}}
    ].
table(Map, Options) -> ?RESULT(ebpf_maps_show:print(Map, Options, [Map, Options])).

%% @doc Returns what the default C node has done since it started.
%%
%% Cost: one round trip, no system call. No other request waits for it. `retry' repeats it.
-spec stats() -> stats().
stats() -> ?RESULT(ask_node(ebpf_cnode_request:default_node(), stats, [], [])).

%% @doc Returns what that C node has done since it started. `retry' repeats it.
-spec stats(Node :: node()) -> stats().
stats(Node) -> ?RESULT(ask_node(ebpf_cnode_request:remote_node(Node), stats, [], [Node])).

%% @doc Returns what the default C node serves: its version, its functions and the options that are
%% on.
%%
%% Plain rpc can call it too, and so can nodes that may only read.
%%
%% Cost: one round trip, no system call. `retry' repeats it.
%% @since 0.2.0
-spec features() -> features().
features() -> ?RESULT(ask_node(ebpf_cnode_request:default_node(), features, [], [])).

%% @doc Returns what that C node serves. `retry' repeats it.
%% @since 0.2.0
-spec features(Node :: node()) -> features().
features(Node) -> ?RESULT(ask_node(ebpf_cnode_request:remote_node(Node), features, [], [Node])).

%% @doc Returns what the default C node knows of its host, so that numbers in maps get words: the
%% names of network interfaces by their index, paths of cgroups by their id, and the host itself.
%% ```
%% 1> #{interfaces := #{2 := Name}} = ebpf_maps:host(), Name.
%% <<"eth0">>
%% '''
%% What comes or goes meanwhile may be there or not. Raises `{too_big, Max}' if the names take more
%% than the C node's `--max-message'.
%%
%% Cost: one round trip, four system calls for each interface, and four for each cgroup, which take
%% about 20 us: ask once, and again for a number that is not there. `retry' repeats it.
%% @since 0.4.0
-spec host() -> host().
host() -> ?RESULT(ask_node(ebpf_cnode_request:default_node(), host, [], [])).

%% @doc Returns what that C node knows of its host; otherwise as {@link host/0}. `retry' repeats it.
%% @since 0.4.0
-spec host(Node :: node()) -> host().
host(Node) -> ?RESULT(ask_node(ebpf_cnode_request:remote_node(Node), host, [], [Node])).

%% @doc Pins a map at a path on the C node's host: the kernel keeps the map until it is unpinned,
%% with or without handles.
%%
%% The path must be in a bpf file system, and its folder must exist; its last part has no dots. When
%% it starts, the C node mounts `/sys/fs/bpf' if that is not mounted and it may.
%%
%% Returns `{error, eexist}' if the path exists, and `{error, enospc}' if there are as many pins as
%% the C node's `--max-pins' allows: unpin some, or raise it.
%%
%% Cost: one round trip, a few system calls to look at the path and one to pin; and some to count
%% the pins in the folders where they may be: half a microsecond for each pin. `retry' never repeats
%% it.
-spec pin(Path :: text(), Map :: any_map()) -> ok | {error, posix()}.
pin(Path, Map) -> ?RESULT(ask(Map, pin, [Path, Map])).

%% @doc Removes a pin of that map. Handles of the map live on.
%%
%% Returns `{error, enoent}' if the path does not exist, and another {@type posix()} if it is not a
%% pin of this map; then it stays. A pin that may only be read is removed like any other, if the C
%% node may write to its folder.
%%
%% Cost: one round trip, and a few system calls. `retry' never repeats it.
-spec unpin(Path :: text(), Map :: any_map()) -> ok | {error, posix()}.
unpin(Path, Map) -> ?RESULT(ask(Map, unpin, [Path, Map])).

%% @doc Makes a map read-only for user space, permanently and through every handle; eBPF programs
%% can still write to it.
%%
%% Returns `{error, eperm}' if the map is already frozen, and `{error, ebusy}' if somebody has
%% mapped it into memory for writing.
%%
%% Cost: one round trip, one system call. `retry' never repeats it.
-spec freeze(Map :: any_map()) -> ok | {error, posix()}.
freeze(Map) -> ?RESULT(ask(Map, freeze, [Map])).

%%--------------------------------------------------------------------------------------------------
%% Entries
%%--------------------------------------------------------------------------------------------------

%% @doc Returns the value of a key. In a queue or a stack, with the key `<<>>', the next value,
%% which stays there.
%%
%% Raises `{badkey, Key}' if there is none; `enotsup' for types that user space cannot read.
%%
%% Cost: one round trip, one system call. `retry' repeats it.
-spec get(Key :: key(), Map :: any_map()) -> value().
get(Key, Map) -> ?RESULT(ask(Map, get, [Key, Map])).

%% @doc Returns the value of a key, or `Default' if there is none; otherwise as {@link get/2}. The
%% default travels to the C node and back. `retry' repeats it.
-spec get(Key :: key(), Map :: any_map(), Default) -> value() | Default.
get(Key, Map, Default) -> ?RESULT(ask(Map, get, [Key, Map, Default])).

%% @doc Returns `{ok, Value}' for a key, or `error' if there is none; otherwise as {@link get/2}.
%% `retry' repeats it.
-spec find(Key :: key(), Map :: any_map()) -> {ok, value()} | error.
find(Key, Map) -> ?RESULT(ask(Map, find, [Key, Map])).

%% @doc Returns whether a key exists. In a bloom filter, whether a value may have been pushed:
%% `false' is certain, `true' is not. In an lpm_trie, whether a prefix of the key exists.
%%
%% Cost: one round trip, one system call. `retry' repeats it.
-spec is_key(Key :: key() | value(), Map :: any_map()) -> boolean().
is_key(Key, Map) -> ?RESULT(ask(Map, is_key, [Key, Map])).

%% @doc Puts a value under a key, replacing the old one if there is one, and returns the same map.
%% In a queue or a stack, with the key `<<>>', adds the value.
%%
%% Raises `e2big' if the map is full or an array's index is out of range, and `eperm' if user space
%% may not write to the map.
%%
%% Cost: one round trip, one system call. `retry' repeats it, except under the key `<<>>'.
-spec put(Key :: key(), Value :: value(), Map :: any_map()) -> any_map().
put(Key, Value, Map) -> ?RESULT(ask(Map, put, [Key, Value, Map])).

%% @doc Puts a value under a key that does not exist yet, and returns the map. For the kernel this
%% is one step.
%%
%% Raises `{keyexists, Key}' if the key exists: in an array, always. Otherwise as {@link put/3}.
%%
%% Cost: one round trip, one system call. `retry' never repeats it.
-spec insert(Key :: key(), Value :: value(), Map :: any_map()) -> any_map().
insert(Key, Value, Map) -> ?RESULT(ask(Map, insert, [Key, Value, Map])).

%% @doc Puts a value under a key that already exists, and returns the map.
%%
%% Raises `{badkey, Key}' if it does not exist, or is an index out of an array's range; `einval' for
%% a queue or a stack; and `eperm' for a map that is open only for writing, if its type needs the key
%% to be looked up first.
%%
%% Cost: one round trip; one system call, or two for types in which the kernel does not check that
%% the key exists (array-like ones, devmap, devmap_hash). There it is looked up and put under a lock
%% in the C node, which does not hold back an eBPF program. `retry' never repeats it.
-spec update(Key :: key(), Value :: value(), Map :: any_map()) -> any_map().
update(Key, Value, Map) -> ?RESULT(ask(Map, update, [Key, Value, Map])).

%% @doc Puts under a key what `Fun' returns for its value, and returns the map.
%%
%% This is a {@link get/2}, a call of `Fun' here, and an {@link update/3}, so it is not atomic. What
%% others put under the key in between is lost. Raises `{badkey, Key}' if the key does not exist, or
%% if others remove it in between.
%%
%% Cost: two round trips and their system calls. `retry' repeats the {@link get/2}, and never the
%% {@link update/3}.
-spec update_with(Key, Fun, Map) -> any_map() when
    Key :: key(),
    Map :: any_map(),
    Fun :: fun((Value :: value()) -> value()).
update_with(Key, Fun, Map) ->
    ?RESULT(ebpf_maps_walk:update_with(Key, Fun, Map, [Key, Fun, Map])).

%% @doc Puts some members of the value of a key that exists, leaves the others as they are, and
%% returns the map. It takes a typed handle whose structures are Erlang maps.
%% ```
%% 1> ebpf_maps:put_members(Pid, #{limit => 100}, M).
%% '''
%%
%% This is a {@link get/2}, a change here, and an {@link update/3}, so it is not atomic: what others
%% put under the key in between is lost, and what an eBPF program adds to a counter of the same value
%% is lost too. It is no way to change one member of a value that is being written. What has no term
%% becomes zeros: padding, and what is behind the zero byte of a text. Of a union, which is read as all
%% of its members, the one that shows most is put back, unless `Members' has another one of a
%% union without a name.
%%
%% Members are those of the outermost structure, and of those in it without a name; each is put
%% whole. In a per-CPU map they are put for all CPUs.
%%
%% Raises `{badkey, Key}' if the key does not exist, or if others remove it in between;
%% `{badmember, [Member]}' if the value has no such member, and `{badmember, Path}' if what it is to
%% be does not fit; `notype' for a handle without types, whether or not the kernel has types of the
%% map; and `enotsup' if its values are no structures, or not Erlang maps. Then nothing has been put.
%%
%% Cost: three round trips, and the system calls of two of them. `retry' repeats what it reads, and
%% never the {@link update/3}.
%% @since 0.4.0
-spec put_members(Key :: key(), Members :: #{member() => term()}, Map :: ebpf_map()) -> ebpf_map().
put_members(Key, Members, Map) ->
    ?RESULT(ebpf_maps_walk:put_members(Key, Members, Map, [Key, Members, Map])).

%% @doc Removes a key if it exists, and returns the map.
%%
%% Raises `einval' for types whose entries cannot be removed: arrays and cgroup storages.
%%
%% Cost: one round trip, one system call. `retry' repeats it.
-spec remove(Key :: key(), Map :: any_map()) -> any_map().
remove(Key, Map) -> ?RESULT(ask(Map, remove, [Key, Map])).

%% @doc Removes a key and returns its value with the map, or `error' if there is none. In a queue or
%% a stack, with the key `<<>>', takes out the next value.
%%
%% On hash types, queues and stacks this is one atomic operation of the kernel. On others it is a
%% get and a remove under a lock in the C node, which all of its callers respect; an eBPF program
%% can still come in between. Raises `einval' for types whose entries cannot be removed.
%%
%% Cost: one round trip, one system call, or two for types without the atomic operation. `retry'
%% never repeats it.
-spec take(Key :: key(), Map :: any_map()) -> {Value :: value(), any_map()} | error.
take(Key, Map) -> ?RESULT(ask(Map, take, [Key, Map])).

%% @doc Adds a value to a queue, a stack or a bloom filter, and returns the map.
%%
%% Raises `e2big' if a queue or a stack is full, and `enotsup' for a map with keys.
%%
%% Cost: one round trip, one system call. `retry' never repeats it.
-spec push(Value :: value(), Map :: any_map()) -> any_map().
push(Value, Map) -> ?RESULT(ask(Map, push, [Value, Map])).

%% @doc Removes the next value of a queue or a stack and returns it, or `empty' if there is none.
%%
%% Raises `enotsup' for other types. Cost: one round trip, one system call. `retry' never repeats
%% it.
-spec pop(Map :: any_map()) -> value() | empty.
pop(Map) -> ?RESULT(ask(Map, pop, [Map])).

%% @doc Returns the next value of a queue or a stack, which stays there, or `empty' if there is
%% none.
%%
%% Raises `enotsup' for other types. Cost: one round trip, one system call. `retry' repeats it.
-spec peek(Map :: any_map()) -> value() | empty.
peek(Map) -> ?RESULT(ask(Map, peek, [Map])).

%%--------------------------------------------------------------------------------------------------
%% Many entries
%%--------------------------------------------------------------------------------------------------

%% @doc Returns the given keys that exist, and their values, as an Erlang map. Its keys are as they
%% were given: `1' stays `1'.
%%
%% Raises `{too_big, Max}' if the message would be longer than the C node takes or sends. Otherwise
%% as {@link get/2}, but without `{badkey, Key}'.
%%
%% Cost: one round trip, one system call for each key. `retry' repeats it.
-spec with(Keys :: [key()], Map :: any_map()) -> #{key() => value()}.
with(Keys, Map) -> ?RESULT(ask(Map, with, [Keys, Map])).

%% @doc Removes the given keys that exist, and returns the map.
%%
%% All keys are checked first: after `badarg' nothing has been removed. Raises `einval' for types
%% whose entries cannot be removed.
%%
%% Cost: one round trip, one system call for each key. `retry' repeats it.
-spec without(Keys :: [key()], Map :: any_map()) -> any_map().
without(Keys, Map) -> ?RESULT(ask(Map, without, [Keys, Map])).

%% @doc Puts many pairs, in order, and returns the map, which comes first here as in `maps:merge/2'.
%%
%% Bytes are all checked before the first is put: after `badarg' nothing has been put. If the kernel
%% refuses a pair, raises `{Posix, Done}', such as `{e2big, Done}' for a full map: the first `Done'
%% pairs of the list have been put, and no others. The same goes for something that a pair names and
%% that has gone while others were put: for a handle that is `{ebadf, Done}'.
%%
%% Pairs are sent in messages of up to 16384 pairs and about 1 MiB; of 256 if values are maps,
%% because the kernel may take 10 ms for each. All are checked here before the first message is
%% sent, against the sizes and the type that the handle prints, and the C node checks those of a
%% message again. Terms of a typed handle are checked by the C node alone, message by message, which
%% takes one more round trip. What only the C node can know (how many CPUs there are, and whether paths,
%% processes, interfaces and handles are good) it may still refuse in a later message. When anything
%% but the kernel stops the work after the first message, that is raised as `{Reason, Done}':
%% `{badarg, Done}', `{{nodedown, Node}, Done}'. Then at least the first `Done' pairs have been put,
%% and after `nodedown' or `timeout' perhaps some of the next message; so it is of any reason where
%% that message was repeated.
%%
%% Cost: one round trip for each message; one system call for each 256 KiB of entries, or for each
%% pair on types without batches. About 1 s for a million pairs of 4 and 8 bytes. `retry' repeats
%% each message, except with the key `<<>>'.
-spec merge(Map :: any_map(), Pairs :: [{key(), value()}] | #{key() => value()}) -> any_map().
merge(Map, Pairs) -> ?RESULT(ebpf_maps_merge:merge(Map, Pairs, [], [Map, Pairs])).

%% @doc As {@link merge/2}, and reports progress: see {@section Progress}.
%%
%% Raises `badarg' for other options, and puts nothing. If the fun raises an exception, the pairs
%% that were reported to it have been put, and no others. `retry' repeats each message, except with
%% the key `<<>>'.
%% @since 0.2.0
-spec merge(Map, Pairs, Options) -> Map when
    Map :: any_map(),
    Pairs :: [{key(), value()}] | #{key() => value()},
    Options :: [{progress, progress()}].
merge(Map, Pairs, Options) ->
    ?RESULT(ebpf_maps_merge:merge(Map, Pairs, Options, [Map, Pairs, Options])).

%% @doc Returns the number of entries. The kernel keeps no counter: the C node counts them in a
%% walk, except in arrays, where all entries always exist.
%%
%% Raises `enotsup' for maps without keys.
%%
%% Cost: one round trip and a walk in the C node, whose system calls read up to 1 MiB of entries
%% each, or one entry on types without batches. Other callers on the same connection wait meanwhile.
%% `retry' repeats it.
-spec size(Map :: any_map()) -> non_neg_integer().
size(Map) -> ?RESULT(ask(Map, size, [Map])).

%% @doc Returns the keys of all entries. Guarantees and cost are those of {@link to_list/1}: the
%% values travel too, except those of maps of maps and of a sockhash with values of 4 bytes. `retry'
%% repeats each chunk.
-spec keys(Map :: any_map()) -> [key()].
keys(Map) -> ?RESULT(ebpf_maps_walk:keys(Map, [Map])).

%% @doc Returns the values of all entries. Guarantees and cost are those of {@link to_list/1}.
%% `retry' repeats each chunk.
-spec values(Map :: any_map()) -> [value()].
values(Map) -> ?RESULT(ebpf_maps_walk:values(Map, [Map])).

%% @doc Returns all entries, in the kernel's order. See {@section Walks} above for what it
%% guarantees while others write.
%%
%% Raises `enotsup' for maps without keys.
%%
%% Cost: one round trip for each chunk of up to 16384 entries and about 1 MiB; for a chunk, one or a
%% few system calls, or two for each entry on types without batches. `retry' repeats each chunk.
-spec to_list(Map :: any_map()) -> [{key(), value()}].
to_list(Map) -> ?RESULT(ebpf_maps_walk:to_list(Map, [], [Map])).

%% @doc As {@link to_list/1}, and reports progress: see {@section Progress}.
%%
%% Raises `badarg' for other options. `retry' repeats each chunk.
%% @since 0.2.0
-spec to_list(Map :: any_map(), Options :: [{progress, progress()}]) -> [{key(), value()}].
to_list(Map, Options) -> ?RESULT(ebpf_maps_walk:to_list(Map, Options, [Map, Options])).

%% @doc Returns the `N' entries whose number `Member' is the largest, those first; all of them, if
%% there are fewer. Of entries whose numbers are equal, the one whose key has the lower bytes in the
%% kernel comes first.
%% ```
%% 1> ebpf_maps:top(2, bytes, Flows).
%% [{#{<<"port">> => 443}, #{<<"bytes">> => 4711}}, {#{<<"port">> => 80}, #{<<"bytes">> => 12}}]
%% 2> ebpf_maps:top(10, [queues, 0, depth], M), ebpf_maps:top(10, [], Counters).
%% '''
%% The C node ranks them in one walk and sends no others. It takes a typed handle, or a
%% {@type locator()} of a map whose types the kernel has; keys and values are as the handle shows
%% them. Integers are compared exactly, of whatever size and sign; `false' is less than `true', and
%% of floats `nan' is less than all others. Of a per-CPU map the folded values are ranked: the handle
%% has to be one with `{percpu, sum}', `max' or `min', which {@link typed/2} also makes of a map
%% without types: `typed(M, [{types, {u32, u64}}, {percpu, sum}])'.
%%
%% See {@section Walks} for what is guaranteed while others write: on types other than hashes and
%% arrays a key can come twice.
%%
%% Raises `badarg' if `N' is not from 0 to 65536, or `Member' is no {@type number_member()};
%% `{badmember, Path}' where `Path' is how far `Member' leads before there is no such part, or no
%% number; `notype' for a handle without types, and for a locator of a map of which the kernel has
%% none; `unfolded' for a handle that has a list of the values of all CPUs; `enotsup' for a map
%% without keys, or whose values name objects of the kernel; and `{too_big, Max}' or `enomem' if `N'
%% entries are more than the C node may have in memory, or in an answer: `--max-message' and
%% `--max-memory'.
%%
%% Cost: one round trip and a walk in the C node, as {@link size/1}; memory there for `N' entries, and
%% 40 bytes for each. `retry' repeats it.
%% @since 0.4.0
-spec top(N, Member, Map) -> [{key(), value()}] when
    N :: 0..65536,
    Member :: number_member(),
    Map :: any_map().
top(N, Member, Map) -> ?RESULT(ask(Map, top, [N, Member, Map])).

%% @doc Returns the sum of the number `Member' over all entries, 0 if there are none. A sum of integers
%% is exact, whatever its size; `true' counts as 1. A sum of floats is a float, rounded at each
%% step in the order of the walk, or `nan', `infinity' or `-infinity'.
%% ```
%% 1> ebpf_maps:sum(bytes, Flows).
%% 4723
%% '''
%% Takes the same maps and members as {@link top/3}, and raises what that does, but for `{too_big, Max}'
%% and `enomem'.
%%
%% Cost: one round trip and a walk in the C node, as {@link size/1}. `retry' repeats it.
%% @since 0.4.0
-spec sum(Member :: number_member(), Map :: any_map()) ->
    number() | nan | infinity | '-infinity'.
sum(Member, Map) -> ?RESULT(ask(Map, sum, [Member, Map])).

%% @doc Calls `Fun(Key, Value, AccIn)' for every entry, the first time with `Acc' and then with what
%% the previous call returned, and returns what the last call returned.
%%
%% Entries come by the chunk, and `Fun' is called here: what it does to the map is a write like any
%% other, and while it takes its time the entries to come grow old. Guarantees and cost are those of
%% {@link to_list/1}, except that here only one chunk at a time is in memory. Raises `badarg' if
%% `Fun' is not a fun of arity 3. `retry' repeats each chunk.
-spec fold(Fun, Acc, Map) -> Acc when
    Fun :: fun((key(), value(), Acc) -> Acc),
    Acc :: term(),
    Map :: any_map().
fold(Fun, Acc, Map) -> ?RESULT(ebpf_maps_walk:fold(Fun, Acc, Map, [], [Fun, Acc, Map])).

%% @doc As {@link fold/3}, and reports progress each time that `Fun' has had all entries of a chunk:
%% see {@section Progress}.
%%
%% Raises `badarg' for other options. `retry' repeats each chunk.
%% @since 0.2.0
-spec fold(Fun, Acc, Map, Options) -> Acc when
    Fun :: fun((key(), value(), Acc) -> Acc),
    Acc :: term(),
    Map :: any_map(),
    Options :: [{progress, progress()}].
fold(Fun, Acc, Map, Options) ->
    ?RESULT(ebpf_maps_walk:fold(Fun, Acc, Map, Options, [Fun, Acc, Map, Options])).

%% @doc Calls `Fun(Key, Value)' for every entry; otherwise as {@link fold/3}. `retry' repeats each
%% chunk.
-spec foreach(Fun, Map) -> ok when
    Map :: any_map(),
    Fun :: fun((Key :: key(), Value :: value()) -> term()).
foreach(Fun, Map) -> ?RESULT(ebpf_maps_walk:foreach(Fun, Map, [Fun, Map])).

%% @doc Removes all entries and returns the map. A queue or a stack is popped until it is empty.
%%
%% Entries that are put meanwhile may stay. Raises `einval' for types whose entries cannot be
%% removed, and then removes nothing.
%%
%% Cost: one round trip and a walk in the C node, as {@link size/1}. If values are maps the kernel
%% takes 10 ms for each: with more than about a thousand, make sure that `timeout' is long enough.
%% `retry' repeats it.
-spec clear(Map :: any_map()) -> any_map().
clear(Map) -> ?RESULT(ask(Map, clear, [Map])).

%% @doc Removes all entries and returns them: no entry is returned by two callers, and none that was
%% there gets lost. Those of a queue or a stack are `{<<>>, Value}', in the order of {@link pop/1}.
%%
%% On hash types the kernel removes an entry as it reads it, by whole buckets; on others each is
%% looked up and removed under a lock in the C node, as in {@link take/2}. Entries that are put
%% meanwhile may stay.
%%
%% If it fails midway, raises `{Reason, Entries}' with the entries removed so far, or only `Reason'
%% if there are none. Lost are only the entries of a chunk that is under way when the connection is
%% lost, or whose answer does not come in time. If the caller is killed meanwhile, all that it has
%% removed is lost. {@link drain_chunk/3} bounds that: no more is under way than the chunk that was
%% asked for, and earlier ones are the caller's to keep. Raises `einval' for types whose entries
%% cannot be removed, and then removes nothing.
%%
%% Cost: as {@link to_list/1}, and one system call for each value of a queue or a stack, and for
%% each map in a map. `retry' never repeats it.
-spec drain(Map :: any_map()) -> [{key(), value()}].
drain(Map) -> ?RESULT(ebpf_maps_walk:drain(Map, [], [Map])).

%% @doc As {@link drain/1}, and reports progress: see {@section Progress}.
%%
%% If the fun raises an exception, raises `{Reason, Entries}' with the entries removed so far, or
%% only `Reason' if there are none, of the class and with the stack of that exception. Raises
%% `badarg' for other options, and then removes nothing. `retry' never repeats it.
%% @since 0.2.0
-spec drain(Map :: any_map(), Options :: [{progress, progress()}]) -> [{key(), value()}].
drain(Map, Options) -> ?RESULT(ebpf_maps_walk:drain(Map, Options, [Map, Options])).

%% @doc Returns a fun for the option `progress', which shows in a shell how far long work is: see
%% {@section Progress}.
%%
%% It draws a bar on one line, at most five times a second, and ends the line when the work is done.
%% It prints to the group leader of the process, and nothing if that has no columns, as a file or a
%% pipe. The fun can be used again when the work is done.
%%
%% Cost: none; the C node has no part in it.
%% @since 0.2.0
-spec progress() -> progress().
progress() -> ebpf_maps_progress:bar().

%%--------------------------------------------------------------------------------------------------
%% Walks
%%--------------------------------------------------------------------------------------------------

%% @equiv iterator(Map, [{prefetch, 1000}])
-spec iterator(Map :: ebpf_map()) -> iterator().
iterator(Map) -> ?RESULT(ebpf_maps_walk:iterator(Map, [], [Map])).

%% @doc Starts a walk through the map, for {@link next/1}.
%%
%% `{prefetch, N}' is how many entries come in one message, 1000 by default; they are then kept in
%% the iterator. With more than one, entries are as of the moment of that message; with
%% `{prefetch, 1}' each value is read when {@link next/1} is called.
%%
%% Raises `enotsup' for maps without keys, and `badarg' for other options.
%%
%% Cost: one round trip. `retry' repeats it.
-spec iterator(Map :: ebpf_map(), Options :: [{prefetch, pos_integer()}]) -> iterator().
iterator(Map, Options) -> ?RESULT(ebpf_maps_walk:iterator(Map, Options, [Map, Options])).

%% @doc Returns the next entry of a walk, and an iterator for the rest; at the end, `none'. See
%% {@section Walks} above for what it guarantees while others write. An entry that has gone when its
%% turn comes is skipped.
%%
%% It takes any iterator, whoever created it. One that came from the C node itself, by plain `rpc',
%% does not prefetch.
%%
%% Raises `badarg' if it is not an iterator.
%%
%% Cost: one round trip for as many entries as are prefetched, or one bucket of them, and otherwise
%% nothing. Without prefetching, one round trip and one or two system calls; the iterator carries up
%% to 16 keys, or those of a bucket, that are still to come. `retry' repeats it.
-spec next(Iterator :: iterator()) -> {Key :: key(), Value :: value(), iterator()} | none.
next(Iterator) -> ?RESULT(ebpf_maps_walk:next(Iterator, [Iterator])).

%% @doc Returns the next entries of a walk, and a cursor for the rest; the functions on whole maps
%% are made of it.
%%
%% A chunk has at most `MaxEntries' entries and 1 MiB, or the entries of one bucket of a hash,
%% whichever is more. It may be empty before the end, which is `done'. A walk can be abandoned at
%% any time. See {@section Walks} above for what it guarantees.
%%
%% Raises `enotsup' for maps without keys, `badarg' for a cursor that is not of such a map, and
%% `{too_big, Max}' only if the next bucket does not fit in an answer.
%%
%% Cost: one round trip, one or a few system calls, or two for each entry on types without batches.
%% `retry' repeats it.
-spec next_chunk(start | cursor() | done, Map :: ebpf_map(), MaxEntries :: pos_integer()) ->
    {[{key(), value()}], cursor() | done}.
next_chunk(Cursor, Map, MaxEntries) -> ?RESULT(ask(Map, next_chunk, [Cursor, Map, MaxEntries])).

%% @doc As {@link next_chunk/3}, and removes the entries; {@link drain/1} is made of it. Neither
%% takes a cursor of the other.
%%
%% Raises `einval' for types whose entries cannot be removed.
%%
%% From a queue or a stack it returns up to `MaxEntries' values, and `start' if there may be more.
%% `retry' never repeats it.
-spec drain_chunk(start | cursor() | done, Map :: ebpf_map(), MaxEntries :: pos_integer()) ->
    {[{key(), value()}], cursor() | done}.
drain_chunk(Cursor, Map, MaxEntries) -> ?RESULT(ask(Map, drain_chunk, [Cursor, Map, MaxEntries])).

%% @doc Calls `Fun', in which calls of this process that lose their connection to a C node are
%% repeated for so many milliseconds each, and returns what `Fun' returns.
%%
%% This holds for functions of {@link ebpf_maps}, {@link ebpf_programs} and {@link ebpf_events} that
%% may be repeated: see {@section Lost connections}. It goes before the variable `retry', and the
%% innermost call of this function before others: with 0, `Fun' hears of `{nodedown, Node}' at
%% once. Processes that `Fun' starts have no part in it.
%% ```
%% 1> ebpf_maps:retry(5000, fun() -> ebpf_maps:get(80, {pinned, "/sys/fs/bpf/ports"}) end).
%% <<1,0,0,0,0,0,0,0>>
%% '''
%% One call may take longer than that: each time that it is repeated it waits for up to `timeout',
%% and for the connection.
%%
%% Raises `badarg' if `Milliseconds' is not from 0 to 2^32-1, or `Fun' is not a fun without
%% arguments; and what `Fun' raises. Cost: none.
%% @since 0.4.0
-spec retry(Milliseconds :: non_neg_integer(), fun(() -> Result)) -> Result.
retry(Milliseconds, Fun) ->
    ?RESULT(ebpf_cnode_retry:during(Milliseconds, Fun, [Milliseconds, Fun])).

%% @doc Explains an exception of this module in words, for the shell and for `erl_error': EEP 54.
%%
%% Each text is under the number of the argument that it is about, or under `general'. Texts are
%% binaries, as Elixir wants them.
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error(Reason, Stack) -> ebpf_maps_errors:format_error(Reason, Stack).
