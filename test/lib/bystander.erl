%% SPDX-License-Identifier: Apache-2.0
%% Calls a C node all the time, and reports how the calls went: see siege.
-module(bystander).
-export([start/2, look/2]).

-define(STEP, 10).

%% Two processes: one uses a map, the other creates maps.
start(Node, Limit) ->
    Call = fun(F, A) -> finish(erpc:send_request(Node, ebpf_maps, F, A), Limit div ?STEP) end,
    Map = Call(new, [hash, 4, 8, 4]),
    [
        spawn(fun() -> loop(Step, #{count => 0, times => [], wrong => []}) end)
     || Step <- [fun(I) -> use(Call, Map, I) end, fun(_) -> make(Call) end]
    ].

%% Waits for the answer in steps of 10 ms. If the whole host stalls, it does so within one step, and
%% that is not a delay of the C node's.
finish(_Request, 0) ->
    error(timeout);
finish(Request, Steps) ->
    case erpc:wait_response(Request, ?STEP) of
        {response, Value} -> Value;
        no_response -> finish(Request, Steps - 1)
    end.

use(Call, Map, I) ->
    Map = Call(put, [1, I, Map]),
    <<I:64/native>> = Call(get, [1, Map]).

make(Call) ->
    Map = Call(new, [array, 4, 4, 1]),
    ok = Call(close, [Map]).

loop(Step, #{count := Count, times := Times, wrong := Wrong} = State) ->
    receive
        {look, From} ->
            From ! {self(), {Count, usual(Times), Wrong}},
            loop(Step, State);
        mark ->
            loop(Step, State#{times := []});
        stop ->
            ok
    after 2 ->
        Begun = erlang:monotonic_time(microsecond),
        Now =
            try Step(Count) of
                _ -> []
            catch
                Class:Reason -> [{Count, Class, Reason}]
            end,
        Took = erlang:monotonic_time(microsecond) - Begun,
        loop(Step, #{
            count => Count + 1,
            times => [Took | Times],
            wrong => lists:sublist(Wrong ++ Now, 5)
        })
    end.

%% The median, in microseconds.
usual([]) ->
    0;
usual(Times) ->
    lists:nth((length(Times) + 1) div 2, lists:sort(Times)).

%% {Calls, median time since the mark, what went wrong} of each process.
look(Pids, Limit) ->
    [look_at(Pid, Limit) || Pid <- Pids].

look_at(Pid, Limit) ->
    Pid ! {look, self()},
    receive
        {Pid, Looks} -> Looks
    after Limit -> {0, 0, [no_answer]}
    end.
