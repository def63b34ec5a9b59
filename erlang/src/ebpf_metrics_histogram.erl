%% SPDX-License-Identifier: Apache-2.0
%%
%% Histograms: counts by the number of a bucket, as programs keep them, become cumulative counts by
%% upper edges. A value at an edge is in the bucket that has it as its `le', and in no lower one:
%% bucket N of a log2 histogram has the integers from 2^N to 2^(N+1)-1, so 2^(N+1)-1 is its edge.
%% @private
-module(ebpf_metrics_histogram).

-export([fault/1, edges/2, new/0, add/3, add_sum/2, cumulative/2]).

-export_type([buckets/0, histogram/0, scale/0]).

-import(ebpf_cnode_words, [shown/1]).

-define(MAX_BUCKETS, 1024).
%% What kernels count has 64 bits.
-define(MAX_EDGE, (1 bsl 64)).

-type buckets() :: log2 | {log2, pos_integer()} | {linear, integer(), pos_integer(), pos_integer()}
                 | {explicit, [number()]}.
-type scale() :: {multiply | divide, number()}.
-type histogram() :: {#{non_neg_integer() => number()}, Sum :: none | term()}.

%% What is wrong with a declaration of buckets.
-spec fault(term()) -> none | unicode:chardata().
fault(log2) -> none;
fault({log2, N}) when is_integer(N), N >= 1, N =< 64 -> none;
fault({linear, Min, Step, N}) when
    is_integer(Min), abs(Min) =< ?MAX_EDGE, is_integer(Step), Step > 0, Step =< ?MAX_EDGE,
    is_integer(N), N >= 1, N =< ?MAX_BUCKETS
->
    none;
fault({explicit, Edges}) when length(Edges) >= 1, length(Edges) < ?MAX_BUCKETS ->
    IsEdge = fun(Edge) -> is_number(Edge) andalso abs(Edge) =< ?MAX_EDGE end,
    case lists:all(IsEdge, Edges) andalso Edges =:= lists:usort(Edges) of
        true -> none;
        false -> ["the edges of {explicit, Edges} are numbers, each larger than the one before: ",
                  shown(Edges)]
    end;
fault(Term) ->
    ["not the buckets of a histogram, which are log2, {log2, N} with N up to 64, {linear, Min, "
     "Step, N}, or {explicit, [Edge]}: ", shown(Term)].

%% The largest value of each bucket but the last one, which has all that is larger: programs count
%% there what would be beyond.
-spec edges(buckets(), scale()) -> [number()].
edges(Buckets, Scale) ->
    [ebpf_metrics_number:scaled(Edge, Scale) || Edge <- edges(Buckets)].

edges(log2) -> edges({log2, 64});
edges({log2, N}) -> [(2 bsl Bucket) - 1 || Bucket <- lists:seq(0, N - 2)];
edges({linear, Min, Step, N}) -> [Min + Bucket * Step - 1 || Bucket <- lists:seq(1, N - 1)];
edges({explicit, Edges}) -> Edges.

-spec new() -> histogram().
new() -> {#{}, none}.

-spec add(Bucket :: non_neg_integer(), Count :: number(), histogram()) -> histogram().
add(_Bucket, 0, Histogram) ->
    Histogram;
add(Bucket, Count, {Counts, Sum}) ->
    {maps:update_with(Bucket, fun(Old) -> Old + Count end, Count, Counts), Sum}.

-spec add_sum(term(), histogram()) -> histogram().
add_sum(More, {Counts, none}) -> {Counts, More};
add_sum(More, {Counts, Sum}) -> {Counts, ebpf_metrics_number:sum([Sum, More])}.

%% The counts up to each edge, and of all. A bucket beyond the last one counts as the last.
-spec cumulative(Edges :: [term()], histogram()) -> {[number()], Count :: number()}.
cumulative(Edges, {Counts, _Sum}) ->
    Last = length(Edges),
    {Below, Sum} = lists:mapfoldl(
        fun(Bucket, Acc) ->
            More = Acc + maps:get(Bucket, Counts, 0),
            {More, More}
        end, 0, lists:seq(0, Last - 1)),
    {Below, Sum + lists:sum([Count || {Bucket, Count} <- maps:to_list(Counts), Bucket >= Last])}.
