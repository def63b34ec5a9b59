%% SPDX-License-Identifier: Apache-2.0
%%
%% Which functions are asked again when the connection to the C node was lost, and for how long. A
%% call whose answer was lost may have been carried out: only what leaves the same behind when it is
%% done twice is asked again. A time-out never is: the C node may still be at it.
%% @private
-module(ebpf_cnode_retry).

-export([during/3, time/0, ask/3, may/3, table/0]).

-export_type([answer/0, time/0]).

-define(KEY, '$ebpf_cnode_retry').
-define(FIRST_PAUSE, 20). % ms
-define(LONGEST_PAUSE, 200).
-define(IS_TIME(Time), (is_integer(Time) andalso Time >= 0 andalso Time < 1 bsl 32)).

-type answer() :: {value, term()} | {raise, Reason :: term()}.

-type time() :: non_neg_integer() | {bad, term()}.
%% In milliseconds.

%%--------------------------------------------------------------------------------------------------
%% How long
%%--------------------------------------------------------------------------------------------------

%% Calls Fun, with that time for what this process asks meanwhile.
-spec during(Time :: term(), Fun :: term(), Args :: [term()]) -> ebpf_cnode_request:outcome().
during(Time, Fun, _Args) when ?IS_TIME(Time), is_function(Fun, 0) ->
    Before = put(?KEY, Time),
    try
        {value, Fun()}
    after
        restore(Before)
    end;
during(_Time, _Fun, Args) ->
    {raise, badarg, Args}.

restore(undefined) -> erase(?KEY);
restore(Before) -> put(?KEY, Before).

%% That of this process, or else of the application.
-spec time() -> time().
time() ->
    case get(?KEY) of
        undefined ->
            case ebpf_cnode_env:get(retry) of
                Time when ?IS_TIME(Time) -> Time;
                Term -> {bad, Term}
            end;
        Time ->
            Time
    end.

%% Asks, and asks again until this is no nodedown, or so many milliseconds have passed since the
%% first one.
-spec ask(fun(() -> answer()), May :: fun(() -> boolean()), non_neg_integer()) -> answer().
ask(Ask, May, Time) ->
    case Ask() of
        {raise, {nodedown, _}} = Down when Time > 0 ->
            case May() of
                true -> again(Ask, Down, now_ms() + Time, ?FIRST_PAUSE);
                false -> Down
            end;
        Answer ->
            Answer
    end.

again(Ask, Down, End, Pause) ->
    case End - now_ms() of
        Left when Left > 0 ->
            timer:sleep(min(Pause, Left)),
            case Ask() of
                {raise, {nodedown, _}} = Still ->
                    again(Ask, Still, End, min(2 * Pause, ?LONGEST_PAUSE));
                Answer ->
                    Answer
            end;
        _ ->
            Down
    end.

now_ms() -> erlang:monotonic_time(millisecond).

%%--------------------------------------------------------------------------------------------------
%% Which
%%--------------------------------------------------------------------------------------------------

%% Whether this call is asked again. What is in no row is not.
-spec may(module(), atom(), Sent :: [term()]) -> boolean().
may(Module, Function, Sent) ->
    case [Which || {M, Which, Functions} <- table(), M =:= Module,
                   lists:member(Function, Functions)] of
        [always] -> true;
        [keyed] -> not adds(Function, Sent);
        _ -> false
    end.

%% The key of a queue and a stack, under which each put adds a value. With a typed handle it may be
%% an empty text; then this is on the safe side.
adds(put, [Key | _]) -> Key =:= <<>>;
adds(merge, [_Map, Pairs]) -> lists:keymember(<<>>, 1, Pairs).

%% All functions that are served, of any arity.
-spec table() -> [{module(), always | keyed | never, [atom()]}].
table() ->
    [
        %% They read.
        {ebpf_maps, always,
            [get, find, is_key, peek, with, size, keys, values, to_list, top, sum,
             iterator, next, next_chunk, type, types, info, fd, check, features, host, list, handles,
             stats]},
        %% Afterwards the keys are not there, whether it is the first time or the second. Entries
        %% that others put in between go as well, as they do where the first answer was late.
        {ebpf_maps, always, [remove, without, clear]},
        %% Afterwards the keys have these values, unless the map has no keys. What others put in
        %% between is replaced.
        {ebpf_maps, keyed, [put, merge]},
        %% Done twice, these take another value, or another entry.
        {ebpf_maps, never, [take, pop, drain, drain_chunk]},
        %% This adds the value twice.
        {ebpf_maps, never, [push]},
        %% The second time tells of the first one, or of what others did in between: that the key is
        %% there already; that it is not, although the value has been put, and taken by another.
        {ebpf_maps, never, [insert, update]},
        %% A handle of which the answer was lost would stay, with nobody who knows it.
        {ebpf_maps, never, [new, open, typed]},
        %% The second time they return an error, because of the first.
        {ebpf_maps, never, [close, pin, unpin, freeze]},

        {ebpf_programs, always, [type, info, count, list, links, handles]},
        %% Afterwards the link runs that program.
        {ebpf_programs, always, [update]},
        %% The program would run more often than was asked for.
        {ebpf_programs, never, [run]},
        {ebpf_programs, never, [load, attach, open]},
        {ebpf_programs, never, [detach, close, pin, unpin]},

        {ebpf_events, always, [subscriptions]},
        %% Another subscription would send the same events.
        {ebpf_events, never, [subscribe, unsubscribe]},
        {ebpf_events, never, [push]}
    ].
