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
-spec attach(Programs :: term(), Target :: term(), Options :: term(), Args :: [term()]) -> outcome().
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

on_all(Function, Options, Args, Extra, Each, IsGood) ->
    Outcome = ebpf_fleet_work:over(Function, loosely(Options), Args, Extra, fun(#{others := Others} = Read) ->
        Begin = fun(Node, Acc) ->
            {{ask, ebpf_programs, Function, Each(Node, Others), fun(Answer, Acc1) ->
                answered(Answer, Node, Function, IsGood, Acc1)
            end}, Acc}
        end,
        {#{}, Begin, fun(Made) -> {Read, Made} end}
    end),
    case Outcome of
        {value, {{Read, Made}, Results}} -> settle(Made, Results, Read, is_strict(Options), Args);
        Raise -> Raise
    end.

%% What is to be undone is undone before anything is raised.
loosely(Options) when length(Options) >= 0 ->
    [Option || Option <- Options, not is_strict([Option])];
loosely(Term) ->
    Term.

is_strict(Options) -> proplists:get_value(strict, Options, false) =:= true.

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

settle(Made, Results, #{all_or_none := Undo} = Read, Strict, Args) ->
    Failed = maps:from_list([{Node, Reason} || {Node, {error, Reason}} <- maps:to_list(Results)]),
    case {map_size(Failed), Undo} of
        {0, _} ->
            {value, {Made, Results}};
        {_, true} ->
            Undone = undo(Made, Read),
            Left = maps:filter(fun(Node, _Value) -> maps:get(Node, Undone) =/= {error, undone} end, Made),
            raise_if(Strict, Failed, {Left, maps:merge(Results, Undone)}, Args);
        {_, false} ->
            raise_if(Strict, Failed, {Made, Results}, Args)
    end.

raise_if(true, Failed, _Returned, Args) -> {raise, {failed, Failed}, Args};
raise_if(false, _Failed, Returned, _Args) -> {value, Returned}.

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
