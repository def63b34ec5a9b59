%% SPDX-License-Identifier: Apache-2.0
%%
%% The application's callback: starts the supervisor, with or without an embedded C node. The facade
%% needs neither.
%% @private
-module(ebpf_cnode_app).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    case ebpf_cnode_env:get(cnode) of
        undefined -> ebpf_cnode_sup:start_link([]);
        embedded -> start_embedded();
        Value -> {error, {badenv, {cnode, Value}}}
    end.

-spec stop(term()) -> ok.
stop(_State) ->
    ok.

%% The application is started once the C node is up. This process waits for it, so that the
%% supervisor and its child need not.
start_embedded() ->
    First = ebpf_cnode_port:first(),
    case ebpf_cnode_sup:start_link([{ebpf_cnode_port, [First]}]) of
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
