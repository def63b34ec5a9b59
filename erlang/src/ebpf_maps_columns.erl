%% SPDX-License-Identifier: Apache-2.0
%%
%% The columns of a table of entries, from the layouts of its keys and values: their names, and what
%% stands in them. The terms of structures are Erlang maps here.
%% @private
-module(ebpf_maps_columns).

-export([new/2, with_cpu/1, histogram/1, head/1, heads/1, cells/4, part/3, is_display/1]).

-export_type([display/0, column/0, names/0]).

-import(ebpf_cnode_words, [shown/1]).

-define(LONGEST_CELL, 40).

-type display() ::
    ipv4 | ipv6 | mac | ifname | log2 | {nanoseconds, boot | unix}.
-type column() :: {
    Name :: binary(),
    Of :: key | cpu | value,
    Path :: [binary()],
    Layout :: term(),
    display() | none
}.
-type names() :: fun((Index :: non_neg_integer()) -> {ok, string()} | error).

-spec is_display(term()) -> boolean().
is_display({nanoseconds, Since}) -> Since =:= boot orelse Since =:= unix;
is_display(Display) -> lists:member(Display, [ipv4, ipv6, mac, ifname, log2]).

%%--------------------------------------------------------------------------------------------------
%% Which there are
%%--------------------------------------------------------------------------------------------------

%% Those of the key come first. A name that both have gets `key.' or `value.' in front.
-spec new({KeyLayout :: term(), ValueLayout :: term()}, #{binary() => display()}) -> [column()].
new({KeyLayout, ValueLayout}, Displays) ->
    Keys = columns(key, KeyLayout, Displays),
    Values = columns(value, ValueLayout, Displays),
    [unlike(Column, Values) || Column <- Keys] ++ [unlike(Column, Keys) || Column <- Values].

columns(Of, Layout, Displays) ->
    [{name(Of, Path), Of, Path, T, display(Of, Path, Displays)}
     || {Path, T} <- walk(Of, [], Layout, Displays)].

name(Of, []) -> atom_to_binary(Of);
name(_Of, Path) -> iolist_to_binary(lists:join(".", Path)).

unlike({Name, Of, Path, T, Display} = Column, Others) ->
    case lists:keymember(Name, 1, Others) of
        true -> {<<(atom_to_binary(Of))/binary, ".", Name/binary>>, Of, Path, T, Display};
        false -> Column
    end.

%% [{Path, Layout}] of what has a column: each number, text or array, and what is displayed as one.
walk(Of, Path, {Tag, _, _} = Layout, Displays) when Tag =:= struct; Tag =:= union ->
    case display(Of, Path, Displays) of
        none ->
            lists:flatmap(fun(Member) -> walk_member(Of, Path, Member, Displays) end,
                          ebpf_maps_layout:visible(Layout));
        _ ->
            [{Path, Layout}]
    end;
walk(_Of, Path, Layout, _Displays) ->
    [{Path, Layout}].

walk_member(Of, Path, {<<>>, _, _, T}, Displays) -> walk(Of, Path, T, Displays);
walk_member(Of, Path, {Name, _, _, T}, Displays) -> walk(Of, Path ++ [Name], T, Displays).

%% By the whole name, or by its last part.
display(Of, Path, Displays) ->
    Last = lists:last([atom_to_binary(Of) | Path]),
    maps:get(name(Of, Path), Displays, maps:get(Last, Displays, none)).

%% Of a per-CPU map: the number of the CPU stands before its value.
-spec with_cpu([column()]) -> [column()].
with_cpu(Columns) ->
    {Keys, Values} = lists:splitwith(fun({_, Of, _, _, _}) -> Of =:= key end, Columns),
    Keys ++ [{<<"cpu">>, cpu, [], u32, none} | Values].

%% How the entries are to be printed as histograms: each by a column of its own, all as one, or not.
-spec histogram([column()]) -> {each, column()} | whole | none.
histogram(Columns) ->
    case [Column || {_, _, _, _, log2} = Column <- Columns] of
        [{_, value, _, {array, _, T}, _} = Column | _] ->
            case is_number_layout(T) of
                true -> {each, Column};
                false -> none
            end;
        [{_, value, [], T, _} | _] ->
            Keys = [KeyLayout || {_, key, [], KeyLayout, _} <- Columns],
            case lists:all(fun is_number_layout/1, [T | Keys]) andalso Keys =/= [] of
                true -> whole;
                false -> none
            end;
        _ ->
            none
    end.

is_number_layout(Layout) -> ebpf_maps_layout:integer(Layout) =/= none.

-spec heads([column()]) -> [{Head :: unicode:chardata(), left | right}].
heads(Columns) -> [{head(Column), side(Column)} || Column <- Columns].

-spec head(column()) -> unicode:chardata().
head({Name, _, _, _, _}) -> short(printable(Name)).

side({_, cpu, _, _, _}) -> right;
side({_, _, _, Layout, Display}) when Display =:= none; Display =:= log2 -> side_of(Layout);
side({_, _, _, _, {nanoseconds, boot}}) -> right;
side(_Column) -> left.

side_of(Layout) when Layout =:= f32; Layout =:= f64; Layout =:= ptr -> right;
side_of(Layout) ->
    case ebpf_maps_layout:integer(Layout) of
        none -> left;
        _ -> right
    end.

%%--------------------------------------------------------------------------------------------------
%% What stands in them
%%--------------------------------------------------------------------------------------------------

%% The cells of one entry, or of one CPU of it. Names finds those of interfaces.
-spec cells([column()], Entry :: {term(), term()}, Cpu :: term(), names()) ->
    [unicode:chardata()].
cells(Columns, Entry, Cpu, Names) ->
    [short(cell(Column, part(Column, Entry, Cpu), Names)) || Column <- Columns].

%% The term of a column, or none.
-spec part(column(), Entry :: {term(), term()}, Cpu :: term()) -> term().
part({_, cpu, _, _, _}, _Entry, Cpu) -> Cpu;
part({_, key, Path, _, _}, {Key, _}, _Cpu) -> find(Path, Key);
part({_, value, Path, _, _}, {_, Value}, _Cpu) -> find(Path, Value).

find([Name | Path], Term) when is_map_key(Name, Term) -> find(Path, map_get(Name, Term));
find([], Term) -> Term;
find(_Path, _Term) -> none.

short(Text) -> ebpf_maps_grid:cut(Text, ?LONGEST_CELL).

cell(_Column, none, _Names) ->
    "-";
cell({_, _, _, Layout, ifname}, Term, Names) when is_integer(Term), Term >= 0 ->
    case Names(Term) of
        {ok, Name} -> Name;
        error -> text(Layout, Term)
    end;
cell({_, _, _, Layout, {nanoseconds, Since}}, Term, _Names) when is_integer(Term) ->
    case Since of
        _ when Term < 0 -> text(Layout, Term);
        boot -> io_lib:format("~w.~6..0w s", [Term div 1000000000, Term rem 1000000000 div 1000]);
        unix -> calendar:system_time_to_rfc3339(Term div 1000, [{unit, microsecond}, {offset, "Z"}])
    end;
cell({_, _, _, Layout, Display}, Term, _Names) ->
    case {Display, bytes(Layout, Term)} of
        {ipv4, <<A, B, C, D>>} -> inet:ntoa({A, B, C, D});
        {ipv6, <<Bytes:16/binary>>} -> inet:ntoa(list_to_tuple([W || <<W:16>> <= Bytes]));
        {mac, <<Bytes:6/binary>>} -> lists:join(":", [hex(<<B>>) || <<B>> <= Bytes]);
        _ -> text(Layout, Term)
    end.

%% As they are in memory; the byte order of numbers is taken to be that of this node.
bytes(_Layout, Term) when is_binary(Term) ->
    Term;
bytes({array, _, T}, Terms) when is_list(Terms) ->
    iolist_to_binary([bytes(T, Term) || Term <- Terms]);
bytes({union, _, _} = Layout, Term) when is_map(Term) ->
    hd([part_bytes(Member, Term) || Member <- ebpf_maps_layout:visible(Layout)] ++ [<<>>]);
bytes({struct, _, _} = Layout, Term) when is_map(Term) ->
    iolist_to_binary([part_bytes(M, Term) || M <- ebpf_maps_layout:visible(Layout)]);
bytes(Layout, Term) when is_integer(Term) ->
    case ebpf_maps_layout:integer(Layout) of
        {big_endian, Bits} -> <<Term:Bits/big>>;
        {_, Bits} -> <<Term:Bits/native>>;
        none -> <<>>
    end;
bytes(_Layout, _Term) ->
    <<>>.

part_bytes({<<>>, _, _, T}, Term) -> bytes(T, Term);
part_bytes({Name, _, _, T}, Term) -> bytes(T, maps:get(Name, Term, none)).

text({array, _, T}, Terms) when is_list(Terms) ->
    lists:join(" ", [text(T, Term) || Term <- lists:sublist(Terms, ?LONGEST_CELL)]);
text(ptr, Term) when is_integer(Term) -> ["0x", string:lowercase(integer_to_list(Term, 16))];
text({bytes, _}, <<>>) -> "<<>>";
text({bytes, _}, Term) when is_binary(Term) -> hex(binary:part(Term, 0, min(64, byte_size(Term))));
text(_Layout, Term) when is_binary(Term) -> printable(Term);
text(_Layout, Term) when is_float(Term) -> float_to_list(Term, [short]);
text(_Layout, Term) -> shown(Term).

hex(Bytes) -> string:lowercase(binary_to_list(binary:encode_hex(Bytes))).

%% One line, whatever a program wrote.
printable(Text) ->
    Chars = case unicode:characters_to_list(Text) of
        List when is_list(List) -> List;
        _ -> binary_to_list(Text)
    end,
    [case C < 32 orelse C >= 127 andalso C < 160 orelse not io_lib:printable_unicode_list([C]) of
        true -> $.;
        false -> C
     end || C <- Chars].
