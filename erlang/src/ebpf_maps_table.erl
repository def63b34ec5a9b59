%% SPDX-License-Identifier: Apache-2.0
%%
%% Prints the maps of a host as a table for the shell, of 80 columns whatever their names and sizes:
%% the column of the type gets the width that the others leave.
%% @private
-module(ebpf_maps_table).

-export([print/2, format/1]).

-define(WIDTH, 80).
-define(LEAST_TYPE, 8).

-spec print(ebpf_cnode_request:destination(), Args :: [term()]) -> ebpf_cnode_request:outcome().
print(Node, Args) ->
    case ebpf_maps_request:ask_node(Node, list, [], Args) of
        {value, Infos} ->
            io:put_chars(format(Infos)),
            {value, ok};
        Raise ->
            Raise
    end.

-spec format([ebpf_maps:map_info()]) -> unicode:chardata().
format(Infos) ->
    table([heads() | [row(Info) || Info <- lists:sort(fun is_before/2, Infos)]]).

is_before(A, B) -> maps:get(id, A, 0) =< maps:get(id, B, 0).

heads() -> ["id", "name", "type", "key", "value", "entries", "memory", "pins", "handles"].

%% Ids and numbers of entries are printed in full; sizes may be shortened.
row(Info) ->
    [number(id, Info), name(maps:get(name, Info, <<>>)), number(type, Info),
     size_of(key_size, Info), size_of(value_size, Info), number(max_entries, Info),
     size_of(memlock, Info), count(pinned, Info), count(handles, Info)].

number(Key, Info) -> io_lib:format("~w", [maps:get(Key, Info, '?')]).

size_of(Key, Info) -> short(maps:get(Key, Info, '?')).

count(Key, Info) -> short(length(maps:get(Key, Info, []))).

short(N) when is_integer(N) -> short(N, ["", "K", "M", "G", "T", "P"]);
short(Unknown) -> io_lib:format("~w", [Unknown]).

short(N, [Unit | Units]) when N < 10000; Units =:= [] -> [integer_to_list(N), Unit];
short(N, [_ | Units]) -> short((N + 1023) div 1024, Units).

%% The kernel allows at most 15 characters in a name, all of them printable.
name(Name) -> [C || <<C>> <= Name, C > 32, C < 127].

table(Rows) ->
    [Id, Name, Type | Numbers] = Widths = ebpf_maps_grid:widths(Rows),
    Rest = lists:sum(Widths) - Type + length(Widths) - 1,
    Fit = min(Type, max(?LEAST_TYPE, ?WIDTH - Rest)),
    Shown = [{left, Width} || Width <- [Id, Name, Fit]] ++ [{right, Width} || Width <- Numbers],
    [[lists:join(" ", lists:zipwith(fun ebpf_maps_grid:cell/2, Row, Shown)), $\n] || Row <- Rows].
