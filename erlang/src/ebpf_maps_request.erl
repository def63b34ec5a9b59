%% SPDX-License-Identifier: Apache-2.0
%%
%% Asks the C node of a map, or the default one for a locator.
%% @private
-module(ebpf_maps_request).

-export([
    ask/3, ask/4,
    ask_node/4,
    with_handle/4,
    step/3,
    view/2,
    node_of/2
]).

-export_type([step/0]).

-import(ebpf_cnode_request, [default_node/0]).

-type outcome() :: ebpf_cnode_request:outcome().

-type step() :: outcome() | {ended, Raise :: outcome(), GoOn :: fun((Map :: term()) -> step())}.

%% @equiv ask(Map, Function, Args, Args)
-spec ask(Map :: term(), atom(), [term()]) -> outcome().
ask(Map, Function, Args) ->
    ask(Map, Function, Args, Args).

%% Args are those of the exception.
-spec ask(Map :: term(), atom(), Sent :: [term()], Args :: [term()]) -> outcome().
ask(Map, Function, Sent, Args) ->
    case {ebpf_maps_terms:is_handle(Map), ebpf_maps_terms:is_locator(Map)} of
        {true, _} -> ask_its_node(Map, Function, Sent, Args);
        {_, true} -> ask_located(Function, Sent, Args);
        _ -> no_handle(Map, Function, Args)
    end.

%% A function that needs a handle refuses a locator as the C node does, without asking it.
ask_located(Function, Sent, Args) ->
    case ebpf_maps_locators:takes(Function) of
        true -> ask_node(default_node(), Function, Sent, Args);
        false -> {raise, badarg, Args}
    end.

%% As in the C node, closing a term with the shape of a handle is not an exception.
no_handle(Map, close, _Args) when element(1, Map) =:= ebpf_map -> {value, {error, ebadf}};
no_handle(Term, _Function, Args) -> {raise, {badmap, Term}, Args}.

ask_its_node(Map, close, Sent, Args) ->
    ask_owner(Map, close, Sent, Args, {value, {error, ebadf}});
ask_its_node(Map, Function, Sent, Args) ->
    ask_owner(Map, Function, Sent, Args, {raise, {badmap, Map}, Args}).

ask_owner(Map, Function, Sent, Args, Dead) ->
    ebpf_cnode_request:ask_owner(ebpf_maps, element(2, Map), Function, Sent, Args, Dead).

-spec ask_node(ebpf_cnode_request:destination(), atom(), Sent :: [term()], Args :: [term()]) ->
    outcome().
ask_node(Node, Function, Sent, Args) ->
    ebpf_cnode_request:ask_node(ebpf_maps, Node, Function, Sent, Args).

%% Calls Fun with a handle. For a locator, opens one with these rights and closes it however Fun
%% ends; if this process is killed, the handle ends with it.
%%
%% Fun returns {ended, Raise, GoOn} if the handle was not live, as that of a locator is not when the
%% C node has restarted: where calls are asked again, GoOn is called with another one. A handle of
%% the caller's is raised as it is.
-spec with_handle(Map :: term(), read | write, Args :: [term()], fun((Map :: term()) -> step())) ->
    outcome().
with_handle(Map, Rights, Args, Fun) ->
    case ebpf_maps_terms:is_locator(Map) of
        true -> with_locator(Map, Rights, Args, Fun);
        false -> outcome(Fun(Map))
    end.

with_locator(Locator, Rights, Args, Fun) ->
    case {with_opened(open_to(Rights, Locator, Args), Args, Fun), ebpf_cnode_retry:time()} of
        {{ended, _Raise, GoOn}, Time} when is_integer(Time), Time > 0 ->
            with_locator(Locator, Rights, Args, GoOn);
        {Step, _} ->
            outcome(Step)
    end.

outcome({ended, Raise, _GoOn}) -> Raise;
outcome(Outcome) -> Outcome.

open_to(Rights, Locator, Args) ->
    Options = [{lifetime, process} | [read || Rights =:= read]],
    Sent = [Locator, Options],
    ebpf_cnode_request:ask_for_a_while(ebpf_maps, default_node(), open, Sent, Args).

with_opened({value, {error, Reason}}, Args, _Fun) ->
    {raise, Reason, Args};
with_opened({value, Handle}, Args, Fun) ->
    try
        Fun(Handle)
    after
        ask(Handle, close, [Handle], Args)
    end;
with_opened(Raise, _Args, _Fun) ->
    Raise.

%% Another handle of the same map, with terms, to be closed by the caller; at the latest it ends with
%% this process.
-spec view(Handle :: term(), Args :: [term()]) -> outcome().
view(Handle, Args) ->
    Node = node(element(2, Handle)),
    Sent = [Handle, [{lifetime, process}]],
    ebpf_cnode_request:ask_for_a_while(ebpf_maps, Node, typed, Sent, Args).

%% What with_handle/4 hears of an outcome.
-spec step(outcome(), Handle :: term(), GoOn :: fun((Map :: term()) -> step())) -> step().
step({raise, {badmap, Handle}, _} = Raise, Handle, GoOn) -> {ended, Raise, GoOn};
step(Outcome, _Handle, _GoOn) -> Outcome.

-spec node_of(Map :: term(), Args :: [term()]) -> outcome().
node_of(Map, Args) ->
    case {ebpf_maps_terms:is_handle(Map), ebpf_maps_terms:is_locator(Map)} of
        {true, _} -> {value, node(element(2, Map))};
        {_, true} -> ebpf_cnode_request:node_or_raise(default_node(), Args);
        _ -> {raise, {badmap, Map}, Args}
    end.
