%% SPDX-License-Identifier: Apache-2.0
%%
%% The supervisor of metrics: the process that has sweeps made, and the listener that needs it.
%% @private
-module(ebpf_metrics_sup).
-behaviour(supervisor).

-export([start_link/1, port/0]).
-export([init/1]).

%% The listener comes when the rest is there: should it fail, so does this, but the caller lives on.
-spec start_link(ebpf_metrics_options:config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    case application:ensure_all_started(inets) of
        {ok, _Started} ->
            start_children(supervisor:start_link({local, ?MODULE}, ?MODULE, Config), Config);
        {error, _Reason} -> {error, no_inets}
    end.

start_children({ok, Supervisor}, Config) ->
    case supervisor:start_child(Supervisor, listener(Config)) of
        {ok, _Listener} ->
            {ok, Supervisor};
        {error, Reason} ->
            true = unlink(Supervisor),
            ok = gen_server:stop(Supervisor, shutdown, infinity),
            {error, Reason}
    end;
start_children({error, Reason}, _Config) ->
    {error, Reason}.

listener(Config) ->
    #{id => ebpf_metrics_http, start => {ebpf_metrics_http, start_link, [Config]},
      type => supervisor, shutdown => infinity}.

%% The port that it listens at; none while it does not.
-spec port() -> inet:port_number() | none.
port() ->
    try supervisor:which_children(?MODULE) of
        Children ->
            case lists:keyfind(ebpf_metrics_http, 1, Children) of
                {_, Pid, _, _} when is_pid(Pid) -> ebpf_metrics_http:port(Pid);
                _ -> none
            end
    catch
        exit:_ -> none
    end.

-spec init(ebpf_metrics_options:config()) ->
    {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Config) ->
    {ok, {#{strategy => rest_for_one, intensity => 10, period => 10},
          [#{id => ebpf_metrics_scrape, start => {ebpf_metrics_scrape, start_link, [Config]}}]}}.
