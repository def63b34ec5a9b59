%% SPDX-License-Identifier: Apache-2.0
%%
%% Walks through whole maps, a chunk of entries in each message: however long the walk, the C node
%% has only one chunk in memory, and serves others between two of them. The cursor says where a walk
%% is.
%% @private
-module(ebpf_maps_walk).

-export([
    to_list/3,
    keys/2,
    values/2,
    fold/5,
    foreach/3,
    update_with/4,
    put_members/4,
    drain/3,
    iterator/3,
    is_option/1,
    next/2
]).

-import(ebpf_maps_request, [ask/3, ask/4, with_handle/4, step/3]).

-define(CHUNK_ENTRIES, 16384).
%% To remove one of these the kernel waits until no program uses it, about 10 ms.
-define(DRAIN_MAPS, 256).
-define(PREFETCH, 1000).

-type outcome() :: ebpf_cnode_request:outcome().
-type args() :: [term()].

%%--------------------------------------------------------------------------------------------------
%% All at once
%%--------------------------------------------------------------------------------------------------

-spec to_list(Map :: term(), Options :: term(), args()) -> outcome().
to_list(Map, Options, Args) ->
    collect(fun(Chunk) -> Chunk end, Map, Options, Args).

-spec keys(Map :: term(), args()) -> outcome().
keys(Map, Args) ->
    joined(with_handle(Map, read, Args, fun(Handle) -> keys_of(Handle, Args) end)).

keys_of(Map, Args) ->
    case ebpf_maps_terms:fields(Map) of
        %% in chunks, each value would come as a handle that nobody asked for
        {Type, _, _, _} when Type =:= array_of_maps; Type =:= hash_of_maps ->
            keys_at_once(Map, Args);
        %% its values cannot be read
        {sockhash, _, 4, _} ->
            keys_at_once(Map, Args);
        _ ->
            Keys = fun(Chunk, Chunks) -> [[Key || {Key, _} <- Chunk] | Chunks] end,
            fold_chunks(Keys, [], start, Map, ebpf_maps_progress:start(none, Map), Args)
    end.

keys_at_once(Map, Args) ->
    case ask(Map, keys, [Map], Args) of
        {value, Keys} -> {value, [Keys]};
        Raise -> step(Raise, Map, fun(Handle) -> keys_at_once(Handle, Args) end)
    end.

-spec values(Map :: term(), args()) -> outcome().
values(Map, Args) ->
    collect(fun(Chunk) -> [Value || {_, Value} <- Chunk] end, Map, [], Args).

-spec fold(Fun, Acc, Map :: term(), Options :: term(), args()) -> outcome() when
    Fun :: fun((Key :: term(), Value :: term(), Acc) -> Acc).
fold(Fun, Acc, Map, Options, Args) when is_function(Fun, 3) ->
    fold_chunks(fun(Chunk, Acc1) -> fold_pairs(Fun, Acc1, Chunk) end, Acc, Map, Options, Args);
fold(_Term, _Acc, Map, _Options, Args) ->
    no_fun(Map, Args).

fold_pairs(_Fun, Acc, []) -> Acc;
fold_pairs(Fun, Acc, [{Key, Value} | Pairs]) -> fold_pairs(Fun, Fun(Key, Value, Acc), Pairs).

-spec foreach(fun((Key :: term(), Value :: term()) -> term()), Map :: term(), args()) -> outcome().
foreach(Fun, Map, Args) when is_function(Fun, 2) ->
    Each = fun({Key, Value}) -> Fun(Key, Value) end,
    fold_chunks(fun(Chunk, ok) -> lists:foreach(Each, Chunk) end, ok, Map, [], Args);
foreach(_Term, Map, Args) ->
    no_fun(Map, Args).

%% As in maps, badmap comes before badarg.
no_fun(Map, Args) ->
    case ebpf_maps_terms:is_map_like(Map) of
        true -> {raise, badarg, Args};
        false -> {raise, {badmap, Map}, Args}
    end.

collect(Fun, Map, Options, Args) ->
    Collect = fun(Chunk, Chunks) -> [Fun(Chunk) | Chunks] end,
    joined(fold_chunks(Collect, [], Map, Options, Args)).

joined({value, Chunks}) -> {value, join(Chunks)};
joined(Raise) -> Raise.

%% The last chunk comes first.
join(Chunks) ->
    lists:foldl(fun lists:append/2, [], Chunks).

fold_chunks(Fun, Acc, Map, Options, Args) ->
    with_progress(Map, read, Options, Args, fun(Handle, Progress) ->
        fold_chunks(Fun, Acc, start, Handle, Progress, Args)
    end).

fold_chunks(Fun, Acc, Cursor, Map, Progress, Args) ->
    case ask(Map, next_chunk, [Cursor, Map, ?CHUNK_ENTRIES], Args) of
        {value, {Chunk, done}} ->
            Result = Fun(Chunk, Acc),
            ebpf_maps_progress:done(Chunk, Progress),
            {value, Result};
        {value, {Chunk, Next}} ->
            Acc1 = Fun(Chunk, Acc),
            Progress1 = ebpf_maps_progress:more(Chunk, Progress),
            fold_chunks(Fun, Acc1, Next, Map, Progress1, Args);
        Raise ->
            GoOn = fun(Handle) -> fold_chunks(Fun, Acc, Cursor, Handle, Progress, Args) end,
            step(Raise, Map, GoOn)
    end.

%% Calls Fun with a handle and the progress so far, whose total is the max_entries of the handle.
with_progress(Map, Rights, Options, Args, Fun) ->
    case ebpf_maps_progress:option(Options) of
        badarg ->
            no_fun(Map, Args);
        Progress ->
            with_handle(Map, Rights, Args, fun(Handle) ->
                Fun(Handle, ebpf_maps_progress:start(Progress, Handle))
            end)
    end.

%% The entries removed so far are part of the exception: they are nowhere else.
-spec drain(Map :: term(), Options :: term(), args()) -> outcome().
drain(Map, Options, Args) ->
    with_progress(Map, write, Options, Args, fun(Handle, Progress) ->
        drain_chunks(start, [], drain_entries(Handle), Handle, Progress, Args)
    end).

drain_entries(Map) ->
    case ebpf_maps_terms:fields(Map) of
        {hash_of_maps, _, _, _} -> ?DRAIN_MAPS;
        _ -> ?CHUNK_ENTRIES
    end.

drain_chunks(Cursor, Before, Entries, Map, Progress, Args) ->
    case ask(Map, drain_chunk, [Cursor, Map, Entries], Args) of
        {value, {Chunk, done}} ->
            Chunks = [Chunk | Before],
            _ = drain_tells(fun() -> ebpf_maps_progress:done(Chunk, Progress) end, Chunks),
            {value, join(Chunks)};
        {value, {Chunk, Next}} ->
            Chunks = [Chunk | Before],
            More = fun() -> ebpf_maps_progress:more(Chunk, Progress) end,
            drain_chunks(Next, Chunks, Entries, Map, drain_tells(More, Chunks), Args);
        {raise, Reason, _} ->
            {raise, drain_reason(Reason, join(Before)), Args}
    end.

drain_tells(Tell, Chunks) ->
    try
        Tell()
    catch
        Class:Reason:Stack ->
            erlang:raise(Class, drain_reason(Reason, join(Chunks)), Stack)
    end.

drain_reason(Reason, []) -> Reason;
drain_reason(Reason, Taken) -> {Reason, Taken}.

%%--------------------------------------------------------------------------------------------------
%% One entry, twice
%%--------------------------------------------------------------------------------------------------

-spec update_with(Key :: term(), fun((term()) -> term()), Map :: term(), args()) -> outcome().
update_with(Key, Fun, Map, Args) when is_function(Fun, 1) ->
    case ask(Map, get, [Key, Map], Args) of
        {value, Value} -> ask(Map, update, [Key, Fun(Value), Map], Args);
        Raise -> Raise
    end;
update_with(_Key, _Term, Map, Args) ->
    no_fun(Map, Args).

%% Asks for the layout first: a value that has a union cannot be put as it was read.
-spec put_members(Key :: term(), Members :: term(), Map :: term(), args()) -> outcome().
put_members(Key, Members, Map, Args) ->
    case {ebpf_maps_terms:is_map_like(Map), by_name(Members)} of
        {false, _} -> {raise, {badmap, Map}, Args};
        {true, badarg} -> {raise, badarg, Args};
        {true, Named} -> put_named(Key, Named, Map, Args)
    end.

put_named(Key, Members, Map, Args) ->
    case ask(Map, types, [Map], Args) of
        %% why the kernel's types cannot be read does not matter: the handle has none
        {value, {error, _}} ->
            {raise, notype, Args};
        {value, {_, Layout}} ->
            case ask(Map, get, [Key, Map], Args) of
                {value, Value} -> put_changed(Key, change(Layout, Value, Members), Map, Args);
                Raise -> Raise
            end;
        Raise ->
            Raise
    end.

put_changed(Key, {ok, Value}, Map, Args) -> ask(Map, update, [Key, Value, Map], Args);
put_changed(_Key, notype, _Map, Args) -> {raise, notype, Args};
put_changed(_Key, {badmember, _} = Reason, _Map, Args) -> {raise, Reason, Args};
put_changed(_Key, none, _Map, Args) -> {raise, enotsup, Args}.

%% The values of all CPUs alike. Texts, bytes and names of constants are binaries with types, too.
change(Layout, Bytes, _Members) when
    is_binary(Bytes),
    not is_tuple(Layout) orelse
        element(1, Layout) =/= bytes andalso element(1, Layout) =/= char andalso
            element(1, Layout) =/= enum
->
    notype;
change(Layout, Values, Members) when
    is_list(Values), not is_tuple(Layout) orelse element(1, Layout) =/= array
->
    Changed = [change(Layout, Value, Members) || Value <- Values],
    case [Bad || Bad <- Changed, not is_ok(Bad)] of
        [] -> {ok, [Value || {ok, Value} <- Changed]};
        [Bad | _] -> Bad
    end;
change(Layout, Value, Members) ->
    ebpf_maps_member:change(Layout, Value, Members).

is_ok({ok, _}) -> true;
is_ok(_) -> false.

%% Members by their names as binaries; badarg for other terms, and for one that comes twice.
by_name(Members) when is_map(Members) ->
    case lists:all(fun ebpf_cnode_arguments:is_text/1, maps:keys(Members)) of
        true ->
            Named = maps:from_list([{ebpf_maps_layout:name(Name), Term}
                                    || {Name, Term} <- maps:to_list(Members)]),
            case map_size(Named) =:= map_size(Members) of
                true -> Named;
                false -> badarg
            end;
        false ->
            badarg
    end;
by_name(_Term) ->
    badarg.

%%--------------------------------------------------------------------------------------------------
%% Iterators: {ebpf_iterator, Map, Cursor, Pending, Prefetch}, as in the C node
%%--------------------------------------------------------------------------------------------------

-spec iterator(Map :: term(), Options :: term(), args()) -> outcome().
iterator(Map, Options, Args) ->
    case ebpf_cnode_arguments:option(prefetch, Options, fun is_option/1, ?PREFETCH) of
        badarg ->
            {raise, badarg, Args};
        Prefetch ->
            case ask(Map, iterator, [Map], Args) of
                {value, Iterator} -> {value, setelement(5, Iterator, Prefetch)};
                Raise -> Raise
            end
    end.

%% Of iterator/2.
-spec is_option(term()) -> boolean().
is_option({prefetch, N}) -> is_integer(N) andalso N > 0 andalso N < 1 bsl 32;
is_option(_Term) -> false.

%% Returns pending pairs from here, and fetches more by the chunk. Pending keys, and a walk without
%% prefetching, are for the C node.
-spec next(Iterator :: term(), args()) -> outcome().
next({ebpf_iterator, Map, _, [{Key, Value} | Pending], _} = Iterator, Args) ->
    case ebpf_maps_terms:is_handle(Map) of
        true -> {value, {Key, Value, setelement(4, Iterator, Pending)}};
        false -> {raise, badarg, Args}
    end;
next({ebpf_iterator, Map, Cursor, [], Prefetch} = Iterator, Args) when
    is_integer(Prefetch), Prefetch > 1
->
    case ebpf_maps_terms:is_handle(Map) of
        true -> fetch(Cursor, Iterator, Args);
        false -> {raise, badarg, Args}
    end;
next(Iterator, Args) when element(1, Iterator) =:= ebpf_iterator, tuple_size(Iterator) > 1 ->
    case ebpf_maps_terms:is_handle(element(2, Iterator)) of
        true -> ask(element(2, Iterator), next, Args);
        false -> {raise, badarg, Args}
    end;
next(_Term, Args) ->
    {raise, badarg, Args}.

fetch(done, _Iterator, _Args) ->
    {value, none};
fetch(Cursor, {_, Map, _, _, Prefetch} = Iterator, Args) ->
    case ask(Map, next_chunk, [Cursor, Map, Prefetch], Args) of
        {value, {[], Next}} ->
            fetch(Next, Iterator, Args);
        {value, {[{Key, Value} | Pending], Next}} ->
            {value, {Key, Value, {ebpf_iterator, Map, Next, Pending, Prefetch}}};
        Raise ->
            Raise
    end.
