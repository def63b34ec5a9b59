%% SPDX-License-Identifier: Apache-2.0
%%
%% A process that gets all events of a ring, and looks at two numbers in each. All times are in
%% nanoseconds.
-module(bench_events).

-export([start/1, result/1, stop/1, calls/3]).

-export_type([reader/0]).

-type reader() :: {cnode, node(), Pin :: binary()} | {port, Program :: string(), Pin :: binary()}.
%% Who reads the ring.

-define(CREDIT, 1048576).
-define(IDLE, 1000). % ms

-record(seen, {
    count = 0 :: non_neg_integer(),
    sum = 0 :: non_neg_integer(),
    next = 0 :: non_neg_integer(),
    missed = 0 :: non_neg_integer(),
    granted = 0 :: non_neg_integer(), % bytes since the last grant
    ages = [] :: [integer()] % of the first event of each message
}).

%% A process that reads until nothing has come for a second once there was an event.
-spec start(reader()) -> {Reader :: pid(), OsPid :: non_neg_integer()}.
start(Reader) ->
    Parent = self(),
    Pid = spawn(fun() ->
        process_flag(message_queue_data, off_heap),
        {Source, OsPid} = subscribe(Reader),
        Parent ! {self(), OsPid},
        done(loop(Source, #seen{}, infinity))
    end),
    receive {Pid, OsPid} -> {Pid, OsPid} after 10000 -> error(no_start) end.

subscribe({cnode, Node, Pin}) ->
    Args = [{pinned, Pin}, self(), [{credit, ?CREDIT}]],
    {erpc:call(Node, ebpf_events, subscribe, Args), 0};
subscribe({port, Program, Pin}) ->
    Args = [Pin, <<"1000000000">>, <<"port">>],
    Port = open_port({spawn_executable, Program}, [{args, Args}, {packet, 4}, binary]),
    receive {Port, {data, <<"ready">>}} -> ok end,
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    {Port, OsPid}.

loop(Source, Seen, Wait) ->
    receive
        {ebpf_events, Source, First, _Lost, Runs} ->
            Got = lists:foldl(fun run/2, missed(First, Seen), Runs),
            loop(Source, grant(Source, Got), ?IDLE);
        {Source, {data, Data}} when byte_size(Data) >= 64 ->
            loop(Source, run({64, Data}, Seen), ?IDLE);
        {Source, {data, _Count}} ->
            Seen
    after Wait -> Seen
    end.

missed(First, #seen{next = Next, missed = Missed} = Seen) ->
    Seen#seen{next = First, missed = Missed + First - Next}.

run({64, Data}, #seen{granted = Granted} = Seen) ->
    {Count, Sum} = events(Data, 0, 0),
    <<_:64, Made:64/native, _/binary>> = Data,
    Age = os:perf_counter(nanosecond) - Made,
    Seen#seen{
        count = Seen#seen.count + Count, sum = Seen#seen.sum + Sum, next = Seen#seen.next + Count,
        granted = Granted + byte_size(Data), ages = [Age | Seen#seen.ages]
    }.

events(<<Number:64/native, Made:64/native, _:48/binary, Rest/binary>>, Count, Sum) ->
    events(Rest, Count + 1, Sum + Number + Made band 1);
events(<<>>, Count, Sum) ->
    {Count, Sum}.

grant(Source, #seen{granted = Granted} = Seen) when Granted >= ?CREDIT div 2 ->
    Source ! {credit, Granted},
    Seen#seen{granted = 0};
grant(_Source, Seen) ->
    Seen.

%% A port program stays until its CPU time has been read.
done(Seen) ->
    receive {result, From} -> From ! {self(), Seen} end,
    receive stop -> ok end.

-spec stop(Reader :: pid()) -> stop.
stop(Pid) ->
    Pid ! stop.

%% How many it got and missed, and the median age of the events that came first in a message.
-spec result(Reader :: pid()) ->
    {Count :: non_neg_integer(), Missed :: non_neg_integer(), MedianAge :: integer()}.
result(Pid) ->
    Pid ! {result, self()},
    receive
        {Pid, #seen{count = Count, missed = Missed, ages = Ages}} ->
            {Count, Missed, at(Ages, 0.5)}
    after 60000 -> error(no_result)
    end.

at([], _Share) -> 0;
at(Times, Share) -> lists:nth(max(1, ceil(Share * length(Times))), lists:sort(Times)).

%% The time within which 99 of 100 gets of a map are answered.
-spec calls(node(), Map :: term(), Count :: pos_integer()) -> non_neg_integer().
calls(Node, Map, Count) ->
    at([time(fun() -> erpc:call(Node, ebpf_maps, get, [0, Map]) end) || _ <- lists:seq(1, Count)],
       0.99).

time(Fun) ->
    Begun = erlang:monotonic_time(nanosecond),
    _ = Fun(),
    erlang:monotonic_time(nanosecond) - Begun.
