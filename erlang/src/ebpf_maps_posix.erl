%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains an error number, by the function that raised it and the type of its map. Names all
%% causes that are possible, or if those are too many gives the kernel's own words.
%% @private
-module(ebpf_maps_posix).

-export([explain/3, absent/3, named/2]).

-import(ebpf_maps_arguments, [argument/3, position/3]).
-import(ebpf_cnode_words, [shown/1]).

-type words() :: ebpf_cnode_words:words().

-spec explain(Posix :: atom(), atom(), Args :: [term()]) -> words().
explain(Posix, Function, Args) ->
    Fields = fields_of_map(Posix, Function, Args),
    case words(Posix, Function, Fields, Args) of
        Words when is_map(Words) -> Words;
        unknown -> #{general => ebpf_cnode_words:kernel_says(Posix)};
        Text -> #{general => Text}
    end.

%% Why there is no such key.
-spec absent(term(), atom(), Args :: [term()]) -> unicode:chardata().
absent(Key, Function, Args) ->
    case fields_of_map(Function, Args) of
        {Type, _, _, Max} when is_integer(Max), Max > 0 ->
            IsBeyond = Type =:= array orelse Type =:= percpu_array orelse
                is_integer(Key) andalso (Key >= Max orelse Key < 0),
            case is_indexed(Type) andalso IsBeyond of
                true -> no_index(Max);
                false -> "not present in the map"
            end;
        _ ->
            "not present in the map"
    end.

%% What a map that is only named cannot do is asked for; other reasons are explained without.
fields_of_map(enotsup, Function, Args) ->
    case argument(map, Function, Args) of
        {value, {_, _} = Locator} ->
            ebpf_maps_locators:fields(Locator, ebpf_cnode_request:default_node());
        _ -> fields_of_map(Function, Args)
    end;
fields_of_map(_Posix, Function, Args) ->
    fields_of_map(Function, Args).

fields_of_map(next, [{ebpf_iterator, Map, _, _, _}]) ->
    ebpf_maps_terms:fields(Map);
fields_of_map(Function, Args) ->
    case argument(map, Function, Args) of
        {value, Map} -> ebpf_maps_terms:fields(Map);
        none -> unknown
    end.

type(unknown) -> unknown;
type({Type, _, _, _}) -> Type.

%%--------------------------------------------------------------------------------------------------
%% By the number
%%--------------------------------------------------------------------------------------------------

words(notype, _Function, _Fields, _Args) ->
    "the handle has no types: typed/2 returns one that has";
words(e2big, Function, {Type, _, _, Max}, Args) when is_integer(Max), Max > 0 ->
    case is_indexed(Type) of
        true -> at(key, Function, Args, no_index(Max));
        false -> full(Max)
    end;
words(e2big, _Function, _Fields, _Args) ->
    "the map is full, or the key is an index out of range";
words(enospc, _Function, {lpm_trie, _, _, Max}, _Args) when is_integer(Max) ->
    full(Max);
words(einval, Function, Fields, Args) ->
    invalid(Function, type(Fields), Fields, Args);
words(enotsupp, _Function, unknown, _Args) ->
    "the kernel does not support this operation on a map of this type";
words(enotsupp, _Function, {Type, _, _, _}, _Args) ->
    ["the kernel does not support this operation on a map of type ", shown(Type)];
words(enotsup, put_members, Fields, [_, _, Map]) ->
    no_members(ebpf_maps_typed:layouts(Map), type(Fields));
words(enotsup, Function, Fields, _Args) ->
    unsupported(Function, type(Fields));
words(eacces, Function, _Fields, Args) ->
    refused(Function, Args);
words(eperm, Function, Fields, _Args) ->
    forbidden(Function, type(Fields));
words(emfile, _Function, _Fields, _Args) ->
    "the C node has no handle or descriptor left: close some maps, or raise its --max-maps, "
    "--max-maps-per-node or ulimit -n";
words(enomem, Function, {cpumap, _, _, _}, Args) ->
    case puts_program(Function, Args) of
        true ->
            ["the program was not loaded for a cpumap; or ", words(enomem, Function, unknown, Args)];
        false -> words(enomem, Function, unknown, Args)
    end;
words(enomem, _Function, _Fields, _Args) ->
    "the C node's host is out of memory, or the C node has reached its --max-memory or "
    "--max-map-memory";
words(Posix, Function, Fields, Args) when
    Posix =:= enoent; Posix =:= esrch; Posix =:= enodev; Posix =:= enotdir
->
    case [Term || Term <- named(Function, Args), fits(Posix, element(1, Term))] of
        [] -> gone(Posix, Function, Fields);
        [{Tag, Name}] -> ["the C node's host has no ", what(Tag), " ", shown(Name)];
        [{Tag, _} | _] -> ["the C node's host lacks a ", what(Tag), " that is named here"]
    end;
words(ebadf, Function, Fields, _Args) ->
    case holds_maps(type(Fields)) andalso lists:member(Function, [put, merge]) of
        true -> "the map that is the value was closed meanwhile";
        false -> unknown
    end;
words(_Posix, _Function, _Fields, _Args) ->
    unknown.

no_index(Max) ->
    io_lib:format("out of range: the map's indexes are 0 to ~w", [Max - 1]).

full(Max) ->
    io_lib:format("the map is full (max_entries is ~w)", [Max]).

at(Role, Function, Args, Text) ->
    case position(Role, Function, length(Args)) of
        none -> Text;
        N -> #{N => Text}
    end.

%%--------------------------------------------------------------------------------------------------
%% einval
%%--------------------------------------------------------------------------------------------------

invalid(Function, Type, Fields, Args) ->
    case {removes(Function), puts(Function)} of
        {true, _} when
            Type =:= array; Type =:= percpu_array; Type =:= cgroup_storage;
            Type =:= percpu_cgroup_storage
        ->
            io_lib:format("entries of a map of type ~w cannot be removed", [Type]);
        {true, _} when Type =:= queue; Type =:= stack ->
            "the map has no keys: remove values with pop/1, drain/1, or take/2 of <<>>";
        {_, true} when Type =:= queue; Type =:= stack ->
            "the map has no keys: add values with push/2, or put/3 under <<>>";
        {_, true} when Type =:= prog_array ->
            at(value, Function, Args, "the program is not of the type of those that use this map");
        {_, true} when Type =:= devmap; Type =:= devmap_hash ->
            at(value, Function, Args,
               ["the C node's host has no network interface with this index"
                | ["; or the program was not loaded for a devmap" || puts_program(Function, Args)]]);
        {_, true} when Type =:= array_of_maps; Type =:= hash_of_maps ->
            at(value, Function, Args, "its type or sizes are not those of this map's inner_map");
        _ when Type =:= lpm_trie ->
            {_, KeySize, _, _} = Fields,
            Bits = 8 * (KeySize - 4),
            at(key, Function, Args, io_lib:format("the prefix is longer than ~w bits", [Bits]));
        _ ->
            unknown
    end.

%%--------------------------------------------------------------------------------------------------
%% enotsup
%%--------------------------------------------------------------------------------------------------

no_members({_, {Tag, _, _}}, Type) when Tag =:= struct; Tag =:= union ->
    case ebpf_maps_terms:may_be_typed(value, Type) of
        true ->
            "the handle's values are not Erlang maps: make one with {as, map}; or it only reads, as "
            "it folds the values of CPUs or has {as, [Member]}";
        false ->
            ["the values of a map of type ", shown(Type), " have no members"]
    end;
no_members({_, Layout}, _Type) ->
    ["a value of the map has no members: it is ", shown(Layout)];
no_members(unknown, _Type) ->
    "a value of the map has no members, or the handle's values are not Erlang maps".

unsupported(_Function, unknown) ->
    unknown;
unsupported(Function, Type) ->
    case lacks(Function, Type) of
        none -> only_reads(Function, Type);
        Text -> Text
    end.

%% Only the words for it know that it reads: it prints as any other.
only_reads(Function, Type) ->
    case writes(Function) andalso ebpf_maps_terms:may_be_typed(value, Type) of
        true -> "the handle only reads: it folds the values of CPUs, or has {as, [Member]}";
        false -> unable(Type)
    end.

unable(Type) ->
    ["a map of type ", shown(Type), " does not support this operation"].

%% What no handle of the type can do, or none.
lacks(_Function, sk_storage) ->
    "its keys are sockets of the C node's own process, which callers cannot name";
lacks(_Function, Type) when Type =:= ringbuf; Type =:= user_ringbuf ->
    io_lib:format("a map of type ~w has no keys or entries: eBPF programs and those that map its "
                  "memory share it", [Type]);
lacks(_Function, struct_ops) ->
    unable(struct_ops);
lacks(Function, bloom_filter) when Function =/= push, Function =/= put, Function =/= merge ->
    "a bloom filter has no keys or entries to read: use push/2 and is_key/2";
lacks(_Function, bloom_filter) ->
    none;
lacks(Function, Type) when Type =:= queue; Type =:= stack ->
    case writes(Function) of
        true -> none;
        false -> "a queue or a stack has no keys: use push/2, pop/1, peek/1, drain/1 or clear/1"
    end;
lacks(Function, _Type) when Function =:= push; Function =:= pop; Function =:= peek ->
    "the map has keys: this function is for queues, stacks and bloom filters";
lacks(Function, Type) when Type =:= task_storage; Type =:= inode_storage; Type =:= cgrp_storage ->
    case walks(Function) of
        true -> io_lib:format("the kernel cannot walk through a map of type ~w: ask for single keys",
                              [Type]);
        false -> none
    end;
lacks(Function, Type) ->
    case puts(Function) of
        true when
            Type =:= sockmap; Type =:= sockhash; Type =:= reuseport_sockarray; Type =:= xskmap
        ->
            io_lib:format("the values of a ~w are sockets of the C node's own process, which "
                          "callers cannot name", [Type]);
        true when Type =:= stack_trace -> unable(Type);
        _ -> none
    end.

puts(Function) ->
    lists:member(Function, [put, insert, update, update_with, put_members, merge]).

removes(Function) ->
    lists:member(Function, [remove, take, without, clear, drain, drain_chunk]).

writes(Function) ->
    puts(Function) orelse removes(Function) orelse Function =:= push orelse Function =:= pop.

walks(Function) ->
    lists:member(Function, [table, to_list, keys, values, fold, foreach, size, clear, drain,
                            drain_chunk, next_chunk, iterator, next]).

%%--------------------------------------------------------------------------------------------------
%% eacces, eperm
%%--------------------------------------------------------------------------------------------------

refused(Function, Args) when
    Function =:= new; Function =:= check; Function =:= open; Function =:= typed
->
    case {ebpf_maps_typed:of_kernel(Function, Args), refused_to_open(Function, Args)} of
        {[], Words} -> Words;
        {_, unknown} -> no_kernel_types();
        {_, Words} -> [no_kernel_types(), "; or ", Words]
    end;
refused(Function, _Args) when Function =:= pin; Function =:= unpin ->
    [not_below_root(), "; or ", may_only_read()];
refused(close, _Args) ->
    ["the handle is not this node's own, and ", may_only_read()];
refused(Function, Args) ->
    case puts_program(Function, Args) of
        true -> [refused_without(Function, Args), "; or ", may_not_put_programs()];
        false -> refused_without(Function, Args)
    end.

refused_to_open(open, [{pinned, _} | _]) ->
    [not_below_root(), "; or ", may_only_open_to_read()];
refused_to_open(open, _Args) ->
    may_only_open_to_read();
refused_to_open(typed, [_, Options]) ->
    case lists:member({lifetime, permanent}, Options) of
        true -> "this node may only read (--allow, --read-only of the C node): make a handle that "
                "is not permanent";
        false -> unknown
    end;
refused_to_open(Function, Args) ->
    refused_without(Function, Args).

refused_without(Function, Args) ->
    Paths = [Term || {Tag, _} = Term <- named(Function, Args), Tag =:= file orelse Tag =:= cgroup],
    case {Paths, rights(Function)} of
        {[], read} -> unknown;
        {[], _} -> may_only_read();
        {[Path | _], read} -> not_there(Path);
        {[Path | _], _} -> [not_there(Path), "; or ", may_only_read()]
    end.

may_not_put_programs() ->
    "it may not load programs, as putting one takes (--allow, --programs of the C node)".

not_there({Tag, Path}) ->
    ["the C node does not use the path ", shown(Path), ": ",
     case Tag of
         file -> "a file must be below its --file-root";
         cgroup -> "a cgroup must be in the cgroup file system"
     end].

no_kernel_types() ->
    "the C node runs without --vmlinux-types, which layouts {vmlinux, Name} take".

not_below_root() ->
    "the path is not below the C node's --pin-root, or it is in the folder of its --keep".

may_only_open_to_read() ->
    "this node may only read (--allow, --read-only of the C node): open the map with the option "
    "read, and not as permanent".

may_only_read() ->
    "this node may only read: see --allow and --read-only of the C node".

forbidden(Function, _Type) when Function =:= list; Function =:= i ->
    may_not_look();
forbidden(open, _Type) ->
    [may_not_look(), "; or a security module refuses the map"];
forbidden(Function, Type) ->
    case rights(Function) of
        read when Type =:= array_of_maps; Type =:= hash_of_maps ->
            [cannot_read(), "; or its value is a map without a live handle, and the C node may not "
             "open maps by id (CAP_SYS_ADMIN, --no-open-by-id)"];
        read -> cannot_read();
        write -> cannot_write();
        both -> [cannot_write(), "; or it can only write, and this function also reads"]
    end.

may_not_look() ->
    "the C node may not look through the host's maps: it lacks CAP_SYS_ADMIN, or gave it up for "
    "--no-open-by-id".

cannot_read() ->
    "this handle cannot read: the map was created or opened with the option write, or a security "
    "module forbids it".

cannot_write() ->
    "this handle cannot write: the map is frozen, was created or opened with the option read, or a "
    "security module forbids it".

%% The rights that a function needs: update and insert look a key up first on some types.
rights(Function) when
    Function =:= put; Function =:= merge; Function =:= push; Function =:= remove;
    Function =:= without; Function =:= freeze; Function =:= new; Function =:= pin;
    Function =:= unpin
->
    write;
rights(Function) when
    Function =:= insert; Function =:= update; Function =:= update_with; Function =:= take;
    Function =:= put_members;
    Function =:= pop; Function =:= drain; Function =:= drain_chunk; Function =:= clear
->
    both;
rights(_Function) ->
    read.

%%--------------------------------------------------------------------------------------------------
%% Names, such as {pid, OsPid}
%%--------------------------------------------------------------------------------------------------

-spec named(atom(), Args :: [term()]) -> [{atom(), term()}].
named(Function, Args) ->
    Roles = ebpf_maps_arguments:roles(Function, length(Args)),
    lists:usort(lists:flatmap(fun({Role, Arg}) -> named_by(Role, Arg) end, lists:zip(Roles, Args))).

named_by(Role, Term) when Role =:= key; Role =:= member; Role =:= value ->
    [Term || is_named(Term)];
named_by(keys, Terms) when length(Terms) >= 0 ->
    lists:filter(fun is_named/1, Terms);
named_by(pairs, Pairs) when is_map(Pairs) ->
    named_by(pairs, maps:to_list(Pairs));
named_by(pairs, Pairs) when length(Pairs) >= 0 ->
    [Term || {Key, Value} <- Pairs, Term <- [Key, Value], is_named(Term)];
named_by(_Role, _Term) ->
    [].

is_named({Tag, _}) -> lists:member(Tag, [pid, file, cgroup, ifname]);
is_named(_) -> false.

fits(esrch, Tag) -> Tag =:= pid;
fits(enodev, Tag) -> Tag =:= ifname;
fits(enotdir, Tag) -> Tag =:= file orelse Tag =:= cgroup;
fits(enoent, Tag) -> Tag =/= ifname.

what(pid) -> "process";
what(file) -> "file";
what(cgroup) -> "cgroup";
what(ifname) -> "network interface".

%% No name among the arguments explains it.
gone(enoent, Function, Fields) ->
    case holds_maps(type(Fields)) andalso rights(Function) =/= write of
        true -> "the map that is the value no longer exists";
        false -> unknown
    end;
gone(_Posix, _Function, _Fields) ->
    unknown.

%%--------------------------------------------------------------------------------------------------
%% Types
%%--------------------------------------------------------------------------------------------------

holds_maps(Type) -> Type =:= array_of_maps orelse Type =:= hash_of_maps.

%% Whether a value that is put is a program, or has one.
puts_program(Function, Args) ->
    Roles = ebpf_maps_arguments:roles(Function, length(Args)),
    lists:any(fun({Role, Arg}) -> has_program(Role, Arg) end, lists:zip(Roles, Args)).

has_program(value, Value) ->
    ebpf_maps_terms:program_of(Value) =/= none;
has_program(pairs, Pairs) when is_map(Pairs) ->
    has_program(pairs, maps:to_list(Pairs));
has_program(pairs, Pairs) when length(Pairs) >= 0 ->
    lists:any(fun({_, Value}) -> has_program(value, Value); (_) -> false end, Pairs);
has_program(_Role, _Arg) ->
    false.

%% Its keys are indexes from 0 to max_entries - 1.
is_indexed(Type) ->
    lists:member(Type, [array, percpu_array, array_of_maps, prog_array, perf_event_array,
                        cgroup_array, sockmap, reuseport_sockarray, xskmap, devmap, cpumap]).
