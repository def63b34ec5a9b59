%% SPDX-License-Identifier: Apache-2.0
%%
%% Asks the C node of a ring, a log or a subscription, or the default one for a locator.
%% @private
-module(ebpf_events_request).

-export([ask/4, ask_node/4, ask_subscription/2]).

-type outcome() :: ebpf_cnode_request:outcome().

%% Args are those of the exception.
-spec ask(Ring :: term(), atom(), Sent :: [term()], Args :: [term()]) -> outcome().
ask(log, Function, Sent, Args) ->
    ask_node(ebpf_cnode_request:default_node(), Function, Sent, Args);
ask({log, Node}, Function, [_ | Sent], Args) when is_atom(Node) ->
    ask_node(ebpf_cnode_request:remote_node(Node), Function, [log | Sent], Args);
ask(Ring, Function, Sent, Args) ->
    case {ebpf_maps_terms:is_handle(Ring), ebpf_maps_terms:is_locator(Ring)} of
        {true, _} -> ask_owner(Ring, Function, Sent, Args);
        {_, true} -> ask_node(ebpf_cnode_request:default_node(), Function, Sent, Args);
        _ -> {raise, {badmap, Ring}, Args}
    end.

ask_owner(Ring, Function, Sent, Args) ->
    Dead = {raise, {badmap, Ring}, Args},
    ebpf_cnode_request:ask_owner(ebpf_events, element(2, Ring), Function, Sent, Args, Dead).

-spec ask_node(ebpf_cnode_request:destination(), atom(), Sent :: [term()], Args :: [term()]) ->
    outcome().
ask_node(Node, Function, Sent, Args) ->
    ebpf_cnode_request:ask_node(ebpf_events, Node, Function, Sent, Args).

%% The node of its pid.
-spec ask_subscription(atom(), Subscription :: term()) -> outcome().
ask_subscription(Function, Pid) when is_pid(Pid), node(Pid) =/= node() ->
    ask_node(node(Pid), Function, [Pid], [Pid]);
ask_subscription(_Function, Term) ->
    {raise, badarg, [Term]}.
