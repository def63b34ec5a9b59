%% SPDX-License-Identifier: Apache-2.0
%%
%% {id, Id}, {name, Name} and {pinned, Path} in place of a map: which functions take them, and in
%% words what is wrong with one.
%% @private
-module(ebpf_maps_locators).

-export([takes/1, fields/2, words/3]).

%% A function that is about a handle, or continues from message to message, needs one.
-spec takes(Function :: atom()) -> boolean().
takes(Function) ->
    not lists:member(Function, [close, fd, typed, iterator, next, next_chunk, drain_chunk]).

%% Those of the map that it names, as far as the C node can be asked at once.
-spec fields(Locator :: term(), ebpf_cnode_request:destination()) ->
    ebpf_maps_terms:fields() | unknown.
fields(Locator, Node) ->
    case ebpf_cnode_request:ask_at_once(Node, info, [Locator]) of
        {value, #{type := Type, key_size := KeySize, value_size := ValueSize, max_entries := N}} ->
            {Type, KeySize, ValueSize, N};
        _ ->
            unknown
    end.

%% none if the reason is not about the locator.
-spec words(Reason :: term(), Function :: atom(), Locator :: term()) ->
    none | unicode:chardata().
words(badarg, Function, Locator) ->
    case {ebpf_maps_terms:is_locator(Locator), takes(Function)} of
        {false, _} -> none;
        {true, true} -> ebpf_maps_arguments:bad_what(Locator);
        {true, false} -> "this function takes a handle: open the map with open/1, and close it "
                         "afterwards"
    end;
words(ambiguous, _Function, {name, _}) ->
    "several maps have this name: use {id, Id} or {pinned, Path}; list/0 shows all maps";
words(enoent, _Function, {id, _}) ->
    "there is no map with this id";
words(enoent, _Function, {name, _}) ->
    "there is no map with this name, or none that the C node may read";
words(enoent, _Function, {pinned, _}) ->
    "there is nothing at this path";
words(eacces, _Function, {pinned, _}) ->
    "the path is not below the C node's --pin-root, it is in the folder of its --keep, it is not "
    "in a bpf file system, its permissions do not allow this, or this node may only read (--allow, --read-only of the C "
    "node)";
words(eperm, _Function, {Tag, _}) when Tag =:= id; Tag =:= name ->
    "the C node may not open maps by id (--no-open-by-id, or no CAP_SYS_ADMIN), or this map is "
    "frozen, or protected by a security module";
words(einval, _Function, {pinned, _}) ->
    "there is no map at this path, or it is not one for this function";
words(notype, _Function, _Locator) ->
    "the kernel has no types of this map: open it with {types, {KeyLayout, ValueLayout}}";
words(_Reason, _Function, _Locator) ->
    none.
