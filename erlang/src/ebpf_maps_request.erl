%% SPDX-License-Identifier: Apache-2.0
%%
%% Asks the C node of a map, or the default one for a locator.
%% @private
-module(ebpf_maps_request).

-export([
    ask/3, ask/4,
    ask_node/4,
    with_handle/4,
    node_of/2
]).

-import(ebpf_cnode_request, [default_node/0]).

-type outcome() :: ebpf_cnode_request:outcome().

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
-spec with_handle(Map :: term(), read | write, Args :: [term()], fun((Map :: term()) -> outcome())) ->
    outcome().
with_handle(Map, Rights, Args, Fun) ->
    case ebpf_maps_terms:is_locator(Map) of
        true -> with_opened(open_to(Rights, Map, Args), Args, Fun);
        false -> Fun(Map)
    end.

open_to(Rights, Locator, Args) ->
    Options = [{lifetime, process} | [read || Rights =:= read]],
    ask_node(default_node(), open, [Locator, Options], Args).

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

-spec node_of(Map :: term(), Args :: [term()]) -> outcome().
node_of(Map, Args) ->
    case {ebpf_maps_terms:is_handle(Map), ebpf_maps_terms:is_locator(Map)} of
        {true, _} -> {value, node(element(2, Map))};
        {_, true} -> ebpf_cnode_request:node_or_raise(default_node(), Args);
        _ -> {raise, {badmap, Map}, Args}
    end.
