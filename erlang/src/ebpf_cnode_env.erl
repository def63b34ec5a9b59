%% SPDX-License-Identifier: Apache-2.0
%%
%% The variables of the application, read with their defaults: the facade works without the
%% application being loaded, too.
%% @private
-module(ebpf_cnode_env).

-export([get/1]).

-spec get(cnode | node | timeout | program | args) -> undefined | term().
get(Key) ->
    case application:get_env(ebpf_cnode, Key) of
        {ok, Value} -> Value;
        undefined -> default(Key)
    end.

default(timeout) -> 15000;
default(args) -> [];
default(_Key) -> undefined.
