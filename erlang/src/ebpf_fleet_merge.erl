%% SPDX-License-Identifier: Apache-2.0
%%
%% Values of several hosts as one: numbers are added or compared, structures and arrays member by
%% member; and which are the largest.
%% @private
-module(ebpf_fleet_merge).

-export([value/4, first/3, result/2, largest/3, number/2, sum/2]).

-export_type([how/0]).

-type how() :: sum | max | min | last | list | {fun((Merged :: term(), Value :: term()) -> term())}.

%% The value of a host with what there is of the others; badvalue: they cannot be merged.
-spec value(how(), node(), Value :: term(), Merged :: term()) -> {ok, term()} | badvalue.
value(last, _Node, Value, _Merged) ->
    {ok, Value};
value(list, Node, Value, Merged) ->
    {ok, [{Node, Value} | Merged]};
value({Fun}, _Node, Value, Merged) ->
    {ok, Fun(Merged, Value)};
value(sum, _Node, Value, Merged) when is_integer(Value), is_integer(Merged) ->
    {ok, Value + Merged};
value(How, _Node, Value, Merged) ->
    try
        {ok, combine(How, Merged, Value)}
    catch
        throw:badvalue -> badvalue
    end.

%% That of the first host.
-spec first(how(), node(), Value :: term()) -> {ok, term()} | badvalue.
first(list, Node, Value) ->
    {ok, [{Node, Value}]};
first(How, _Node, Value) when How =:= sum; How =:= max; How =:= min ->
    case has_number(Value) of
        true -> {ok, Value};
        false -> badvalue
    end;
first(_How, _Node, Value) ->
    {ok, Value}.

%% What the caller gets: of a list the order is that of the nodes.
-spec result(how(), Merged :: term()) -> term().
result(list, Values) -> lists:keysort(1, Values);
result(_How, Merged) -> Merged.

has_number(Value) when is_number(Value) -> true;
has_number(Value) when is_map(Value) -> lists:any(fun has_number/1, maps:values(Value));
has_number(Value) when is_tuple(Value) -> has_number(tuple_to_list(Value));
has_number(Value) when length(Value) >= 0 -> lists:any(fun has_number/1, Value);
has_number(_Value) -> false.

combine(sum, A, B) when is_number(A), is_number(B) -> add(A, B);
combine(max, A, B) when is_number(A), is_number(B) -> max(A, B);
combine(min, A, B) when is_number(A), is_number(B) -> min(A, B);
combine(_How, A, A) when not is_map(A), not is_tuple(A), not is_list(A) -> A;
combine(How, A, B) when is_map(A), is_map(B), map_size(A) =:= map_size(B) ->
    maps:map(fun(Member, One) -> combine(How, One, member(Member, B)) end, A);
combine(How, A, B) when is_tuple(A), is_tuple(B), tuple_size(A) =:= tuple_size(B) ->
    list_to_tuple(combine(How, tuple_to_list(A), tuple_to_list(B)));
combine(How, [A | As], [B | Bs]) -> [combine(How, A, B) | combine(How, As, Bs)];
combine(_How, [], []) -> [];
combine(_How, _A, _B) -> throw(badvalue).

-spec sum(number(), number()) -> {ok, number()} | badvalue.
sum(A, B) ->
    try
        {ok, add(A, B)}
    catch
        throw:badvalue -> badvalue
    end.

%% Floats may be too large for their sum.
add(A, B) ->
    try
        A + B
    catch
        error:badarith -> throw(badvalue)
    end.

member(Member, Map) ->
    case Map of
        #{Member := Value} -> Value;
        #{} -> throw(badvalue)
    end.

%%--------------------------------------------------------------------------------------------------
%% The largest
%%--------------------------------------------------------------------------------------------------

%% Of equal ones the smaller keys come first. badvalue: one has no number there.
-spec largest(non_neg_integer(), Path :: [term()], ebpf_fleet_table:table()) ->
    {ok, [{Key :: term(), Value :: term()}]} | {badvalue, Value :: term()}.
largest(N, Path, Table) ->
    try
        Enter = fun(Key, Value, Best) -> enter(N, {-rank(Path, Value), Key, Value}, Best) end,
        Best = ebpf_fleet_table:fold(Enter, gb_sets:new(), Table),
        {ok, [{Key, Value} || {_, Key, Value} <- gb_sets:to_list(Best)]}
    catch
        throw:{badvalue, Value} -> {badvalue, Value}
    end.

enter(N, Entry, Best) ->
    case gb_sets:size(Best) < N of
        true -> gb_sets:add(Entry, Best);
        false when N =:= 0 -> Best;
        false -> replace(gb_sets:largest(Best), Entry, Best)
    end.

replace(Last, Entry, Best) when Entry < Last -> gb_sets:add(Entry, gb_sets:delete(Last, Best));
replace(_Last, _Entry, Best) -> Best.

rank(Path, Value) ->
    case number(Path, Value) of
        {ok, Number} -> Number;
        none -> throw({badvalue, Value})
    end.

%% The number at that path.
-spec number(Path :: [term()], term()) -> {ok, number()} | none.
number([], Value) when is_number(Value) ->
    {ok, Value};
number([Index | Path], Values) when is_integer(Index), Index >= 0, length(Values) > Index ->
    number(Path, lists:nth(Index + 1, Values));
number([Name | Path], Members) when is_map_key(Name, Members) ->
    number(Path, maps:get(Name, Members));
number(_Path, _Value) ->
    none.
