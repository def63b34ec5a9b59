%% SPDX-License-Identifier: Apache-2.0
%%
%% The options of ebpf_fleet: what each may be, in words where it is something else, and what it is
%% where it is not given.
%% @private
-module(ebpf_fleet_options).

-export([read/3, fault/2, path/1]).

-export_type([options/0]).

-import(ebpf_cnode_words, [shown/1]).

-define(MOST_MS, 16#ffffffff).

-type options() :: #{atom() => term()}.

-spec defaults() -> options().
defaults() ->
    #{
        nodes => default,
        window => 8,
        timeout => 5000,
        deadline => 15000,
        on_node => none,
        strict => false,
        keys => none,
        values => none,
        percpu => default,
        merge => sum,
        member => [],
        max_keys => 1000000,
        all_or_none => false
    }.

%% The options that every function takes, and those that only some do.
common() -> [nodes, window, timeout, deadline, on_node, strict].

of_function(call) -> [];
of_function(put) -> [keys, values];
of_function(remove) -> [keys, values];
of_function(merge) -> [keys, values];
of_function(sum) -> [keys, values, percpu, member];
of_function(top) -> [keys, values, percpu, member, merge, max_keys];
of_function(to_map) -> [keys, values, percpu, merge, max_keys];
of_function(get) -> [keys, values, percpu, merge];
of_function(fold) -> [keys, values, percpu];
of_function(load) -> [all_or_none];
of_function(attach) -> [all_or_none];
of_function(subscribe) -> [];
of_function(unkeep) -> [].

%% To load takes longer; and some functions hand over what is not theirs.
defaults(load) -> (defaults())#{timeout => 60000, deadline => 60000};
defaults(attach) -> defaults(load);
defaults(unkeep) -> defaults(load);
defaults(fold) -> (defaults())#{merge => list};
defaults(_Function) -> defaults().

takes_others(Function) -> lists:member(Function, [load, attach, subscribe]).

%% Given in Extra is what a function fixes itself. Others are the options that are not the fleet's.
-spec read(atom(), Options :: term(), Extra :: options()) ->
    {ok, options(), Others :: [term()]} | badarg.
read(Function, Options, Extra) when length(Options) >= 0 ->
    Expanded = [expand(Option) || Option <- Options],
    {Own, Others} = lists:partition(fun(Option) -> is_own(Option, Function) end, Expanded),
    case (Others =:= [] orelse takes_others(Function)) andalso
        lists:all(fun(Option) -> bad_value(Option) =:= none end, Own)
    of
        true ->
            %% the first one counts
            Given = maps:from_list(lists:reverse([{Name, value(Name, Value)} || {Name, Value} <- Own])),
            Read = maps:merge(maps:merge(defaults(Function), Given), Extra),
            {ok, Read#{fold => fold(Read)}, Others};
        false ->
            badarg
    end;
read(_Function, _Options, _Extra) ->
    badarg.

expand(strict) -> {strict, true};
expand(all_or_none) -> {all_or_none, true};
expand(Option) -> Option.

is_own({Name, _Value}, Function) when is_atom(Name) ->
    lists:member(Name, common() ++ of_function(Function));
is_own(_Option, _Function) ->
    false.

value(member, Member) -> {ok, Path} = path(Member), Path;
value(_Name, Value) -> Value.

%% How the values of all CPUs are folded, unless that is said.
fold(#{merge := How}) when How =:= sum; How =:= max; How =:= min -> How;
fold(_Options) -> list.

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

%% In words, what is wrong with the options of a function.
-spec fault(atom(), Options :: term()) -> none | unicode:chardata().
fault(Function, Options) ->
    ebpf_cnode_arguments:bad_list(Options, fun(Option) -> bad_option(Function, expand(Option)) end).

bad_option(Function, {Name, _Value} = Option) when is_atom(Name) ->
    case {is_own(Option, Function), is_map_key(Name, defaults()), takes_others(Function)} of
        {true, _, _} -> ebpf_cnode_arguments:named(atom_to_list(Name), bad_value(Option));
        {false, true, _} -> io_lib:format("~w does not take the option ~w", [Function, Name]);
        {false, false, true} -> none;
        {false, false, false} -> ["no option: ", shown(Option)]
    end;
bad_option(Function, Option) ->
    case takes_others(Function) of
        true -> none;
        false -> ["no option: ", shown(Option)]
    end.

bad_value({nodes, Source}) ->
    unless(ebpf_fleet_nodes:is_source(Source),
           "a list of names of nodes, hosts, epmd, {epmd, Prefix, Hosts} or a fun without arguments",
           Source);
bad_value({window, N}) ->
    unless(is_integer(N) andalso N > 0, "a number of nodes", N);
bad_value({Name, Ms}) when Name =:= timeout; Name =:= deadline ->
    unless(is_integer(Ms) andalso Ms >= 0 andalso Ms =< ?MOST_MS, "a number of milliseconds", Ms);
bad_value({on_node, Fun}) ->
    unless(is_function(Fun, 2), "a fun of the node and its result", Fun);
bad_value({Name, Term}) when Name =:= strict; Name =:= all_or_none ->
    unless(is_boolean(Term), "true or false", Term);
bad_value({Name, Layout}) when Name =:= keys; Name =:= values ->
    bad_layout(ebpf_maps_layout:fault(Layout));
bad_value({percpu, How}) ->
    unless(lists:member(How, [list, sum, max, min]), "list, sum, max or min", How);
bad_value({merge, {Fun}}) ->
    unless(is_function(Fun, 2), "a fun of two values", Fun);
bad_value({merge, How}) ->
    unless(lists:member(How, [sum, max, min, last, list]), "sum, max, min, last, list or {Fun}", How);
bad_value({member, Member}) ->
    unless(path(Member) =/= badarg, "the name of a member, or a list of names and indexes", Member);
bad_value({max_keys, N}) ->
    unless(is_integer(N) andalso N >= 0, "a number of keys", N).

bad_layout({_, Text}) -> Text;
bad_layout(none) -> none.

unless(true, _Wanted, _Term) -> none;
unless(false, Wanted, Term) -> ["not ", Wanted, ": ", shown(Term)].

%% By names as they are in values.
-spec path(term()) -> {ok, [binary() | non_neg_integer()]} | badarg.
path(Name) when is_atom(Name); is_binary(Name) ->
    path([Name]);
path(Path) when length(Path) >= 0 ->
    case {is_name(Path), lists:all(fun is_step/1, Path)} of
        {true, _} -> {ok, [step(Path)]};
        {false, true} -> {ok, [step(Step) || Step <- Path]};
        {false, false} -> badarg
    end;
path(_Term) ->
    badarg.

%% A string, though it could be a list of indexes, too.
is_name([C | _] = Path) when C >= $a, C =< $z; C >= $A, C =< $Z; C =:= $_ ->
    lists:all(fun(Char) -> is_integer(Char) andalso Char < 128 end, Path);
is_name(_Path) ->
    false.

is_step(Index) when is_integer(Index) -> Index >= 0;
is_step(Name) -> ebpf_cnode_arguments:is_text(Name).

step(Index) when is_integer(Index) -> Index;
step(Name) -> ebpf_maps_layout:name(Name).
