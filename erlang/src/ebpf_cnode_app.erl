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
        embedded -> ebpf_cnode_sup:start_link([ebpf_cnode_port]);
        Value -> {error, {badenv, {cnode, Value}}}
    end.

-spec stop(term()) -> ok.
stop(_State) ->
    ok.
