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
    case application:get_env(ebpf_cnode, cnode) of
        undefined -> ebpf_cnode_sup:start_link([]);
        {ok, embedded} -> ebpf_cnode_sup:start_link([ebpf_cnode_port]);
        {ok, Value} -> {error, {badenv, {cnode, Value}}}
    end.

-spec stop(term()) -> ok.
stop(_State) ->
    ok.
