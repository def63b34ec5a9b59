%% SPDX-License-Identifier: Apache-2.0
%%
%% Reports to a fun of the caller how far long work is; and has one such fun, which draws a bar in a
%% shell. The number of entries of a map is unknown before the end: until then there is always one
%% more.
%% @private
-module(ebpf_maps_progress).

-export([option/1, is_option/1, start/2, more/2, done/2, bar/0]).

-export_type([state/0]).

-define(INTERVAL, 200).
-define(LEAST_BAR, 10).

-opaque state() ::
    none | {ebpf_maps:progress(), Done :: non_neg_integer(), Most :: non_neg_integer()}.

%%--------------------------------------------------------------------------------------------------
%% Reporting
%%--------------------------------------------------------------------------------------------------

-spec option(Options :: term()) -> ebpf_maps:progress() | none | badarg.
option(Options) ->
    ebpf_cnode_arguments:option(progress, Options, fun is_option/1, none).

-spec is_option(term()) -> boolean().
is_option({progress, Fun}) -> is_function(Fun, 2);
is_option(_Term) -> false.

%% Of is a map, or a number of pairs.
-spec start(ebpf_maps:progress() | none, Of :: term()) -> state().
start(none, _Of) -> none;
start(Fun, N) when is_integer(N) -> {Fun, 0, N};
start(Fun, Map) -> {Fun, 0, max_entries(ebpf_maps_terms:fields(Map))}.

max_entries({_, _, _, MaxEntries}) when is_integer(MaxEntries) -> MaxEntries;
max_entries(_Fields) -> 0.

%% More chunks follow this one.
-spec more(Chunk :: [term()], state()) -> state().
more(_Chunk, none) ->
    none;
more(Chunk, {Fun, Before, Most}) ->
    Done = Before + length(Chunk),
    Fun(Done, max(Most, Done + 1)),
    {Fun, Done, Most}.

%% This chunk was the last.
-spec done(Chunk :: [term()], state()) -> ok.
done(_Chunk, none) ->
    ok;
done(Chunk, {Fun, Before, _Most}) ->
    Done = Before + length(Chunk),
    Fun(Done, Done),
    ok.

%%--------------------------------------------------------------------------------------------------
%% The bar
%%--------------------------------------------------------------------------------------------------

%% The time of the next print is in an atomic, as a fun has no other state.
-spec bar() -> ebpf_maps:progress().
bar() ->
    Next = atomics:new(1, []),
    at_once(Next),
    fun(Done, Total) -> show(Done, Total, Next) end.

at_once(Next) -> atomics:put(Next, 1, -1 bsl 63).

%% After the end the fun can be used again.
show(Total, Total, Next) ->
    at_once(Next),
    print(Total, Total, "\n");
show(Done, Total, Next) ->
    Now = erlang:monotonic_time(millisecond),
    case atomics:get(Next, 1) of
        Time when Time =< Now ->
            print(Done, Total, ""),
            atomics:put(Next, 1, Now + ?INTERVAL);
        _ ->
            ok
    end.

%% A file or a pipe has no columns, and a bar would litter it.
print(Done, Total, End) ->
    case io:columns() of
        {ok, Columns} -> io:put_chars([$\r, line(Done, Total, Columns - 1), End]);
        {error, _} -> ok
    end.

%% Of the same length each time, to overwrite the previous one, and short of the last column, where
%% terminals differ.
line(Done, Total, Width) ->
    Text = io_lib:format("~3w% ~w/~w", [percent(Done, Total), Done, Total]),
    case Width - string:length(Text) - 3 of
        Left when Left >= ?LEAST_BAR ->
            Full = percent(Done, Total) * Left div 100,
            [$[, lists:duplicate(Full, $#), lists:duplicate(Left - Full, $.), "] ", Text];
        _ ->
            string:pad(string:slice(Text, 0, max(0, Width)), max(0, Width))
    end.

percent(_Done, 0) -> 100;
percent(Done, Total) -> Done * 100 div Total.
