%% SPDX-License-Identifier: Apache-2.0
%%
%% Checks keys and values without asking the C node, by what the handle of the map prints. It
%% rejects only what the C node would reject; the C node has the last word.
%% @private
-module(ebpf_maps_terms).

-export([
    is_handle/1,
    is_locator/1,
    is_map_like/1,
    fields/1,
    is_per_cpu/1,
    bad_key/2,
    bad_value/2,
    bad_pair/2,
    bad_path/1,
    has_program/1,
    shown/1,
    number/2
]).

-export_type([fields/0]).

-define(PATH_SIZE, 4096). % in the C node, with the final zero
-define(IFNAME_SIZE, 64).
-define(IS_SIZE(N), (is_integer(N) andalso N >= 0 andalso N < 1 bsl 32)).

-type fields() :: {
    Type :: atom() | non_neg_integer(),
    KeySize :: non_neg_integer(),
    ValueSize :: non_neg_integer(),
    MaxEntries :: term()
}.

-spec is_handle(term()) -> boolean().
is_handle(Term) when element(1, Term) =:= ebpf_map, is_reference(element(2, Term)) -> true;
is_handle(_Term) -> false.

%% Names a map in place of a handle; only the tag is checked.
-spec is_locator(term()) -> boolean().
is_locator({Tag, _}) -> Tag =:= id orelse Tag =:= name orelse Tag =:= pinned;
is_locator(_Term) -> false.

-spec is_map_like(term()) -> boolean().
is_map_like(Term) -> is_handle(Term) orelse is_locator(Term).

%% The fields that a handle prints. The C node trusts none of them.
-spec fields(term()) -> fields() | unknown.
fields({ebpf_map, Ref, Type, KeySize, ValueSize, MaxEntries}) when
    is_reference(Ref), ?IS_SIZE(KeySize), ?IS_SIZE(ValueSize)
->
    {Type, KeySize, ValueSize, MaxEntries};
fields(_Term) ->
    unknown.

-spec is_per_cpu(fields()) -> boolean().
is_per_cpu({Type, _, _, _}) ->
    lists:member(Type, [percpu_hash, percpu_array, lru_percpu_hash, percpu_cgroup_storage]).

%% Bytes 5 to 8 of a value are the descriptor of a program.
-spec has_program(fields()) -> boolean().
has_program({Type, _, Size, _}) ->
    Size >= 8 andalso lists:member(Type, [devmap, devmap_hash, cpumap]).

%% none, or in words why this is not a key or a value of the map.
-spec bad_pair(fields(), term()) -> none | unicode:chardata().
bad_pair(Fields, {Key, Value}) ->
    case bad_key(Fields, Key) of
        none -> bad_value(Fields, Value);
        Text -> Text
    end;
bad_pair(_Fields, Term) ->
    ["not a pair {Key, Value}: ", shown(Term)].

-spec bad_key(fields(), term()) -> none | unicode:chardata().
bad_key({task_storage, _, _, _}, Key) ->
    case Key of
        {pid, Pid} when is_integer(Pid), Pid > 0, Pid < 1 bsl 31 -> none;
        _ -> ["not {pid, OsPid} with an integer from 1 to 2147483647: ", shown(Key)]
    end;
bad_key({inode_storage, _, _, _}, Key) ->
    bad_tagged_path(file, Key);
bad_key({cgrp_storage, _, _, _}, Key) ->
    bad_tagged_path(cgroup, Key);
%% no key fits, and the C node raises enotsup
bad_key({sk_storage, _, _, _}, _Key) ->
    none;
bad_key({_Type, Size, _, _}, Key) when byte_size(Key) =:= Size ->
    none;
bad_key({lpm_trie, Size, _, _}, {Address, PrefixLength}) when is_tuple(Address) ->
    bad_prefix(Address, PrefixLength, Size);
bad_key({Type, Size, _, _}, {ifname, Name}) ->
    bad_ifname(Type, Name, Size =:= 4);
bad_key({Type, _, _, _}, {Tag, _}) when Tag =:= pid; Tag =:= file; Tag =:= cgroup ->
    io_lib:format("a map of type ~w does not take {~w, _} as a key", [Type, Tag]);
bad_key({_Type, Size, _, _}, Key) ->
    bad_bytes("key", Key, Size).

bad_prefix(Address, PrefixLength, Size) ->
    case {tuple_size(Address), Size} of
        {4, 8} ->
            bad_prefix(Address, 255, PrefixLength, 32);
        {8, 20} ->
            bad_prefix(Address, 65535, PrefixLength, 128);
        {4, _} ->
            ["an IPv4 prefix needs keys of 8 bytes; those of the map have ", number(Size, "byte")];
        {8, _} ->
            ["an IPv6 prefix needs keys of 20 bytes; those of the map have ", number(Size, "byte")];
        _ ->
            ["not an address: ", shown(Address)]
    end.

bad_prefix(Address, Largest, PrefixLength, Longest) ->
    IsPart = fun(Part) -> is_integer(Part) andalso Part >= 0 andalso Part =< Largest end,
    case lists:all(IsPart, tuple_to_list(Address)) of
        true when is_integer(PrefixLength), PrefixLength >= 0, PrefixLength =< Longest ->
            none;
        true ->
            [io_lib:format("the prefix length is not an integer from 0 to ~w: ", [Longest]),
             shown(PrefixLength)];
        false ->
            ["not an address: ", shown(Address)]
    end.

-spec bad_value(fields(), term()) -> none | unicode:chardata().
bad_value({Type, _, _, _}, Value) when Type =:= array_of_maps; Type =:= hash_of_maps ->
    case is_map_like(Value) of
        true -> none;
        false -> ["not a map handle, nor {id, Id}, {name, Name} or {pinned, Path}: ", shown(Value)]
    end;
bad_value({cgroup_array, _, _, _}, Value) ->
    bad_tagged_path(cgroup, Value);
bad_value({Type, _, _, _}, Value) when Type =:= prog_array; Type =:= perf_event_array ->
    io_lib:format("a value of a ~w is a descriptor in the C node, which callers cannot put: ~ts",
                  [Type, shown(Value)]);
bad_value({_Type, _, Size, _} = Fields, Value) when byte_size(Value) =:= Size ->
    bad_program(Fields, Value);
bad_value({Type, _, Size, _}, {ifname, Name}) ->
    bad_ifname(Type, Name, Size =:= 4 orelse Size =:= 8);
bad_value({_Type, _, Size, _} = Fields, Values) when is_list(Values) ->
    case is_per_cpu(Fields) of
        true when length(Values) >= 0 -> bad_each("value", Values, Size);
        true -> ["not a list: ", shown(Values)];
        false -> bad_bytes("value", Values, Size)
    end;
bad_value({_Type, _, Size, _}, Value) ->
    bad_bytes("value", Value, Size).

bad_each(_What, [], _Size) ->
    none;
bad_each(What, [Term | Terms], Size) ->
    case bad_bytes(What, Term, Size) of
        none -> bad_each(What, Terms, Size);
        Text -> Text
    end.

bad_program(Fields, <<_:4/binary, Program:4/binary, _/binary>> = Value) when
    Program =/= <<0:32>>
->
    case has_program(Fields) of
        true -> ["bytes 5 to 8 are the descriptor of a program in the C node, and must be 0: ", shown(Value)];
        false -> none
    end;
bad_program(_Fields, _Value) ->
    none.

bad_tagged_path(Tag, {Tag, Path}) ->
    case is_text(Path) of
        true -> bad_path(Path);
        false -> ["the path is neither a string nor a binary: ", shown(Path)]
    end;
bad_tagged_path(Tag, Term) ->
    [io_lib:format("not {~w, Path}: ", [Tag]), shown(Term)].

%% Why a text is not a path for the C node.
-spec bad_path(atom() | string() | binary()) -> none | unicode:chardata().
bad_path(Text) ->
    Path = utf8(Text),
    case Path of
        <<"/", _/binary>> when byte_size(Path) < ?PATH_SIZE ->
            case binary:match(Path, <<0>>) of
                nomatch -> none;
                _ -> ["the path has a zero byte: ", shown(Text)]
            end;
        <<"/", _/binary>> ->
            io_lib:format("the path has ~w bytes, more than ~w",
                          [byte_size(Path), ?PATH_SIZE - 1]);
        _ ->
            ["not an absolute path: ", shown(Text)]
    end.

bad_ifname(Type, _Name, _Fits) when Type =/= devmap, Type =/= devmap_hash ->
    io_lib:format("a map of type ~w does not take {ifname, _}", [Type]);
bad_ifname(_Type, _Name, false) ->
    "an interface index takes 4 bytes";
bad_ifname(_Type, Name, true) ->
    case is_text(Name) andalso utf8(Name) of
        Text when is_binary(Text), byte_size(Text) < ?IFNAME_SIZE -> none;
        _ -> ["not the name of an interface: ", shown(Name)]
    end.

is_text(Text) when is_list(Text) ->
    length(Text) >= 0 andalso
        lists:all(fun(C) -> is_integer(C) andalso C >= 0 andalso C =< 16#10ffff end, Text);
is_text(Text) ->
    is_atom(Text) orelse is_binary(Text).

%% Half of a surrogate pair is a character for the C node, but not in Erlang.
utf8(Text) when is_atom(Text) -> atom_to_binary(Text);
utf8(Text) when is_binary(Text) -> Text;
utf8(Text) -> << <<(case C band 16#1ff800 of 16#d800 -> 16#fffd; _ -> C end)/utf8>> || C <- Text >>.

bad_bytes(_What, Bytes, Size) when byte_size(Bytes) =:= Size ->
    none;
bad_bytes(What, Bytes, Size) when is_binary(Bytes) ->
    [shown(Bytes), " has ", number(byte_size(Bytes), "byte"), "; a ", What, " of the map has ",
     number(Size, "byte")];
bad_bytes(What, _Term, 0) ->
    ["the map has no ", What, "s: only <<>> fits"];
bad_bytes(_What, Integer, Size) when is_integer(Integer) ->
    case Integer bsr (8 * Size - 1) of
        Sign when Sign >= -1, Sign =< 1 -> none;
        _ -> [shown(Integer), " does not fit in ", number(Size, "byte")]
    end;
bad_bytes(_What, Term, _Size) ->
    ["neither a binary nor an integer: ", shown(Term)].

%%--------------------------------------------------------------------------------------------------
%% Texts
%%--------------------------------------------------------------------------------------------------

%% A term as the shell prints it, but shortened to one line.
-spec shown(term()) -> unicode:chardata().
shown(Term) ->
    io_lib:format("~0tp", [Term], [{chars_limit, 60}]).

%% 1 byte, 2 bytes
-spec number(non_neg_integer(), string()) -> iolist().
number(1, Noun) -> ["1 ", Noun];
number(N, Noun) -> [integer_to_list(N), $\s, Noun, $s].
