%% SPDX-License-Identifier: Apache-2.0
%%
%% The application's callback: starts the supervisor, with or without an embedded C node
%% and metrics. The facade needs none of these.
%% @private
-module(ebpf_cnode_app).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case {ebpf_cnode_env:get(cnode), metrics(ebpf_cnode_env:get(metrics))} of
        {_, {error, Texts}} -> {error, {badenv, {metrics, Texts}}};
        {undefined, Metrics} -> start_supervisor(Metrics, Metrics);
        {embedded, Metrics} -> start_embedded(Metrics);
        {Value, _} -> {error, {badenv, {cnode, Value}}}
    end.

-spec stop(term()) -> ok.
stop(_State) ->
    ok.

%% What serves metrics, if anything is to.
metrics(undefined) ->
    [];
metrics(Options) ->
    case ebpf_metrics_options:compile(Options) of
        {ok, Config} -> [{ebpf_metrics_sup, [Config]}];
        {error, Texts} -> {error, Texts}
    end.

start_supervisor(Children, Metrics) ->
    case {ebpf_cnode_sup:start_link(Children), Metrics} of
        {{error, {shutdown, {failed_to_start_child, ebpf_metrics_sup, Reason}}},
         [{ebpf_metrics_sup, [Config]}]} ->
            {error, {metrics, ebpf_metrics_errors:of_start(Reason, Config)}};
        {Result, _} ->
            Result
    end.

%% The application is started once the C node is up. This process waits for it, so that the
%% supervisor and its child need not.
start_embedded(Metrics) ->
    First = ebpf_cnode_port:first(),
    case start_supervisor([{ebpf_cnode_port, [First]} | Metrics], Metrics) of
        {ok, Supervisor} -> await(First, Supervisor);
        {error, Reason} -> {error, Reason}
    end.

await(First, Supervisor) ->
    case ebpf_cnode_port:await(First) of
        up ->
            {ok, Supervisor};
        {failed, Reason} ->
            end_supervisor(Supervisor),
            {error, Reason}
    end.

end_supervisor(Supervisor) ->
    Monitor = monitor(process, Supervisor),
    true = unlink(Supervisor),
    true = exit(Supervisor, shutdown),
    receive
        {'DOWN', Monitor, process, Supervisor, _Reason} -> ok
    end.
