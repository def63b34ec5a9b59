%% SPDX-License-Identifier: Apache-2.0
%%
%% Terms by their layouts: what a member wants that the C node refused, and how members are changed
%% in a value. It has the layout that types/1 returns, and knows no C node.
%% @private
-module(ebpf_maps_member).

-export([fault/4, wanted/3, change/3, find/2]).

-export_type([form/0]).

-import(ebpf_cnode_arguments, [first/1, is_text/1]).
-import(ebpf_cnode_words, [shown/1, number/2]).
-import(ebpf_maps_layout, [visible/1, all_visible/1, names/1, name/1, printable/1]).

%% What lies half way between the largest of 32 bits and the next one is rounded up.
-define(TOO_LARGE_FOR_F32, 3.4028235677973366e38).

-type path() :: [binary() | non_neg_integer()].
-type form() :: map | tuple | unknown.

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

%% What is wrong with a term at that path, or none if nothing is, as far as can be seen here. Form
%% is that of structures.
-spec fault(path(), Layout :: term(), Term :: term(), form()) -> none | unicode:chardata().
fault([Name | Path], {Tag, _, _} = Layout, Term, Form) when
    is_binary(Name), is_map(Term), Tag =:= union orelse Tag =:= struct andalso Form =/= tuple
->
    Inner = inner_form(Tag, Form),
    case {find_layout(Name, Layout), find_member(Name, Term)} of
        {none, {ok, _}} when Path =:= [] -> "there is no such member";
        {{ok, _}, {twice, One, Other}} when Path =:= [] ->
            ["it is there twice, as ", shown(One), " and as ", shown(Other)];
        {{ok, _}, error} when Path =:= [], Tag =:= struct -> "it is missing";
        {{ok, _}, error} when Path =:= [] ->
            "it is missing, and so is any other member of its union";
        {{ok, Member}, {ok, Part}} when Path =:= [] ->
            or_beside(fault_of_member(Path, Member, Part, Inner), Name, Layout, Term);
        {{ok, Member}, {ok, Part}} -> fault_of_member(Path, Member, Part, Inner);
        _ -> none
    end;
fault([Name | Path], {struct, _, _} = Layout, Term, Form) when
    is_binary(Name), is_tuple(Term), Form =/= map
->
    first([case Member of
               {Name, Bits, T} -> fault_of_member(Path, {kind(Bits), Bits, T}, Part, tuple);
               {<<>>, _, T} -> fault([Name | Path], T, Part, tuple);
               _ -> none
           end
           || {Member, Part} <- elements(Layout, Term)]);
fault([Index | Path], {array, _, T}, Term, Form) when
    is_integer(Index), length(Term) > Index
->
    fault(Path, T, lists:nth(Index + 1, Term), Form);
fault([Cpu | Path], {percpu, T}, Terms, Form) when length(Terms) > Cpu ->
    case fault(Path, T, lists:nth(Cpu + 1, Terms), Form) of
        none -> none;
        Text -> [io_lib:format("that of CPU ~w: ", [Cpu]), Text]
    end;
fault([], {percpu, _}, Terms, _Form) when length(Terms) >= 0 ->
    ebpf_maps_terms:not_each_cpu(Terms);
fault(Path, {percpu, T}, Term, Form) when not is_list(Term) ->
    fault(Path, T, Term, Form);
fault([], Layout, Term, Form) ->
    no_fit(Layout, Term, Form);
fault(_Path, _Layout, _Term, _Form) ->
    none.

inner_form(struct, unknown) -> map;
inner_form(_Tag, Form) -> Form.

fault_of_member([], {bits, BitSize, T}, Term, _Form) -> no_bits(BitSize, T, Term);
fault_of_member(Path, {_, _, T}, Term, Form) -> fault(Path, T, Term, Form).

%% The members of a tuple; none if it has another size.
elements(Layout, Term) ->
    Members = [{Name, BitSize, T} || {Name, _, BitSize, T} <- visible(Layout)],
    case tuple_size(Term) =:= length(Members) of
        true -> lists:zip(Members, tuple_to_list(Term));
        false -> []
    end.

%% A member that fits is one too many.
or_beside(none, Name, Layout, Term) ->
    Given = [name(Key) || Key <- maps:keys(Term), is_text(Key)],
    case is_beside(Name, Layout, Given) of
        true -> "it is there beside another member of its union";
        false -> none
    end;
or_beside(Text, _Name, _Layout, _Term) ->
    Text.

%% Whether what is given has more than one alternative of a union around that member.
is_beside(Name, {Tag, _, _} = Layout, Given) ->
    {Around, Others} = lists:partition(fun(Member) -> lists:member(Name, names_of(Member)) end,
                                       visible(Layout)),
    Tag =:= union andalso lists:flatmap(fun names_of/1, Others) -- Given =/=
        lists:flatmap(fun names_of/1, Others) orelse
        lists:any(fun({<<>>, _, _, T}) -> is_beside(Name, T, Given); (_) -> false end, Around).

is_in_union(_Name, {union, _, _}) ->
    true;
is_in_union(Name, Layout) ->
    lists:any(fun({<<>>, _, _, T}) -> find_layout(Name, T) =/= none andalso is_in_union(Name, T);
                 (_Member) -> false
              end, visible(Layout)).

%% The layout of what a path leads to; of an array of which the size leaves the length, of any index.
-spec find(path(), Layout :: term()) -> {ok, Layout :: term()} | none.
find([], Layout) ->
    {ok, Layout};
find([Name | Path], {Tag, _, _} = Layout) when is_binary(Name), Tag =:= struct orelse Tag =:= union ->
    case find_layout(Name, Layout) of
        {ok, {_, _, T}} -> find(Path, T);
        none -> none
    end;
find([Index | Path], {array, N, T}) when is_integer(Index), Index < N orelse N =:= 0 ->
    find(Path, T);
find(_Path, _Layout) ->
    none.

%% Also in anonymous members.
find_layout(Name, Layout) ->
    Found = [{ok, {kind(BitSize), BitSize, T}}
             || {Member, _, BitSize, T} <- all_visible(Layout), Member =:= Name],
    case Found of
        [One | _] -> One;
        [] -> none
    end.

kind(none) -> whole;
kind(_) -> bits.

%% By an atom, a string or a binary.
find_member(Name, Term) ->
    case [Pair || {Key, _} = Pair <- lists:sort(maps:to_list(Term)), is_text(Key),
                  name(Key) =:= Name]
    of
        [{_, Part}] -> {ok, Part};
        [{One, _}, {Other, _} | _] -> {twice, One, Other};
        [] -> error
    end.

no_bits(BitSize, T, Term) ->
    {Low, High} = case ebpf_maps_layout:integer(T) of
        {signed, _} -> {-(1 bsl (BitSize - 1)), 1 bsl (BitSize - 1) - 1};
        _ -> {0, 1 bsl BitSize - 1}
    end,
    case is_integer(Term) of
        true when Term >= Low, Term =< High -> none;
        true -> [shown(Term), " does not fit in ", number(BitSize, "bit")];
        false -> no_fit(T, Term, unknown)
    end.

%% Why a term is none of this layout, apart from what is inside it.
no_fit({struct, _, _}, Term, Form) when is_map(Term), Form =/= tuple ->
    no_names(Term);
no_fit({struct, _, _} = Layout, Term, Form) when is_tuple(Term), Form =/= map ->
    case tuple_size(Term) =:= length(visible(Layout)) of
        true -> no_elements(elements(Layout, Term), Form, 1);
        false -> not_wanted(Layout, Term, Form)
    end;
no_fit({union, _, _}, Term, _Form) when is_map(Term) ->
    no_names(Term);
no_fit(Float, Term, Form) when Float =:= f32; Float =:= f64 ->
    no_float(Float, Term, Form);
no_fit({char, N}, Term, Form) ->
    no_text(N, Term, Form);
no_fit({enum, Size, Constants}, Term, _Form) when is_integer(Term) ->
    {Low, High} = ebpf_maps_layout:range(Size, Constants),
    case is_between(Low, Term, High) of
        true -> none;
        false -> ["not ", between(Low, High), ", as this enum has: ", shown(Term)]
    end;
no_fit(Layout, Term, Form) ->
    case fits(Layout, Term) of
        true -> none;
        false -> not_wanted(Layout, Term, Form)
    end.

not_wanted({struct, _, _} = Layout, Term, unknown) ->
    ["neither ", wanted(Layout, map), " nor, with {as, tuple}, ", wanted(Layout, tuple), ": ",
     shown(Term)];
not_wanted(Layout, Term, Form) ->
    ["not ", wanted(Layout, Form), ": ", shown(Term)].

no_names(Term) ->
    case [Key || Key <- lists:sort(maps:keys(Term)), not is_text(Key)] of
        [Key | _] -> ["not the name of a member: ", shown(Key)];
        [] -> none
    end.

%% A structure without a name is an element of its own, and its name in no path.
no_elements([{{<<>>, _, T}, Part} | Elements], Form, N) ->
    case no_fit(T, Part, tuple) of
        none -> no_elements(Elements, Form, N + 1);
        Text when Form =:= tuple -> [io_lib:format("element ~w: ", [N]), Text];
        _ -> none
    end;
no_elements([_ | Elements], Form, N) -> no_elements(Elements, Form, N + 1);
no_elements([], _Form, _N) -> none.

no_float(f32, Term, _Form) when is_float(Term), abs(Term) >= ?TOO_LARGE_FOR_F32 ->
    [shown(Term), " is too large for f32"];
no_float(_Float, Term, _Form) when is_integer(Term) ->
    case is_between(-(1 bsl 63), Term, 1 bsl 64 - 1) of
        true -> none;
        false -> ["an integer of more than 64 bits: ", shown(Term), "; a number this large is "
                  "given as a float"]
    end;
no_float(Float, Term, Form) ->
    case is_float(Term) orelse lists:member(Term, [nan, infinity, '-infinity']) of
        true -> none;
        false -> not_wanted(Float, Term, Form)
    end.

%% A NUL only as padding.
no_text(N, Term, Form) ->
    case bytes(Term) of
        Text when is_binary(Text), byte_size(Text) =< N ->
            case binary:match(string:trim(Text, trailing, [0]), <<0>>) of
                nomatch -> none;
                _ -> ["a text with a zero byte inside, which ends it: ", shown(Term)]
            end;
        characters ->
            ["a string of characters, not of bytes: give a text beyond Latin-1 as a binary: ",
             shown(Term)];
        _ when is_atom(Term) ->
            ["not ", wanted({char, N}, Form), ", a binary or a string: ", shown(Term)];
        _ ->
            not_wanted({char, N}, Term, Form)
    end.

bytes(Binary) when is_binary(Binary) ->
    Binary;
bytes(List) when length(List) >= 0 ->
    case {lists:all(fun(C) -> is_between(0, C, 255) end, List), is_text(List)} of
        {true, _} -> list_to_binary(List);
        {false, true} -> characters;
        {false, false} -> none
    end;
bytes(_Term) ->
    none.

fits(bool, Term) -> is_boolean(Term) orelse is_between(0, Term, 255);
fits(ptr, Term) -> fits(u64, Term);
fits({bytes, N}, Term) -> is_binary(Term) andalso byte_size(Term) =:= N;
fits({enum, _, Constants}, Term) ->
    is_text(Term) andalso lists:any(fun({Name, _}) -> name(Name) =:= name(Term) end, Constants);
fits({array, 0, _}, Term) -> length_of(Term) =/= none;
fits({array, N, _}, Term) -> length_of(Term) =:= N;
fits({Tag, _, _}, _Term) when Tag =:= struct; Tag =:= union -> false;
fits(Layout, Term) ->
    case ebpf_maps_layout:integer(Layout) of
        {signed, Bits} -> is_between(-(1 bsl (Bits - 1)), Term, 1 bsl (Bits - 1) - 1);
        {_, Bits} -> is_between(0, Term, 1 bsl Bits - 1);
        none -> true
    end.

is_between(Low, Term, High) -> is_integer(Term) andalso Term >= Low andalso Term =< High.

length_of(Term) when length(Term) >= 0 -> length(Term);
length_of(_Term) -> none.

%% What the layout has at that path, or none.
-spec wanted(path(), Layout :: term(), form()) -> none | unicode:chardata().
wanted([], {percpu, T}, Form) ->
    wanted(T, Form);
wanted([Name | _] = Path, {percpu, T}, Form) when is_binary(Name) ->
    wanted(Path, T, Form);
wanted([], Layout, Form) ->
    wanted(Layout, Form);
wanted([Name | Path], Layout, Form) when is_binary(Name) ->
    case find_layout(Name, Layout) of
        {ok, {_, _, T}} when Path =:= [] ->
            [wanted(T, Form), once(Name, is_in_union(Name, Layout))];
        {ok, {_, _, T}} -> wanted(Path, T, Form);
        none -> none
    end;
wanted([_Index | Path], {array, _, T}, Form) ->
    wanted(Path, T, Form);
wanted([_Cpu | Path], {percpu, T}, Form) ->
    wanted(Path, T, Form);
wanted(_Path, _Layout, _Form) ->
    none.

once(_Name, true) ->
    ", and no other member of its union";
once(Name, false) ->
    Printed = printable(Name),
    ["; nor may it be missing, or be there twice, as ", Printed, " and as <<\"", Printed, "\">>"].

wanted({struct, _, _} = Layout, tuple) ->
    Members = visible(Layout),
    ["a tuple of ", number(length(Members), "element"),
     [[" (", some([called(Name) || {Name, _, _, _} <- Members]), ")"] || Members =/= []]];
wanted({struct, _, _} = Layout, unknown) ->
    [wanted(Layout, map), ", or with {as, tuple} ", wanted(Layout, tuple)];
wanted(Layout, _Form) ->
    wanted(Layout).

called(<<>>) -> <<"one without a name">>;
called(Name) -> Name.

wanted(bool) -> "true, false or an integer from 0 to 255";
wanted(Float) when Float =:= f32; Float =:= f64 ->
    "a number, nan, infinity or '-infinity'";
wanted(ptr) -> wanted(u64);
wanted({bytes, N}) -> ["a binary of ", number(N, "byte")];
wanted({char, N}) -> ["a text of up to ", number(N, "byte")];
wanted({enum, _, Constants}) ->
    Names = [printable(name(Name)) || {Name, _} <- lists:sublist(Constants, 4)],
    More = [", ..." || length(Constants) > 4],
    ["a number or a name of the enum (", lists:join(", ", Names), More, ")"];
wanted({array, 0, _}) -> "a list of as many elements as the value has room for";
wanted({array, N, _}) -> ["a list of ", number(N, "element")];
wanted({struct, _, _} = Layout) ->
    case names(Layout) of
        [] -> "an Erlang map";
        Names -> ["an Erlang map with ", some(Names),
                  [" (of a union those of one alternative)" || has_union(Layout)]]
    end;
wanted({union, _, _} = Layout) ->
    ["an Erlang map with one of ", some(names(Layout))];
wanted(Layout) ->
    case ebpf_maps_layout:integer(Layout) of
        {signed, Bits} -> between(-(1 bsl (Bits - 1)), 1 bsl (Bits - 1) - 1);
        {_, Bits} -> between(0, 1 bsl Bits - 1);
        none -> shown(Layout)
    end.

has_union(Layout) ->
    lists:any(fun({<<>>, _, _, {Tag, _, _} = T}) -> Tag =:= union orelse has_union(T);
                 (_Member) -> false
              end, visible(Layout)).

some(Names) ->
    Some = [printable(Name) || Name <- lists:sublist(Names, 8)],
    lists:join(", ", Some ++ ["..." || length(Names) > 8]).

between(Low, High) -> io_lib:format("an integer from ~w to ~w", [Low, High]).

%%--------------------------------------------------------------------------------------------------
%% Changes
%%--------------------------------------------------------------------------------------------------

%% A value as it was read, with some members changed, as it can be put; the path of a name that is
%% no member; or none if the value is no structure, or not an Erlang map.
-spec change(Layout :: term(), Value :: term(), Members :: #{binary() => term()}) ->
    {ok, term()} | {badmember, path()} | none.
change({Tag, _, _} = Layout, Value, Members) when Tag =:= struct, is_map(Value);
                                                  Tag =:= union, is_map(Value) ->
    case maps:keys(Members) -- names(Layout) of
        [] -> {ok, maps:merge(writable(Layout, Value, maps:keys(Members)), Members)};
        [Name | _] -> {badmember, [Name]}
    end;
change(_Layout, _Value, _Members) ->
    none.

%% A union is read as all of its members, and written as one: of an anonymous one that which is
%% changed, otherwise the one that shows the most of its bytes.
writable({struct, _, _} = Layout, Value, Changed) when is_map(Value) ->
    lists:foldl(fun(Member, Acc) -> maps:merge(Acc, part(Member, Value, Changed)) end, #{},
                visible(Layout));
writable({union, _, _} = Layout, Value, Changed) when is_map(Value) ->
    part(alternative(visible(Layout), Changed), Value, Changed);
writable({array, _, T}, Values, _Changed) when is_list(Values) ->
    [writable(T, Value, []) || Value <- Values];
writable(_Layout, Value, _Changed) ->
    Value.

part(none, _Value, _Changed) -> #{};
part({<<>>, _, _, T}, Value, Changed) -> writable(T, Value, Changed);
part({Name, _, _, T}, Value, _Changed) ->
    case Value of
        #{Name := Part} -> #{Name => writable(T, Part, [])};
        _ -> #{}
    end.

alternative([], _Changed) -> none;
alternative(Members, Changed) ->
    case [Member || Member <- Members, names_of(Member) -- Changed =/= names_of(Member)] of
        [Member | _] -> Member;
        [] -> element(3, lists:max([{weight(M), -N, M} || {N, M} <- lists:enumerate(Members)]))
    end.

names_of({<<>>, _, _, T}) -> names(T);
names_of({Name, _, _, _}) -> [Name].

weight({_, _, _, T} = Member) -> {shown_bits(Member), is_exact(T)}.

%% Without padding, and what is hidden.
shown_bits({_, _, none, T}) -> bits_of(T);
shown_bits({_, _, BitSize, _}) -> BitSize.

bits_of({struct, _, _} = Layout) -> lists:sum([shown_bits(Member) || Member <- visible(Layout)]);
bits_of({union, _, _} = Layout) ->
    lists:max([0 | [shown_bits(Member) || Member <- visible(Layout)]]);
bits_of({array, N, T}) -> N * bits_of(T);
bits_of(T) -> 8 * ebpf_maps_layout:size(T).

%% Whether all bytes survive reading and writing.
is_exact({Tag, _}) -> Tag =:= bytes;
is_exact({array, _, T}) -> is_exact(T);
is_exact({struct, _, _} = Layout) -> lists:all(fun({_, _, _, T}) -> is_exact(T) end,
                                               ebpf_maps_layout:members(Layout));
is_exact({union, _, _}) -> false;
is_exact(T) -> T =/= f32 andalso T =/= f64 andalso T =/= hidden.
