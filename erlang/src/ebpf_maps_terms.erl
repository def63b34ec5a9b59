%% SPDX-License-Identifier: Apache-2.0
%%
%% What can be told of a key or a value without asking the C node, by what the handle of its map
%% prints. It says no only where the C node would; the C node has the last word.
%% @private
-module(ebpf_maps_terms).

-export([
    is_handle/1,
    fields/1,
    is_per_cpu/1,
    bad_key/2,
    bad_value/2,
    bad_pair/2
]).

-export_type([fields/0]).

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

%% What a handle prints. The C node believes none of it.
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

%% none, or in words why a key or a value cannot be one of the map.
-spec bad_pair(fields(), term()) -> none | io_lib:chars().
bad_pair(Fields, {Key, Value}) ->
    case bad_key(Fields, Key) of
        none -> bad_value(Fields, Value);
        Text -> Text
    end;
bad_pair(_Fields, _Term) ->
    "not a pair {Key, Value}".

-spec bad_key(fields(), term()) -> none | io_lib:chars().
bad_key({task_storage, _, _, _}, Key) ->
    case Key of
        {pid, Pid} when ?IS_SIZE(Pid) -> none;
        _ -> "a key of this map is {pid, OsPid}"
    end;
bad_key({inode_storage, _, _, _}, Key) ->
    bad_path(Key, file, "a key of this map is {file, Path}");
bad_key({cgrp_storage, _, _, _}, Key) ->
    bad_path(Key, cgroup, "a key of this map is {cgroup, Path}");
bad_key({_Type, Size, _, _}, Key) when byte_size(Key) =:= Size ->
    none;
bad_key({lpm_trie, Size, _, _}, {Address, PrefixLength}) when is_tuple(Address) ->
    bad_prefix(Address, PrefixLength, Size);
bad_key({_Type, Size, _, _}, {ifname, Name}) ->
    bad_ifname(Name, Size =:= 4);
bad_key({Type, _, _, _}, {cgroup, Path}) when
    Type =:= cgroup_storage; Type =:= percpu_cgroup_storage
->
    bad_name(Path, "the path of a cgroup is a string or a binary");
bad_key({Type, _, _, _}, {Tag, _}) when Tag =:= pid; Tag =:= file; Tag =:= cgroup ->
    io_lib:format("a map of type ~w has no keys of the form {~w, _}", [Type, Tag]);
bad_key({_Type, Size, _, _}, Key) ->
    bad_octets("key", Key, Size).

bad_prefix(Address, PrefixLength, Size) ->
    case {tuple_size(Address), Size} of
        {4, 8} -> bad_prefix(Address, 255, PrefixLength, 32);
        {8, 20} -> bad_prefix(Address, 65535, PrefixLength, 128);
        {4, _} -> io_lib:format("an IPv4 prefix takes 8 octets, the map's keys are ~w", [Size]);
        {8, _} -> io_lib:format("an IPv6 prefix takes 20 octets, the map's keys are ~w", [Size]);
        _ -> "not an address"
    end.

bad_prefix(Address, Largest, PrefixLength, Longest) ->
    IsPart = fun(Part) -> is_integer(Part) andalso Part >= 0 andalso Part =< Largest end,
    case lists:all(IsPart, tuple_to_list(Address)) of
        true when is_integer(PrefixLength), PrefixLength >= 0, PrefixLength =< Longest -> none;
        true -> io_lib:format("the prefix length is not an integer from 0 to ~w", [Longest]);
        false -> "not an address"
    end.

-spec bad_value(fields(), term()) -> none | io_lib:chars().
bad_value({Type, _, _, _}, Value) when Type =:= array_of_maps; Type =:= hash_of_maps ->
    case is_handle(Value) of
        true -> none;
        false -> "a value of this map is the handle of a map"
    end;
bad_value({cgroup_array, _, _, _}, Value) ->
    bad_path(Value, cgroup, "a value of this map is {cgroup, Path}");
bad_value({_Type, _, Size, _}, Value) when byte_size(Value) =:= Size ->
    none;
bad_value({_Type, _, Size, _}, {ifname, Name}) ->
    bad_ifname(Name, Size =:= 4 orelse Size =:= 8);
bad_value({_Type, _, Size, _} = Fields, Values) when is_list(Values) ->
    case is_per_cpu(Fields) of
        true when length(Values) >= 0 -> bad_each("value", Values, Size);
        true -> "not a list";
        false -> bad_octets("value", Values, Size)
    end;
bad_value({_Type, _, Size, _}, Value) ->
    bad_octets("value", Value, Size).

bad_each(_What, [], _Size) ->
    none;
bad_each(What, [Term | Terms], Size) ->
    case bad_octets(What, Term, Size) of
        none -> bad_each(What, Terms, Size);
        Text -> Text
    end.

bad_path({Tag, Path}, Tag, Text) -> bad_name(Path, Text);
bad_path(_Term, _Tag, Text) -> Text.

bad_ifname(Name, true) -> bad_name(Name, "the name of an interface is a string or a binary");
bad_ifname(_Name, false) -> "an interface index takes 4 octets".

bad_name(Name, _Text) when is_binary(Name); is_atom(Name); is_list(Name) -> none;
bad_name(_Name, Text) -> Text.

bad_octets(_What, Octets, Size) when byte_size(Octets) =:= Size ->
    none;
bad_octets(What, Octets, Size) when is_binary(Octets) ->
    io_lib:format("the ~s is ~w octets, the map's ~ss are ~w",
                  [What, byte_size(Octets), What, Size]);
bad_octets(What, Integer, 0) when is_integer(Integer) ->
    io_lib:format("the map has no ~ss: only <<>> fits", [What]);
bad_octets(_What, Integer, Size) when is_integer(Integer) ->
    case Integer bsr (8 * Size - 1) of
        Sign when Sign >= -1, Sign =< 1 -> none;
        _ -> io_lib:format("the integer does not fit in ~w octets", [Size])
    end;
bad_octets(_What, _Term, _Size) ->
    "neither a binary nor an integer".
