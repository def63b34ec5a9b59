%% SPDX-License-Identifier: Apache-2.0
%%
%% A map on each of many C nodes, all of them as one, summed by key: by ebpf_fleet, and by hand with
%% erpc. Needs the facade on the code path of this node.
-module(bench_fleet).

-export([fill/3, time/2, memory/2, deadline/3]).

-export_type([way/0]).

-define(DEADLINE, 300000).
-define(SAMPLE, 1). % ms
-define(TOP, 10).

-type way() :: fleet | at_once | one_by_one | sum | fold | top | sorted.

%% The same keys on each; of a map with a value for each CPU the C node reads their sum.
-spec fill([node()], Type :: atom(), Entries :: pos_integer()) -> ok.
fill(Nodes, Type, Entries) ->
    Pairs = [{<<I:32/native>>, <<I:64/native>>} || I <- lists:seq(1, Entries)],
    Options = [{types, {u32, u64}} | [{percpu, sum} || Type =:= percpu_hash]],
    Made = [{Node, filled(Node, Type, Entries, Pairs, Options)} || Node <- Nodes],
    persistent_term:put(?MODULE, maps:from_list(Made)).

filled(Node, Type, Entries, Pairs, Options) ->
    Map = erpc:call(Node, ebpf_maps, new, [Type, 4, 8, Entries]),
    Map = erpc:call(Node, ebpf_maps, merge, [Map, Pairs]),
    View = erpc:call(Node, ebpf_maps, typed, [Map, Options]),
    ebpf_map = element(1, View),
    View.

%% Nanoseconds, and how many keys there were, or their sum.
-spec time(way(), [node()]) -> bench_whole:times().
time(Way, Nodes) ->
    bench_whole:run(fun() -> read(Way, Nodes) end, fun count/1).

count(Sum) when is_integer(Sum) -> Sum;
count(Top) when is_list(Top) -> length(Top);
count(Summed) -> map_size(Summed).

%% Bytes between the least and the most that the emulator had meanwhile, and how many keys there
%% were.
-spec memory(way(), [node()]) -> {Bytes :: non_neg_integer(), non_neg_integer()}.
memory(Way, Nodes) ->
    lists:foreach(fun erlang:garbage_collect/1, processes()),
    bench_calls:in_process(fun() ->
        First = erlang:memory(total),
        Sampler = spawn_opt(fun() -> sample(First, First) end, [link, {priority, high}]),
        Count = count(read(Way, Nodes)),
        Sampler ! {stop, self()},
        receive {grown, Sampler, Bytes} -> {Bytes, Count} end
    end).

sample(Least, Most) ->
    Asked = receive {stop, Pid} -> [Pid] after ?SAMPLE -> [] end,
    Now = erlang:memory(total),
    case Asked of
        [Reader] -> Reader ! {grown, self(), max(Most, Now) - min(Least, Now)};
        [] -> sample(min(Least, Now), max(Most, Now))
    end.

%% Nanoseconds from the deadline, in milliseconds from the call, until all is known of nodes some of
%% which hang; and how many have answered.
-spec deadline(fleet | at_once, [node()], Ms :: pos_integer()) -> {integer(), non_neg_integer()}.
deadline(Way, Nodes, Ms) ->
    {Took, Answered} = bench_whole:run(fun() -> until(Way, Nodes, Ms) end, fun(N) -> N end),
    {Took - Ms * 1_000_000, Answered}.

until(fleet, Nodes, Ms) ->
    {_, Results} = ebpf_fleet:to_map(fun view/1, [{nodes, Nodes}, {deadline, Ms}]),
    length([ok || ok <- maps:values(Results)]);
until(at_once, Nodes, Ms) ->
    Answers = erpc:multicall(Nodes, ebpf_maps, handles, [], Ms),
    length([ok || {ok, _} <- Answers]).

%%--------------------------------------------------------------------------------------------------

view(Node) -> maps:get(Node, persistent_term:get(?MODULE)).

read(fleet, Nodes) ->
    all_of(ebpf_fleet:to_map(fun view/1, options(Nodes)));
read(sum, Nodes) ->
    all_of(ebpf_fleet:sum(fun view/1, options(Nodes)));
read(fold, Nodes) ->
    all_of(ebpf_fleet:fold(fun(_, Value, Sum) -> Value + Sum end, 0, fun view/1, options(Nodes)));
read(top, Nodes) ->
    all_of(ebpf_fleet:top(?TOP, fun view/1, options(Nodes)));
read(sorted, Nodes) ->
    Sorted = lists:keysort(2, maps:to_list(read(fleet, Nodes))),
    lists:sublist(lists:reverse(Sorted), ?TOP);
read(at_once, Nodes) ->
    Asked = [erpc:send_request(Node, ebpf_maps, to_list, [view(Node)]) || Node <- Nodes],
    Lists = [erpc:receive_response(Request, ?DEADLINE) || Request <- Asked],
    lists:foldl(fun add/2, #{}, Lists);
read(one_by_one, Nodes) ->
    lists:foldl(fun(Node, Sums) ->
                    add(erpc:call(Node, ebpf_maps, to_list, [view(Node)], ?DEADLINE), Sums)
                end,
                #{}, Nodes).

options(Nodes) -> [{nodes, Nodes}, {deadline, ?DEADLINE}].

all_of({Value, Results}) ->
    [ok = Result || Result <- maps:values(Results)],
    Value.

add([{Key, Value} | Pairs], Sums) ->
    case Sums of
        #{Key := Sum} -> add(Pairs, Sums#{Key := Sum + Value});
        #{} -> add(Pairs, Sums#{Key => Value})
    end;
add([], Sums) ->
    Sums.
