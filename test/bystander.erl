%% SPDX-License-Identifier: Apache-2.0
%% Calls a C node all the time, and says how its calls went: see siege.
-module(bystander).
-export([start/2, look/2]).

%% Two processes: one uses a map, and one makes maps.
start(Node, Limit) ->
    Call = fun(F, A) -> erpc:call(Node, ebpf_maps, F, A, Limit) end,
    Map = Call(new, [hash, 4, 8, 4]),
    [
        spawn(fun() -> loop(Step, 0, 0, []) end)
     || Step <- [fun(I) -> use(Call, Map, I) end, fun(_) -> make(Call) end]
    ].

use(Call, Map, I) ->
    Map = Call(put, [1, I, Map]),
    <<I:64/native>> = Call(get, [1, Map]).

make(Call) ->
    Map = Call(new, [array, 4, 4, 1]),
    ok = Call(close, [Map]).

loop(Step, Count, Slowest, Wrong) ->
    receive
        {look, From} ->
            From ! {self(), Count, Slowest, Wrong},
            loop(Step, Count, Slowest, Wrong);
        stop ->
            ok
    after 2 ->
        Begun = erlang:monotonic_time(millisecond),
        Now =
            try Step(Count) of
                _ -> []
            catch
                Class:Reason -> [{Count, Class, Reason}]
            end,
        Took = erlang:monotonic_time(millisecond) - Begun,
        loop(Step, Count + 1, max(Slowest, Took), lists:sublist(Wrong ++ Now, 5))
    end.

%% {Calls, Ms of the slowest, What went wrong} of each.
look(Pids, Limit) ->
    [look_at(Pid, Limit) || Pid <- Pids].

look_at(Pid, Limit) ->
    Pid ! {look, self()},
    receive
        {Pid, Count, Slowest, Wrong} -> {Count, Slowest, Wrong}
    after Limit -> {0, Limit, [no_answer]}
    end.
