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

-export_type([role/0]).

-import(ebpf_cnode_arguments, [
    bad_list/2, bad_node/1, bad_path/1, bad_text/1, bad_uint32/1, first/1, named/2
]).
-import(ebpf_cnode_words, [shown/1, number/2]).

-define(MOST_RANKED, 65536).
-define(IS_UINT32(N), (is_integer(N) andalso N >= 0 andalso N < 1 bsl 32)).

-type role() ::
    map | key | member | number | n | value | keys | pairs | cursor | max_entries | iterator | prefetch
    | members | table | progress | milliseconds | 'fun' | acc | default | type | key_size | value_size | options | what | path | node.

%%--------------------------------------------------------------------------------------------------
%% Roles by position
%%--------------------------------------------------------------------------------------------------

%% A function that is missing here is still explained, except for its arguments.
-spec roles(atom(), arity()) -> [role()].
roles(new, 4) -> [type, key_size, value_size, max_entries];
roles(new, 5) -> [type, key_size, value_size, max_entries, options];
roles(check, Arity) when Arity =:= 4; Arity =:= 5 -> roles(new, Arity);
roles(typed, 2) -> [map, options];
roles(table, 2) -> [map, table];
roles(open, 1) -> [what];
roles(open, 2) -> [what, options];
roles(list, 1) -> [node];
roles(i, 1) -> [node];
roles(handles, 1) -> [node];
roles(stats, 1) -> [node];
roles(features, 1) -> [node];
roles(host, 1) -> [node];
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
roles(put_members, 3) -> [key, members, map];
roles(remove, 2) -> [key, map];
roles(take, 2) -> [key, map];
roles(push, 2) -> [value, map];
roles(with, 2) -> [keys, map];
roles(without, 2) -> [keys, map];
roles(merge, 2) -> [map, pairs];
roles(merge, 3) -> [map, pairs, progress];
roles(to_list, 2) -> [map, progress];
roles(top, 3) -> [n, number, map];
roles(sum, 2) -> [number, map];
roles(fold, 3) -> ['fun', acc, map];
roles(fold, 4) -> ['fun', acc, map, progress];
roles(drain, 2) -> [map, progress];
roles(foreach, 2) -> ['fun', map];
roles(iterator, 2) -> [map, prefetch];
roles(next, 1) -> [iterator];
roles(retry, 2) -> [milliseconds, 'fun'];
roles(next_chunk, 3) -> [cursor, map, max_entries];
roles(drain_chunk, 3) -> [cursor, map, max_entries];
roles(_Function, 1) -> [map];
roles(_Function, _Arity) -> [].

%% The position of the argument with that role.
-spec position(role(), atom(), arity()) -> pos_integer() | none.
position(Role, Function, Arity) ->
    ebpf_cnode_arguments:position(Role, roles(Function, Arity)).

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
name(number) ->
    "Member";
name(Role) when Role =:= progress; Role =:= table ->
    "Options";
name(Role) ->
    [[Initial - 32 | Letters] || [Initial | Letters] <- string:split(atom_to_list(Role), "_", all)].

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

-spec faults(atom(), Args :: [term()]) -> ebpf_cnode_words:words().
faults(Function, Args) ->
    Fields = fields_of(Function, Args),
    Roles = roles(Function, length(Args)),
    Bad = [{Role, N, Text} || {Role, {N, Text}} <- lists:zip(Roles, check_all(Roles, Args, Fields,
                                                                             Function, 1)),
                              Text =/= none],
    case {Bad, [One || {Role, _, _} = One <- Bad, not may_be_typed(Role, Fields)]} of
        {[], _} -> otherwise(Function, Args, Fields);
        {_, []} -> numbered(Bad);
        {_, Bad} -> numbered(Bad);
        {_, Others} -> faults(Function, Args, Bad, Others)
    end.

%% Bad are also keys or values that are not bytes. A typed handle has terms, which raise badmember:
%% if it may be one, then the other arguments are to blame.
faults(Function, Args, Bad, Others) ->
    {value, Map} = argument(map, Function, Args),
    case ebpf_maps_typed:layouts(Map) of
        unknown -> numbered(Bad);
        _ -> numbered(Others)
    end.

numbered(Bad) -> maps:from_list([{N, Text} || {_, N, Text} <- Bad]).

may_be_typed(_Role, unknown) -> false;
may_be_typed(pairs, _Fields) -> true;
may_be_typed(member, {bloom_filter, _, _, _}) -> true;
may_be_typed(value, Fields) -> ebpf_maps_terms:may_be_typed(value, Fields);
may_be_typed(Role, Fields) ->
    lists:member(Role, [key, member, keys]) andalso ebpf_maps_terms:may_be_typed(key, Fields).

fields_of(open, [What, Options]) ->
    located(bad_what(What), What, Options);
fields_of(Function, Args) ->
    case argument(map, Function, Args) of
        {value, Map} -> ebpf_maps_terms:fields(Map);
        none -> unknown
    end.

located(none, What, Options) when length(Options) >= 0 ->
    {Node, _} = ebpf_cnode_request:node_option(Options),
    ebpf_maps_locators:fields(What, Node);
located(_Bad, _What, _Options) ->
    unknown.

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
check(max_entries, N, _, Function) when Function =:= new; Function =:= check -> bad_uint32(N);
check(max_entries, N, _, _) -> bad_count(N);
check(iterator, Iterator, _, _) -> bad_iterator(Iterator);
check(prefetch, Options, _, _) -> bad_list(Options, fun bad_prefetch/1);
check(progress, Options, _, _) -> bad_list(Options, fun bad_progress/1);
check(milliseconds, N, _, _) -> bad_uint32(N);
check('fun', Fun, _, retry) -> bad_fun(Fun, 0);
check('fun', Fun, _, update_with) -> bad_fun(Fun, 1);
check('fun', Fun, _, foreach) -> bad_fun(Fun, 2);
check('fun', Fun, _, fold) -> bad_fun(Fun, 3);
check(type, Type, _, _) -> bad_type(Type);
check(key_size, Term, _, _) -> bad_size("key", Term);
check(value_size, Term, _, _) -> bad_size("value", Term);
check(n, N, _, _) when is_integer(N), N >= 0, N =< ?MOST_RANKED -> none;
check(n, N, _, _) -> [io_lib:format("not an integer from 0 to ~w: ", [?MOST_RANKED]), shown(N)];
check(number, Member, _, _) -> bad_number_member(Member);
check(members, Members, _, _) -> bad_members(Members);
check(table, Options, _, _) -> bad_list(Options, fun ebpf_maps_show:bad_option/1);
check(what, What, _, _) -> bad_what(What);
check(path, Path, _, _) -> bad_path(Path);
check(node, Node, _, _) -> bad_node(Node);
check(options, Options, Fields, Function) -> bad_options(Options, Function, Fields);
check(_Role, _Arg, _Fields, _Function) -> none.

%% Every argument looks good from here: only the C node knows what is wrong.
otherwise(typed, Args, _Fields) ->
    NoView = "these options make no view of this map",
    case ebpf_maps_typed:bad_of_kernel(typed, Args) of
        none -> #{2 => NoView};
        Text -> #{2 => [NoView, ": ", Text]}
    end;
otherwise(open, [_, _] = Args, _Fields) ->
    case ebpf_maps_typed:bad_of_kernel(open, Args) of
        none -> #{2 => "the layouts do not have the sizes of the map's keys and values, or the "
                       "other options show no such map: open it without them, and see info/1"};
        Text -> #{2 => Text}
    end;
otherwise(Function, [_, Key, Value | _], _Fields) when
    Function =:= new orelse Function =:= check, Key =/= 0, is_integer(Key) =/= is_integer(Value)
->
    #{2 => "give two sizes or two layouts, not one of each"};
otherwise(Function, [Type, Key, Value, _ | Options] = Args, _Fields) when
    Function =:= new; Function =:= check
->
    Unknown = ["the C node's libbpf knows no map type ", shown(Type)],
    case {ebpf_maps_typed:bad_form(lists:append(Options), {Key, Value}, Type),
          ebpf_maps_typed:bad_of_kernel(Function, Args)}
    of
        {none, none} -> #{1 => Unknown};
        {none, Text} -> #{general => [Unknown, "; or ", Text]};
        {Text, _} -> #{5 => Text}
    end;
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
            #{position(value, Function, length(Args)) => ebpf_maps_terms:not_each_cpu(Values)};
        {{value, _}, none} when HasProgram ->
            #{position(value, Function, length(Args)) =>
                "bytes 5 to 8 are the descriptor of a program in the C node, and must be 0"};
        {none, {value, Pairs}} when PerCpu ->
            [Values | _] = [Values || {_, Values} <- list(Pairs), is_list(Values)],
            #{2 => ebpf_maps_terms:not_each_cpu(Values)};
        _ ->
            wrong(ebpf_maps_typed:bad_of_kernel(Function, Args))
    end.

wrong(none) -> #{general => "an argument has the wrong type, or not the map's size"};
wrong(Text) -> #{general => Text}.

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

%% The pairs of a map have no position: the key says which one it is. What a typed handle may have is
%% blamed last.
bad_pairs(Pairs, unknown) ->
    bad_each(list(Pairs), any, fun bad_pair/2);
bad_pairs(Pairs, Fields) when is_map(Pairs); length(Pairs) >= 0 ->
    first([bad_pairs(Pairs, Fields, fun ebpf_maps_terms:bad_untyped/2),
           bad_pairs(Pairs, Fields, fun ebpf_maps_terms:bad_pair/2),
           bad_lengths(list(Pairs))]);
bad_pairs(Term, Fields) ->
    bad_each(Term, Fields, fun bad_pair/2).

bad_pairs(Pairs, Fields, Bad) when is_map(Pairs) ->
    first([by_key(Key, Bad(Fields, Pair)) || {Key, _} = Pair <- maps:to_list(Pairs)]);
bad_pairs(Pairs, Fields, Bad) ->
    bad_each(Pairs, Fields, Bad).

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

bad_prefetch(Option) ->
    case ebpf_maps_walk:is_option(Option) of
        true -> none;
        false -> ["not {prefetch, N} with an integer from 1 to 4294967295: ", shown(Option)]
    end.

bad_progress(Option) ->
    case ebpf_maps_progress:is_option(Option) of
        true -> none;
        false -> ["not {progress, Fun} with a fun of 2 arguments: ", shown(Option)]
    end.

bad_members(Members) when is_map(Members) ->
    Names = maps:keys(Members),
    case [Name || Name <- Names, not ebpf_cnode_arguments:is_text(Name)] of
        [Name | _] -> ["not the name of a member: ", shown(Name)];
        [] ->
            bad_twice(lists:sort([ebpf_maps_layout:name(Name) || Name <- Names]))
    end;
bad_members(Term) ->
    ["not an Erlang map of members: ", shown(Term)].

bad_number_member(Path) when length(Path) >= 0 ->
    case [Step || Step <- Path, not is_step(Step)] of
        [] -> none;
        [Step | _] -> ["neither the name of a member nor an index: ", shown(Step)]
    end;
bad_number_member(Name) ->
    case ebpf_cnode_arguments:is_text(Name) of
        true -> none;
        false -> ["neither the name of a member nor a path of names and indexes: ", shown(Name)]
    end.

is_step([]) -> false;
is_step(Step) -> ?IS_UINT32(Step) orelse ebpf_cnode_arguments:is_text(Step).

bad_twice([Name, Name | _]) -> ["a member is there twice: ", Name];
bad_twice([_ | Names]) -> bad_twice(Names);
bad_twice([]) -> none.

%%--------------------------------------------------------------------------------------------------
%% Maps
%%--------------------------------------------------------------------------------------------------

bad_size(_What, N) when is_integer(N); is_float(N) -> bad_uint32(N);
bad_size(What, Layout) -> ebpf_maps_typed:bad_layout(What, Layout).

bad_type(Type) when is_atom(Type) -> none;
bad_type(Term) -> ["not an atom that names a map type: ", shown(Term)].

%% A locator, which open/1 takes, and other functions in place of a map.
-spec bad_what(term()) -> none | unicode:chardata().
bad_what({id, Id}) when ?IS_UINT32(Id) -> none;
bad_what({id, Id}) -> ["the id is not an integer from 0 to 4294967295: ", shown(Id)];
bad_what({pinned, Path}) -> bad_path(Path);
bad_what({name, Name}) -> bad_text(Name);
bad_what(Term) -> ["not {id, Id}, {pinned, Path} or {name, Name}: ", shown(Term)].

%% Those of new/5 go with its layouts: see otherwise/3.
bad_options(Options, Function, Fields) ->
    case bad_list(Options, fun(Option) -> bad(Option, Function) end) of
        none when Function =/= new, Function =/= check ->
            ebpf_maps_typed:bad_view(Options, Fields);
        Fault ->
            Fault
    end.

bad({types, _}, Function) when Function =:= new; Function =:= check ->
    "new/5 takes layouts in place of sizes, not the option types";
bad(Option, Function) ->
    case ebpf_maps_typed:bad_option(Option) of
        unknown -> bad_option(Option, Function);
        Fault -> Fault
    end.

%% open/2 takes some of the options of new/5, and typed/2 one.
bad_option({lifetime, Lifetime}, typed) ->
    named("lifetime", ebpf_cnode_arguments:bad_lifetime(Lifetime));
bad_option(Option, typed) ->
    ["there is no option ", shown(Option), " of typed/2"];
bad_option({node, Node}, _) -> named("node", bad_node(Node));
bad_option({lifetime, Lifetime}, _) ->
    named("lifetime", ebpf_cnode_arguments:bad_lifetime(Lifetime));
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
bad_option_of_new({numa_node, N}) -> named("numa_node", bad_uint32(N));
bad_option_of_new({flags, N}) -> named("flags", bad_uint32(N));
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
