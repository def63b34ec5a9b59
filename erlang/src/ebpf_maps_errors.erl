%% SPDX-License-Identifier: Apache-2.0
%%
%% Says in words why a function of the facade raised what it did: EEP 54. All it goes by is the
%% exception and the arguments.
%% @private
-module(ebpf_maps_errors).

-export([format_error/2]).

-define(IS_UINT32(N), (is_integer(N) andalso N >= 0 andalso N < 1 bsl 32)).

-type words() :: #{pos_integer() | general => unicode:chardata()}.

-spec format_error(Reason :: term(), erlang:stacktrace()) -> words().
format_error(Reason, [{ebpf_maps, Function, Args, _Info} | _]) when is_list(Args) ->
    explain(Reason, Function, Args);
format_error(_Reason, _Stack) ->
    #{}.

explain(badarg, Function, Args) ->
    case bad_arguments(Function, Args) of
        None when map_size(None) =:= 0 -> #{general => bad_otherwise(Function, Args)};
        Bad -> Bad
    end;
explain({badkey, _}, _Function, _Args) ->
    #{1 => "not present in the map"};
explain({keyexists, _}, _Function, _Args) ->
    #{1 => "present in the map already"};
explain({badmap, Map}, Function, Args) ->
    #{badmap_position(Map, Function, Args) => bad_map(Map)};
explain({Reason, Taken}, drain, Args) when is_list(Taken) ->
    after_some(io_lib:format("~w entries have been taken out and are in this reason",
                             [length(Taken)]),
               explain(Reason, drain, Args));
explain({too_big, Max}, _Function, _Args) ->
    #{general => io_lib:format("the request or its answer would be longer than ~w octets, the C "
                               "node's --max-message", [Max])};
explain({Reason, Done}, merge, Args) when is_integer(Done) ->
    after_some(io_lib:format("the first ~w pairs have been put", [Done]),
               explain(Reason, merge, Args));
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
    #{general => io_lib:format("~ts does not serve ebpf_maps:~ts/~w, or what it is made of",
                               [Node, Function, length(Args)])};
explain({badenv, {node, _}}, _Function, _Args) ->
    #{general => "the variable node of the application ebpf_maps is not the name of another node"};
explain({badenv, {timeout, _}}, _Function, _Args) ->
    #{general => "the variable timeout of the application ebpf_maps is neither milliseconds nor "
                 "infinity"};
explain(Posix, Function, Args) when is_atom(Posix) ->
    #{general => explain_posix(Posix, Function, type_of_map(Function, Args), Args)};
explain(_Reason, _Function, _Args) ->
    #{}.

after_some(Before, Words) ->
    case maps:values(Words) of
        [] -> #{general => Before};
        [Why | _] -> #{general => [Before, "; then: ", Why]}
    end.

explain_posix(e2big, Function, _Type, Args) ->
    case ebpf_maps_terms:fields(map_argument(Function, Args)) of
        {_, _, _, MaxEntries} ->
            io_lib:format("the map is full: it has room for ~w entries; or the key is an index "
                          "beyond them", [MaxEntries]);
        unknown ->
            "the map is full, or the key is an index out of its range"
    end;
explain_posix(enotsupp, _Function, _Type, _Args) ->
    "the kernel does not support this operation on a map of this type";
explain_posix(enotsup, Function, Type, _Args) ->
    unsupported(Function, Type);
explain_posix(einval, Function, Type, _Args) ->
    case {is_removal(Function), Type} of
        {true, _} when Type =:= array; Type =:= percpu_array ->
            "entries of an array cannot be removed";
        {true, _} when Type =:= queue; Type =:= stack ->
            "a map without keys gives out its values by pop/1, drain/1, or take/2 of <<>>";
        _ ->
            kernel_says(einval)
    end;
explain_posix(eacces, Function, _Type, Args) ->
    refused(Function, lists:any(fun names_path/1, Args));
explain_posix(eperm, _Function, _Type, _Args) ->
    "the map may not be used this way (read, write, frozen), or the C node lacks a capability, as it "
    "does with --no-open-by-id";
explain_posix(emfile, _Function, _Type, _Args) ->
    "the C node has no room for another map: see its --max-maps, --max-maps-per-node and ulimit -n";
explain_posix(enomem, _Function, _Type, _Args) ->
    "there is no memory for it on the C node's host, or no more than its --max-map-memory or "
    "--max-memory allows";
explain_posix(Posix, _Function, _Type, _Args) ->
    kernel_says(Posix).

refused(open, _NamesPath) ->
    "the path is not to be reached below the C node's --pin-root; or this node may only read "
    "there (--allow, --read-only), and then opens maps with the option read";
refused(Function, _NamesPath) when Function =:= pin; Function =:= unpin ->
    ["the path is not to be reached below the C node's --pin-root; or ", may_only_read()];
refused(close, _NamesPath) ->
    [may_only_read(), ", and closes no handles but its own"];
refused(_Function, true) ->
    ["the C node does not go to this path: files are those below its --file-root, and cgroups "
     "those of the cgroup file system; or ", may_only_read()];
refused(_Function, false) ->
    may_only_read().

may_only_read() ->
    "this node may only read: see --allow and --read-only of the C node".

names_path({Tag, _Path}) -> Tag =:= file orelse Tag =:= cgroup;
names_path(_) -> false.

kernel_says(Posix) ->
    ["the kernel says: ", file:format_error(Posix)].

unsupported(Function, Type) ->
    case {is_writing(Function), needs_socket(Type), Type} of
        {true, true, _} ->
            io_lib:format("to write a map of type ~w one needs a socket of the C node's own "
                          "process, and nobody else can give it one", [Type]);
        {_, _, bloom_filter} ->
            "a bloom filter has neither keys nor entries: there are push/2 and is_key/2";
        {_, _, Keyless} when Keyless =:= queue; Keyless =:= stack ->
            "a queue or a stack has no keys: there are push/2, pop/1, peek/1, drain/1 and clear/1";
        _ when Function =:= push; Function =:= pop; Function =:= peek ->
            "the map has keys: this is for queue, stack and bloom_filter";
        _ ->
            kernel_says(enotsup)
    end.

is_removal(Function) ->
    lists:member(Function, [remove, take, without, clear, drain, drain_chunk]).

is_writing(Function) ->
    lists:member(Function, [put, insert, update, update_with, merge]).

needs_socket(Type) ->
    lists:member(Type, [sockmap, sockhash, reuseport_sockarray, xskmap, sk_storage]).

%%--------------------------------------------------------------------------------------------------
%% Maps
%%--------------------------------------------------------------------------------------------------

%% Which argument the map is; 1 where there is none.
map_position(Function) when
    Function =:= put; Function =:= insert; Function =:= update; Function =:= update_with;
    Function =:= fold
->
    3;
map_position(Function) when
    Function =:= get; Function =:= find; Function =:= is_key; Function =:= remove;
    Function =:= take; Function =:= with; Function =:= without; Function =:= push;
    Function =:= foreach; Function =:= next_chunk; Function =:= drain_chunk; Function =:= pin;
    Function =:= unpin
->
    2;
map_position(_Function) ->
    1.

map_argument(_Function, []) -> none;
map_argument(Function, Args) -> lists:nth(min(map_position(Function), length(Args)), Args).

type_of_map(next, [{ebpf_iterator, Map, _, _, _}]) ->
    type_of(Map);
type_of_map(Function, Args) ->
    type_of(map_argument(Function, Args)).

type_of(Term) ->
    case ebpf_maps_terms:fields(Term) of
        {Type, _, _, _} -> Type;
        unknown -> unknown
    end.

%% It may also be one that stands for a value, or in an option.
badmap_position(Map, Function, Args) ->
    case map_argument(Function, Args) of
        Map ->
            map_position(Function);
        _ when Function =:= next ->
            1;
        _ ->
            case [N || {N, Arg} <- lists:zip(lists:seq(1, length(Args)), Args), Arg =:= Map] of
                [N | _] -> N;
                [] when Function =:= new, length(Args) =:= 5 -> 5;
                [] -> general
            end
    end.

bad_map(Map) ->
    case ebpf_maps_terms:is_handle(Map) of
        true -> "not a live map: closed, or from a C node that has restarted";
        false -> "not a map handle"
    end.

%%--------------------------------------------------------------------------------------------------
%% Bad arguments
%%--------------------------------------------------------------------------------------------------

bad_arguments(new, [Type, KeySize, ValueSize, MaxEntries | Options]) ->
    faults([bad_type(Type), bad_size(KeySize), bad_size(ValueSize), bad_size(MaxEntries)
            | lists:map(fun bad_options/1, Options)]);
bad_arguments(open, [What | Options]) ->
    faults([bad_source(What) | lists:map(fun bad_options/1, Options)]);
bad_arguments(Function, [Path, _Map]) when Function =:= pin; Function =:= unpin ->
    faults([bad_path(Path)]);
bad_arguments(Function, [Node]) when
    Function =:= list; Function =:= handles; Function =:= stats
->
    faults([bad_node(Node)]);
bad_arguments(next, [Iterator]) when
    element(1, Iterator) =:= ebpf_iterator, tuple_size(Iterator) =:= 5
->
    case ebpf_maps_terms:is_handle(element(2, Iterator)) of
        true -> #{};
        false -> #{1 => "not an iterator"}
    end;
bad_arguments(next, _Args) ->
    #{1 => "not an iterator"};
bad_arguments(iterator, [_Map, _Options]) ->
    #{2 => "not a list of {prefetch, N}, N an integer from 1 to 4294967295"};
bad_arguments(fold, [Fun, _Acc, _Map]) ->
    faults([bad_fun(Fun, 3)]);
bad_arguments(foreach, [Fun, _Map]) ->
    faults([bad_fun(Fun, 2)]);
bad_arguments(update_with, [Key, Fun, Map]) ->
    faults([bad_key(Map, Key), bad_fun(Fun, 1)]);
bad_arguments(Function, [Cursor, _Map, MaxEntries]) when
    Function =:= next_chunk; Function =:= drain_chunk
->
    faults([bad_cursor(Cursor), none, bad_count(MaxEntries)]);
bad_arguments(merge, [Map, Pairs]) ->
    faults([none, bad_pairs(Map, Pairs)]);
bad_arguments(Function, [Keys, Map]) when Function =:= with; Function =:= without ->
    faults([bad_keys(Map, Keys)]);
bad_arguments(push, [Value, Map]) ->
    faults([bad_value(Map, Value)]);
bad_arguments(Function, [Key, Value, Map]) when
    Function =:= put; Function =:= insert; Function =:= update
->
    faults([bad_key(Map, Key), bad_value(Map, Value)]);
bad_arguments(is_key, [Key, Map]) ->
    case type_of(Map) of
        bloom_filter -> faults([bad_value(Map, Key)]);
        _ -> faults([bad_key(Map, Key)])
    end;
bad_arguments(_Function, [Key, Map | _]) ->
    faults([bad_key(Map, Key)]);
bad_arguments(_Function, _Args) ->
    #{}.

bad_otherwise(new, _Args) ->
    "the C node knows no such type or option";
bad_otherwise(open, _Args) ->
    "the C node knows no such option";
bad_otherwise(next, _Args) ->
    "the iterator does not hold together";
bad_otherwise(Function, _Args) when Function =:= next_chunk; Function =:= drain_chunk ->
    "the cursor is not one of this map";
bad_otherwise(update_with, _Args) ->
    "the key, or what the fun returned, is not one of the map's";
bad_otherwise(Function, Args) ->
    case ebpf_maps_terms:fields(map_argument(Function, Args)) of
        unknown ->
            "an argument is not of its type, or not of the map's size";
        Fields ->
            case ebpf_maps_terms:is_per_cpu(Fields) of
                true -> "a list has one value for each possible CPU";
                false -> "the number of a descriptor is never taken as a key or value"
            end
    end.

faults(Texts) ->
    Numbered = lists:zip(lists:seq(1, length(Texts)), Texts),
    maps:from_list([Fault || {_, Text} = Fault <- Numbered, Text =/= none]).

bad_key(Map, Key) -> check(Map, Key, fun ebpf_maps_terms:bad_key/2).

bad_value(Map, Value) -> check(Map, Value, fun ebpf_maps_terms:bad_value/2).

bad_keys(Map, Keys) -> check_each(Map, Keys, fun ebpf_maps_terms:bad_key/2).

bad_pairs(Map, Pairs) when is_map(Pairs) -> bad_pairs(Map, maps:to_list(Pairs));
bad_pairs(Map, Pairs) -> check_each(Map, Pairs, fun ebpf_maps_terms:bad_pair/2).

check(Map, Term, Check) ->
    case ebpf_maps_terms:fields(Map) of
        unknown -> none;
        Fields -> Check(Fields, Term)
    end.

%% The first one that is wrong, by its place.
check_each(Map, Terms, Check) when length(Terms) >= 0 ->
    case ebpf_maps_terms:fields(Map) of
        unknown -> none;
        Fields -> first_fault(Terms, Check, Fields, 1)
    end;
check_each(_Map, _Terms, _Check) ->
    "not a list".

first_fault([], _Check, _Fields, _N) ->
    none;
first_fault([Term | Terms], Check, Fields, N) ->
    case Check(Fields, Term) of
        none -> first_fault(Terms, Check, Fields, N + 1);
        Text -> io_lib:format("element ~w: ~ts", [N, Text])
    end.

bad_fun(Fun, Arity) when is_function(Fun, Arity) -> none;
bad_fun(_, Arity) -> io_lib:format("not a fun that takes ~w argument~s", [Arity, plural(Arity)]).

plural(1) -> "";
plural(_) -> "s".

bad_cursor(Cursor) when is_binary(Cursor); Cursor =:= start; Cursor =:= done -> none;
bad_cursor(_) -> "neither start nor a cursor".

bad_count(0) -> "not an integer from 1 to 4294967295";
bad_count(N) when ?IS_UINT32(N) -> none;
bad_count(_) -> "not an integer from 1 to 4294967295".

bad_type(Type) when is_atom(Type) -> none;
bad_type(_) -> "not an atom".

bad_size(Size) when ?IS_UINT32(Size) -> none;
bad_size(_) -> "not an integer from 0 to 4294967295".

bad_node(Node) ->
    case ebpf_maps_request:is_node_name(Node) of
        true when Node =/= node() -> none;
        true -> "this node itself";
        false -> "not the name of a node"
    end.

bad_source({id, Id}) when ?IS_UINT32(Id) -> none;
bad_source({id, _}) -> "the id is not an integer from 0 to 4294967295";
bad_source({pinned, Path}) -> bad_path(Path);
bad_source({name, Name}) -> bad_text(Name);
bad_source(_) -> "neither {id, Id} nor {pinned, Path} nor {name, Name}".

bad_path(Path) -> bad_text(Path).

bad_text(Text) when is_atom(Text); is_binary(Text) ->
    none;
bad_text(Text) ->
    case io_lib:char_list(Text) of
        true -> none;
        false -> "neither a string nor a binary"
    end.

bad_options(Options) when length(Options) >= 0 ->
    case [Text || Option <- Options, (Text = bad_option(Option)) =/= none] of
        [] -> none;
        Texts -> lists:join("\n", Texts)
    end;
bad_options(_) ->
    "not a list".

bad_option({node, Node}) ->
    named("the option node is ", bad_node(Node));
bad_option({name, Name}) ->
    named("the option name is ", bad_text(Name));
bad_option({lifetime, Lifetime}) ->
    case lists:member(Lifetime, [node, process, permanent]) of
        true -> none;
        false -> "the option lifetime is neither node nor process nor permanent"
    end;
bad_option({numa_node, N}) ->
    named("the option numa_node is ", bad_size(N));
bad_option({flags, N}) ->
    named("the option flags is ", bad_size(N));
bad_option({map_extra, N}) when is_integer(N), N >= 0, N < 1 bsl 64 ->
    none;
bad_option({map_extra, _}) ->
    "the option map_extra is not an integer of 64 bits";
bad_option({inner_map, Map}) ->
    case ebpf_maps_terms:is_handle(Map) of
        true -> none;
        false -> "the option inner_map is not a map handle"
    end;
bad_option(Option) when is_atom(Option); is_tuple(Option), tuple_size(Option) =:= 2 ->
    none;
bad_option(Option) ->
    io_lib:format("not an option: ~tP", [Option, 10]).

named(_What, none) -> none;
named(What, Text) -> [What, Text].
