%% SPDX-License-Identifier: Apache-2.0
%%
%% The arguments of the facade's functions, by position, and in words what is wrong with those of a
%% call that raised badarg. A fault that only the C node can see is blamed on an argument only if no
%% other cause is left.
%% @private
-module(ebpf_maps_arguments).

-export([
    roles/2,
    position/3,
    argument/3,
    signature/2,
    faults/2,
    bad_what/1
]).

-export_type([role/0, words/0]).

-import(ebpf_maps_terms, [shown/1, number/2]).

-define(IS_UINT32(N), (is_integer(N) andalso N >= 0 andalso N < 1 bsl 32)).

-type role() ::
    map | key | member | value | keys | pairs | cursor | max_entries | iterator | prefetch
    | progress | 'fun' | acc | default | type | key_size | value_size | options | what | path | node.

-type words() :: #{pos_integer() | general => unicode:chardata()}.

%%--------------------------------------------------------------------------------------------------
%% Roles by position
%%--------------------------------------------------------------------------------------------------

%% A function that is missing here is still explained, except for its arguments.
-spec roles(atom(), arity()) -> [role()].
roles(new, 4) -> [type, key_size, value_size, max_entries];
roles(new, 5) -> [type, key_size, value_size, max_entries, options];
roles(check, Arity) when Arity =:= 4; Arity =:= 5 -> roles(new, Arity);
roles(open, 1) -> [what];
roles(open, 2) -> [what, options];
roles(list, 1) -> [node];
roles(i, 1) -> [node];
roles(handles, 1) -> [node];
roles(stats, 1) -> [node];
roles(features, 1) -> [node];
roles(pin, 2) -> [path, map];
roles(unpin, 2) -> [path, map];
roles(get, 2) -> [key, map];
roles(get, 3) -> [key, map, default];
roles(find, 2) -> [key, map];
roles(is_key, 2) -> [member, map];
roles(put, 3) -> [key, value, map];
roles(insert, 3) -> [key, value, map];
roles(update, 3) -> [key, value, map];
roles(update_with, 3) -> [key, 'fun', map];
roles(remove, 2) -> [key, map];
roles(take, 2) -> [key, map];
roles(push, 2) -> [value, map];
roles(with, 2) -> [keys, map];
roles(without, 2) -> [keys, map];
roles(merge, 2) -> [map, pairs];
roles(merge, 3) -> [map, pairs, progress];
roles(to_list, 2) -> [map, progress];
roles(fold, 3) -> ['fun', acc, map];
roles(fold, 4) -> ['fun', acc, map, progress];
roles(drain, 2) -> [map, progress];
roles(foreach, 2) -> ['fun', map];
roles(iterator, 2) -> [map, prefetch];
roles(next, 1) -> [iterator];
roles(next_chunk, 3) -> [cursor, map, max_entries];
roles(drain_chunk, 3) -> [cursor, map, max_entries];
roles(_Function, 1) -> [map];
roles(_Function, _Arity) -> [].

%% The position of the argument with that role.
-spec position(role(), atom(), arity()) -> pos_integer() | none.
position(Role, Function, Arity) ->
    position(Role, roles(Function, Arity), 1, none).

position(_Role, [], _N, Default) -> Default;
position(Role, [Role | _], N, _Default) -> N;
position(Role, [_ | Roles], N, Default) -> position(Role, Roles, N + 1, Default).

-spec argument(role(), atom(), Args :: [term()]) -> {value, term()} | none.
argument(Role, Function, Args) ->
    case position(Role, Function, length(Args)) of
        none -> none;
        N -> {value, lists:nth(N, Args)}
    end.

%% Such as put(Key, Value, Map).
-spec signature(atom(), arity()) -> unicode:chardata().
signature(Function, Arity) ->
    [atom_to_list(Function), $(, lists:join(", ", [name(R) || R <- roles(Function, Arity)]), $)].

name(member) ->
    "Key";
name(progress) ->
    "Options";
name(Role) ->
    [[Initial - 32 | Letters] || [Initial | Letters] <- string:split(atom_to_list(Role), "_", all)].

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

-spec faults(atom(), Args :: [term()]) -> words().
faults(Function, Args) ->
    Fields = fields_of(Function, Args),
    Roles = roles(Function, length(Args)),
    case [Bad || {_, Text} = Bad <- check_all(Roles, Args, Fields, Function, 1), Text =/= none] of
        [] -> otherwise(Function, Args, Fields);
        Bad -> maps:from_list(Bad)
    end.

fields_of(Function, Args) ->
    case argument(map, Function, Args) of
        {value, Map} -> ebpf_maps_terms:fields(Map);
        none -> unknown
    end.

check_all([Role | Roles], [Arg | Args], Fields, Function, N) ->
    [{N, check(Role, Arg, Fields, Function)} | check_all(Roles, Args, Fields, Function, N + 1)];
check_all([], _Args, _Fields, _Function, _N) ->
    [].

check(map, Map, _, Function) -> ebpf_maps_locators:words(badarg, Function, Map);
check(key, Key, Fields, _) when Fields =/= unknown -> ebpf_maps_terms:bad_key(Fields, Key);
check(member, Term, Fields, _) when element(1, Fields) =:= bloom_filter ->
    ebpf_maps_terms:bad_value(Fields, Term);
check(member, Key, Fields, Function) -> check(key, Key, Fields, Function);
check(value, Value, Fields, _) when Fields =/= unknown -> ebpf_maps_terms:bad_value(Fields, Value);
check(keys, Keys, Fields, _) -> bad_each(Keys, Fields, fun ebpf_maps_terms:bad_key/2);
check(pairs, Pairs, Fields, _) -> bad_pairs(Pairs, Fields);
check(cursor, Cursor, Fields, _) -> bad_cursor(Cursor, Fields);
check(max_entries, N, _, Function) when Function =:= new; Function =:= check -> bad_size(N);
check(max_entries, N, _, _) -> bad_count(N);
check(iterator, Iterator, _, _) -> bad_iterator(Iterator);
check(prefetch, Options, _, _) -> bad_prefetch(Options);
check(progress, Options, _, _) -> bad_progress(Options);
check('fun', Fun, _, update_with) -> bad_fun(Fun, 1);
check('fun', Fun, _, foreach) -> bad_fun(Fun, 2);
check('fun', Fun, _, fold) -> bad_fun(Fun, 3);
check(type, Type, _, _) -> bad_type(Type);
check(Size, N, _, _) when Size =:= key_size; Size =:= value_size -> bad_size(N);
check(what, What, _, _) -> bad_what(What);
check(path, Path, _, _) -> bad_path(Path);
check(node, Node, _, _) -> bad_node(Node);
check(options, Options, _, Function) -> bad_options(Options, Function);
check(_Role, _Arg, _Fields, _Function) -> none.

%% Every argument looks good from here: only the C node knows what is wrong.
otherwise(Function, [Type | _], _Fields) when Function =:= new; Function =:= check ->
    #{1 => ["the C node's libbpf knows no map type ", shown(Type)]};
otherwise(next, _Args, _Fields) ->
    #{1 => "not a valid iterator: its cursor or its pending entries are not of its map"};
otherwise(Function, [Cursor | _], _Fields) when Function =:= next_chunk; Function =:= drain_chunk ->
    #{1 => ["not a cursor that ", atom_to_list(Function), "/3 returned for this map: ",
            shown(Cursor)]};
otherwise(update_with, _Args, Fields) when Fields =/= unknown ->
    #{2 => "the fun returned a term that is not a value of the map"};
otherwise(Function, Args, Fields) ->
    PerCpu = Fields =/= unknown andalso ebpf_maps_terms:is_per_cpu(Fields),
    HasProgram = Fields =/= unknown andalso ebpf_maps_terms:has_program(Fields),
    case {argument(value, Function, Args), argument(pairs, Function, Args)} of
        {{value, Values}, none} when PerCpu, length(Values) >= 0 ->
            #{position(value, Function, length(Args)) => per_cpu(length(Values))};
        {{value, _}, none} when HasProgram ->
            #{position(value, Function, length(Args)) =>
                "bytes 5 to 8 are the descriptor of a program in the C node, and must be 0"};
        {none, {value, Pairs}} when PerCpu ->
            #{2 => per_cpu(hd([length(Values) || {_, Values} <- list(Pairs), is_list(Values)]))};
        _ ->
            #{general => "an argument has the wrong type, or not the map's size"}
    end.

per_cpu(N) ->
    ["a list of ", number(N, "value"), ": it must have one for each possible CPU of the C node's "
     "host"].

%%--------------------------------------------------------------------------------------------------
%% Entries
%%--------------------------------------------------------------------------------------------------

%% The first fault, with its position.
bad_each(Terms, Fields, Check) when length(Terms) >= 0, Fields =/= unknown ->
    first_fault(Terms, Check, Fields, 1);
bad_each(Terms, _Fields, _Check) when length(Terms) >= 0 ->
    none;
bad_each(Term, _Fields, _Check) ->
    ["not a list: ", shown(Term)].

first_fault([], _Check, _Fields, _N) ->
    none;
first_fault([Term | Terms], Check, Fields, N) ->
    case Check(Fields, Term) of
        none -> first_fault(Terms, Check, Fields, N + 1);
        Text -> [io_lib:format("element ~w: ", [N]), Text]
    end.

%% The pairs of a map have no position: the key says which one it is.
bad_pairs(Pairs, unknown) ->
    bad_each(list(Pairs), any, fun bad_pair/2);
bad_pairs(Pairs, Fields) when is_map(Pairs) ->
    first([by_key(Key, ebpf_maps_terms:bad_pair(Fields, Pair))
           || {Key, _} = Pair <- maps:to_list(Pairs)] ++ [bad_lengths(list(Pairs))]);
bad_pairs(Pairs, Fields) ->
    case bad_each(Pairs, Fields, fun ebpf_maps_terms:bad_pair/2) of
        none -> bad_lengths(Pairs);
        Text -> Text
    end.

bad_pair(_Fields, {_, _}) -> none;
bad_pair(_Fields, Term) -> ["not a pair {Key, Value}: ", shown(Term)].

by_key(_Key, none) -> none;
by_key(Key, Text) -> ["under the key ", shown(Key), ": ", Text].

%% Lists of two lengths cannot both have one value for each CPU.
bad_lengths(Pairs) ->
    case lists:usort([length(Values) || {_, Values} <- Pairs, length(Values) >= 0]) of
        [Some, Others | _] ->
            io_lib:format("lists of ~w and of ~w values: each must have one for each possible CPU",
                          [Some, Others]);
        _ ->
            none
    end.

first(Texts) ->
    case [Text || Text <- Texts, Text =/= none] of
        [Text | _] -> Text;
        [] -> none
    end.

list(Pairs) when is_map(Pairs) -> maps:to_list(Pairs);
list(Pairs) -> Pairs.

bad_fun(Fun, Arity) when is_function(Fun, Arity) -> none;
bad_fun(Term, Arity) ->
    ["not a fun of ", number(Arity, "argument"), ": ", shown(Term)].

bad_cursor(Cursor, {_, 0, _, _}) when is_binary(Cursor) ->
    ["a map without keys is always drained from start, not from ", shown(Cursor)];
bad_cursor(Cursor, _Fields) when is_binary(Cursor); Cursor =:= start; Cursor =:= done -> none;
bad_cursor(Term, _Fields) -> ["neither start nor a cursor: ", shown(Term)].

bad_count(N) when ?IS_UINT32(N), N > 0 -> none;
bad_count(Term) -> ["not an integer from 1 to 4294967295: ", shown(Term)].

bad_iterator({ebpf_iterator, Map, _, _, _}) ->
    case ebpf_maps_terms:is_handle(Map) of
        true -> none;
        false -> ["not an iterator: its map is not a handle: ", shown(Map)]
    end;
bad_iterator(Term) ->
    ["not an iterator: ", shown(Term)].

bad_prefetch(Options) when length(Options) >= 0 ->
    case [Option || Option <- Options, not is_prefetch(Option)] of
        [] -> none;
        [Option | _] -> ["not {prefetch, N} with an integer from 1 to 4294967295: ", shown(Option)]
    end;
bad_prefetch(Term) ->
    ["not a list of options: ", shown(Term)].

bad_progress(Options) when length(Options) >= 0 ->
    case [Option || Option <- Options, not ebpf_maps_progress:is_option(Option)] of
        [] -> none;
        [Option | _] -> ["not {progress, Fun} with a fun of 2 arguments: ", shown(Option)]
    end;
bad_progress(Term) ->
    ["not a list of options: ", shown(Term)].

is_prefetch({prefetch, N}) -> ?IS_UINT32(N) andalso N > 0;
is_prefetch(_) -> false.

%%--------------------------------------------------------------------------------------------------
%% Maps
%%--------------------------------------------------------------------------------------------------

bad_type(Type) when is_atom(Type) -> none;
bad_type(Term) -> ["not an atom that names a map type: ", shown(Term)].

bad_size(Size) when ?IS_UINT32(Size) -> none;
bad_size(Term) -> ["not an integer from 0 to 4294967295: ", shown(Term)].

bad_node(Node) ->
    case ebpf_maps_request:is_node_name(Node) of
        true when Node =/= node() -> none;
        true -> [shown(Node), " is this node itself, not a C node"];
        false -> ["not the name of a node: ", shown(Node)]
    end.

%% A locator, which open/1 takes, and other functions in place of a map.
-spec bad_what(term()) -> none | unicode:chardata().
bad_what({id, Id}) when ?IS_UINT32(Id) -> none;
bad_what({id, Id}) -> ["the id is not an integer from 0 to 4294967295: ", shown(Id)];
bad_what({pinned, Path}) -> bad_path(Path);
bad_what({name, Name}) -> bad_text(Name);
bad_what(Term) -> ["not {id, Id}, {pinned, Path} or {name, Name}: ", shown(Term)].

bad_path(Path) ->
    case bad_text(Path) of
        none -> ebpf_maps_terms:bad_path(Path);
        Text -> Text
    end.

bad_text(Text) when is_atom(Text); is_binary(Text) ->
    none;
bad_text(Text) ->
    case io_lib:char_list(Text) of
        true -> none;
        false -> ["neither a string nor a binary: ", shown(Text)]
    end.

bad_options(Options, Function) when length(Options) >= 0 ->
    case [Text || Option <- Options, (Text = bad_option(Option, Function)) =/= none] of
        [] -> none;
        Texts -> lists:join("; ", Texts)
    end;
bad_options(Term, _Function) ->
    ["not a list of options: ", shown(Term)].

%% open/2 takes some of the options of new/5.
bad_option({node, Node}, _) -> named("node", bad_node(Node));
bad_option({lifetime, Lifetime}, _) ->
    case lists:member(Lifetime, [node, process, permanent]) of
        true -> none;
        false -> named("lifetime", ["not node, process or permanent: ", shown(Lifetime)])
    end;
bad_option(Option, _) when Option =:= read; Option =:= write -> none;
bad_option({flags, N}, open) when is_integer(N), N band (bnot 16#18) =:= 0 -> none;
bad_option({map_extra, 0}, open) -> none;
bad_option({numa_node, _} = Option, open) -> only_new(Option);
bad_option(Option, Function) ->
    case {bad_option_of_new(Option), Function} of
        {none, open} -> only_new(Option);
        {Text, _} -> Text
    end.

bad_option_of_new({name, Name}) -> named("name", bad_text(Name));
bad_option_of_new({numa_node, N}) -> named("numa_node", bad_size(N));
bad_option_of_new({flags, N}) -> named("flags", bad_size(N));
bad_option_of_new({map_extra, N}) when is_integer(N), N >= 0, N < 1 bsl 64 -> none;
bad_option_of_new({map_extra, N}) ->
    named("map_extra", ["not an integer from 0 to 2^64-1: ", shown(N)]);
bad_option_of_new({inner_map, Map}) ->
    case ebpf_maps_terms:is_map_like(Map) of
        true -> none;
        false -> named("inner_map", ["not a map handle: ", shown(Map)])
    end;
bad_option_of_new(Option) ->
    case lists:member(Option, flags()) of
        true -> none;
        false -> ["there is no option ", shown(Option)]
    end.

flags() ->
    [no_prealloc, no_common_lru, zero_seed, prog_read, prog_write, clone, mmapable,
     stack_build_id, preserve_elems, inner_map_resizable].

only_new(Option) -> ["only new/5 takes the option ", shown(Option)].

named(_Option, none) -> none;
named(Option, Text) -> ["the option ", Option, ": ", Text].
