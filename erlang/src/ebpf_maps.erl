%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade: the functions that the C node serves, with types, and with exceptions as if they had
%% been raised here. It knows how to find the C node of a map and what each outcome of a call means;
%% what a map, a key or an option may be is the C node's to judge.

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
%% many system calls there as its documentation says. What does not even look like a handle is
%% refused here, without a message.
%%
%% == Errors ==
%% Exceptions are of class `error', raised as if this module had found the fault itself, so that the
%% shell says in words what is wrong. Besides what the functions name, each of them may raise
%% <dl>
%% <dt>`{badmap, Term}'</dt><dd>`Term' is no handle, or the map is not live: it was closed, the node
%%   that made it has been gone for too long, or its C node has restarted.</dd>
%% <dt>`badarg'</dt><dd>An argument is not of its type, or not of the map's size.</dd>
%% <dt>{@type posix()}</dt><dd>What the kernel said, as `eperm' or `enotsupp' (its 524).</dd>
%% <dt>`{too_big, Max}'</dt><dd>The request or its answer would be longer than `Max' octets, the
%%   `--max-message' of the C node.</dd>
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
%% <dt>`node'</dt><dd>The C node on which {@link new/5} makes maps when it is not told; by default
%%   `ebpf' on the host of this node.</dd>
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
    new/4, new/5,
    close/1,
    fd/1,
    get/2, get/3,
    put/3,
    update/3,
    remove/2,
    take/2,
    iterator/1,
    next/1,
    format_error/2
]).

-export_type([ebpf_map/0, iterator/0, key/0, value/0, type/0, map_option/0, posix/0]).

%% The frame of an exception must be that of the function that was called.
-compile({inline, [result/1]}).

-define(TIMEOUT, 15000).
-define(IS_SIZE(N), (is_integer(N) andalso N >= 0 andalso N < 1 bsl 32)).
-define(IS_HANDLE(T), (element(1, T) =:= ebpf_map andalso is_reference(element(2, T)))).
-define(IS_ITERATOR(T), (element(1, T) =:= ebpf_iterator andalso ?IS_HANDLE(element(2, T)))).

-opaque ebpf_map() :: tuple().
%% The handle of a map. It prints readably and names its C node; it can be sent and kept as any
%% term, and lives until {@link close/1}, or until the node that made it has been gone for the C
%% node's `--grace', 60 s by default.

-opaque iterator() :: tuple().
%% A place in a walk: a plain term, with which any node can go on.

-type key() :: binary() | integer().
%% A binary of exactly the map's key size, or an integer that fits in it: two's complement in the
%% byte order of the C node's host, `-(2^(8n-1)) =< I < 2^(8n)' for `n' octets. Keys that come back
%% are binaries. A map without keys (queue, stack) has the key `<<>>'.

-type value() :: binary() | integer() | [binary() | integer()].
%% As {@type key()}, of the map's value size. The value of a per-CPU map is a list with one for each
%% possible CPU, in their order; one alone is put for all of them. Values that come back are
%% binaries, or a list of binaries.

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
    no_prealloc | read | write | zero_seed | prog_read | prog_write | clone | mmapable
    | {name, atom() | string() | binary()}
    | {node, node()}.
%% The atoms are the kernel's flags of that name: `read' and `write' limit user space to that,
%% `prog_read' and `prog_write' the eBPF programs. A name has up to 15 letters, digits, `_' and `.'.
%% `node' is the C node that is to make the map; where it is given twice the first counts.

-type posix() :: atom().
%% An error number of the kernel by its name in small letters, as `e2big'; `enotsupp' for its 524.

%%--------------------------------------------------------------------------------------------------
%% API
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
    result(new_outcome(request(default_node(), new, Args, Args))).

%% @doc Makes a map.
%%
%% `KeySize' and `ValueSize' are in octets, `MaxEntries' is the number of entries the map can hold;
%% all of them from 0 to 2^32-1, with what further limits the kernel has for the type.
%%
%% The map belongs to this node; see {@type ebpf_map()} for how long it lives.
%%
%% Returns `{error, Posix}' where the kernel refuses, as `{error, einval}' for sizes that do not fit
%% the type, `{error, eperm}' for a missing privilege of the C node and `{error, emfile}' when the C
%% node holds its `--max-maps' already; `{error, nodedown | timeout | notalive}' where no C node can
%% be asked (after a `timeout', or a connection lost meanwhile, the map may have been made; it goes
%% when this node does). Raises `badarg' for what is no type, size or option.
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
    result(new_outcome(request(Node, new, Sent, Args))).

%% @doc Closes a map. The handle is dead from then on, on every node; the kernel frees the map when
%% nothing else (an eBPF program, a pin) holds it.
%%
%% Returns `{error, ebadf}' for a handle that is not live. Raises `{badmap, Term}' only for what
%% does not look like a handle.
%%
%% Cost: one round trip, one system call.
-spec close(Map :: ebpf_map()) -> ok | {error, ebadf}.
close(Map) -> result(ask(Map, close, [Map])).

%% @doc The number of the map's descriptor in the C node: what a program that is loaded there would
%% use. It means nothing anywhere else.
%%
%% Cost: one round trip, no system call.
-spec fd(Map :: ebpf_map()) -> non_neg_integer().
fd(Map) -> result(ask(Map, fd, [Map])).

%% @doc The value of a key. In a queue or a stack, with the key `<<>>', the next value; it stays
%% there.
%%
%% Raises `{badkey, Key}' where there is none; `enotsupp' or another {@type posix()} on types that
%% user space cannot read.
%%
%% Cost: one round trip, one system call.
-spec get(Key :: key(), Map :: ebpf_map()) -> value().
get(Key, Map) -> result(ask(Map, get, [Key, Map])).

%% @doc The value of a key, or `Default' where there is none; else as {@link get/2}. The default
%% travels to the C node and back.
-spec get(Key :: key(), Map :: ebpf_map(), Default) -> value() | Default.
get(Key, Map, Default) -> result(ask(Map, get, [Key, Map, Default])).

%% @doc Puts a value under a key, whether there was one or not, and returns the map, which is the
%% same one. In a queue or a stack, with the key `<<>>', adds the value.
%%
%% Raises `e2big' where the map is full or an array's index is out of range, `eperm' on a map that
%% user space may not write.
%%
%% Cost: one round trip, one system call.
-spec put(Key :: key(), Value :: value(), Map :: ebpf_map()) -> ebpf_map().
put(Key, Value, Map) -> result(ask(Map, put, [Key, Value, Map])).

%% @doc Puts a value under a key that is there already, and returns the map.
%%
%% Raises `{badkey, Key}' where there is none, an index out of an array's range among them; `einval'
%% on a queue or a stack.
%%
%% Cost: one round trip; one system call, or two on types on which the kernel does not tell itself
%% (array-like ones, devmap, devmap_hash). There it is looked up and put under a lock in the C node,
%% which does not hold back an eBPF program.
-spec update(Key :: key(), Value :: value(), Map :: ebpf_map()) -> ebpf_map().
update(Key, Value, Map) -> result(ask(Map, update, [Key, Value, Map])).

%% @doc Removes a key, if it is there, and returns the map.
%%
%% Raises `einval' on types from which nothing can be removed, as arrays.
%%
%% Cost: one round trip, one system call.
-spec remove(Key :: key(), Map :: ebpf_map()) -> ebpf_map().
remove(Key, Map) -> result(ask(Map, remove, [Key, Map])).

%% @doc Removes a key and returns its value with the map, or `error' where there is none. In a queue
%% or a stack, with the key `<<>>', takes out the next value.
%%
%% On hash types, queue and stack this is one atomic operation of the kernel. On others it is a get
%% and a remove under a lock in the C node, which all of its callers respect, but an eBPF program
%% can still come between the two. Raises `einval' on types from which nothing can be removed.
%%
%% Cost: one round trip, one system call, or two on types without the atomic operation.
-spec take(Key :: key(), Map :: ebpf_map()) -> {Value :: value(), ebpf_map()} | error.
take(Key, Map) -> result(ask(Map, take, [Key, Map])).

%% @doc The start of a walk through the map, for {@link next/1}.
%%
%% Raises a {@type posix()} on types that cannot be walked, as queue and stack.
%%
%% Cost: one round trip.
-spec iterator(Map :: ebpf_map()) -> iterator().
iterator(Map) -> result(ask(Map, iterator, [Map])).

%% @doc The next entry of a walk, and where to go on; `none' at the end.
%%
%% A walk always ends, and skips what has gone meanwhile. On hash types a key that is there all the
%% time comes exactly once, however much others insert and delete.
%%
%% Raises `badarg' for what is no iterator.
%%
%% Cost: one round trip, and on hash types one system call for each bucket and one for each value,
%% else two. The iterator carries the keys of its bucket that are still to come.
-spec next(Iterator :: iterator()) -> {Key :: key(), Value :: value(), iterator()} | none.
next(Iterator) -> result(ask_next(Iterator)).

%% @doc Explains an exception of this module in words, for the shell and for `erl_error': EEP 54.
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, [{?MODULE, Function, Args, _Info} | _]) when is_list(Args) ->
    explain(Reason, Function, Args);
format_error(_Reason, _Stack) ->
    #{}.

%%--------------------------------------------------------------------------------------------------
%% Asking the C node
%%--------------------------------------------------------------------------------------------------

result({value, Value}) -> Value;
result({raise, Reason, Args}) -> error(Reason, Args, [{error_info, #{module => ?MODULE}}]).

new_outcome({raise, {nodedown, _}, _}) -> {value, {error, nodedown}};
new_outcome({raise, {timeout, _}, _}) -> {value, {error, timeout}};
new_outcome({raise, notalive, _}) -> {value, {error, notalive}};
new_outcome(Outcome) -> Outcome.

%% A reference that was made here is no C node's; asking ourselves would come back here for ever.
ask(Map, Function, Args) when ?IS_HANDLE(Map) ->
    case node(element(2, Map)) =:= node() andalso is_alive() of
        false -> request(node(element(2, Map)), Function, Args, Args);
        true when Function =:= close -> {value, {error, ebadf}};
        true -> {raise, {badmap, Map}, Args}
    end;
ask(Term, _Function, Args) ->
    {raise, {badmap, Term}, Args}.

ask_next(Iterator) when ?IS_ITERATOR(Iterator) -> ask(element(2, Iterator), next, [Iterator]);
ask_next(Term) -> {raise, badarg, [Term]}.

%% Args are those of the exception; Sent lacks what is for the facade alone.
request({raise, Reason}, _Function, _Sent, Args) ->
    {raise, Reason, Args};
request(Node, Function, Sent, Args) ->
    case {is_alive(), application:get_env(ebpf_maps, timeout, ?TIMEOUT)} of
        {false, _} ->
            {raise, notalive, Args};
        {true, Timeout} when Timeout =:= infinity; ?IS_SIZE(Timeout) ->
            try
                {value, erpc:call(Node, ?MODULE, Function, Sent, Timeout)}
            catch
                Class:Reason -> {raise, reason(Class, Reason, Node), Args}
            end;
        {true, Timeout} ->
            {raise, {badenv, {timeout, Timeout}}, Args}
    end.

%% What erpc raises -> the reason of the exception that is raised here. The last clause is for what
%% no C node says: exits, throws, and erpc's own trouble.
reason(error, {exception, undef, [{?MODULE, _, _, _} | _]}, Node) -> {undef, Node};
reason(error, {exception, Reason, _Stack}, _Node) -> Reason;
reason(error, {erpc, noconnection}, Node) -> {nodedown, Node};
reason(error, {erpc, timeout}, Node) -> {timeout, Node};
reason(error, {erpc, notsup}, Node) -> {undef, Node};
reason(_Class, Reason, _Node) -> Reason.

%%--------------------------------------------------------------------------------------------------
%% Where new maps are made
%%--------------------------------------------------------------------------------------------------

node_option(Options) when length(Options) >= 0 ->
    case lists:partition(fun is_node_option/1, Options) of
        {[{node, Node} | _], Rest} -> {remote_node(Node, badarg), Rest};
        {[], Options} -> {default_node(), Options}
    end;
node_option(Term) ->
    {default_node(), Term}.

is_node_option(Option) ->
    is_tuple(Option) andalso tuple_size(Option) =:= 2 andalso element(1, Option) =:= node.

default_node() ->
    case application:get_env(ebpf_maps, node) of
        {ok, Node} ->
            remote_node(Node, {badenv, {node, Node}});
        undefined ->
            [_, Host] = string:split(atom_to_list(node()), "@"),
            list_to_atom("ebpf@" ++ Host)
    end.

remote_node(Node, Reason) ->
    case is_node_name(Node) andalso Node =/= node() of
        true -> Node;
        false -> {raise, Reason}
    end.

is_node_name(Term) ->
    is_atom(Term) andalso
        case string:split(atom_to_list(Term), "@", all) of
            [[_ | _], [_ | _]] -> true;
            _ -> false
        end.

%%--------------------------------------------------------------------------------------------------
%% Explaining exceptions
%%--------------------------------------------------------------------------------------------------

explain(badarg, Function, Args) ->
    case bad_arguments(Function, Args) of
        None when map_size(None) =:= 0 -> #{general => bad_otherwise(Function, Args)};
        Bad -> Bad
    end;
explain({badkey, _}, _Function, _Args) ->
    #{1 => "not present in the map"};
explain({badmap, Map}, Function, _Args) ->
    #{map_position(Function) => bad_map(Map)};
explain(e2big, Function, Args) ->
    case map_fields(lists:nth(map_position(Function), Args)) of
        {_Type, _KeySize, _ValueSize, MaxEntries} ->
            #{general => io_lib:format("the map is full: it has room for ~w entries; or the key is "
                                       "an index beyond them", [MaxEntries])};
        unknown ->
            #{general => "the map is full, or the key is an index out of its range"}
    end;
explain(enotsupp, _Function, _Args) ->
    #{general => "the kernel does not support this operation on a map of this type"};
explain(eperm, _Function, _Args) ->
    #{general => "the map may not be used this way (read, write, frozen), or the C node lacks a "
                 "capability"};
explain(emfile, _Function, _Args) ->
    #{general => "the C node has no room for another map: see its --max-maps and ulimit -n"};
explain({too_big, Max}, _Function, _Args) ->
    #{general => io_lib:format("the request or its answer would be longer than ~w octets, the C "
                               "node's --max-message", [Max])};
explain({nodedown, Node}, _Function, _Args) ->
    #{general => io_lib:format("no connection to ~ts: is ebpf_cnode running there, with the same "
                               "cookie? If it was lost during the call, the operation may have "
                               "happened", [Node])};
explain({timeout, Node}, _Function, _Args) ->
    #{general => io_lib:format("no answer from ~ts in time; the operation may have happened",
                               [Node])};
explain(notalive, _Function, _Args) ->
    #{general => "this node is not distributed: start it with -sname or -name"};
explain({undef, Node}, Function, Args) ->
    #{general => io_lib:format("~ts does not serve ebpf_maps:~ts/~w",
                               [Node, Function, length(Args)])};
explain({badenv, {node, _}}, _Function, _Args) ->
    #{general => "the variable node of the application ebpf_maps is not the name of another node"};
explain({badenv, {timeout, _}}, _Function, _Args) ->
    #{general => "the variable timeout of the application ebpf_maps is neither milliseconds nor "
                 "infinity"};
explain(Posix, _Function, _Args) when is_atom(Posix) ->
    #{general => ["the kernel says: ", file:format_error(Posix)]};
explain(_Reason, _Function, _Args) ->
    #{}.

map_position(Function) when Function =:= put; Function =:= update -> 3;
map_position(Function) when Function =:= get; Function =:= remove; Function =:= take -> 2;
map_position(_Function) -> 1.

bad_map(Map) when ?IS_HANDLE(Map) ->
    "not a live map: closed, or from a C node that has restarted";
bad_map(_Term) ->
    "not a map handle".

%% What the handle prints is trusted here, and only here: it makes words, nothing else.
map_fields(Map) when ?IS_HANDLE(Map), tuple_size(Map) >= 6 ->
    {element(3, Map), element(4, Map), element(5, Map), element(6, Map)};
map_fields(_Map) ->
    unknown.

is_per_cpu(Map) ->
    case map_fields(Map) of
        {Type, _, _, _} -> string:find(io_lib:write(Type), "percpu") =/= nomatch;
        unknown -> false
    end.

bad_arguments(new, [Type, KeySize, ValueSize, MaxEntries | Options]) ->
    faults([bad_type(Type), bad_size(KeySize), bad_size(ValueSize), bad_size(MaxEntries)
            | lists:map(fun bad_options/1, Options)]);
bad_arguments(next, [Iterator]) when ?IS_ITERATOR(Iterator) ->
    #{};
bad_arguments(next, _Args) ->
    #{1 => "not an iterator"};
bad_arguments(Function, [Key, Value, Map]) when Function =:= put; Function =:= update ->
    case map_fields(Map) of
        {_Type, KeySize, ValueSize, _} ->
            faults([bad_octets("key", Key, KeySize), bad_value(Map, Value, ValueSize)]);
        unknown ->
            #{}
    end;
bad_arguments(_Function, [Key, Map | _]) ->
    case map_fields(Map) of
        {_Type, KeySize, _, _} -> faults([bad_octets("key", Key, KeySize)]);
        unknown -> #{}
    end;
bad_arguments(_Function, _Args) ->
    #{}.

bad_otherwise(new, _Args) ->
    "the C node knows no such type or option";
bad_otherwise(next, _Args) ->
    "the iterator does not hold together";
bad_otherwise(Function, Args) ->
    case is_per_cpu(lists:nth(map_position(Function), Args)) of
        true -> "a list has one value for each possible CPU";
        false -> "the number of a descriptor is never taken as a key or value"
    end.

faults(Texts) ->
    Numbered = lists:zip(lists:seq(1, length(Texts)), Texts),
    maps:from_list([Fault || {_, Text} = Fault <- Numbered, Text =/= none]).

bad_type(Type) when is_atom(Type) -> none;
bad_type(_) -> "not an atom".

bad_size(Size) when ?IS_SIZE(Size) -> none;
bad_size(_) -> "not an integer from 0 to 4294967295".

bad_options(Options) when length(Options) >= 0 ->
    case [Text || Option <- Options, (Text = bad_option(Option)) =/= none] of
        [] -> none;
        Texts -> lists:join("\n", Texts)
    end;
bad_options(_) ->
    "not a list".

bad_option({node, Node}) ->
    case is_node_name(Node) of
        true when Node =/= node() -> none;
        true -> "the option node names this node itself";
        false -> "the option node is not the name of a node"
    end;
bad_option({name, Name}) when is_atom(Name); is_binary(Name) ->
    none;
bad_option({name, Name}) ->
    case io_lib:char_list(Name) of
        true -> none;
        false -> "the option name is neither an atom nor a string nor a binary"
    end;
bad_option(Option) when is_atom(Option); is_tuple(Option), tuple_size(Option) =:= 2 ->
    none;
bad_option(Option) ->
    io_lib:format("not an option: ~tP", [Option, 10]).

bad_value(Map, Values, Size) when length(Values) >= 0 ->
    case {is_per_cpu(Map), [Text || V <- Values, (Text = bad_octets("value", V, Size)) =/= none]} of
        {true, []} -> none;
        {true, [Text | _]} -> Text;
        {false, _} -> bad_octets("value", Values, Size)
    end;
bad_value(_Map, Value, Size) ->
    bad_octets("value", Value, Size).

bad_octets(_What, Octets, Size) when byte_size(Octets) =:= Size ->
    none;
bad_octets(What, Octets, Size) when is_binary(Octets) ->
    io_lib:format("the ~s is ~w octets, the map's ~ss are ~w",
                  [What, byte_size(Octets), What, Size]);
bad_octets(What, Integer, 0) when is_integer(Integer) ->
    io_lib:format("the map has no ~ss: only <<>> fits", [What]);
bad_octets(_What, Integer, Size) when is_integer(Integer) ->
    case lists:member(Integer bsr (8 * Size - 1), [-1, 0, 1]) of
        true -> none;
        false -> io_lib:format("the integer does not fit in ~w octets", [Size])
    end;
bad_octets(_What, _Term, _Size) ->
    "neither a binary nor an integer".
