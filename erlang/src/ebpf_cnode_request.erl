%% SPDX-License-Identifier: Apache-2.0
%%
%% Calls a function of a C node: which node, for how long, and what the outcome means. An exception
%% of the C node, or of the call itself, is a result here, for the facade to raise as its own. What
%% a handle looks like is known to the modules that have one.
%% @private
-module(ebpf_cnode_request).

-export([
    ask_node/5,
    ask_for_a_while/5,
    ask_owner/6,
    ask_at_once/3,
    reason/4,
    node_or_raise/2,
    error_instead/1,
    node_option/1,
    default_node/0,
    node_name/0,
    remote_node/1,
    is_node_name/1
]).

-export_type([outcome/0, destination/0]).

-define(AT_ONCE, 1000). % ms that words are worth
-define(IS_TIMEOUT(Timeout),
    (Timeout =:= infinity orelse is_integer(Timeout) andalso Timeout >= 0 andalso Timeout < 1 bsl 32)
).

-type outcome() :: {value, term()} | {raise, Reason :: term(), Args :: [term()]}.
%% What the facade's function returns; or raises, with the arguments of its call.

-type destination() :: node() | {raise, Reason :: term()}.

%% Asks the C node that created the reference of a handle. One that this node created is no C
%% node's, and calling ourselves would never end: Dead is what comes of that.
-spec ask_owner(module(), reference(), atom(), Sent :: [term()], Args :: [term()], Dead) ->
    outcome() | Dead when Dead :: outcome().
ask_owner(Module, Ref, Function, Sent, Args, Dead) ->
    case node(Ref) =:= node() andalso is_alive() of
        true -> Dead;
        false -> ask_node(Module, node(Ref), Function, Sent, Args)
    end.

%% Args are those of the exception.
-spec ask_node(module(), destination(), atom(), Sent :: [term()], Args :: [term()]) -> outcome().
ask_node(Module, Node, Function, Sent, Args) ->
    May = fun() -> ebpf_cnode_retry:may(Module, Function, Sent) end,
    case ask(Module, Node, Function, Sent, Args, May) of
        {value, Value} = Outcome ->
            ebpf_cnode_nodes:got(Node, Module, Function, Value),
            Outcome;
        Raise ->
            Raise
    end.

%% The same for a handle that is closed before the facade's function returns, and ends at the latest
%% with this process: it may be asked for again, though one of which the answer was lost stays until
%% then; and nobody has to be connected for its sake.
-spec ask_for_a_while(module(), destination(), atom(), Sent :: [term()], Args :: [term()]) ->
    outcome().
ask_for_a_while(Module, Node, Function, Sent, Args) ->
    ask(Module, Node, Function, Sent, Args, fun() -> true end).

ask(_Module, {raise, Reason}, _Function, _Sent, Args, _May) ->
    {raise, Reason, Args};
ask(Module, Node, Function, Sent, Args, May) ->
    case {is_alive(), ebpf_cnode_env:get(timeout), ebpf_cnode_retry:time()} of
        {false, _, _} ->
            {raise, notalive, Args};
        {true, Timeout, _} when not ?IS_TIMEOUT(Timeout) ->
            {raise, {badenv, {timeout, Timeout}}, Args};
        {true, _, {bad, Retry}} ->
            {raise, {badenv, {retry, Retry}}, Args};
        {true, Timeout, Retry} ->
            Ask = fun() -> ask_once(Module, Node, Function, Sent, Timeout) end,
            case ebpf_cnode_retry:ask(Ask, May, Retry) of
                {value, _} = Value -> Value;
                {raise, Reason} -> {raise, Reason, Args}
            end
    end.

%% erpc spawns from the calling process, so the C node knows the caller and can tie a handle to its
%% life.
ask_once(Module, Node, Function, Sent, Timeout) ->
    try
        {value, erpc:call(Node, Module, Function, Sent, Timeout)}
    catch
        Class:Reason -> {raise, reason(Class, Reason, Module, Node)}
    end.

%% For words about an exception: asks only a connected node, as connecting may take long.
-spec ask_at_once(destination(), atom(), Args :: [term()]) ->
    {value, term()} | {raised, Reason :: term()} | undef | unknown.
ask_at_once(Node, Function, Args) ->
    try lists:member(Node, nodes(connected)) andalso
            {value, erpc:call(Node, ebpf_maps, Function, Args, ?AT_ONCE)} of
        false -> unknown;
        Value -> Value
    catch
        error:{exception, undef, _} -> undef;
        error:{exception, Reason, _} -> {raised, Reason};
        _:_ -> unknown
    end.

%% From what erpc raises to the reason that is raised here. The last clause is for what no C node
%% causes: exits, throws, and erpc's own failures.
-spec reason(error | exit | throw, Reason :: term(), module(), node()) -> term().
reason(error, {exception, undef, [{Module, _, _, _} | _]}, Module, Node) -> {undef, Node};
reason(error, {exception, Reason, _Stack}, _Module, _Node) -> Reason;
reason(error, {erpc, noconnection}, _Module, Node) -> {nodedown, Node};
reason(error, {erpc, timeout}, _Module, Node) -> {timeout, Node};
reason(error, {erpc, notsup}, _Module, Node) -> {undef, Node};
reason(_Class, Reason, _Module, _Node) -> Reason.

%% For functions that return {error, Reason} if no C node can be asked.
-spec error_instead(outcome()) -> outcome().
error_instead({raise, {nodedown, _}, _}) -> {value, {error, nodedown}};
error_instead({raise, {timeout, _}, _}) -> {value, {error, timeout}};
error_instead({raise, notalive, _}) -> {value, {error, notalive}};
error_instead(Outcome) -> Outcome.

%%--------------------------------------------------------------------------------------------------
%% Which C node, if no handle says it
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

-spec node_or_raise(destination(), Args :: [term()]) -> outcome().
node_or_raise({raise, Reason}, Args) -> {raise, Reason, Args};
node_or_raise(Node, _Args) -> {value, Node}.

-spec is_node_name(term()) -> boolean().
is_node_name(Term) ->
    is_atom(Term) andalso
        case string:split(atom_to_list(Term), "@", all) of
            [[_ | _], [_ | _]] -> true;
            _ -> false
        end.
