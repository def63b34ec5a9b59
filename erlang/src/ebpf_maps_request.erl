%% SPDX-License-Identifier: Apache-2.0
%%
%% Calls a C node: which one, for how long, and what the outcome means. An exception of the C node,
%% or of the call itself, is a result here, for the facade to raise as its own.
%% @private
-module(ebpf_maps_request).

-export([
    ask/3, ask/4,
    ask_node/4,
    with_handle/4,
    node_of/2,
    error_instead/1,
    node_option/1,
    default_node/0,
    node_name/0,
    remote_node/1,
    is_node_name/1
]).

-export_type([outcome/0, destination/0]).

-define(SERVED, ebpf_maps).

-type outcome() :: {value, term()} | {raise, Reason :: term(), Args :: [term()]}.
%% What the facade's function returns; or raises, with the arguments of its call.

-type destination() :: node() | {raise, Reason :: term()}.

%% @equiv ask(Map, Function, Args, Args)
-spec ask(Map :: term(), atom(), [term()]) -> outcome().
ask(Map, Function, Args) ->
    ask(Map, Function, Args, Args).

%% Asks the C node of a map, or the default one for a locator. Args are those of the exception. A
%% reference that this node created is no C node's; calling ourselves would never end.
-spec ask(Map :: term(), atom(), Sent :: [term()], Args :: [term()]) -> outcome().
ask(Map, Function, Sent, Args) ->
    case {ebpf_maps_terms:is_handle(Map), ebpf_maps_terms:is_locator(Map)} of
        {true, _} -> ask_its_node(node(element(2, Map)), Map, Function, Sent, Args);
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

ask_its_node(Node, Map, Function, Sent, Args) ->
    case Node =:= node() andalso is_alive() of
        false -> ask_node(Node, Function, Sent, Args);
        true when Function =:= close -> {value, {error, ebadf}};
        true -> {raise, {badmap, Map}, Args}
    end.

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
        {_, true} -> node_or_raise(default_node(), Args);
        _ -> {raise, {badmap, Map}, Args}
    end.

node_or_raise({raise, Reason}, Args) -> {raise, Reason, Args};
node_or_raise(Node, _Args) -> {value, Node}.

-spec ask_node(destination(), atom(), Sent :: [term()], Args :: [term()]) -> outcome().
ask_node({raise, Reason}, _Function, _Sent, Args) ->
    {raise, Reason, Args};
ask_node(Node, Function, Sent, Args) ->
    case {is_alive(), ebpf_cnode_env:get(timeout)} of
        {false, _} ->
            {raise, notalive, Args};
        {true, Timeout} when
            Timeout =:= infinity; is_integer(Timeout), Timeout >= 0, Timeout < 1 bsl 32
        ->
            %% erpc spawns from the calling process, so the C node knows the caller and can tie a
            %% handle to its life.
            try
                {value, erpc:call(Node, ?SERVED, Function, Sent, Timeout)}
            catch
                Class:Reason -> {raise, reason(Class, Reason, Node), Args}
            end;
        {true, Timeout} ->
            {raise, {badenv, {timeout, Timeout}}, Args}
    end.

%% From what erpc raises to the reason that is raised here. The last clause is for what no C node
%% causes: exits, throws, and erpc's own failures.
reason(error, {exception, undef, [{?SERVED, _, _, _} | _]}, Node) -> {undef, Node};
reason(error, {exception, Reason, _Stack}, _Node) -> Reason;
reason(error, {erpc, noconnection}, Node) -> {nodedown, Node};
reason(error, {erpc, timeout}, Node) -> {timeout, Node};
reason(error, {erpc, notsup}, Node) -> {undef, Node};
reason(_Class, Reason, _Node) -> Reason.

%% For functions that return {error, Reason} if no C node can be asked.
-spec error_instead(outcome()) -> outcome().
error_instead({raise, {nodedown, _}, _}) -> {value, {error, nodedown}};
error_instead({raise, {timeout, _}, _}) -> {value, {error, timeout}};
error_instead({raise, notalive, _}) -> {value, {error, notalive}};
error_instead(Outcome) -> Outcome.

%%--------------------------------------------------------------------------------------------------
%% Which C node, if no map says it
%%--------------------------------------------------------------------------------------------------

%% The node in the options, or the default one; and the options for the C node.
-spec node_option(term()) -> {destination(), term()}.
node_option(Options) when length(Options) >= 0 ->
    case lists:partition(fun is_node_option/1, Options) of
        {[{node, Node} | _], Rest} -> {remote_node(Node), Rest};
        {[], Options} -> {default_node(), Options}
    end;
node_option(Term) ->
    {default_node(), Term}.

is_node_option(Option) ->
    is_tuple(Option) andalso tuple_size(Option) =:= 2 andalso element(1, Option) =:= node.

-spec default_node() -> destination().
default_node() ->
    Node = node_name(),
    remote_node(Node, {badenv, {node, Node}}).

%% The variable `node`, whatever it is; or else `ebpf` on the host of this node.
-spec node_name() -> term().
node_name() ->
    case ebpf_cnode_env:get(node) of
        undefined ->
            [_, Host] = string:split(atom_to_list(node()), "@"),
            list_to_atom("ebpf@" ++ Host);
        Node ->
            Node
    end.

-spec remote_node(term()) -> destination().
remote_node(Node) ->
    remote_node(Node, badarg).

remote_node(Node, Reason) ->
    case is_node_name(Node) andalso Node =/= node() of
        true -> Node;
        false -> {raise, Reason}
    end.

-spec is_node_name(term()) -> boolean().
is_node_name(Term) ->
    is_atom(Term) andalso
        case string:split(atom_to_list(Term), "@", all) of
            [[_ | _], [_ | _]] -> true;
            _ -> false
        end.
