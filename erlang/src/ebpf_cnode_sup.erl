%% SPDX-License-Identifier: Apache-2.0
%%
%% The application's supervisor, of the process that connects again to C nodes, of the one that keeps
%% what is known of a fleet of them, of the one that keeps a state on all of them, and of those that
%% run the embedded C node and serve metrics, if there are to be such.
%% @private
-module(ebpf_cnode_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link([{module(), Args :: [term()]}]) -> supervisor:startlink_ret().
start_link(Children) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Children).

%% A child that keeps failing at once ends the application; one that fails slowly is restarted for
%% ever.
-spec init([{module(), [term()]}]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Children) ->
    {Metrics, Own} = lists:partition(fun is_metrics/1, Children),
    Usual = [{ebpf_cnode_nodes, []}, {ebpf_fleet_known, []}, {ebpf_fleet_keep_keeper, []}],
    Specs = [spec(Child) || Child <- Own ++ Usual ++ Metrics],
    {ok, {#{intensity => 10, period => 10}, Specs}}.

%% They ask what is there by then.
is_metrics({Module, _Args}) -> Module =:= ebpf_metrics_sup.

spec({ebpf_metrics_sup = Module, Args}) ->
    #{id => Module, start => {Module, start_link, Args}, type => supervisor};
spec({Module, Args}) ->
    #{id => Module, start => {Module, start_link, Args}}.
