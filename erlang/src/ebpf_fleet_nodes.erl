%% SPDX-License-Identifier: Apache-2.0
%%
%% Which C nodes there are: a C node is hidden, and in no list of the cluster. None of these ways asks
%% the C nodes themselves.
%% @private
-module(ebpf_fleet_nodes).

-export([find/1, is_source/1]).

-export_type([source/0]).

-define(EPMD_TIME, 2000). % ms
-define(MOST_NAMES, 100). % of a host: each becomes an atom

-type source() :: ebpf_fleet:source().

-spec is_source(term()) -> boolean().
is_source(hosts) -> true;
is_source(epmd) -> true;
is_source({epmd, Prefix, Hosts}) -> is_string(Prefix) andalso are(fun is_string/1, Hosts);
is_source(Fun) when is_function(Fun, 0) -> true;
is_source(Nodes) -> are(fun ebpf_cnode_request:is_node_name/1, Nodes).

is_string(Term) -> is_list(Term) andalso io_lib:latin1_char_list(Term).

are(Is, Terms) when length(Terms) >= 0 -> lists:all(Is, Terms);
are(_Is, _Term) -> false.

%% In order, each once, and never this node. badarg: a function has returned something else.
-spec find(source()) -> {ok, [node()]} | {badnodes, term()}.
find(hosts) ->
    named([alive() ++ "@" ++ Host || Host <- hosts()]);
find(epmd) ->
    find({epmd, alive(), hosts()});
find({epmd, Prefix, Hosts}) ->
    named(lists:append(ask_all(Prefix, lists:usort(Hosts))));
find(Fun) when is_function(Fun, 0) ->
    Nodes = Fun(),
    case are(fun ebpf_cnode_request:is_node_name/1, Nodes) of
        true -> find(Nodes);
        false -> {badnodes, Nodes}
    end;
find(Nodes) ->
    {ok, lists:usort(Nodes) -- [node()]}.

named(Names) -> find([list_to_atom(Name) || Name <- Names]).

hosts() -> lists:usort([host(Node) || Node <- [node() | erlang:nodes()]]).

host(Node) -> part(2, Node).

%% As of the C node of this host.
alive() ->
    case ebpf_cnode_request:default_node() of
        Node when is_atom(Node) -> part(1, Node);
        {raise, _} -> "ebpf"
    end.

part(N, Node) -> lists:nth(N, string:split(atom_to_list(Node), "@")).

%% An epmd that does not answer keeps none waiting but its own process.
ask_all(Prefix, Hosts) ->
    Asked = [spawn_monitor(erlang, apply, [fun answer_by_exit/2, [Prefix, Host]]) || Host <- Hosts],
    Until = erlang:monotonic_time(millisecond) + ?EPMD_TIME,
    [answer(One, Until) || One <- Asked].

-spec answer_by_exit(string(), string()) -> no_return().
answer_by_exit(Prefix, Host) -> exit({names, ask(Prefix, Host)}).

ask(Prefix, Host) ->
    case erl_epmd:names(Host) of
        {ok, Names} ->
            Found = [Name ++ "@" ++ Host || {Name, _} <- Names, lists:prefix(Prefix, Name)],
            lists:sublist(lists:filter(fun is_name/1, Found), ?MOST_NAMES);
        {error, _} -> []
    end.

%% Whatever is registered there.
is_name(Name) -> length(Name) < 256 andalso length(string:split(Name, "@", all)) =:= 2.

answer({Pid, Monitor}, Until) ->
    receive
        {'DOWN', Monitor, process, Pid, {names, Names}} -> Names;
        {'DOWN', Monitor, process, Pid, _Reason} -> []
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        true = exit(Pid, kill),
        true = demonitor(Monitor, [flush]),
        []
    end.
