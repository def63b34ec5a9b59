%% SPDX-License-Identifier: Apache-2.0
%%
%% The labels of a series: which parts of a key they are made of, and their texts. A key is bytes,
%% or a term of a typed view.
%% @private
-module(ebpf_metrics_labels).

-export([compile/2, names/1, form/1, needs_host/1, texts/3, path/1, member/2]).

-export_type([labels/0, path/0]).

-import(ebpf_cnode_words, [shown/1]).

%% The number of a bucket is a label of a histogram.
-define(BUCKET, <<"le">>).

-type path() :: [binary() | non_neg_integer()].
-type part() :: {skip, pos_integer()}
              | {label, binary(), pos_integer() | path(), ebpf_metrics_decoders:decoder()}
              | {bucket, pos_integer() | path(), ebpf_metrics_decoders:decoder()}.
-type labels() :: [part()].

%%--------------------------------------------------------------------------------------------------
%% Declarations
%%--------------------------------------------------------------------------------------------------

%% Of a declaration, or what is wrong with it, in words.
-spec compile(term(), Type :: counter | gauge | histogram) ->
    {ok, labels()} | {error, [unicode:chardata()]}.
compile(Labels, Type) when length(Labels) >= 0 ->
    Compiled = [compile_label(Label, Type) || Label <- Labels],
    Faults = [Text || {error, Text} <- Compiled],
    Parts = [Part || {ok, Part} <- Compiled],
    case Faults ++ [Text || Faults =:= [], Text <- whole_faults(Parts)] of
        [] -> {ok, Parts};
        Texts -> {error, Texts}
    end;
compile(Term, _Type) ->
    {error, [["the labels are a list, not ", shown(Term)]]}.

compile_label({skip, N}, _Type) when is_integer(N), N > 0 -> {ok, {skip, N}};
compile_label({skip, N}, _Type) ->
    {error, ["{skip, N} leaves out N bytes, from 1 on, not ", shown(N)]};
compile_label({Name, Part}, Type) ->
    compile_label(Name, Part, default_decoder(Part), Type);
compile_label({Name, Part, Decoder}, Type) ->
    case ebpf_metrics_decoders:fault(Decoder, taken(Part)) of
        none -> compile_label(Name, Part, Decoder, Type);
        Text -> {error, [named(Name), Text]}
    end;
compile_label(Term, _Type) ->
    {error, ["not a label, which is {Name, Size, Decoder}, {skip, Size}, {Name, Member} or "
             "{Name, Member, Decoder}: ", shown(Term)]}.

compile_label(Name, Part, Decoder, Type) ->
    Fault = ebpf_metrics_names:label(Name),
    Text = ebpf_metrics_names:name(Name),
    case {Fault, part(Part), Text} of
        {none, error, _} -> {error, [named(Name), "not a number of bytes, and not a member: ",
                                     shown(Part)]};
        {none, {ok, P}, ?BUCKET} when Type =:= histogram -> {ok, {bucket, P, of_bucket(Decoder)}};
        {none, {ok, _}, ?BUCKET} ->
            {error, "the label le is for histograms"};
        {none, {ok, P}, _} -> {ok, {label, Text, P, Decoder}};
        {Fault, _, _} -> {error, Fault}
    end.

%% A bucket is a number.
of_bucket({uint, _} = Decoder) -> Decoder;
of_bucket(_Decoder) -> uint.

default_decoder(Part) when is_integer(Part) -> uint;
default_decoder(_Part) -> default.

taken(Part) when is_integer(Part) -> Part;
taken(_Part) -> member.

part(Size) when is_integer(Size), Size > 0, Size =< 512 -> {ok, Size};
part(Size) when is_integer(Size) -> error;
part(Member) -> path(Member).

%% Of a name, or a list of names and indexes.
-spec path(term()) -> {ok, path()} | error.
path(Path) when is_list(Path), Path =/= [], not is_integer(hd(Path)) ->
    Parts = [path_part(Part) || Part <- Path],
    case lists:member(error, Parts) of
        true -> error;
        false -> {ok, Parts}
    end;
path([]) ->
    error;
path(Name) ->
    case ebpf_metrics_names:name(Name) of
        error -> error;
        Text -> {ok, [Text]}
    end.

path_part(Index) when is_integer(Index), Index >= 0 -> Index;
path_part(Name) -> ebpf_metrics_names:name(Name).

named(Name) -> ["label ", shown(Name), ": "].

whole_faults(Parts) ->
    [["two labels are called ", Name] || Name <- twice(names(Parts))] ++
        ["the label le is there twice" || length([1 || {bucket, _, _} <- Parts]) > 1] ++
        ["some labels are bytes of the key, and others members: a key is one of both"
         || lists:usort([kind(Part) || Part <- Parts]) =:= [bytes, member]].

twice(Names) -> lists:usort(Names -- lists:usort(Names)).

kind({skip, _}) -> bytes;
kind({label, _, Part, _}) -> kind_of(Part);
kind({bucket, Part, _}) -> kind_of(Part).

kind_of(Size) when is_integer(Size) -> bytes;
kind_of(_Path) -> member.

%% Whether they are made of bytes or of members; none if there are none.
-spec form(labels()) -> bytes | member | none.
form([]) -> none;
form([Part | _]) -> kind(Part).

%% In their order.
-spec names(labels()) -> [binary()].
names(Parts) -> [Name || {label, Name, _, _} <- Parts].

-spec needs_host(labels()) -> boolean().
needs_host(Parts) ->
    lists:any(fun({label, _, _, Decoder}) -> ebpf_metrics_decoders:needs_host(Decoder);
                 (_) -> false
              end, Parts).

%%--------------------------------------------------------------------------------------------------
%% Keys
%%--------------------------------------------------------------------------------------------------

%% The texts of a key's labels in their order, and the number of its bucket; error if the key has
%% another size, or a decoder fails.
-spec texts(labels(), Key :: term(), ebpf_metrics_decoders:host()) ->
    {ok, [binary()], Bucket :: none | integer()} | error.
texts([], _Key, _Host) ->
    {ok, [], none};
texts(Parts, Key, Host) ->
    case form(Parts) of
        bytes when is_binary(Key) -> of_bytes(Parts, Key, Host, [], none);
        bytes -> error;
        member -> of_members(Parts, Key, Host, [], none)
    end.

of_bytes([{skip, N} | Parts], Key, Host, Texts, Bucket) when byte_size(Key) >= N ->
    <<_:N/binary, Rest/binary>> = Key,
    of_bytes(Parts, Rest, Host, Texts, Bucket);
of_bytes([{label, _, N, Decoder} | Parts], Key, Host, Texts, Bucket) when byte_size(Key) >= N ->
    <<Bytes:N/binary, Rest/binary>> = Key,
    case ebpf_metrics_decoders:decode(Decoder, Bytes, Host) of
        {ok, Text} -> of_bytes(Parts, Rest, Host, [Text | Texts], Bucket);
        error -> error
    end;
of_bytes([{bucket, N, Decoder} | Parts], Key, Host, Texts, none) when byte_size(Key) >= N ->
    <<Bytes:N/binary, Rest/binary>> = Key,
    of_bytes(Parts, Rest, Host, Texts, ebpf_metrics_decoders:number(Decoder, Bytes));
of_bytes([], <<>>, _Host, Texts, Bucket) ->
    {ok, lists:reverse(Texts), Bucket};
of_bytes(_Parts, _Key, _Host, _Texts, _Bucket) ->
    error.

of_members([{label, _, Path, Decoder} | Parts], Key, Host, Texts, Bucket) ->
    case decode_member(Decoder, member(Path, Key), Host) of
        {ok, Text} -> of_members(Parts, Key, Host, [Text | Texts], Bucket);
        error -> error
    end;
of_members([{bucket, Path, _} | Parts], Key, Host, Texts, none) ->
    case member(Path, Key) of
        {ok, Number} when is_integer(Number) -> of_members(Parts, Key, Host, Texts, Number);
        _ -> error
    end;
of_members([], _Key, _Host, Texts, Bucket) ->
    {ok, lists:reverse(Texts), Bucket}.

decode_member(Decoder, {ok, Term}, Host) -> ebpf_metrics_decoders:decode(Decoder, Term, Host);
decode_member(_Decoder, error, _Host) -> error.

%% A member of a typed term, at its path.
-spec member(path(), term()) -> {ok, term()} | error.
member([Name | Path], Term) when is_binary(Name), is_map(Term) ->
    case Term of
        #{Name := Part} -> member(Path, Part);
        _ -> error
    end;
member([Index | Path], Term) when is_integer(Index), length(Term) > Index ->
    member(Path, lists:nth(Index + 1, Term));
member([], Term) ->
    {ok, Term};
member(_Path, _Term) ->
    error.
