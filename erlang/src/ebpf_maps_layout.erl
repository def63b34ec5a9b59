%% SPDX-License-Identifier: Apache-2.0
%%
%% Says in words what is wrong with a layout that the C node refused, and knows the sizes and the
%% members of good ones. It rejects only what the C node would reject.
%% @private
-module(ebpf_maps_layout).

-export([fault/1, size/1, integer/1, range/2, no_number/2]).
-export([members/1, visible/1, all_visible/1, names/1, name/1, printable/1, path/1]).

-compile({no_auto_import, [bit_size/1, size/1]}).

-import(ebpf_cnode_arguments, [is_text/1, utf8/1]).
-import(ebpf_cnode_words, [shown/1, number/2]).

-define(MAX_STEPS, 4096).
-define(MAX_NAMES, 65536).
-define(MAX_DEPTH, 32).
-define(MAX_PARTS, (1 bsl 26)).
-define(BYTE_PARTS, 64).
-define(MAX_SIZE, (512 * 1024 * 1024)).
-define(IS_SIZE(N), (is_integer(N) andalso N >= 0 andalso N < 1 bsl 32)).

-type fault() :: none | {badarg | e2big, unicode:chardata()}.
-type member() :: {Name :: binary(), BitOffset :: term(), BitSize :: term(), Layout :: term()}.

%%--------------------------------------------------------------------------------------------------
%% Sizes and members
%%--------------------------------------------------------------------------------------------------

%% In bytes, of a layout without faults; unknown for other terms, and for types of the kernel.
-spec size(Layout :: term()) -> non_neg_integer() | unknown.
size(bool) -> 1;
size(f32) -> 4;
size(f64) -> 8;
size(ptr) -> 8;
size({Tag, N}) when Tag =:= char; Tag =:= bytes -> N;
size({array, N, T}) when is_integer(N) ->
    case size(T) of
        unknown -> unknown;
        Size -> N * Size
    end;
size({Tag, Size, _}) when Tag =:= enum; Tag =:= struct; Tag =:= union -> Size;
size(Layout) ->
    case integer(Layout) of
        {_, Bits} -> Bits div 8;
        none -> unknown
    end.

-spec integer(Layout :: term()) -> {unsigned | signed | big_endian, Bits :: pos_integer()} | none.
integer(u8) -> {unsigned, 8};
integer(u16) -> {unsigned, 16};
integer(u32) -> {unsigned, 32};
integer(u64) -> {unsigned, 64};
integer(u128) -> {unsigned, 128};
integer(s8) -> {signed, 8};
integer(s16) -> {signed, 16};
integer(s32) -> {signed, 32};
integer(s64) -> {signed, 64};
integer(s128) -> {signed, 128};
integer(be16) -> {big_endian, 16};
integer(be32) -> {big_endian, 32};
integer(be64) -> {big_endian, 64};
integer(_) -> none.

%% The integers that an enum takes: without negative constants it is unsigned.
-spec range(Size :: pos_integer(), Constants :: [{term(), integer()}]) -> {integer(), integer()}.
range(Size, Constants) ->
    case lists:any(fun({_, Value}) -> Value < 0 end, Constants) of
        true -> {-(1 bsl (8 * Size - 1)), 1 bsl (8 * Size - 1) - 1};
        false -> {0, 1 bsl (8 * Size) - 1}
    end.

%% Those of a structure or a union. One that is no bit-field has the bit size none.
-spec members(Layout :: term()) -> [member()].
members({Tag, _Size, Members}) when Tag =:= struct; Tag =:= union ->
    [{name(element(1, Member)), element(2, Member), bit_size(Member), type(Member)}
     || Member <- Members];
members(_Layout) ->
    [].

%% Without those that are the kernel's own.
-spec visible(Layout :: term()) -> [member()].
visible(Layout) -> [Member || {_, _, _, T} = Member <- members(Layout), T =/= hidden].

%% Also those of members without a name, which stand in their place.
-spec all_visible(Layout :: term()) -> [member()].
all_visible(Layout) ->
    lists:flatmap(fun({<<>>, _, _, T}) -> all_visible(T); (Member) -> [Member] end,
                  visible(Layout)).

-spec names(Layout :: term()) -> [binary()].
names(Layout) -> [Name || {Name, _, _, _} <- all_visible(Layout)].

%% The path of something that is not a number; none if there is no such.
-spec no_number(Path :: [binary()], Layout :: term()) -> none | [binary()].
no_number(Path, {array, _, T}) ->
    no_number(Path, T);
no_number(Path, {struct, _, _} = Layout) ->
    Found = [no_number(Path ++ [Name], T) || {Name, _, _, T} <- visible(Layout)],
    hd([One || One <- Found, One =/= none] ++ [none]);
no_number(Path, Layout) ->
    case Layout =:= f32 orelse Layout =:= f64 orelse integer(Layout) =/= none of
        true -> none;
        false -> Path
    end.

type({_, _, T}) -> T;
type({_, _, _, T}) -> T.

bit_size({_, _, BitSize, _}) -> BitSize;
bit_size(_) -> none.

-spec name(atom() | string() | binary()) -> binary().
name(Name) -> utf8(Name).

%% As it can be printed: names are bytes.
-spec printable(binary()) -> unicode:chardata().
printable(Name) ->
    case unicode:characters_to_binary(Name) of
        Name -> Name;
        _ -> shown(Name)
    end.

%% a[3].b
-spec path([binary() | non_neg_integer()]) -> unicode:chardata().
path(Path) ->
    Printed = [place(Place) || Place <- Path, Place =/= <<>>],
    case string:prefix(Printed, ".") of
        nomatch -> Printed;
        Rest -> Rest
    end.

place(Index) when is_integer(Index) -> io_lib:format("[~w]", [Index]);
place(Name) -> [$., printable(Name)].

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

%% The first fault of a layout of a key or a value.
-spec fault(Layout :: term()) -> fault().
fault({vmlinux, Name}) ->
    case is_text(Name) of
        true -> none;
        false -> {badarg, ["not a name: ", shown(Name)]}
    end;
fault(Layout) ->
    try
        _ = check(Layout, [], 1, {0, 0}),
        check_parts(parts(Layout), size(Layout))
    catch
        throw:{fault, Reason, Path, Text} -> {Reason, at(Path, Text)}
    end.

at([], Text) -> Text;
at(Path, Text) -> ["the member ", path(lists:reverse(Path)), ": ", Text].

-spec bad([binary()], unicode:chardata()) -> no_return().
bad(Path, Text) -> throw({fault, badarg, Path, Text}).

check_parts(Parts, Size) ->
    case min(?MAX_PARTS, ?MAX_STEPS + ?BYTE_PARTS * Size) of
        Most when Parts > Most ->
            {e2big, io_lib:format("~w parts in all elements of arrays, where ~ts may have ~w",
                                  [Parts, number(Size, "byte"), Most])};
        _ -> none
    end.

%% Of all elements, but of an array of as many as there is room for.
parts({array, N, T}) -> 1 + N * parts(T);
parts(Layout) -> lists:sum([1 | [parts(T) || {_, _, _, T} <- members(Layout)]]).

%% Counts steps and bytes of names on the way.
check({Tag, _, _}, Path, Depth, _Count) when Depth > ?MAX_DEPTH, Tag =/= enum ->
    throw({fault, e2big, Path, io_lib:format("deeper than ~w levels", [?MAX_DEPTH])});
check(Layout, Path, Depth, Count) ->
    Count1 = check_kind(Layout, Path, Depth, step(Count)),
    size(Layout) < ?MAX_SIZE orelse throw({fault, e2big, Path, "512 MiB or more"}),
    Count1.

step(Count) -> steps(1, Count).

steps(N, {Steps, _}) when Steps + N > ?MAX_STEPS ->
    throw({fault, e2big, [],
           io_lib:format("more than ~w members, elements and constants in all", [?MAX_STEPS])});
steps(N, {Steps, Bytes}) -> {Steps + N, Bytes}.

check_kind({Tag, N}, Path, _Depth, Count) when Tag =:= char; Tag =:= bytes ->
    case N of
        _ when ?IS_SIZE(N) -> Count;
        _ -> bad(Path, [atom_to_list(Tag), ": not a number of bytes: ", shown(N)])
    end;
check_kind({array, N, T}, Path, Depth, Count) when ?IS_SIZE(N) ->
    Count1 = case T of
        hidden -> bad(Path, "hidden is for members alone, not for elements");
        _ -> check(T, Path, Depth + 1, Count)
    end,
    case size(T) of
        0 -> bad(Path, ["an array of elements without a size: ", shown(T)]);
        _ -> Count1
    end;
check_kind({array, N, _}, Path, _Depth, _Count) ->
    bad(Path, ["array: not a number of elements: ", shown(N)]);
check_kind({enum, Size, Constants}, Path, _Depth, Count) ->
    check_enum(Size, Constants, Path, Count);
check_kind({Tag, Size, Members}, Path, Depth, Count) when Tag =:= struct; Tag =:= union ->
    check_whole(Tag, Size, Members, Path, Depth, Count);
check_kind({vmlinux, _}, Path, _Depth, _Count) ->
    bad(Path, "{vmlinux, Name} is for a whole key or value, not for a part of one");
check_kind(hidden, Path, _Depth, _Count) ->
    bad(Path, "hidden is for members alone");
check_kind(Layout, Path, _Depth, Count) ->
    case size(Layout) of
        unknown -> bad(Path, ["there is no type ", shown(Layout)]);
        _ -> Count
    end.

check_enum(Size, _Constants, Path, _Count) when
    Size =/= 1, Size =/= 2, Size =/= 4, Size =/= 8
->
    bad(Path, ["an enum has 1, 2, 4 or 8 bytes, not ", shown(Size)]);
check_enum(Size, Constants, Path, Count) when length(Constants) >= 0 ->
    Count1 = lists:foldl(fun(Constant, Sum) -> check_constant(Constant, Path, step(Sum)) end,
                         Count, Constants),
    Values = [Value || {_, Value} <- Constants],
    Names = lists:usort([name(Name) || {Name, _} <- Constants]),
    {Low, High} = {lists:min([0 | Values]), lists:max([0 | Values])},
    case {Low >= 0 andalso High < 1 bsl (8 * Size),
          Low >= -(1 bsl (8 * Size - 1)) andalso High < 1 bsl (8 * Size - 1)}
    of
        _ when length(Constants) =/= length(Names) ->
            check_duplicates(lists:sort([name(Name) || {Name, _} <- Constants]), Path);
        {false, false} ->
            bad(Path, io_lib:format("constants from ~w to ~w do not fit in ~ts",
                                    [Low, High, number(Size, "byte")]));
        _ -> Count1
    end;
check_enum(_Size, Constants, Path, _Count) ->
    bad(Path, ["not a list of constants: ", shown(Constants)]).

check_constant({Name, Value}, Path, Count) when is_integer(Value) ->
    count_name(check_name(Name, Path), Count);
check_constant(Term, Path, _Count) ->
    bad(Path, ["not a constant {Name, Integer}: ", shown(Term)]).

check_name(Name, Path) ->
    case is_text(Name) of
        true -> name(Name);
        false -> bad(Path, ["not a name: ", shown(Name)])
    end.

count_name(Name, {_, Bytes}) when Bytes + byte_size(Name) > ?MAX_NAMES ->
    throw({fault, e2big, [], "the names have more than 64 KiB in all"});
count_name(Name, {Steps, Bytes}) -> {Steps, Bytes + byte_size(Name)}.

%%--------------------------------------------------------------------------------------------------
%% Structures and unions
%%--------------------------------------------------------------------------------------------------

check_whole(_Tag, Size, _Members, Path, _Depth, _Count) when not ?IS_SIZE(Size) ->
    bad(Path, ["not a size in bytes: ", shown(Size)]);
check_whole(Tag, Size, Members, Path, Depth, Count) when length(Members) >= 0 ->
    Count1 = lists:foldl(fun(Member, Sum) -> check_member(Member, Size, Path, Depth, Sum) end,
                         Count, Members),
    Whole = {Tag, Size, Members},
    check_duplicates(lists:sort(namespace(Whole)), Path),
    Tag =:= union orelse check_overlaps(lists:sort(ranges(Whole)), Path),
    Count1;
check_whole(_Tag, _Size, Members, Path, _Depth, _Count) ->
    bad(Path, ["not a list of members: ", shown(Members)]).

check_member({Name, Offset, T}, Size, Path, Depth, Count) ->
    check_member(Name, Offset, none, T, Size, Path, Depth, Count);
check_member({Name, Offset, BitSize, T}, Size, Path, Depth, Count) ->
    check_member(Name, Offset, BitSize, T, Size, Path, Depth, Count);
check_member(Term, _Size, Path, _Depth, _Count) ->
    bad(Path, ["not a member {Name, BitOffset, Type} or {Name, BitOffset, BitSize, Type}: ",
               shown(Term)]).

check_member(Name, Offset, BitSize, T, Size, Path, Depth, Count) ->
    Member = check_name(Name, Path),
    Here = [Member | Path],
    may_be_called(Member, T) orelse bad(Path, ["only a structure or a union may have no name: ",
                                               shown(T)]),
    Count1 = count_name(Member, Count),
    Count2 = case T of
        hidden -> step(Count1);
        _ -> check(T, Here, Depth + 1, Count1)
    end,
    check_place(Offset, BitSize, T, Size, Here),
    Count2.

may_be_called(<<>>, {Tag, _, _}) -> Tag =:= struct orelse Tag =:= union;
may_be_called(<<>>, T) -> T =:= hidden;
may_be_called(_Name, _T) -> true.

check_place(Offset, _BitSize, _T, _Size, Path) when not ?IS_SIZE(Offset) ->
    bad(Path, ["not an offset in bits: ", shown(Offset)]);
check_place(Offset, none, _T, _Size, Path) when Offset rem 8 =/= 0 ->
    bad(Path, io_lib:format("offsets are in bits: ~w is not a multiple of 8, and this is no "
                            "bit-field", [Offset]));
check_place(Offset, none, T, Size, Path) ->
    case Offset + bits(none, T) > 8 * Size of
        true ->
            bad(Path, io_lib:format("outside: it ends after byte ~w of ~w (its offset is in bits)",
                                    [(Offset + bits(none, T)) div 8, Size]));
        false -> true
    end;
check_place(Offset, BitSize, T, Size, Path) ->
    check_bit_field(is_bit_field_type(T), BitSize, T, Path),
    case Offset + BitSize > 8 * Size of
        true ->
            bad(Path, io_lib:format("outside: its bits ~w to ~w are not in ~ts",
                                    [Offset, Offset + BitSize - 1, number(Size, "byte")]));
        false -> true
    end.

check_bit_field(false, _BitSize, T, Path) ->
    bad(Path, ["a bit-field is of an integer, a bool or an enum, not of ", shown(T)]);
check_bit_field(true, BitSize, T, Path) ->
    Most = min(64, 8 * size(T)),
    case is_integer(BitSize) andalso BitSize >= 1 andalso BitSize =< Most of
        true -> true;
        false -> bad(Path, io_lib:format("a bit-field of ~ts has 1 to ~w bits, not ~ts",
                                         [shown(T), Most, shown(BitSize)]))
    end.

is_bit_field_type(bool) -> true;
is_bit_field_type({enum, _, _}) -> true;
is_bit_field_type(T) ->
    case integer(T) of
        {Kind, _} -> Kind =/= big_endian;
        none -> false
    end.

%% What the kernel hides has no size here.
bits(none, hidden) -> 0;
bits(none, T) -> 8 * size(T);
bits(BitSize, _T) -> BitSize.

%% Anonymous members share the names of their parent.
namespace(Layout) ->
    lists:flatmap(fun({<<>>, _, _, T}) -> namespace(T);
                     ({Name, _, _, _}) -> [Name]
                  end, members(Layout)).

check_duplicates([Name, Name | _], Path) -> bad(Path, ["the name ", printable(Name), " is there twice"]);
check_duplicates([_ | Names], Path) -> check_duplicates(Names, Path);
check_duplicates([], _Path) -> true.

ranges(Layout) ->
    [{Offset, Offset + Bits, Name}
     || {Name, Offset, BitSize, T} <- members(Layout), (Bits = bits(BitSize, T)) > 0].

check_overlaps([{_, End, Name}, {Start, _, Other} | _], Path) when Start < End ->
    bad(Path, io_lib:format("the members ~ts and ~ts overlap: ~ts ends at bit ~w, and ~ts starts "
                            "at bit ~w", [called(Name), called(Other), called(Name), End - 1,
                                          called(Other), Start]));
check_overlaps([_ | Ranges], Path) -> check_overlaps(Ranges, Path);
check_overlaps([], _Path) -> true.

called(<<>>) -> "(anonymous)";
called(Name) -> printable(Name).
