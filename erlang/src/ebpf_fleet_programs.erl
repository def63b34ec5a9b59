%% SPDX-License-Identifier: Apache-2.0
%%
%% Programs on many nodes: loaded and attached on each, or, where that is wanted, on all or none.
%% @private
-module(ebpf_fleet_programs).

-export([load/3, attach/4]).

-type outcome() :: ebpf_cnode_request:outcome().

-spec load(Elf :: term(), Options :: term(), Args :: [term()]) -> outcome().
load(Elf, Options, Args) ->
    on_all(load, Options, Args, #{}, fun(_Node, Others) -> [Elf, Others] end, fun is_loaded/2).

is_loaded(#{programs := Programs, maps := Maps}, Node) when is_map(Programs), is_map(Maps) ->
    lists:all(fun(Handle) -> is_of(Node, Handle) end, maps:values(Programs) ++ maps:values(Maps));
is_loaded(_Term, _Node) ->
    false.

is_of(Node, Handle) when is_reference(element(2, Handle)) -> node(element(2, Handle)) =:= Node;
is_of(_Node, _Term) -> false.

%% Programs says of each node which one.
-spec attach(Programs :: term(), Target :: term(), Options :: term(), Args :: [term()]) ->
    outcome().
attach(Programs, Target, Options, Args) when is_map(Programs) ->
    Each = fun(Node, Others) -> [maps:get(Node, Programs), Target, Others] end,
    IsLink = fun(Term, Node) ->
        ebpf_programs_terms:is_handle(link, Term) andalso is_of(Node, Term)
    end,
    case lists:all(fun ebpf_cnode_request:is_node_name/1, maps:keys(Programs)) of
        true -> on_all(attach, Options, Args, #{nodes => maps:keys(Programs)}, Each, IsLink);
        false -> {raise, badarg, Args}
    end;
attach(_Programs, _Target, _Options, Args) ->
    {raise, badarg, Args}.

%% What is to be undone is undone before anything is raised.
on_all(Function, Options, Args, Extra, Each, IsGood) ->
    ebpf_fleet_work:with_nodes(Function, Options, Args, Extra, fun(Read, Others) ->
        Begin = fun(Node, Acc) ->
            {{ask, ebpf_programs, Function, Each(Node, Others), fun(Answer, Acc1) ->
                answered(Answer, Node, Function, IsGood, Acc1)
            end}, Acc}
        end,
        {Made, Results} = ebpf_fleet_run:run(maps:get(nodes, Read), Begin, #{}, Read),
        Settled = settle(Made, Results, Read),
        case ebpf_fleet_work:strictly(Read, {Made, Results}, Args) of
            {value, _} -> {value, Settled};
            Raise -> Raise
        end
    end).

answered({ok, {error, Reason}}, _Node, _Function, _IsGood, Acc) ->
    {{done, {error, Reason}}, Acc};
answered({ok, Value}, Node, Function, IsGood, Acc) ->
    case IsGood(Value, Node) of
        true ->
            ok = ebpf_cnode_nodes:got(Node, ebpf_programs, Function, Value),
            {{done, ok}, Acc#{Node => Value}};
        false ->
            {{done, {error, badreply}}, Acc}
    end;
answered({error, Reason}, _Node, _Function, _IsGood, Acc) ->
    {{done, {error, Reason}}, Acc}.

settle(Made, Results, #{all_or_none := true} = Read) when map_size(Made) < map_size(Results) ->
    Undone = undo(Made, Read),
    Left = maps:filter(fun(Node, _Value) -> maps:get(Node, Undone) =/= {error, undone} end, Made),
    {Left, maps:merge(Results, Undone)};
settle(Made, Results, _Read) ->
    {Made, Results}.

%% Each has answered a moment ago, so all are asked.
undo(Made, Read) ->
    Begin = fun(Node, Acc) -> {close(calls(maps:get(Node, Made))), Acc} end,
    Limits = Read#{on_node := none, ask_silent => true},
    {_, Results} = ebpf_fleet_run:run(maps:keys(Made), Begin, none, Limits),
    maps:map(fun(_Node, Result) -> undone(Result) end, Results).

undone(ok) -> {error, undone};
undone({error, Reason}) -> {error, {left, Reason}}.

calls(#{programs := Programs, maps := Maps}) ->
    [{ebpf_programs, close, Program} || Program <- maps:values(Programs)] ++
        [{ebpf_maps, close, Map} || Map <- maps:values(Maps)];
calls(Link) ->
    [{ebpf_programs, detach, Link}].

close([]) ->
    {done, ok};
close([{Module, Function, Handle} | Calls]) ->
    {ask, Module, Function, [Handle], fun
        ({ok, _}, Acc) -> {close(Calls), Acc};
        ({error, Reason}, Acc) -> {{done, {error, Reason}}, Acc}
    end}.
