%% SPDX-License-Identifier: Apache-2.0
%%
%% Operations on whole maps: by the facade, by plain erpc, entry by entry with an iterator (of the C
%% node or the NIF), by bpftool. Each run is in a process of its own and returns {Nanoseconds,
%% Entries}.
-module(bench_whole).

-export([facade/3, bare/4, iterated/5, bpftool/1, run/2]).

-export_type([times/0]).

-define(CHUNK, 16384).

-type times() :: {Nanoseconds :: pos_integer(), Entries :: non_neg_integer()}.
-type operation() :: to_list | fold | merge | drain.
-type shape() :: plain | {prefix, Bits :: pos_integer()}.

%% Needs the facade on the code path of this node.
-spec facade(operation(), Map :: term(), {shape(), pos_integer()}) -> times().
facade(to_list, Map, _) ->
    run(fun() -> ebpf_maps:to_list(Map) end, fun erlang:length/1);
facade(fold, Map, _) ->
    run(fun() -> ebpf_maps:fold(fun(_, _, N) -> N + 1 end, 0, Map) end, fun(N) -> N end);
facade(drain, Map, _) ->
    run(fun() -> ebpf_maps:drain(Map) end, fun erlang:length/1);
facade(merge, Map, Entries) ->
    merged(fun(Pairs) -> ebpf_maps:merge(Map, Pairs) end, Map, Entries).

%% One request for the whole map, which must fit in one message.
-spec bare(node(), operation(), Map :: term(), {shape(), pos_integer()}) -> times().
bare(Node, merge, Map, Entries) ->
    merged(fun(Pairs) -> erpc:call(Node, ebpf_maps, merge, [Map, Pairs]) end, Map, Entries);
bare(Node, fold, Map, _) ->
    run(fun() -> count_chunks(Node, Map, start, 0) end, fun(N) -> N end);
bare(Node, Operation, Map, _) ->
    run(fun() -> erpc:call(Node, ebpf_maps, Operation, [Map]) end, fun erlang:length/1).

count_chunks(_Node, _Map, done, N) ->
    N;
count_chunks(Node, Map, Cursor, N) ->
    {Pairs, Next} = erpc:call(Node, ebpf_maps, next_chunk, [Cursor, Map, ?CHUNK]),
    count_chunks(Node, Map, Next, lists:foldl(fun({_, _}, M) -> M + 1 end, N, Pairs)).

%% As the user of a library without functions on whole maps must do it: entry by entry, at most
%% Most.
-spec iterated(bench_calls:way(), operation(), Map :: term(), {shape(), pos_integer()},
               Most :: pos_integer()) -> times().
iterated(Way, to_list, Map, _, Most) ->
    run(fun() -> iterate(Way, Map, fun(K, V, L) -> [{K, V} | L] end, [], Most) end,
        fun erlang:length/1);
iterated(Way, fold, Map, _, Most) ->
    run(fun() -> iterate(Way, Map, fun(_, _, N) -> N + 1 end, 0, Most) end, fun(N) -> N end);
iterated(Way, drain, Map, _, Most) ->
    %% All keys first: an iterator does not survive the removal of its current key.
    run(fun() ->
            Keys = iterate(Way, Map, fun(K, _, L) -> [K | L] end, [], Most),
            [{K, V} || K <- Keys, {V, _} <- [bench_calls:ask(Way, take, [K, Map])]]
        end,
        fun erlang:length/1);
iterated(Way, merge, Map, {Shape, Count}, Most) ->
    merged(fun(Pairs) ->
               lists:foreach(fun({K, V}) -> bench_calls:ask(Way, put, [K, V, Map]) end, Pairs),
               Map
           end,
           Map, {Shape, min(Count, Most)}).

iterate(Way, Map, Fun, Acc, Most) ->
    next(Way, bench_calls:ask(Way, iterator, [Map]), Fun, Acc, Most).

next(_Way, _Iterator, _Fun, Acc, 0) ->
    Acc;
next(Way, Iterator, Fun, Acc, Left) ->
    case bench_calls:ask(Way, next, [Iterator]) of
        none -> Acc;
        {Key, Value, Next} -> next(Way, Next, Fun, Fun(Key, Value, Acc), Left - 1)
    end.

%% The output of bpftool as a string. It is not parsed; its keys are counted afterwards.
-spec bpftool(MapId :: pos_integer()) -> times().
bpftool(MapId) ->
    Command = "bpftool map dump -j id " ++ integer_to_list(MapId),
    run(fun() -> os:cmd(Command) end, fun(Text) -> count_keys(Text, 0) end).

count_keys("\"key\":" ++ Text, N) -> count_keys(Text, N + 1);
count_keys([_ | Text], N) -> count_keys(Text, N);
count_keys([], N) -> N.

%%--------------------------------------------------------------------------------------------------

%% The clock stops before its entries are counted.
-spec run(fun(() -> Value), Count :: fun((Value) -> non_neg_integer())) -> times().
run(Fun, Count) ->
    bench_calls:in_process(fun() ->
        Begun = erlang:monotonic_time(nanosecond),
        Value = Fun(),
        Took = erlang:monotonic_time(nanosecond) - Begun,
        {Took, Count(Value)}
    end).

%% The pairs are made before the clock starts.
merged(Fun, Map, {Shape, Count}) ->
    bench_calls:in_process(fun() ->
        Pairs = [{key(Shape, I), <<(3 * I):64/native>>} || I <- lists:seq(0, Count - 1)],
        Begun = erlang:monotonic_time(nanosecond),
        Map = Fun(Pairs),
        {erlang:monotonic_time(nanosecond) - Begun, Count}
    end).

key(plain, I) -> <<I:32/native>>;
key({prefix, Bits}, I) -> <<Bits:32/native, I:32>>.
