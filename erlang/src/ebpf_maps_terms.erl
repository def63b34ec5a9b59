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
    bad_untyped/2,
    not_each_cpu/1,
    may_be_typed/2,
    has_program/1,
    program_of/1
]).

-export_type([fields/0]).

-import(ebpf_cnode_arguments, [bad_path/1, bad_uint32/1, is_text/1, utf8/1]).
-import(ebpf_cnode_words, [shown/1, number/2]).

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

-spec is_per_cpu(fields() | ebpf_maps:type() | non_neg_integer()) -> boolean().
is_per_cpu({Type, _, _, _}) ->
    is_per_cpu(Type);
is_per_cpu(Type) ->
    lists:member(Type, [percpu_hash, percpu_array, lru_percpu_hash, percpu_cgroup_storage]).

%% As the C node sees it, which then looks for the program.
-spec is_program_like(term()) -> boolean().
is_program_like(Term) when element(1, Term) =:= ebpf_program -> true;
is_program_like(_Term) -> false.

%% The program that a value has, or is.
-spec program_of(term()) -> {value, term()} | none.
program_of({_Number, Program}) when element(1, Program) =:= ebpf_program -> {value, Program};
program_of(Term) when element(1, Term) =:= ebpf_program -> {value, Term};
program_of(_Term) -> none.

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

%% The same, but of what has no layout, even with a typed handle.
-spec bad_untyped(fields(), term()) -> none | unicode:chardata().
bad_untyped(Fields, {Key, Value}) ->
    case {may_be_typed(key, Fields), may_be_typed(value, Fields)} of
        {true, true} -> none;
        {true, false} -> bad_value(Fields, Value);
        {false, true} -> bad_key(Fields, Key);
        {false, false} -> bad_pair(Fields, {Key, Value})
    end;
bad_untyped(Fields, Term) ->
    bad_pair(Fields, Term).

%% Keys and values that name objects, and the key of a map without keys, have no layout.
%% Of values the type says it all.
-spec may_be_typed(key, fields()) -> boolean();
                  (value, fields() | ebpf_maps:type() | non_neg_integer()) -> boolean().
may_be_typed(key, {Type, KeySize, _, _}) ->
    KeySize > 0 andalso
        not lists:member(Type, [sk_storage, task_storage, inode_storage, cgrp_storage]);
may_be_typed(value, {Type, _, _, _}) ->
    may_be_typed(value, Type);
may_be_typed(value, Type) ->
    not lists:member(Type, [array_of_maps, hash_of_maps, prog_array, perf_event_array, cgroup_array,
                            sockmap, sockhash, reuseport_sockarray, xskmap]).

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
bad_value({prog_array, _, _, _}, Value) ->
    case is_program_like(Value) of
        true -> none;
        false -> ["not a program handle, as ebpf_programs:load/2 returns: ", shown(Value)]
    end;
bad_value({perf_event_array, _, _, _}, Value) ->
    ["a value of a perf_event_array is a descriptor in the C node, which callers cannot put: ",
     shown(Value)];
bad_value({_Type, _, Size, _} = Fields, Value) when byte_size(Value) =:= Size ->
    bad_program(Fields, Value);
bad_value({_Type, _, 8, _} = Fields, {Number, Program}) when
    element(1, Program) =:= ebpf_program
->
    bad_numbered(Fields, Number);
bad_value({Type, _, Size, _}, {ifname, Name}) ->
    bad_ifname(Type, Name, Size =:= 4 orelse Size =:= 8);
bad_value({_Type, _, Size, _} = Fields, Values) when is_list(Values) ->
    case is_per_cpu(Fields) of
        true when length(Values) >= 0 -> bad_each("value", Values, Size);
        true -> ["not a list: ", shown(Values)];
        false -> bad_bytes("value", Values, Size)
    end;
bad_value({_Type, _, Size, _} = Fields, Value) when is_map(Value) ->
    [bad_bytes("value", Value, Size)
     | ["; or it has some, and bytes 5 to 8 are not 0: they are the descriptor of a program in the "
        "C node" || has_program(Fields)]];
bad_value({_Type, _, Size, _}, Value) ->
    bad_bytes("value", Value, Size).

%% Of a list of another length than there are CPUs, which only the C node knows.
-spec not_each_cpu([term()]) -> unicode:chardata().
not_each_cpu(Values) ->
    ["a list of ", number(length(Values), "value"), ": it must have one for each possible CPU of the "
     "C node's host"].

bad_each(_What, [], _Size) ->
    none;
bad_each(What, [Term | Terms], Size) ->
    case bad_bytes(What, Term, Size) of
        none -> bad_each(What, Terms, Size);
        Text -> Text
    end.

%% {Number, Program}: an interface, or the length of a queue.
bad_numbered({Type, _, _, _} = Fields, Number) ->
    case {has_program(Fields), Number} of
        {false, _} -> io_lib:format("a map of type ~w does not take {_, Program}", [Type]);
        {true, {ifname, Name}} -> bad_ifname(Type, Name, true);
        {true, _} -> bad_uint32(Number)
    end.

bad_program(Fields, <<_:4/binary, Program:4/binary, _/binary>> = Value) when
    Program =/= <<0:32>>
->
    case has_program(Fields) of
        true ->
            ["bytes 5 to 8 are the descriptor of a program in the C node, and must be 0: ",
             shown(Value)];
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

bad_ifname(Type, _Name, _Fits) when Type =/= devmap, Type =/= devmap_hash ->
    io_lib:format("a map of type ~w does not take {ifname, _}", [Type]);
bad_ifname(_Type, _Name, false) ->
    "an interface index takes 4 bytes";
bad_ifname(_Type, Name, true) ->
    case is_text(Name) andalso utf8(Name) of
        Text when is_binary(Text), byte_size(Text) < ?IFNAME_SIZE -> none;
        _ -> ["not the name of an interface: ", shown(Name)]
    end.

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
bad_bytes(_What, Term, _Size) when is_map(Term) ->
    ["an Erlang map, but the handle has no types, and so takes bytes: typed/2 returns one that has"];
bad_bytes(_What, Term, _Size) ->
    ["neither a binary nor an integer: ", shown(Term)].
