%% SPDX-License-Identifier: Apache-2.0
%%
%% Asks the C node of a program or a link, or the one that the options say.
%% @private
-module(ebpf_programs_request).

-export([ask/4, ask_node/4, ask_by_option/4]).

-type outcome() :: ebpf_cnode_request:outcome().

-spec ask(ebpf_programs_terms:kind(), Handle :: term(), atom(), Args :: [term()]) -> outcome().
ask(Kind, Handle, Function, Args) ->
    case ebpf_programs_terms:is_handle(Kind, Handle) of
        true -> ask_owner(Kind, Handle, Function, Args);
        false -> no_handle(Kind, Handle, Function, Args)
    end.

ask_owner(Kind, Handle, Function, Args) ->
    Dead =
        case Function of
            close -> {value, {error, ebadf}};
            _ -> {raise, ebpf_programs_terms:bad_handle(Kind, Handle), Args}
        end,
    ebpf_cnode_request:ask_owner(ebpf_programs, element(2, Handle), Function, Args, Args, Dead).

%% As in the C node, closing a term with the shape of a handle is not an exception.
no_handle(Kind, Term, Function, Args) ->
    case Function =:= close andalso ebpf_programs_terms:looks_like_handle(Term) of
        true -> {value, {error, ebadf}};
        false -> {raise, ebpf_programs_terms:bad_handle(Kind, Term), Args}
    end.

-spec ask_node(ebpf_cnode_request:destination(), atom(), Sent :: [term()], Args :: [term()]) ->
    outcome().
ask_node(Node, Function, Sent, Args) ->
    ebpf_cnode_request:ask_node(ebpf_programs, Node, Function, Sent, Args).

%% For functions that make handles: the last argument are options, or none is given. That no C node
%% can be asked is an error that they return.
-spec ask_by_option(atom(), Sent :: [term()], Options :: none | term(), Args :: [term()]) ->
    outcome().
ask_by_option(Function, Sent, none, Args) ->
    asked(ask_node(ebpf_cnode_request:default_node(), Function, Sent, Args));
ask_by_option(Function, Sent, Options, Args) ->
    {Node, Rest} = ebpf_cnode_request:node_option(Options),
    asked(ask_node(Node, Function, Sent ++ [Rest], Args)).

asked(Outcome) -> ebpf_cnode_request:error_instead(Outcome).
