%% SPDX-License-Identifier: Apache-2.0
%%
%% Makes and closes maps of a C node, one after the other.
-module(bench_keep).

-export([pairs/2]).

%% Nanoseconds for so many pairs of new/4 and close/1.
-spec pairs(node(), pos_integer()) -> pos_integer().
pairs(Node, Count) ->
    Begun = erlang:monotonic_time(nanosecond),
    pair(Node, Count),
    erlang:monotonic_time(nanosecond) - Begun.

pair(_Node, 0) ->
    ok;
pair(Node, Left) ->
    Map = erpc:call(Node, ebpf_maps, new, [hash, 4, 8, 16]),
    ok = erpc:call(Node, ebpf_maps, close, [Map]),
    pair(Node, Left - 1).
