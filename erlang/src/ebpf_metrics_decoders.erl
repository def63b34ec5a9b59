%% SPDX-License-Identifier: Apache-2.0
%%
%% Makes the text of a label of some bytes of a key, or of a member of a typed one. What comes is
%% what a program of any host has put there: it may be anything.
%% @private
-module(ebpf_metrics_decoders).

-export([fault/2, decode/3, number/2, needs_host/1]).

-export_type([decoder/0, host/0]).

-import(ebpf_cnode_words, [shown/1]).

%% A byte that cannot be part of a text.
-define(UNKNOWN, <<16#fffd/utf8>>).

-type endian() :: little | big | native.
-type decoder() :: default | uint | {uint, endian()} | string | hex | ip | {enum, map()} | ifname
                 | cgroup | errno | fun((term()) -> unicode:chardata()).
%% What is known of the host of a key, by ebpf_maps:host/0.
-type host() :: #{interfaces => #{integer() => unicode:chardata()},
                  cgroups => #{integer() => unicode:chardata()}, _ => _}.

%%--------------------------------------------------------------------------------------------------
%% Declarations
%%--------------------------------------------------------------------------------------------------

%% What is wrong with a decoder of that many bytes, or of a member.
-spec fault(term(), Size :: pos_integer() | member) -> none | unicode:chardata().
fault(Uint, Size) when Uint =:= uint; Uint =:= ifname; Uint =:= cgroup; Uint =:= errno ->
    of_integer(Uint, Size);
fault({uint, Endian}, Size) when Endian =:= little; Endian =:= big; Endian =:= native ->
    of_integer(uint, Size);
fault(Decoder, _Size) when Decoder =:= string; Decoder =:= hex ->
    none;
fault(ip, Size) when Size =:= 4; Size =:= 16; Size =:= member ->
    none;
fault(ip, Size) ->
    io_lib:format("the decoder ip takes 4 or 16 bytes, not ~w", [Size]);
fault({enum, Names}, Size) when is_map(Names) ->
    Bad = [Pair || {N, Name} = Pair <- maps:to_list(Names),
                   not is_integer(N) orelse ebpf_metrics_names:name(Name) =:= error],
    case Bad of
        [] -> of_integer(enum, Size);
        [Pair | _] -> ["the decoder enum has names by numbers, not ", shown(Pair)]
    end;
fault(Fun, _Size) when is_function(Fun, 1) ->
    none;
fault(Term, _Size) ->
    ["not a decoder, which is uint, {uint, big}, {uint, little}, string, hex, ip, "
     "{enum, #{Number => Name}}, ifname, cgroup, errno or a fun of one argument: ", shown(Term)].

of_integer(_Decoder, Size) when Size =:= member; Size =< 16 -> none;
of_integer(Decoder, Size) ->
    io_lib:format("the decoder ~w takes up to 16 bytes, not ~w", [Decoder, Size]).

-spec needs_host(decoder()) -> boolean().
needs_host(Decoder) -> Decoder =:= ifname orelse Decoder =:= cgroup.

%%--------------------------------------------------------------------------------------------------
%% Decoding
%%--------------------------------------------------------------------------------------------------

%% A valid text, or error where the decoder fails or returns none.
-spec decode(decoder(), Bytes :: term(), host()) -> {ok, binary()} | error.
decode(Decoder, Term, Host) ->
    try valid(text(Decoder, Term, Host)) of
        Text -> {ok, Text}
    catch
        _:_ -> error
    end.

text(default, Term, _Host) -> plain(Term);
text(string, Term, _Host) -> until_nul(bytes(Term));
text(hex, Term, _Host) when is_integer(Term) -> string:lowercase(integer_to_binary(Term, 16));
text(hex, Term, _Host) -> string:lowercase(binary:encode_hex(bytes(Term)));
text(ip, Term, _Host) -> address(Term);
text({enum, Names}, Term, _Host) ->
    Number = number(uint, Term),
    case maps:get(Number, Names, none) of
        none -> integer_to_binary(Number);
        Name -> ebpf_cnode_arguments:utf8(Name)
    end;
text(ifname, Term, Host) -> named(interfaces, Term, Host);
text(cgroup, Term, Host) -> named(cgroups, Term, Host);
text(errno, Term, _Host) -> errno(Term);
text(Fun, Term, _Host) when is_function(Fun, 1) -> Fun(Term);
text(Uint, Term, _Host) -> integer_to_binary(number(Uint, Term)).

%% In the order of bytes of the hosts, if it does not say which.
-spec number(uint | {uint, endian()}, Bytes :: term()) -> integer().
number(_Uint, Number) when is_integer(Number) ->
    Number;
number({uint, big}, Bytes) ->
    binary:decode_unsigned(Bytes, big);
number({uint, little}, Bytes) ->
    binary:decode_unsigned(Bytes, little);
number(_Native, Bytes) ->
    Bits = bit_size(Bytes),
    <<Number:Bits/native>> = Bytes,
    Number.

%% A member of a typed view, as it comes.
plain(Number) when is_integer(Number) -> integer_to_binary(Number);
plain(Number) when is_float(Number) -> float_to_binary(Number, [short]);
plain(Name) when is_atom(Name) -> atom_to_binary(Name);
plain(Text) when is_binary(Text) -> Text.

bytes(Bytes) when is_binary(Bytes) -> Bytes;
bytes(List) when is_list(List) -> list_to_binary(List).

until_nul(Bytes) ->
    hd(binary:split(Bytes, <<0>>)).

address(<<A, B, C, D>>) -> inet:ntoa({A, B, C, D});
address(<<Parts:16/binary>>) -> inet:ntoa(list_to_tuple([P || <<P:16>> <= Parts]));
address(Number) when is_integer(Number), Number >= 0, Number < 1 bsl 32 -> address(<<Number:32>>);
address(List) when is_list(List) -> address(list_to_binary(List)).

named(Kind, Term, Host) ->
    Number = number(uint, Term),
    case maps:get(Number, maps:get(Kind, Host, #{}), none) of
        none -> integer_to_binary(Number);
        Name -> Name
    end.

%% Programs have them as they return them, below zero, in 32 bits or in 64.
errno(Term) ->
    Number = number(uint, Term),
    case ebpf_metrics_errno:name(positive(Number)) of
        none -> integer_to_binary(Number);
        Name -> Name
    end.

positive(Number) when Number > 1 bsl 64 - 4096, Number < 1 bsl 64 -> 1 bsl 64 - Number;
positive(Number) when Number > 1 bsl 32 - 4096, Number < 1 bsl 32 -> 1 bsl 32 - Number;
positive(Number) -> abs(Number).

%%--------------------------------------------------------------------------------------------------
%% Texts
%%--------------------------------------------------------------------------------------------------

%% As UTF-8, with a sign in place of what is none, and of characters that are for no reader.
valid(Text) when is_binary(Text) ->
    valid(Text, <<>>);
valid(Atom) when is_atom(Atom) ->
    error(badarg);
valid(Chars) ->
    case unicode:characters_to_binary(Chars) of
        Text when is_binary(Text) -> valid(Text)
    end.

valid(<<C/utf8, Rest/binary>>, Acc) when C >= 32, C < 127; C > 159; C =:= $\n; C =:= $\t ->
    valid(Rest, <<Acc/binary, C/utf8>>);
valid(<<_/utf8, Rest/binary>>, Acc) ->
    valid(Rest, <<Acc/binary, ?UNKNOWN/binary>>);
valid(<<_, Rest/binary>>, Acc) ->
    valid(Rest, <<Acc/binary, ?UNKNOWN/binary>>);
valid(<<>>, Acc) ->
    Acc.
