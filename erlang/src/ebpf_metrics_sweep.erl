%% SPDX-License-Identifier: Apache-2.0
%%
%% One sweep over all C nodes: what they say of themselves, then each declared metric in turn. Who
%% does not answer in time is left out of the rest, so the deadline holds whoever hangs.
%% @private
-module(ebpf_metrics_sweep).

-export([run/3]).

-export_type([failed/0, failures/0]).

%% Entries that made no series, of each metric.
-type failed() :: #{binary() => non_neg_integer()}.
%% Why a metric has no series of a node, or why it has none at all.
-type failures() :: #{{Metric :: binary() | all, node()} => Reason :: term()}.

-record(sweep, {
    config :: ebpf_metrics_options:config(),
    begun :: integer(),
    deadline :: integer(),
    %% those that answer
    nodes = [] :: [node()],
    hosts = #{} :: #{node() => ebpf_metrics_decoders:host()},
    failures = #{} :: failures(),
    series = [] :: [ebpf_metrics_series:series()]
}).

%% Adds to what has failed before. The deadline is one of erlang:monotonic_time(millisecond).
-spec run(ebpf_metrics_options:config(), Deadline :: integer(), failed()) ->
    {[ebpf_metrics_text:family()], failed(), failures()}.
run(#{fleet := Fleet, declare := Metrics} = Config, Deadline, Failed) ->
    Begun = erlang:monotonic_time(millisecond),
    All = lists:usort(ebpf_fleet:nodes([Option || {nodes, _} = Option <- Fleet])),
    Sweep = #sweep{config = Config, begun = Begun, deadline = Deadline, nodes = All},
    {Stats, Answering} = maps_of(stats, Sweep),
    Walked = lists:foldl(fun walk/2, with_hosts(Answering), Metrics),
    {Programs, Done} = programs(Walked),
    Series = lists:zip(Metrics, lists:reverse(Done#sweep.series)),
    NewFailed = failed(Series, Failed),
    {[ebpf_metrics_series:family(S) || {_, S} <- Series] ++ ebpf_metrics_cnode:families(Stats) ++
        Programs ++ own(All, Series, NewFailed, Done),
     NewFailed, Done#sweep.failures}.

failed(Series, Failed) ->
    maps:from_list([{Name, maps:get(Name, Failed, 0) + ebpf_metrics_series:failed(S)}
                    || {#{name := Name}, S} <- Series]).

%%--------------------------------------------------------------------------------------------------
%% Nodes
%%--------------------------------------------------------------------------------------------------

%% Of all nodes that still answer: #{Node => Answer}.
call(_Function, _Args, #sweep{nodes = []} = Sweep) ->
    {#{}, Sweep};
call(Function, Args, Sweep) ->
    {Answers, Results} = ebpf_fleet:call(Function, Args, options([], Sweep)),
    {maps:with(good(Results), Answers), without_silent(all, Results, Sweep)}.

%% Of those that answer as a C node does.
maps_of(Function, Sweep) ->
    {Answers, Told} = call(Function, [], Sweep),
    {maps:filter(fun(_Node, Answer) -> is_map(Answer) end, Answers), Told}.

good(Results) -> [Node || {Node, ok} <- maps:to_list(Results)].

%% Half of the time that is left, for each node, so that others get some after one that hangs.
options(Further, #sweep{config = #{fleet := Fleet}, nodes = Nodes, deadline = Deadline}) ->
    Left = max(1, Deadline - erlang:monotonic_time(millisecond)),
    Half = max(1, Left div 2),
    Timeout = case lists:keyfind(timeout, 1, Fleet) of
        {timeout, Ms} -> min(Ms, Half);
        false -> Half
    end,
    Theirs = [Option || Option <- Fleet, not is_ours(Option)],
    [{nodes, Nodes}, {timeout, Timeout}, {deadline, Left}] ++ Further ++ Theirs.

is_ours({Name, _}) -> lists:member(Name, [nodes, timeout, deadline]);
is_ours(_Option) -> false.

%% A node that has no such map has answered; one that is away, or hangs, is not asked again.
without_silent(Metric, Results, #sweep{nodes = Nodes, failures = Failures} = Sweep) ->
    Bad = [{Node, Reason} || {Node, {error, Reason}} <- maps:to_list(Results)],
    Silent = [Node || {Node, Reason} <- Bad, is_silence(Reason)],
    New = maps:from_list([{{Metric, Node}, Reason} || {Node, Reason} <- Bad]),
    Sweep#sweep{nodes = Nodes -- Silent, failures = maps:merge(Failures, New)}.

is_silence({partial, _Entries, Reason}) -> is_silence(Reason);
is_silence(Reason) -> Reason =:= nodedown orelse Reason =:= timeout.

%% Names of interfaces and cgroups, where a label is one.
with_hosts(#sweep{config = #{declare := Metrics}} = Sweep) ->
    case lists:any(fun(#{labels := L}) -> ebpf_metrics_labels:needs_host(L) end, Metrics) of
        true ->
            {Hosts, Told} = maps_of(host, Sweep),
            Told#sweep{hosts = Hosts};
        false ->
            Sweep
    end.

%%--------------------------------------------------------------------------------------------------
%% Metrics
%%--------------------------------------------------------------------------------------------------

walk(Metric, #sweep{nodes = [], hosts = Hosts, series = Series} = Sweep) ->
    Sweep#sweep{series = [ebpf_metrics_series:new(Metric, Hosts) | Series]};
walk(#{name := Name, what := What, fold := Fold} = Metric, #sweep{hosts = Hosts} = Sweep) ->
    New = ebpf_metrics_series:new(Metric, Hosts),
    {Entered, Results} = ebpf_fleet:fold(fun ebpf_metrics_series:add/4, New, What,
                                         options(Fold, Sweep)),
    Bad = maps:keys(Results) -- good(Results),
    Told = without_silent(Name, Results, Sweep),
    Told#sweep{series = [ebpf_metrics_series:without(Bad, Entered) | Told#sweep.series]}.

programs(#sweep{config = #{programs := false}} = Sweep) ->
    {[], Sweep};
programs(#sweep{nodes = Nodes} = Sweep) ->
    Call = fun(Function, Args, Some) ->
        {Answers, _} = call(Function, Args, Sweep#sweep{nodes = Some}),
        Answers
    end,
    {ebpf_metrics_programs:families(Call, Nodes), Sweep}.

%%--------------------------------------------------------------------------------------------------
%% What a sweep says of itself
%%--------------------------------------------------------------------------------------------------

own(All, Series, Failed, #sweep{nodes = Up, begun = Begun, failures = Failures}) ->
    Names = [Name || {#{name := Name}, _} <- Series],
    Took = erlang:monotonic_time(millisecond) - Begun,
    [{gauge, <<"ebpf_up">>, <<"Whether a C node has answered in time.">>,
      [{[node_label(Node)], lists:member(Node, Up)} || Node <- All]},
     {gauge, <<"ebpf_metric_up">>, <<"Whether a C node had the map of a metric.">>,
      [{[node_label(Node), metric_label(Name)],
        lists:member(Node, Up) andalso not is_map_key({Name, Node}, Failures)}
       || Name <- Names, Node <- All]},
     {gauge, <<"ebpf_series_dropped">>,
      <<"Entries without a series, as their metric has as many as it may.">>,
      [{[metric_label(Name)], ebpf_metrics_series:dropped(S)} || {#{name := Name}, S} <- Series]},
     {counter, <<"ebpf_decoder_failures_total">>,
      <<"Entries without a series, as a decoder failed, or their size or value is another.">>,
      [{[metric_label(Name)], maps:get(Name, Failed)} || Name <- Names]},
     {gauge, <<"ebpf_scrape_duration_seconds">>, <<"Seconds that asking all C nodes took.">>,
      [{[], Took / 1000}]}].

node_label(Node) -> {<<"node">>, atom_to_binary(Node)}.

metric_label(Name) -> {<<"metric">>, Name}.
