%% SPDX-License-Identifier: Apache-2.0
%%
%% Asks the C node of one host, for the process that keeps something there. Of a node that does not
%% answer nothing more is asked: that is thrown; so is an answer that no C node gives.
%% @private
-module(ebpf_fleet_keep_ask).

-export([call/4, must/4, lied/0, failed/1]).

-define(TIME, 10_000). % ms; time to connect comes before it
-define(LOAD_TIME, 60_000).

%% What a function returned; an error that it returned or raised.
-spec call(node(), module(), atom(), Args :: [term()]) -> {ok, term()} | {error, Reason :: term()}.
call(Node, Module, Function, Args) ->
    try erpc:call(Node, Module, Function, Args, time(Function)) of
        {error, Reason} ->
            {error, Reason};
        Value ->
            ok = ebpf_cnode_nodes:got(Node, Module, Function, Value),
            {ok, Value}
    catch
        Class:Reason -> raised(ebpf_cnode_request:reason(Class, Reason, Module, Node), Node)
    end.

time(Function) when Function =:= load; Function =:= attach; Function =:= merge -> ?LOAD_TIME;
time(_Function) -> ?TIME.

raised({Why, Node}, Node) when Why =:= nodedown; Why =:= timeout -> failed(Why);
raised({undef, Node}, Node) -> failed(undef);
raised(Reason, _Node) -> {error, Reason}.

%% The same of what has to succeed for anything else.
-spec must(node(), module(), atom(), Args :: [term()]) -> term().
must(Node, Module, Function, Args) ->
    case call(Node, Module, Function, Args) of
        {ok, Value} -> Value;
        {error, Reason} -> failed(Reason)
    end.

-spec lied() -> no_return().
lied() -> failed(badreply).

-spec failed(Reason :: term()) -> no_return().
failed(Reason) -> throw({failed, Reason}).
