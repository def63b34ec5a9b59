%% SPDX-License-Identifier: Apache-2.0
%%
%% The series of one metric, as entries come, of several nodes in turn. Entries whose labels are the
%% same are added up. There is an end to how many series there may be.
%% @private
-module(ebpf_metrics_series).

-export([new/2, add/4, without/2, family/1, dropped/1, failed/1]).

-export_type([series/0]).

%% Lines of a histogram beside its edges: +Inf, the sum and the count.
-define(HISTOGRAM_LINES, 3).
-define(MAX_COUNT, (1 bsl 64)).

-record(series, {
    metric :: ebpf_metrics_declaration:metric(),
    hosts :: #{node() => ebpf_metrics_decoders:host()},
    %% by the texts of their labels
    nodes = #{} :: #{node() => #{[binary()] => term()}},
    room :: non_neg_integer(),
    dropped = 0 :: non_neg_integer(),
    failed = 0 :: non_neg_integer()
}).
-opaque series() :: #series{}.

-spec new(ebpf_metrics_declaration:metric(), #{node() => ebpf_metrics_decoders:host()}) -> series().
new(#{max_series := Max, type := Type, edges := Edges} = Metric, Hosts) ->
    Lines = case Type of
        histogram -> length(Edges) + ?HISTOGRAM_LINES;
        _ -> 1
    end,
    #series{metric = Metric, hosts = Hosts, room = max(1, Max div Lines)}.

%% An entry of a map: what ebpf_fleet:fold/4 calls. It comes from any host: none makes a sweep fail.
-spec add(node(), Key :: term(), Value :: term(), series()) -> series().
add(Node, Key, Value, Series) ->
    try
        added(Node, Key, Value, Series)
    catch
        error:_ -> one_failed(Series)
    end.

added(Node, Key, Value, #series{metric = #{labels := Parts} = Metric, hosts = Hosts} = Series) ->
    case ebpf_metrics_labels:texts(Parts, Key, maps:get(Node, Hosts, #{})) of
        {ok, Texts, Bucket} ->
            case updates(Metric, Bucket, Value) of
                error -> one_failed(Series);
                Updates -> lists:foldl(fun({More, Update}, Acc) ->
                                           enter(Node, Texts ++ More, Update, Acc)
                                       end, Series, Updates)
            end;
        error ->
            one_failed(Series)
    end.

one_failed(#series{failed = Failed} = Series) ->
    Series#series{failed = Failed + 1}.

%%--------------------------------------------------------------------------------------------------
%% Values
%%--------------------------------------------------------------------------------------------------

%% [{Further labels, Update}], or error if the value has not what was declared. Values of CPUs come
%% added up, unless they are a label.
updates(#{percpu := label, member := Member}, _Bucket, Values) when is_list(Values) ->
    Cpus = lists:seq(0, length(Values) - 1),
    all_or_error([{[integer_to_binary(Cpu)], number(Member, Value)}
                  || {Cpu, Value} <- lists:zip(Cpus, Values)]);
updates(#{percpu := label}, _Bucket, _Value) ->
    error;
updates(#{type := histogram} = Metric, Bucket, Value) ->
    all_or_error([{[], counts(Metric, Bucket, Value)}]);
updates(#{member := Member}, _Bucket, Value) ->
    all_or_error([{[], number(Member, Value)}]).

all_or_error(Updates) ->
    case lists:keymember(error, 2, Updates) of
        true -> error;
        false -> Updates
    end.

%% A handle that a fun has made may have a value for each CPU.
number(Member, Values) when is_list(Values) ->
    case [number(Member, Value) || Value <- Values, not is_list(Value)] of
        Numbers when length(Numbers) =:= length(Values), Numbers =/= [] ->
            all_added(Numbers, lists:member(error, Numbers));
        _ ->
            error
    end;
number(whole, Value) ->
    sample(Value);
number(Path, Value) ->
    case ebpf_metrics_labels:member(Path, Value) of
        {ok, Number} -> sample(Number);
        error -> error
    end.

all_added(_Numbers, true) ->
    error;
all_added(Numbers, false) ->
    {number, ebpf_metrics_number:sum([Number || {number, Number} <- Numbers])}.

sample(Term) ->
    case ebpf_metrics_number:is_sample(Term) of
        true -> {number, Term};
        false -> error
    end.

%% Of a bucket that the key has, or of all of them.
counts(#{member := Member, sum := Sum} = Metric, Bucket, Value) ->
    case {numbers(Member, Bucket, Value), sum(Sum, Metric, Value)} of
        {error, _} -> error;
        {_, error} -> error;
        {Counts, Total} -> {histogram, Counts, Total}
    end.

numbers(Member, none, Value) ->
    case list(Member, Value) of
        {ok, Counts} when length(Counts) >= 0 ->
            counted(lists:zip(lists:seq(0, length(Counts) - 1), Counts));
        _ ->
            error
    end;
numbers(Member, Bucket, Value) when is_integer(Bucket), Bucket >= 0 ->
    case number(Member, Value) of
        {number, Count} -> counted([{Bucket, Count}]);
        error -> error
    end;
numbers(_Member, _Bucket, _Value) ->
    error.

list(whole, Value) -> {ok, Value};
list(Path, Value) -> ebpf_metrics_labels:member(Path, Value).

counted(Counts) ->
    IsCount = fun({_, N}) -> is_integer(N) andalso N >= 0 andalso N < ?MAX_COUNT end,
    case lists:all(IsCount, Counts) of
        true -> Counts;
        false -> error
    end.

sum(none, _Metric, _Value) -> none;
sum(Path, #{scale := Scale}, Value) ->
    case ebpf_metrics_labels:member(Path, Value) of
        {ok, Sum} when is_number(Sum) -> ebpf_metrics_number:scaled(Sum, Scale);
        _ -> error
    end.

%%--------------------------------------------------------------------------------------------------
%% Series
%%--------------------------------------------------------------------------------------------------

enter(Node, Texts, Update, #series{nodes = Nodes, room = Room} = Series) ->
    Of = maps:get(Node, Nodes, #{}),
    case Of of
        #{Texts := Old} ->
            Series#series{nodes = Nodes#{Node => Of#{Texts := updated(Update, Old)}}};
        _ when Room > 0 ->
            New = updated(Update, none),
            Series#series{nodes = Nodes#{Node => Of#{Texts => New}}, room = Room - 1};
        _ ->
            Series#series{dropped = Series#series.dropped + 1}
    end.

updated({number, Number}, none) -> Number;
updated({number, Number}, Old) -> ebpf_metrics_number:sum([Number, Old]);
updated({histogram, Counts, Sum}, none) ->
    updated({histogram, Counts, Sum}, ebpf_metrics_histogram:new());
updated({histogram, Counts, Sum}, Old) ->
    Added = lists:foldl(fun({Bucket, Count}, Acc) ->
                            ebpf_metrics_histogram:add(Bucket, Count, Acc)
                        end, Old, Counts),
    case Sum of
        none -> Added;
        _ -> ebpf_metrics_histogram:add_sum(Sum, Added)
    end.

%% Those of a node go that has not told all: a counter that lacks a part has gone back.
-spec without([node()], series()) -> series().
without(Gone, #series{nodes = Nodes} = Series) ->
    Series#series{nodes = maps:without(Gone, Nodes)}.

-spec dropped(series()) -> non_neg_integer().
dropped(#series{dropped = Dropped}) -> Dropped.

%% Entries that made no series, as a decoder failed, or as a value is not what was declared.
-spec failed(series()) -> non_neg_integer().
failed(#series{failed = Failed}) -> Failed.

%%--------------------------------------------------------------------------------------------------
%% Samples
%%--------------------------------------------------------------------------------------------------

-spec family(series()) -> ebpf_metrics_text:family().
family(#series{metric = #{type := Type, name := Name, help := Help} = Metric, nodes = Nodes}) ->
    Names = ebpf_metrics_declaration:labels(Metric),
    Edges = [ebpf_metrics_number:edge(Edge) || Edge <- maps:get(edges, Metric)],
    {Type, Name, Help,
     [{[{<<"node">>, atom_to_binary(Node)} | lists:zip(Names, Texts)],
       value(Metric, Edges, Value)}
      || {Node, Of} <- lists:sort(maps:to_list(Nodes)),
         {Texts, Value} <- lists:sort(maps:to_list(Of))]}.

value(#{type := histogram}, Edges, {_, Sum} = Histogram) ->
    {Below, Count} = ebpf_metrics_histogram:cumulative(Edges, Histogram),
    {histogram, lists:zip(Edges, Below), Count, Sum};
value(#{scale := Scale}, _Edges, Number) ->
    ebpf_metrics_number:scaled(Number, Scale).
