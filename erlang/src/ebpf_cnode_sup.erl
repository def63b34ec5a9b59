%% SPDX-License-Identifier: Apache-2.0
%%
%% The application's supervisor: empty, or with the one child that runs the embedded C node.
%% @private
-module(ebpf_cnode_sup).
-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-spec start_link([module()]) -> supervisor:startlink_ret().
start_link(Modules) ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, Modules).

%% What fails at once again and again ends with the application; what fails slowly is tried on.
-spec init([module()]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Modules) ->
    Children = [#{id => Module, start => {Module, start_link, []}} || Module <- Modules],
    {ok, {#{intensity => 10, period => 10}, Children}}.
