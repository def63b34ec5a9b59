%% SPDX-License-Identifier: Apache-2.0
%%
%% The application's supervisor: without children, or with the one that runs the embedded C node.
%% @private
-module(ebpf_cnode_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link([module()]) -> supervisor:startlink_ret().
start_link(Modules) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Modules).

%% A child that keeps failing at once ends the application; one that fails slowly is restarted for
%% ever.
-spec init([module()]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Modules) ->
    Children = [#{id => Module, start => {Module, start_link, []}} || Module <- Modules],
    {ok, {#{intensity => 10, period => 10}, Children}}.
