%% SPDX-License-Identifier: Apache-2.0
%%
%% What the functions of the facade do, by their options.
%% @private
-module(ebpf_fleet_work).

-export([
    nodes/2,
    call/4,
    get/4,
    to_map/3,
    fold/5,
    top/4,
    sum/3,
    write/5,
    merge/4,
    is_what/1,
    with_nodes/5,
    strictly/3
]).

-type outcome() :: ebpf_cnode_request:outcome().
-type args() :: [term()].

-spec nodes(Options :: term(), args()) -> outcome().
nodes(Options, Args) ->
    with_nodes(call, Options, Args, #{}, fun(#{nodes := Nodes}, _Others) -> {value, Nodes} end).

-spec call(Function :: term(), CallArgs :: term(), Options :: term(), args()) -> outcome().
call(Function, CallArgs, Options, Args) ->
    case {function(Function), is_function(CallArgs, 1) orelse is_proper(CallArgs)} of
        {{Module, Name}, true} ->
            Begin = fun(Node, Acc) ->
                {{ask, Module, Name, arguments(CallArgs, Node), fun(Answer, Acc1) ->
                    called(Answer, {Module, Name}, Node, Acc1)
                end}, Acc}
            end,
            with_nodes(call, Options, Args, #{}, fun(#{nodes := Nodes} = Read, _Others) ->
                strictly(Read, ebpf_fleet_run:run(Nodes, Begin, #{}, Read), Args)
            end);
        _ ->
            {raise, badarg, Args}
    end.

function(Name) when is_atom(Name) -> {ebpf_maps, Name};
function({Module, Name}) when is_atom(Module), is_atom(Name) -> {Module, Name};
function(_Term) -> badarg.

is_proper(Term) when length(Term) >= 0 -> true;
is_proper(_Term) -> false.

arguments(Fun, Node) when is_function(Fun) -> Fun(Node);
arguments(Args, _Node) -> Args.

called({ok, {error, Reason}}, _Called, _Node, Acc) ->
    {{done, {error, Reason}}, Acc};
called({ok, Value}, {Module, Name}, Node, Acc) ->
    ok = ebpf_cnode_nodes:got(Node, Module, Name, Value),
    {{done, ok}, Acc#{Node => Value}};
called({error, Reason}, _Called, _Node, Acc) ->
    {{done, {error, Reason}}, Acc}.

%%--------------------------------------------------------------------------------------------------
%% Reading
%%--------------------------------------------------------------------------------------------------

-spec get(Key :: term(), What :: term(), Options :: term(), args()) -> outcome().
get(Key, What, Options, Args) ->
    of_map(get, What, read, Options, Args, fun(#{merge := How} = MapOf) ->
        Take = fun
            (Node, {ok, Value}, Found) -> found(How, Node, Value, Found);
            (_Node, error, Found) -> Found;
            (_Node, _Term, _Found) -> {ebpf_fleet_stop, badreply}
        end,
        Result = fun
            (none) -> none;
            ({found, Value}) -> ebpf_fleet_merge:result(How, Value)
        end,
        {none, ebpf_fleet_maps:each(find, fun(Map) -> [Key, Map] end, Take, MapOf), Result}
    end).

found(How, Node, Value, none) -> known(ebpf_fleet_merge:first(How, Node, Value), Value);
found(How, Node, Value, {found, Old}) ->
    known(ebpf_fleet_merge:value(How, Node, Value, Old), Value).

known({ok, Merged}, _Value) -> {found, Merged};
known(badvalue, Value) -> {ebpf_fleet_stop, {badvalue, Value}}.

-spec to_map(What :: term(), Options :: term(), args()) -> outcome().
to_map(What, Options, Args) ->
    of_table(to_map, What, Options, Args, fun(Into, _MapOf) -> Into end, fun(#{merge := How}) ->
        fun(Table) -> ebpf_fleet_table:to_map(How, Table) end
    end).

-spec fold(Fun :: term(), Acc :: term(), What :: term(), Options :: term(), args()) -> outcome().
fold(Fun, Acc, What, Options, Args) when is_function(Fun, 3) ->
    fold(fun(_Node, Key, Value, Acc1) -> Fun(Key, Value, Acc1) end, Acc, What, Options, Args);
fold(Fun, Acc, What, Options, Args) when is_function(Fun, 4) ->
    of_map(fold, What, read, Options, Args, fun(MapOf) ->
        {Acc, ebpf_fleet_maps:walk(Fun, MapOf), fun(Folded) -> Folded end}
    end);
fold(_Fun, _Acc, _What, _Options, Args) ->
    {raise, badarg, Args}.

%% Of a value that has no number there all are ranked in vain: its key is in no host's status.
-spec top(N :: term(), What :: term(), Options :: term(), args()) -> outcome().
top(N, What, Options, Args) when is_integer(N), N >= 0 ->
    Ranked = of_table(top, What, Options, Args, fun ranked/2, fun(#{member := Path}) ->
        fun(Table) -> ebpf_fleet_merge:largest(N, Path, Table) end
    end),
    case Ranked of
        {value, {{ok, Top}, Results}} -> {value, {Top, Results}};
        {value, {{badvalue, _} = Reason, _}} -> {raise, Reason, Args};
        Raise -> Raise
    end;
top(_N, _What, _Options, Args) ->
    {raise, badarg, Args}.

ranked(Into, #{member := Path}) ->
    fun
        (Node, Key, Value, Table) when is_number(Value), Path =:= [] ->
            Into(Node, Key, Value, Table);
        (Node, Key, Value, Table) ->
            case ebpf_fleet_merge:number(Path, Value) of
                {ok, _} -> Into(Node, Key, Value, Table);
                none -> {ebpf_fleet_stop, {badvalue, Value}}
            end
    end.

%% All entries go into a table by a function that Take makes of the usual one.
of_table(Function, What, Options, Args, Take, Result) ->
    of_map(Function, What, read, Options, Args, fun(#{merge := How} = MapOf) ->
        Fun = Take(ebpf_fleet_table:into(MapOf), MapOf),
        Table = ebpf_fleet_table:new(How),
        {Table, ebpf_fleet_maps:walk(Fun, MapOf), ebpf_fleet_table:last(Result(MapOf))}
    end).

-spec sum(What :: term(), Options :: term(), args()) -> outcome().
sum(What, Options, Args) ->
    of_map(sum, What, read, Options, Args, fun(#{member := Path} = MapOf) ->
        Take = fun
            (_Node, Sum, All) when is_number(Sum) -> summed(ebpf_fleet_merge:sum(All, Sum), Sum);
            (_Node, Sum, _All) when Sum =:= nan; Sum =:= infinity; Sum =:= '-infinity' ->
                {ebpf_fleet_stop, {badvalue, Sum}};
            (_Node, _Term, _All) -> {ebpf_fleet_stop, badreply}
        end,
        Sum = ebpf_fleet_maps:each(sum, fun(Map) -> [Path, Map] end, Take, MapOf),
        {0, Sum, fun(All) -> All end}
    end).

summed({ok, All}, _Sum) -> All;
summed(badvalue, Sum) -> {ebpf_fleet_stop, {badvalue, Sum}}.

%%--------------------------------------------------------------------------------------------------
%% Writing
%%--------------------------------------------------------------------------------------------------

%% A function of the map that is given last, and returned.
-spec write(put | remove, Given :: [term()], What :: term(), Options :: term(), args()) ->
    outcome().
write(Function, Given, What, Options, Args) ->
    of_map(Function, What, write, Options, Args, fun(MapOf) ->
        counted(ebpf_fleet_maps:each(Function, fun(Map) -> Given ++ [Map] end, fun count/3, MapOf))
    end).

-spec merge(What :: term(), Pairs :: term(), Options :: term(), args()) -> outcome().
merge(What, Pairs, Options, Args) ->
    case ebpf_maps_merge:messages(Pairs) of
        badarg ->
            {raise, badarg, Args};
        Messages ->
            of_map(merge, What, write, Options, Args, fun(MapOf) ->
                counted(ebpf_fleet_maps:merge(Messages, fun count/3, MapOf))
            end)
    end.

counted(Begin) -> {0, Begin, fun(Count) -> Count end}.

count(_Node, {error, Reason}, _Count) -> {ebpf_fleet_stop, Reason};
count(_Node, Map, Count) when element(1, Map) =:= ebpf_map -> Count + 1;
count(_Node, _Term, _Count) -> {ebpf_fleet_stop, badreply}.

%%--------------------------------------------------------------------------------------------------
%% All
%%--------------------------------------------------------------------------------------------------

%% Make tells what the accumulator is at first, how a node begins, and what is returned in the end.
of_map(Function, What, Rights, Options, Args, Make) ->
    case is_what(What) of
        true ->
            with_nodes(Function, Options, Args, #{}, fun(Read, _Others) ->
                by_reader(Read#{what => What, rights => Rights}, Make, Args)
            end);
        false ->
            {raise, {badmap, What}, Args}
    end.

by_reader(#{nodes := Nodes, deadline := Deadline} = MapOf, Make, Args) ->
    Work = fun() ->
        {Acc, Begin, Result} = Make(MapOf),
        {Last, Results} = ebpf_fleet_run:run(Nodes, Begin, Acc, MapOf),
        {not lists:any(fun is_late/1, maps:values(Results)), {Result(Last), Results}}
    end,
    Late = fun() ->
        {Acc, _Begin, Result} = Make(MapOf),
        {Result(Acc), maps:from_list([{Node, {error, timeout}} || Node <- Nodes])}
    end,
    Returned = ebpf_fleet_reader:work(key(MapOf), Deadline, Work, Late),
    strictly(MapOf, Returned, Args).

is_late({error, timeout}) -> true;
is_late({error, {partial, _, timeout}}) -> true;
is_late(_Result) -> false.

%% For which calls the handles can be used again. What is put must not end in a map that a name has
%% meant before.
key(#{rights := read, what := What} = MapOf) when is_tuple(What) ->
    {What, maps:with([keys, values, percpu, fold], MapOf)};
key(_MapOf) ->
    none.

-spec is_what(term()) -> boolean().
is_what(Fun) when is_function(Fun, 1) -> true;
is_what({Tag, Text}) when Tag =:= name; Tag =:= pinned -> ebpf_cnode_arguments:is_text(Text);
is_what(_Term) -> false.

-spec strictly(ebpf_fleet_options:options(), {Value :: term(), Results :: map()}, args()) ->
    outcome().
strictly(#{strict := false}, Returned, _Args) ->
    {value, Returned};
strictly(#{strict := true}, {_, Results} = Returned, Args) ->
    case maps:filtermap(fun(_Node, Result) -> why(Result) end, Results) of
        None when map_size(None) =:= 0 -> {value, Returned};
        Failed -> {raise, {failed, Failed}, Args}
    end.

why(ok) -> false;
why({error, Reason}) -> {true, Reason}.

%% Then gets the options, with the nodes that they name, and those that are not the fleet's.
-spec with_nodes(atom(), Options :: term(), args(), ebpf_fleet_options:options(), Then) ->
    outcome() when
    Then :: fun((ebpf_fleet_options:options(), Others :: [term()]) -> outcome()).
with_nodes(Function, Options, Args, Extra, Then) ->
    case {is_alive(), ebpf_fleet_options:read(Function, Options, Extra)} of
        {false, _} ->
            {raise, notalive, Args};
        {true, badarg} ->
            {raise, badarg, Args};
        {true, {ok, #{nodes := Source} = Read, Others}} ->
            with_source(source(Source), Read, Others, Args, Then)
    end.

source(default) -> ebpf_cnode_env:get(fleet);
source(Source) -> Source.

%% Only what the environment says is not checked yet.
with_source(Source, Read, Others, Args, Then) ->
    case ebpf_fleet_nodes:is_source(Source) andalso ebpf_fleet_nodes:find(Source) of
        {ok, Nodes} -> Then(Read#{nodes := Nodes, source => Source}, Others);
        {badnodes, _} = Reason -> {raise, Reason, Args};
        false -> {raise, {badenv, {fleet, Source}}, Args}
    end.
