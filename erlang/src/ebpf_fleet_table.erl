%% SPDX-License-Identifier: Apache-2.0
%%
%% The entries of all hosts, those of the same key merged, while they come. What stays small is in a
%% table of the process: a map would be written anew for each entry, and its garbage would be most
%% of the work. What may grow with the number of hosts, and would be copied each time, is in a map.
%% @private
-module(ebpf_fleet_table).

-export([new/1, last/1, into/1, to_map/2, fold/3]).

-export_type([table/0]).

-opaque table() :: ets:table() | #{Key :: term() => Merged :: term()}.

-type how() :: ebpf_fleet_merge:how().
-type stop() :: {ebpf_fleet_stop, Reason :: term()}.

%% It is gone after last/1, or with the process.
-spec new(how()) -> table().
new(How) when How =:= sum; How =:= max; How =:= min; How =:= last -> ets:new(?MODULE, [private]);
new(_How) -> #{}.

%% A function that takes what it wants of a table, which is not needed any more then.
-spec last(fun((table()) -> Result)) -> fun((table()) -> Result).
last(Fun) ->
    fun(Table) ->
        Result = Fun(Table),
        _ = is_map(Table) orelse ets:delete(Table),
        Result
    end.

%% One entry more; of a key too many only the host fails that has it.
-spec into(#{merge := how(), max_keys := non_neg_integer(), _ => _}) ->
    fun((node(), Key :: term(), Value :: term(), table()) -> table() | stop()).
into(#{merge := sum, max_keys := Most}) ->
    fun
        (Node, Key, Value, Table) when is_integer(Value) -> add(Node, Key, Value, Most, Table);
        (Node, Key, Value, Table) -> enter(sum, Node, Key, Value, Most, Table)
    end;
into(#{merge := How, max_keys := Most}) ->
    fun(Node, Key, Value, Table) -> enter(How, Node, Key, Value, Most, Table) end.

%% A sum that is no more than the value may be of a new key.
add(Node, Key, Value, Most, Table) ->
    try ets:update_counter(Table, Key, Value, {Key, 0}) of
        Value -> bounded(Key, Most, Table);
        _Sum -> Table
    catch
        error:badarg -> enter(sum, Node, Key, Value, Most, Table)
    end.

bounded(Key, Most, Table) ->
    case ets:info(Table, size) > Most of
        true ->
            true = ets:delete(Table, Key),
            {ebpf_fleet_stop, {max_keys, Most}};
        false ->
            Table
    end.

enter(How, Node, Key, Value, Most, Table) ->
    case find(Key, Table) of
        {ok, Old} ->
            entered(ebpf_fleet_merge:value(How, Node, Value, Old), Key, Value, Table);
        none ->
            case entries(Table) < Most of
                true -> entered(ebpf_fleet_merge:first(How, Node, Value), Key, Value, Table);
                false -> {ebpf_fleet_stop, {max_keys, Most}}
            end
    end.

entered({ok, Merged}, Key, _Value, Table) -> store(Key, Merged, Table);
entered(badvalue, _Key, Value, _Table) -> {ebpf_fleet_stop, {badvalue, Value}}.

find(Key, Map) when is_map(Map) ->
    case Map of
        #{Key := Merged} -> {ok, Merged};
        #{} -> none
    end;
find(Key, Table) ->
    case ets:lookup(Table, Key) of
        [{_, Merged}] -> {ok, Merged};
        [] -> none
    end.

entries(Map) when is_map(Map) -> map_size(Map);
entries(Table) -> ets:info(Table, size).

store(Key, Merged, Map) when is_map(Map) ->
    Map#{Key => Merged};
store(Key, Merged, Table) ->
    true = ets:insert(Table, {Key, Merged}),
    Table.

%%--------------------------------------------------------------------------------------------------
%% Afterwards
%%--------------------------------------------------------------------------------------------------

-spec to_map(how(), table()) -> #{Key :: term() => Value :: term()}.
to_map(list, Map) when is_map(Map) ->
    maps:map(fun(_Key, Merged) -> ebpf_fleet_merge:result(list, Merged) end, Map);
to_map(_How, Map) when is_map(Map) ->
    Map;
to_map(_How, Table) ->
    maps:from_list(ets:tab2list(Table)).

%% In no order.
-spec fold(fun((Key :: term(), Merged :: term(), Acc) -> Acc), Acc, table()) -> Acc.
fold(Fun, Acc, Map) when is_map(Map) ->
    maps:fold(Fun, Acc, Map);
fold(Fun, Acc, Table) ->
    ets:foldl(fun({Key, Merged}, Acc1) -> Fun(Key, Merged, Acc1) end, Acc, Table).
