%% SPDX-License-Identifier: Apache-2.0
%%
%% What is to be kept, as the caller says it: checked, with a text for what is wrong, and in one
%% form.
%% @private
-module(ebpf_fleet_keep_spec).

-export([read/1, fault/1, target/1, bytes/1]).

-export_type([spec/0, map_spec/0, target/0]).

-import(ebpf_cnode_arguments, [is_text/1, utf8/1, bad_list/2]).
-import(ebpf_cnode_words, [shown/1]).

-define(EVERY, 5000).
-define(MOST_MS, 16#ffffffff).
-define(MOST_ATTACHED, 64).
-define(MOST_MAPS, 64).
-define(MOST_PAIRS, 1_000_000).
-define(MOST_BYTES, (256 * 1024 * 1024)). % of a spec, as its terms are sent

-type target() :: tuple() | btf | auto.

-type map_spec() :: #{
    pairs := [{term(), term()}],
    keys := none | ebpf_maps:layout(),
    values := none | ebpf_maps:layout(),
    exactly := boolean()
}.

-type spec() :: #{
    name := atom(),
    nodes := default | ebpf_fleet_nodes:source(),
    elf := binary(),
    load := [term()],
    code := binary(), % a digest of the two
    attach := [{Program :: binary(), target()}],
    maps := #{binary() => map_spec()},
    every := pos_integer()
}.

-spec read(term()) -> {ok, spec()} | {error, {file, file:posix()}} | badarg.
read(Spec) ->
    case fault(Spec) of
        none -> with_elf(elf(maps:get(elf, Spec)), Spec);
        _ -> badarg
    end.

with_elf({ok, Elf}, #{name := Name} = Spec) ->
    Load = maps:get(load, Spec, []),
    {ok, #{
        name => Name,
        nodes => maps:get(nodes, Spec, default),
        elf => Elf,
        load => Load,
        code => code(Elf, Load),
        attach => [{utf8(Program), target(Target)} || {Program, Target} <- attach(Spec)],
        maps => maps:from_list([{utf8(Map), map_spec(One)} || {Map, One} <- map_list(Spec)]),
        every => maps:get(every, Spec, ?EVERY)
    }};
with_elf({error, Posix}, _Spec) ->
    {error, {file, Posix}}.

elf({file, File}) -> file:read_file(File);
elf(Elf) -> {ok, Elf}.

attach(Spec) -> maps:get(attach, Spec, []).

map_list(Spec) -> maps:to_list(maps:get(maps, Spec, #{})).

map_spec(Map) ->
    Pairs =
        case maps:get(pairs, Map, []) of
            Given when is_map(Given) -> maps:to_list(Given);
            List -> List
        end,
    #{
        pairs => Pairs,
        keys => maps:get(keys, Map, none),
        values => maps:get(values, Map, none),
        exactly => maps:get(exactly, Map, false)
    }.

%% The layout of that many bytes.
-spec bytes(non_neg_integer()) -> 0 | {bytes, pos_integer()}.
bytes(0) -> 0;
bytes(Size) -> {bytes, Size}.

%% The same on any node, whatever its release.
code(Elf, Load) ->
    Options = io_lib:format("~w", [canonical(lists:sort(Load))]),
    erlang:md5([erlang:md5(Elf), Options]).

canonical(Map) when is_map(Map) ->
    {map, lists:sort([{canonical(Key), canonical(Value)} || {Key, Value} <- maps:to_list(Map)])};
canonical(Tuple) when is_tuple(Tuple) -> list_to_tuple(canonical(tuple_to_list(Tuple)));
canonical([Head | Tail]) -> [canonical(Head) | canonical(Tail)];
canonical(Term) -> Term.

%%--------------------------------------------------------------------------------------------------
%% Targets
%%--------------------------------------------------------------------------------------------------

%% Names as binaries: a link's handle has them as they were given.
-spec target(term()) -> target() | other.
target({tracepoint, Category, Name}) -> {tracepoint, text(Category), text(Name)};
target({raw_tracepoint, Name}) -> {raw_tracepoint, text(Name)};
target({Probe, Function, Offset}) when Probe =:= kprobe; Probe =:= kretprobe ->
    {Probe, text(Function), Offset};
target({xdp, Interface, Mode}) -> {xdp, interface(Interface), Mode};
target({tc, Interface, Direction, Place}) when is_atom(Place) ->
    {tc, interface(Interface), Direction, Place};
target({cgroup, Path}) -> {cgroup, text(Path)};
target({netns, own}) -> {netns, own};
target({netns, Path}) -> {netns, text(Path)};
target({perf, cpu_clock, Hertz}) -> {perf, cpu_clock, Hertz};
target(Target) when Target =:= btf; Target =:= auto -> Target;
target(_Target) -> other.

interface(Index) when is_integer(Index) -> Index;
interface(Name) -> text(Name).

text(Text) ->
    case is_text(Text) of
        true -> utf8(Text);
        false -> Text
    end.

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

%% In words, what is wrong with a spec.
-spec fault(term()) -> none | unicode:chardata().
fault(#{name := _, elf := _} = Spec) ->
    first([fun() -> within(atom_to_list(Field), bad(Field, Value)) end
           || {Field, Value} <- lists:sort(maps:to_list(Spec)), is_atom(Field)] ++
          [fun() -> no_field(Spec) end, fun() -> nothing(Spec) end, fun() -> too_large(Spec) end]);
fault(Spec) ->
    ["not a map with at least name and elf: ", shown(Spec)].

first([]) ->
    none;
first([Fault | Faults]) ->
    case Fault() of
        none -> first(Faults);
        Text -> Text
    end.

no_field(Spec) ->
    case [Field || Field <- maps:keys(Spec), not is_atom(Field)] of
        [] -> none;
        [Field | _] -> bad(Field, none)
    end.

nothing(Spec) ->
    case {attach(Spec), map_list(Spec)} of
        {[], []} -> "there is nothing to keep: give attach or maps";
        _ -> none
    end.

too_large(Spec) ->
    Bytes = erlang:external_size(maps:without([nodes], Spec)),
    unless(Bytes =< ?MOST_BYTES, io_lib:format("at most ~w bytes", [?MOST_BYTES]), Bytes).

bad(name, Name) ->
    unless(is_atom(Name), "an atom", Name);
bad(nodes, Source) ->
    unless(ebpf_fleet_nodes:is_source(Source),
           "a list of names of nodes, hosts, epmd, {epmd, Prefix, Hosts} or a fun of no arguments",
           Source);
bad(elf, {file, File}) ->
    unless(is_text(File), "{file, Name}", {file, File});
bad(elf, Elf) ->
    unless(is_binary(Elf), "the bytes of an object, or {file, Name}", Elf);
bad(load, Options) ->
    bad_list(Options, fun bad_option/1);
bad(attach, Attach) ->
    case bad_list(Attach, fun bad_attach/1) of
        none -> bad_number(Attach);
        Text -> Text
    end;
bad(maps, Maps) when is_map(Maps), map_size(Maps) =< ?MOST_MAPS ->
    first([fun() -> bad_map(Name, Map) end || {Name, Map} <- maps:to_list(Maps)]);
bad(maps, Maps) ->
    unless(false, io_lib:format("a map of at most ~w names", [?MOST_MAPS]), Maps);
bad(every, Ms) ->
    unless(is_integer(Ms) andalso Ms > 0 andalso Ms =< ?MOST_MS, "a number of milliseconds", Ms);
bad(Field, _Value) ->
    ["a spec has no ", shown(Field), ", but name, nodes, elf, load, attach, maps and every"].

%% What the keeper gives itself, or what holds on one host only.
bad_option({lifetime, _}) ->
    "lifetime: what is kept is permanent, so it is not given";
bad_option({node, _}) ->
    "node: the hosts are those of nodes";
bad_option({Types, _}) when Types =:= types; Types =:= as ->
    "types, as: layouts are given for each map, as keys and values";
bad_option({maps, Maps}) when is_map(Maps) ->
    case [Map || Map <- maps:values(Maps), not ebpf_maps_terms:is_locator(Map)] of
        [] -> none;
        [Map | _] -> ["maps: a handle is of one host; {pinned, Path} or {name, Name} is of each: ",
                      shown(Map)]
    end;
bad_option({Name, _}) when
    Name =:= programs; Name =:= max_entries; Name =:= value_size; Name =:= variables;
    Name =:= program_types; Name =:= attach_to; Name =:= name; Name =:= pin
->
    none;
bad_option(Option) ->
    ["no option of ebpf_programs:load/2 that a spec takes: ", shown(Option)].

bad_attach({Program, Target}) ->
    case {is_text(Program), target(Target)} of
        {false, _} -> ["not the name of a program: ", shown(Program)];
        {true, other} -> ["not a target, or one of one host only: ", shown(Target)];
        {true, _} -> none
    end;
bad_attach(Term) ->
    ["not {Program, Target}: ", shown(Term)].

bad_number(Attach) ->
    Named = [{utf8(Program), target(Target)} || {Program, Target} <- Attach],
    case Named -- lists:usort(Named) of
        [] when length(Named) =< ?MOST_ATTACHED -> none;
        [] -> io_lib:format("more than ~w attachments", [?MOST_ATTACHED]);
        [Twice | _] -> ["twice: ", shown(Twice)]
    end.

bad_map(Name, Map) ->
    case {is_text(Name), is_map(Map)} of
        {false, _} -> ["not the name of a map: ", shown(Name)];
        {true, false} -> within(shown(Name), ["not a map with pairs: ", shown(Map)]);
        {true, true} -> within(utf8(Name), bad_fields(maps:merge(#{pairs => []}, Map)))
    end.

bad_fields(Map) ->
    first([fun() -> bad_field(Field, Value, Map) end || {Field, Value} <- maps:to_list(Map)]).

bad_field(pairs, Pairs, Map) ->
    bad_pairs(Pairs, maps:get(keys, Map, none), maps:get(values, Map, none));
bad_field(Field, Layout, _Map) when Field =:= keys; Field =:= values ->
    case ebpf_maps_layout:fault(Layout) of
        none -> none;
        {_, Text} -> within(atom_to_list(Field), Text)
    end;
bad_field(exactly, Exactly, _Map) ->
    within("exactly", unless(is_boolean(Exactly), "true or false", Exactly));
bad_field(Field, _Value, _Map) ->
    ["no ", shown(Field), ", but pairs, keys, values and exactly"].

bad_pairs(Pairs, Keys, Values) when is_map(Pairs) ->
    bad_pairs(maps:to_list(Pairs), Keys, Values);
bad_pairs(Pairs, Keys, Values) when length(Pairs) =< ?MOST_PAIRS ->
    case lists:search(fun(Pair) -> not is_pair(Pair, Keys, Values) end, Pairs) of
        {value, {Key, Value}} ->
            ["not bytes, so a layout has to be given, as keys or values: ", shown({Key, Value})];
        {value, Term} ->
            ["not {Key, Value}: ", shown(Term)];
        false ->
            unless(map_size(maps:from_list(Pairs)) =:= length(Pairs), "pairs of different keys",
                   length(Pairs))
    end;
bad_pairs(Pairs, _Keys, _Values) ->
    unless(false, io_lib:format("a map or a list of at most ~w pairs", [?MOST_PAIRS]), Pairs).

is_pair({Key, Value}, Keys, Values) ->
    (Keys =/= none orelse is_binary(Key)) andalso (Values =/= none orelse are_bytes(Value));
is_pair(_Term, _Keys, _Values) ->
    false.

%% A list: a value for each CPU.
are_bytes(Value) when is_binary(Value) -> true;
are_bytes(Value) when length(Value) > 0 -> lists:all(fun is_binary/1, Value);
are_bytes(_Value) -> false.

within(_Field, none) -> none;
within(Field, Text) -> [Field, ": ", Text].

unless(true, _Wanted, _Term) -> none;
unless(false, Wanted, Term) -> ["not ", Wanted, ": ", shown(Term)].
