%% SPDX-License-Identifier: Apache-2.0
%%
%% One map on many nodes: the handle by which it is asked on each, and what is asked. It runs in a
%% process of ebpf_fleet_reader, whose the handles are that are opened here. Nothing that a node
%% answers is trusted.
%% @private
-module(ebpf_fleet_maps).

-export([each/4, walk/2, merge/3]).

-export_type([map_of/0]).

-import(ebpf_maps_terms, [is_handle/1, fields/1, is_per_cpu/1]).

-define(CHUNK_ENTRIES, 4096).
%% A map that changes during a walk may have entries twice, but not so many.
-define(MOST_ENTRIES(Max), (2 * (Max) + 2 * ?CHUNK_ENTRIES)).

-type map_of() :: #{
    what := {name | pinned, term()} | fun((node()) -> term()),
    rights := read | write,
    keys := none | term(),
    values := none | term(),
    percpu := default | list | sum | max | min,
    fold := list | sum | max | min, % what default means
    _ => _
}.

-type acc() :: term().
-type step() :: ebpf_fleet_run:step(acc()).

-type stop() :: {ebpf_fleet_stop, Reason :: term()}.

%%--------------------------------------------------------------------------------------------------
%% What is asked
%%--------------------------------------------------------------------------------------------------

%% A function of one message; Take gets what it returned.
-spec each(atom(), fun((Handle :: term()) -> [term()]), Take, map_of()) ->
    fun((node(), acc()) -> {step(), acc()}) when
    Take :: fun((node(), Returned :: term(), acc()) -> acc() | stop()).
each(Function, Args, Take, MapOf) ->
    with_map(MapOf, fun(Node, {Handle, _}, Acc) ->
        {{ask, ebpf_maps, Function, Args(Handle), fun(Answer, Acc1) ->
            taken(Answer, Node, Take, Acc1)
        end}, Acc}
    end).

taken({ok, Value}, Node, Take, Acc) ->
    case Take(Node, Value, Acc) of
        {ebpf_fleet_stop, Reason} -> {{done, {error, Reason}}, Acc};
        Acc1 -> {{done, ok}, Acc1}
    end;
taken({error, Reason}, _Node, _Take, Acc) ->
    {{done, {error, Reason}}, Acc}.

%% All entries, chunk by chunk, one of which is on its way from each node.
-spec walk(Fun, map_of()) -> fun((node(), acc()) -> {step(), acc()}) when
    Fun :: fun((node(), Key :: term(), Value :: term(), acc()) -> acc() | stop()).
walk(Fun, MapOf) ->
    with_map(MapOf, fun(Node, {Handle, Keys}, Acc) ->
        next(start, 0, #{node => Node, handle => Handle, keys => Keys, 'fun' => Fun}, Acc)
    end).

next(Cursor, Count, #{handle := Handle} = Walk, Acc) ->
    Args = [Cursor, Handle, ?CHUNK_ENTRIES],
    {{ask, ebpf_maps, next_chunk, Args, fun(Answer, Acc1) ->
        chunk(Answer, Cursor, Count, Walk, Acc1)
    end}, Acc}.

chunk({ok, {Chunk, Next}}, Cursor, Count, Walk, Acc) when
    length(Chunk) =< ?CHUNK_ENTRIES, (Next =:= done orelse is_binary(Next) andalso Next =/= Cursor)
->
    #{handle := Handle, keys := Keys, node := Node, 'fun' := Fun} = Walk,
    {_, _, _, Max} = fields(Handle),
    case fold(Chunk, Fun, Keys, Node, Count, Acc) of
        {ok, _Count, Acc1} when Next =:= done -> {{done, ok}, Acc1};
        {ok, Count1, Acc1} when not is_integer(Max); Count1 > ?MOST_ENTRIES(Max) ->
            failed(badreply, Count1, Acc1);
        {ok, Count1, Acc1} -> next(Next, Count1, Walk, Acc1);
        {stop, Reason, Count1, Acc1} -> failed(Reason, Count1, Acc1)
    end;
chunk({ok, _Term}, _Cursor, Count, _Walk, Acc) ->
    failed(badreply, Count, Acc);
chunk({error, Reason}, _Cursor, Count, _Walk, Acc) ->
    failed(Reason, Count, Acc).

%% Keys is their size, if they are bytes.
fold([{Key, Value} | Chunk], Fun, Keys, Node, Count, Acc) when
    Keys =:= any; is_binary(Key), byte_size(Key) =:= Keys
->
    case Fun(Node, Key, Value, Acc) of
        {ebpf_fleet_stop, Reason} -> {stop, Reason, Count, Acc};
        Acc1 -> fold(Chunk, Fun, Keys, Node, Count + 1, Acc1)
    end;
fold([], _Fun, _Keys, _Node, Count, Acc) ->
    {ok, Count, Acc};
fold(_Chunk, _Fun, _Keys, _Node, Count, Acc) ->
    {stop, badreply, Count, Acc}.

failed(Reason, 0, Acc) -> {{done, {error, Reason}}, Acc};
failed(Reason, Count, Acc) -> {{done, {error, {partial, Count, Reason}}}, Acc}.

%% Pairs in messages, one after the other.
-spec merge([[{term(), term()}]], Take, map_of()) -> fun((node(), acc()) -> {step(), acc()}) when
    Take :: fun((node(), Returned :: term(), acc()) -> acc() | stop()).
merge(Messages, Take, MapOf) ->
    with_map(MapOf, fun(Node, {Handle, _}, Acc) -> put_next(Messages, 0, Handle, Node, Take, Acc) end).

put_next([Pairs | Messages], Count, Handle, Node, Take, Acc) ->
    {{ask, ebpf_maps, merge, [Handle, Pairs], fun
        ({ok, _}, Acc1) when Messages =:= [] -> taken({ok, Handle}, Node, Take, Acc1);
        ({ok, _}, Acc1) -> put_next(Messages, Count + length(Pairs), Handle, Node, Take, Acc1);
        ({error, {Reason, N}}, Acc1) when is_atom(Reason), is_integer(N), Reason =/= too_big ->
            failed(Reason, Count + N, Acc1);
        ({error, Reason}, Acc1) -> failed(Reason, Count, Acc1)
    end}, Acc}.

%%--------------------------------------------------------------------------------------------------
%% The handle
%%--------------------------------------------------------------------------------------------------

%% Use gets it with the size of keys that are bytes, or any.
with_map(MapOf, Use) ->
    fun(Node, Acc) -> with_map(MapOf, Node, Use, Acc) end.

with_map(#{what := Fun} = MapOf, Node, Use, Acc) when is_function(Fun) ->
    try Fun(Node) of
        Handle -> given(Handle, MapOf, Node, Use, Acc)
    catch
        error:Reason -> {{done, {error, Reason}}, Acc}
    end;
with_map(MapOf, Node, Use, Acc) ->
    case ebpf_fleet_reader:find(Node) of
        {ok, Known} ->
            {Step, Acc1} = Use(Node, Known, Acc),
            {or_anew(Step, Known, Node, MapOf, Use), Acc1};
        none ->
            {open(Node, MapOf, Use), Acc}
    end.

%% A view that is made of it ends with this process.
given(Handle, MapOf, Node, Use, Acc) ->
    case {fields_of(Handle, Node), MapOf} of
        {{_, _, _, _}, #{keys := none, values := none, percpu := default}} ->
            Use(Node, {Handle, any}, Acc);
        {{_, _, _, _} = Fields, _} ->
            {view(Node, Handle, Fields, MapOf, fun
                ({ok, Viewed}, Acc1) -> Use(Node, Viewed, Acc1);
                ({error, Reason}, Acc1) -> {{done, {error, Reason}}, Acc1}
            end), Acc};
        _ ->
            {{done, {error, {badmap, Handle}}}, Acc}
    end.

%% Only of a handle of that node.
fields_of(Handle, Node) ->
    is_handle(Handle) andalso node(element(2, Handle)) =:= Node andalso fields(Handle).

or_anew({ask, Module, Function, Args, Next}, {Handle, _}, Node, MapOf, Use) ->
    {ask, Module, Function, Args, fun
        ({error, {badmap, Dead}}, Acc) when Dead =:= Handle ->
            ok = ebpf_fleet_reader:drop(Node),
            {open(Node, MapOf, Use), Acc};
        (Answer, Acc) ->
            Next(Answer, Acc)
    end};
or_anew(Step, _Known, _Node, _MapOf, _Use) ->
    Step.

open(Node, #{what := What, rights := Rights} = MapOf, Use) ->
    Options = [{lifetime, process} | [read || Rights =:= read]],
    {ask, ebpf_maps, open, [What, Options], fun
        ({ok, {error, Reason}}, Acc) -> {{done, {error, Reason}}, Acc};
        ({ok, Handle}, Acc) ->
            case fields_of(Handle, Node) of
                {_, _, _, _} = Fields ->
                    {view(Node, Handle, Fields, MapOf, fun(Viewed, Acc1) ->
                        opened(Viewed, Handle, Node, Use, Acc1)
                    end), Acc};
                _ ->
                    {{done, {error, badreply}}, Acc}
            end;
        ({error, Reason}, Acc) -> {{done, {error, Reason}}, Acc}
    end}.

opened({ok, {Handle, _} = Viewed}, Handle, Node, Use, Acc) ->
    ok = ebpf_fleet_reader:keep(Node, Viewed),
    Use(Node, Viewed, Acc);
opened({ok, Viewed}, Raw, Node, Use, Acc) ->
    ok = ebpf_fleet_reader:keep(Node, Viewed),
    {close(Raw, fun(Acc1) -> Use(Node, Viewed, Acc1) end), Acc};
opened({error, Reason}, Raw, _Node, _Use, Acc) ->
    {close(Raw, fun(Acc1) -> {{done, {error, Reason}}, Acc1} end), Acc}.

%% Whatever comes of that.
close(Handle, Then) ->
    {ask, ebpf_maps, close, [Handle], fun(_Answer, Acc) -> Then(Acc) end}.

%%--------------------------------------------------------------------------------------------------
%% Its view
%%--------------------------------------------------------------------------------------------------

%% Then gets {ok, {Handle, Keys}} with another handle, or the same one where the map has no types.
view(Node, Handle, Fields, MapOf, Then) ->
    view(Node, Handle, Fields, MapOf, folds(Fields, MapOf), Then).

view(Node, Handle, Fields, MapOf, Folds, Then) ->
    Options = [{lifetime, process}, {types, types(Fields, MapOf)} | Folds],
    {ask, ebpf_maps, typed, [Handle, Options], fun(Answer, Acc) ->
        case {viewed(Answer, Node, Handle, Fields, MapOf), MapOf} of
            %% by default its values are folded if they are numbers
            {{error, badarg}, #{percpu := default}} when Folds =/= [] ->
                {view(Node, Handle, Fields, MapOf, [], Then), Acc};
            {Viewed, _} ->
                Then(Viewed, Acc)
        end
    end}.

viewed({ok, {error, Reason}}, _Node, Handle, {_, KeySize, _, _}, #{keys := none, values := none}) when
    Reason =:= notype; Reason =:= eperm
->
    {ok, {Handle, KeySize}};
viewed({ok, {error, Reason}}, _Node, _Handle, _Fields, _MapOf) ->
    {error, Reason};
viewed({ok, View}, Node, _Handle, {_, KeySize, ValueSize, _}, _MapOf) ->
    case fields_of(View, Node) of
        {_, KeySize, ValueSize, _} -> {ok, {View, any}};
        _ -> {error, badreply}
    end;
viewed({error, Reason}, _Node, _Handle, _Fields, _MapOf) ->
    {error, Reason}.

types(_Fields, #{keys := none, values := none}) -> btf;
types({_, KeySize, ValueSize, _}, #{keys := Keys, values := Values}) ->
    {layout(Keys, KeySize), layout(Values, ValueSize)}.

layout(none, 0) -> 0;
layout(none, Size) -> {bytes, Size};
layout(Layout, _Size) -> Layout.

%% A handle that folds the values of all CPUs cannot write them.
folds(Fields, #{rights := read, percpu := Percpu, fold := Fold, keys := Keys, values := Values}) ->
    case {is_per_cpu(Fields), Percpu} of
        {true, default} when Fold =/= list, Values =/= none orelse Keys =:= none -> [{percpu, Fold}];
        {true, _} when Percpu =/= default -> [{percpu, Percpu}];
        _ -> []
    end;
folds(_Fields, _MapOf) ->
    [].
