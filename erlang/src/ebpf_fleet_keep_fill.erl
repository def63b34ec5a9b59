%% SPDX-License-Identifier: Apache-2.0
%%
%% The entries that a kept map has to have: which are missing or differ, and putting these. Keys and
%% values are compared as the C node returns them.
%% @private
-module(ebpf_fleet_keep_fill).

-export([differs/3, mend/3]).

-import(ebpf_fleet_keep_ask, [call/4, lied/0]).

-define(MOST_KEYS, 1024). % of a message
-define(MESSAGE_BYTES, 262144).
-define(CHUNK, 4096).

-type wanted() :: ebpf_fleet_keep_spec:map_spec().
-type difference() :: {put, [{term(), term()}]} | {remove, [term()]} | {failed, Reason :: term()}.

%% In a map of which Handle is a handle.
-spec differs(node(), Handle :: tuple(), wanted()) -> [difference()].
differs(Node, Handle, Wanted) ->
    with_view(Node, Handle, Wanted, fun(View) -> compare(Node, View, Wanted) end).

%% What differs still.
-spec mend(node(), Handle :: tuple(), wanted()) -> [difference()].
mend(Node, Handle, Wanted) ->
    with_view(Node, Handle, Wanted, fun(View) ->
        case compare(Node, View, Wanted) of
            [] -> [];
            Differences -> again(write(Node, View, Differences), Node, View, Wanted)
        end
    end).

again([], Node, View, Wanted) -> compare(Node, View, Wanted);
again(Failed, _Node, _View, _Wanted) -> Failed.

%% A handle with the layouts of the spec ends with this process at the latest.
with_view(_Node, Handle, #{keys := none, values := none}, Fun) ->
    Fun(Handle);
with_view(Node, {ebpf_map, _, _, KeySize, ValueSize, _} = Handle, Wanted, Fun) ->
    #{keys := Keys, values := Values} = Wanted,
    Types = {layout(Keys, KeySize), layout(Values, ValueSize)},
    case call(Node, ebpf_maps, typed, [Handle, [{types, Types}, {lifetime, process}]]) of
        {ok, View} ->
            Result = Fun(View),
            _ = call(Node, ebpf_maps, close, [View]),
            Result;
        {error, Reason} ->
            [{failed, Reason}]
    end.

layout(none, Size) -> ebpf_fleet_keep_spec:bytes(Size);
layout(Layout, _Size) -> Layout.

%%--------------------------------------------------------------------------------------------------
%% Comparing
%%--------------------------------------------------------------------------------------------------

%% A trie finds the longest prefix that it has, not the key.
compare(Node, View, #{pairs := Pairs, exactly := Exactly}) ->
    case Exactly orelse element(3, View) =:= lpm_trie of
        true -> compare_all(Node, View, Pairs, Exactly);
        false -> compare_some(Node, View, batches(View, Pairs), [])
    end.

compare_some(_Node, _View, [], Put) ->
    [{put, lists:append(Put)} || Put =/= []];
compare_some(Node, View, [Batch | Batches], Put) ->
    case call(Node, ebpf_maps, with, [[Key || {Key, _} <- Batch], View]) of
        {ok, Found} when is_map(Found) ->
            case other_pairs(Batch, same_map(Found)) of
                [] -> compare_some(Node, View, Batches, Put);
                Others -> compare_some(Node, View, Batches, [Others | Put])
            end;
        {ok, _} ->
            lied();
        {error, Reason} ->
            [{failed, Reason}]
    end.

other_pairs(Pairs, Found) ->
    [Pair || {Key, Value} = Pair <- Pairs, maps:find(same(Key), Found) =/= {ok, same(Value)}].

batches(View, Pairs) ->
    Bytes = element(4, View) + element(5, View),
    cut(Pairs, max(1, min(?MOST_KEYS, ?MESSAGE_BYTES div max(1, Bytes)))).

cut(Pairs, Size) when length(Pairs) =< Size ->
    [Pairs || Pairs =/= []];
cut(Pairs, Size) ->
    {Batch, Rest} = lists:split(Size, Pairs),
    [Batch | cut(Rest, Size)].

compare_all(Node, View, Pairs, Exactly) ->
    case walk(Node, View, start, [], 0) of
        {ok, Entries} ->
            Found = maps:from_list([{same(Key), same(Value)} || {Key, Value} <- Entries]),
            Wanted = maps:from_list([{same(Key), wanted} || {Key, _} <- Pairs]),
            Extra = [Key || {Key, _} <- Entries, Exactly, may_remove(element(3, View)),
                            not is_map_key(same(Key), Wanted)],
            Others = other_pairs(Pairs, Found),
            [{put, Others} || Others =/= []] ++ [{remove, Extra} || Extra =/= []];
        {error, Reason} ->
            [{failed, Reason}]
    end.

%% All keys of an array are always there.
may_remove(Type) -> not lists:member(Type, [array, percpu_array]).

%% Others may add entries meanwhile, but not for ever.
walk(_Node, _View, done, Entries, _Count) ->
    {ok, Entries};
walk(_Node, View, _Cursor, _Entries, Count) when Count > 4 * element(6, View) + ?CHUNK ->
    lied();
walk(Node, View, Cursor, Entries, Count) ->
    case call(Node, ebpf_maps, next_chunk, [Cursor, View, ?CHUNK]) of
        {ok, {Chunk, Next}} when length(Chunk) =< ?CHUNK, Next =/= Cursor ->
            walk(Node, View, Next, add(Chunk, Entries), Count + length(Chunk) + 1);
        {ok, _} ->
            lied();
        {error, Reason} ->
            {error, Reason}
    end.

add([{_Key, _Value} = Pair | Rest], Entries) -> add(Rest, [Pair | Entries]);
add([], Entries) -> Entries;
add(_Term, _Entries) -> lied().

same_map(Found) ->
    maps:from_list([{same(Key), same(Value)} || {Key, Value} <- maps:to_list(Found)]).

%% Names of members and constants may be atoms where they are put, and are binaries where they are
%% read.
same(Term) when is_map(Term) ->
    maps:from_list([{same(Key), same(Value)} || {Key, Value} <- maps:to_list(Term)]);
same(Term) when length(Term) >= 0 -> [same(One) || One <- Term];
same(Term) when is_tuple(Term) -> list_to_tuple(same(tuple_to_list(Term)));
same(Term) when is_boolean(Term) -> Term;
same(Term) when is_atom(Term) -> atom_to_binary(Term);
same(Term) -> Term.

%%--------------------------------------------------------------------------------------------------
%% Writing
%%--------------------------------------------------------------------------------------------------

%% What is in the way goes first: the map may be full.
write(Node, View, Differences) ->
    Removed = [remove(Node, View, Keys) || {remove, Keys} <- Differences],
    Put = [put_all(Node, View, Pairs) || {put, Pairs} <- Differences],
    lists:append(Removed ++ Put) ++ [Failed || {failed, _} = Failed <- Differences].

remove(Node, View, Keys) ->
    Batches = batches(View, [{Key, none} || Key <- Keys]),
    first_failure([fun() ->
        call(Node, ebpf_maps, without, [[Key || {Key, none} <- Batch], View])
    end || Batch <- Batches]).

put_all(Node, View, Pairs) ->
    first_failure([fun() -> call(Node, ebpf_maps, merge, [View, Message]) end
                   || Message <- ebpf_maps_merge:messages(Pairs)]).

first_failure([]) ->
    [];
first_failure([Call | Calls]) ->
    case Call() of
        {ok, _} -> first_failure(Calls);
        {error, Reason} -> [{failed, Reason}]
    end.
