%% SPDX-License-Identifier: Apache-2.0
%%
%% Reads the variables of the application, with defaults of its own: the facade also works when the
%% application is not loaded.
%% @private
-module(ebpf_cnode_env).

-export([get/1]).

-spec get(cnode | node | timeout | retry | program | args | fleet | metrics) ->
    undefined | term().
get(Key) ->
    case application:get_env(ebpf_cnode, Key) of
        {ok, Value} -> Value;
        undefined -> default(Key)
    end.

default(timeout) -> 15000;
default(retry) -> 0;
default(args) -> [];
default(fleet) -> hosts;
default(_Key) -> undefined.
