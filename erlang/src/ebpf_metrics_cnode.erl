%% SPDX-License-Identifier: Apache-2.0
%%
%% Metrics of the C nodes themselves, of what ebpf_maps:stats/0 tells.
%% @private
-module(ebpf_metrics_cnode).

-export([families/1]).

-define(NANOSECONDS, {divide, 1000000000}).

%% What a node answers may be of another version: what is not there makes no sample.
-spec families(#{node() => map()}) -> [ebpf_metrics_text:family()].
families(Stats) ->
    [{Type, Name, Help,
      [{[{<<"node">>, atom_to_binary(Node)} | Labels], Value}
       || {Node, Of} <- lists:sort(maps:to_list(Stats)), {Labels, Value} <- samples(Part, Of)]}
     || {Type, Name, Help, Part} <- table()].

table() ->
    [{gauge, <<"ebpf_cnode_uptime_seconds">>,
      <<"Seconds since the C node was started.">>, uptime},
     {gauge, <<"ebpf_cnode_connections">>,
      <<"Nodes that are connected to the C node.">>, connections},
     {counter, <<"ebpf_cnode_refused_total">>,
      <<"Connections that the C node has refused.">>, refused},
     {gauge, <<"ebpf_cnode_handles">>,
      <<"Handles of maps, programs and links that the C node holds.">>, handles},
     {gauge, <<"ebpf_cnode_loader_up">>,
      <<"Whether the process runs that loads programs, where there is to be one.">>, loader},
     {counter, <<"ebpf_cnode_received_bytes_total">>,
      <<"Bytes that the C node has received from nodes.">>, {bytes, in}},
     {counter, <<"ebpf_cnode_sent_bytes_total">>,
      <<"Bytes that the C node has sent to nodes.">>, {bytes, out}},
     {counter, <<"ebpf_cnode_requests_total">>,
      <<"Requests that the C node has served, by function.">>, requests},
     {counter, <<"ebpf_cnode_errors_total">>,
      <<"Requests that were answered by an error, by its reason.">>, errors},
     {histogram, <<"ebpf_cnode_latency_seconds">>,
      <<"Seconds from the last byte of a request to its answer.">>, latency}].

samples(uptime, #{uptime := Ms}) when is_integer(Ms) ->
    [{[], Ms / 1000}];
samples(loader, #{loader := Loader}) when Loader =:= running; Loader =:= gone ->
    [{[], Loader =:= running}];
samples({bytes, Way}, #{bytes := Bytes}) when is_map(Bytes) ->
    numbers([{[], maps:get(Way, Bytes, none)}]);
samples(requests, #{requests := Requests}) when is_map(Requests) ->
    numbers([{function(Function), Count} || {Function, Count} <- lists:sort(maps:to_list(Requests)),
                                            function(Function) =/= none]);
samples(errors, #{errors := Errors}) when is_map(Errors) ->
    numbers([{[{<<"reason">>, atom_to_binary(Reason)}], Count}
             || {Reason, Count} <- lists:sort(maps:to_list(Errors)), is_atom(Reason)]);
samples(latency, #{latency := Latency}) when length(Latency) >= 0 ->
    latency([{Less, Count} || {Less, Count} <- Latency, is_integer(Less), is_integer(Count)]);
samples(Name, Stats) when is_atom(Name) ->
    numbers([{[], maps:get(Name, Stats, none)}]);
samples(_Part, _Stats) ->
    [].

numbers(Samples) -> [Sample || {_, Value} = Sample <- Samples, is_integer(Value)].

function({Function, Arity}) -> function({ebpf_maps, Function, Arity});
function({Module, Function, Arity}) when is_atom(Module), is_atom(Function), is_integer(Arity) ->
    [{<<"module">>, atom_to_binary(Module)}, {<<"function">>, atom_to_binary(Function)},
     {<<"arity">>, integer_to_binary(Arity)}];
function(_Term) -> none.

%% Their edges are powers of two, of which those that have counts are told. All up to 2^40
%% nanoseconds are shown, so that a series is there before it is needed.
latency(Counts) ->
    Histogram = lists:foldl(
        fun({Less, Count}, Acc) -> ebpf_metrics_histogram:add(bucket(Less), Count, Acc) end,
        ebpf_metrics_histogram:new(), Counts),
    Edges = [ebpf_metrics_number:edge(Edge)
             || Edge <- ebpf_metrics_histogram:edges({log2, 40}, ?NANOSECONDS)],
    {Below, Count} = ebpf_metrics_histogram:cumulative(Edges, Histogram),
    [{[], {histogram, lists:zip(Edges, Below), Count, none}}].

%% That of the values below Less, and no less than half of it.
bucket(Less) -> bucket(Less, -1).

bucket(Less, Bucket) when Less =< 1 -> max(Bucket, 0);
bucket(Less, Bucket) -> bucket(Less bsr 1, Bucket + 1).
