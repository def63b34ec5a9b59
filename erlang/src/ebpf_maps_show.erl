%% SPDX-License-Identifier: Apache-2.0
%%
%% Prints the entries of a map for the shell: as a table, or as histograms. It asks for no more of
%% them than it prints. print/3 asks; format/4 is pure.
%% @private
-module(ebpf_maps_show).

-export([print/3, format/4, bad_option/1]).

-import(ebpf_cnode_arguments, [bad_list/2, is_text/1, named/2]).
-import(ebpf_cnode_words, [shown/1]).
-import(ebpf_maps_request, [ask/4]).

-define(ROWS, 20).
-define(COLUMNS, 80).
-define(SLOTS, 64).
-define(CHUNK_ENTRIES, 1024).

-type outcome() :: ebpf_cnode_request:outcome().
-type entries() :: [{Key :: term(), Value :: term()}].

%%--------------------------------------------------------------------------------------------------
%% Asking
%%--------------------------------------------------------------------------------------------------

-spec print(Map :: term(), Options :: term(), Args :: [term()]) -> outcome().
print(Map, Options, Args) ->
    case {ebpf_maps_terms:is_map_like(Map), bad_list(Options, fun bad_option/1)} of
        {false, _} -> {raise, {badmap, Map}, Args};
        {true, Text} when Text =/= none -> {raise, badarg, Args};
        _ -> ebpf_maps_request:with_handle(Map, read, Args, fun(Handle) ->
                 print_whole(Handle, Options, Args)
             end)
    end.

%% Prints once all has been read, so it can begin anew.
print_whole(Map, Options, Args) ->
    GoOn = fun(Handle) -> print_whole(Handle, Options, Args) end,
    ebpf_maps_request:step(print_handle(Map, Options, Args), Map, GoOn).

print_handle(Map, Options, Args) ->
    case ask(Map, types, [Map], Args) of
        {value, {error, _}} -> print_bytes(Map, Options, Args);
        {raise, {undef, _}, _} -> print_bytes(Map, Options, Args);
        {value, Layouts} -> print_terms(Map, Layouts, Options, Args);
        Raise -> Raise
    end.

%% A map without types, or a C node that knows none.
print_bytes(Map, Options, Args) ->
    case ebpf_maps_terms:fields(Map) of
        {_, KeySize, ValueSize, _} ->
            Layouts = {{bytes, KeySize}, {bytes, ValueSize}},
            show(fetch(Map, Layouts, Options, Args), Map, Layouts, Options, Args);
        unknown ->
            {raise, {badmap, Map}, Args}
    end.

%% The handle may have no types where the kernel has some, or tuples; then another one is read.
print_terms(Map, Layouts, Options, Args) ->
    case fetch(Map, Layouts, Options, Args) of
        {value, {Entries, _}} = Fetched ->
            case lists:all(fun(Entry) -> are_terms(Layouts, Entry) end, Entries) of
                true -> show(Fetched, Map, Layouts, Options, Args);
                false -> print_view(Map, Layouts, Options, Args)
            end;
        Raise ->
            Raise
    end.

print_view(Map, Layouts, Options, Args) ->
    case ebpf_maps_request:view(Map, Args) of
        {value, {error, _}} ->
            print_bytes(Map, Options, Args);
        {value, View} ->
            try
                show(fetch(View, Layouts, Options, Args), Map, Layouts, Options, Args)
            after
                ask(View, close, [View], Args)
            end;
        Raise ->
            Raise
    end.

are_terms({KeyLayout, Layout}, {Key, Value}) ->
    is_term(KeyLayout, Key) andalso
        lists:all(fun({_Cpu, One}) -> is_term(Layout, One) end, by_cpu(Value, Layout)).

%% As a typed handle has it that makes Erlang maps of structures.
is_term({Tag, _, _}, Term) when Tag =:= struct; Tag =:= union -> is_map(Term);
is_term({Tag, _}, Term) when Tag =:= bytes; Tag =:= char -> is_binary(Term);
is_term({array, _, _}, Term) -> is_list(Term);
is_term({enum, _, Constants}, Term) when is_binary(Term) -> lists:keymember(Term, 1, Constants);
is_term(_Layout, Term) -> not is_binary(Term).

show({value, {Entries, Which}}, Map, Layouts, Options, Args) ->
    case count_rest(Which, Map, Entries, Args) of
        {value, Left} ->
            Columns = ebpf_maps_columns:new(Layouts, displays(Options)),
            io:put_chars(format({Columns, Layouts, interfaces(Map)}, Entries, Left, width())),
            {value, ok};
        Raise ->
            Raise
    end;
show(Raise, _Map, _Layouts, _Options, _Args) ->
    Raise.

%% All entries together may be one histogram.
most(Layouts, Options) ->
    Most = proplists:get_value(rows, Options, ?ROWS),
    case ebpf_maps_columns:histogram(ebpf_maps_columns:new(Layouts, displays(Options))) of
        whole -> max(Most, ?SLOTS);
        _ -> Most
    end.

%% Up to so many entries, and whether these are all; then they are sorted.
fetch(Map, Layouts, Options, Args) ->
    Most = most(Layouts, Options),
    case fetch(start, [], 0, Most, Map, Args) of
        {value, {Chunks, all}} ->
            {value, {lists:sort(lists:append(Chunks)), all}};
        {value, {Chunks, some}} ->
            {value, {lists:sublist(lists:append(lists:reverse(Chunks)), Most), some}};
        Raise ->
            Raise
    end.

%% The last chunk comes first.
fetch(Cursor, Before, N, Most, Map, Args) ->
    case ask(Map, next_chunk, [Cursor, Map, min(Most, ?CHUNK_ENTRIES - 1) + 1], Args) of
        {value, {Chunk, Next}} ->
            Chunks = [Chunk | Before],
            case {N + length(Chunk) > Most, Next} of
                {true, _} -> {value, {Chunks, some}};
                {false, done} -> {value, {Chunks, all}};
                {false, _} -> fetch(Next, Chunks, N + length(Chunk), Most, Map, Args)
            end;
        Raise ->
            Raise
    end.

count_rest(all, _Map, _Entries, _Args) ->
    {value, 0};
count_rest(some, Map, Entries, Args) ->
    case ask(Map, size, [Map], Args) of
        {value, Size} -> {value, max(1, Size - length(Entries))};
        Raise -> Raise
    end.

width() ->
    case io:columns() of
        {ok, Columns} -> Columns;
        {error, _} -> ?COLUMNS
    end.

%% Their names are known where this node runs on the host of the C node.
interfaces(Map) ->
    case host(node(element(2, Map))) =:= host(node()) of
        true ->
            fun(Index) ->
                case net:if_index2name(Index) of
                    {ok, Name} -> {ok, Name};
                    {error, _} -> error
                end
            end;
        false ->
            fun(_Index) -> error end
    end.

host(Node) -> lists:last(string:split(atom_to_list(Node), "@")).

%%--------------------------------------------------------------------------------------------------
%% Options
%%--------------------------------------------------------------------------------------------------

%% none, or in words why this is not an option of table/2.
-spec bad_option(term()) -> none | unicode:chardata().
bad_option({rows, infinity}) ->
    none;
bad_option({rows, N}) when is_integer(N), N > 0 ->
    none;
bad_option({rows, Term}) ->
    named("rows", ["neither a number from 1 on nor infinity: ", shown(Term)]);
bad_option({display, Displays}) when is_map(Displays) ->
    case lists:filter(fun(Pair) -> not is_display(Pair) end, maps:to_list(Displays)) of
        [] -> none;
        [{Name, Display} | _] -> named("display", bad_display(Name, Display))
    end;
bad_option({display, Term}) ->
    named("display", ["not an Erlang map: ", shown(Term)]);
bad_option(Option) ->
    ["there is no option ", shown(Option)].

is_display({Name, Display}) -> is_text(Name) andalso ebpf_maps_columns:is_display(Display).

bad_display(Name, Display) ->
    case is_text(Name) of
        false ->
            ["not the name of a member: ", shown(Name)];
        true ->
            [shown(Display), " is not ipv4, ipv6, mac, ifname, log2, {nanoseconds, boot} or "
             "{nanoseconds, unix}"]
    end.

%% By their names as binaries.
displays(Options) ->
    maps:from_list([{ebpf_maps_layout:name(Name), Display}
                    || {Name, Display} <- maps:to_list(proplists:get_value(display, Options, #{}))]).

%%--------------------------------------------------------------------------------------------------
%% Printing
%%--------------------------------------------------------------------------------------------------

%% Left is how many entries there are besides these.
-spec format(Shape, entries(), Left :: non_neg_integer(), Width :: pos_integer()) ->
    unicode:chardata()
when
    Shape :: {[ebpf_maps_columns:column()], {term(), term()}, ebpf_maps_columns:names()}.
format({Columns, _, _} = Shape, Entries, Left, Width) ->
    case ebpf_maps_columns:histogram(Columns) of
        {each, Column} -> [each(Shape, Column, Entries, Width),
                           ["(no entries)\n" || Entries =:= []], rest(Left, [], Width)];
        whole when Left =:= 0 -> whole(Shape, Entries, Width);
        _ -> table(Shape, Entries, Left, Width)
    end.

table({Columns, {_, Layout}, Names}, Entries, Left, Width) ->
    PerCpu = lists:any(fun({_, Value}) -> is_per_cpu(Value, Layout) end, Entries),
    Shown = case PerCpu of
        true -> ebpf_maps_columns:with_cpu(Columns);
        false -> Columns
    end,
    Rows = [ebpf_maps_columns:cells(Shown, {Key, Value}, Cpu, Names)
            || {Key, Values} <- Entries, {Cpu, Value} <- by_cpu(Values, Layout)],
    {Lines, Hidden} = ebpf_maps_grid:format(ebpf_maps_columns:heads(Shown), Rows, Width),
    [Lines, ["(no entries)\n" || Entries =:= []], rest(Left, Hidden, Width)].

%% A line under the table, of what is not in it.
rest(0, [], _Width) ->
    "";
rest(Left, Hidden, Width) ->
    Counts = [count(Left, "entry", "entries") || Left > 0] ++
        [count(length(Hidden), "column", "columns") || Hidden =/= []],
    Verb = case {Left, length(Hidden)} of
        {1, 0} -> " is";
        {0, 1} -> " is";
        _ -> " are"
    end,
    Line = [lists:join(" and ", Counts), Verb, " not shown",
            [[": ", lists:join(", ", Hidden)] || Hidden =/= []]],
    [ebpf_maps_grid:cut(Line, Width), $\n].

count(1, One, _Many) -> ["1 ", One];
count(N, _One, Many) -> [integer_to_list(N), $\s, Many].

%% [{Cpu, Value}], or one value without a CPU.
by_cpu(Values, Layout) ->
    case is_per_cpu(Values, Layout) of
        true -> lists:zip(lists:seq(0, length(Values) - 1), Values);
        false -> [{none, Values}]
    end.

%% A list that the layout has none for, or a list of lists where it has one list.
is_per_cpu([Value | _], {array, _, T}) -> is_per_cpu(Value, T);
is_per_cpu(Value, _Layout) -> is_list(Value).

%%--------------------------------------------------------------------------------------------------
%% Histograms
%%--------------------------------------------------------------------------------------------------

%% Under the other members of its entry.
each({Columns, Layouts, Names}, Column, Entries, Width) ->
    Others = [Other || Other <- Columns, Other =/= Column],
    lists:join($\n, [one(Others, Column, Entry, Layouts, Names, Width) || Entry <- Entries]).

one(Others, Column, {Key, Values}, {_, Layout}, Names, Width) ->
    PerCpu = by_cpu(Values, Layout),
    Counts = sums([ebpf_maps_columns:part(Column, {Key, Value}, none) || {_, Value} <- PerCpu]),
    [{_, First} | _] = PerCpu,
    Cells = ebpf_maps_columns:cells(Others, {Key, First}, none, Names),
    Parts = [[ebpf_maps_columns:head(Other), " = ", Cell]
             || {Other, Cell} <- lists:zip(Others, Cells)],
    Name = ebpf_maps_columns:head(Column),
    [lists:join(", ", Parts), $\n, ebpf_maps_histogram:format(Name, Counts, Width)].

sums([Counts | More]) ->
    lists:foldl(fun(One, Sums) -> lists:zipwith(fun erlang:'+'/2, One, Sums) end, Counts, More).

%% Keys are slots.
whole({_, {_, Layout}, _} = Shape, Entries, Width) ->
    Slots = [{Key, sum(by_cpu(Value, Layout))} || {Key, Value} <- Entries],
    case [Key || {Key, _} <- Slots, Key < 0 orelse Key >= ?SLOTS] of
        [] ->
            Most = lists:max([-1 | [Key || {Key, _} <- Slots]]),
            Counts = [proplists:get_value(Slot, Slots, 0) || Slot <- lists:seq(0, Most)],
            ebpf_maps_histogram:format("value", Counts, Width);
        _ ->
            table(Shape, Entries, 0, Width)
    end.

sum(PerCpu) -> lists:sum([Value || {_, Value} <- PerCpu]).
