%% SPDX-License-Identifier: Apache-2.0
%%
%% Puts many pairs into a map, in messages of bounded size. All pairs are checked first, as far as
%% possible here; the C node checks those of a message again before it puts any.
%% @private
-module(ebpf_maps_merge).

-export([merge/4, messages/1]).

-import(ebpf_maps_progress, [start/2, more/2, done/2]).

-define(MESSAGE_BYTES, (1024 * 1024)).
-define(MESSAGE_PAIRS, 16384).
%% To replace one of these the kernel waits until no program uses the old one, about 10 ms.
-define(MESSAGE_MAPS, 256).
-define(IS_SMALL(I), (I >= -(1 bsl 59) andalso I < 1 bsl 59)).

-spec merge(Map :: term(), Pairs :: term(), Options :: term(), Args :: [term()]) ->
    ebpf_cnode_request:outcome().
merge(Map, Pairs, Options, Args) ->
    Progress = ebpf_maps_progress:option(Options),
    Merge = fun(Handle) -> merge_into(Handle, Pairs, Progress, Args) end,
    case ebpf_maps_request:with_handle(Map, write, Args, Merge) of
        {value, _} -> {value, Map};
        Raise -> Raise
    end.

merge_into(Map, Pairs, Progress, Args) ->
    case {ebpf_maps_terms:is_handle(Map), list(Pairs)} of
        {false, _} ->
            {raise, {badmap, Map}, Args};
        {true, List} when List =:= badarg; Progress =:= badarg ->
            {raise, badarg, Args};
        {true, List} ->
            Fields = ebpf_maps_terms:fields(Map),
            case are_good(Fields, List) orelse are_terms(Fields, List, Map, Args) of
                true -> put_all(List, limits(Fields), 0, Map, start(Progress, length(List)), Args);
                false ->
                    {raise, badarg, Args};
                Raise ->
                    GoOn = fun(Handle) -> merge_into(Handle, Pairs, Progress, Args) end,
                    ebpf_maps_request:step(Raise, Map, GoOn)
            end
    end.

%% Pairs as lists that each fit in a message of the usual size.
-spec messages(Pairs :: term()) -> [[{Key :: term(), Value :: term()}]] | badarg.
messages(Pairs) ->
    case list(Pairs) of
        badarg -> badarg;
        List ->
            case are_good(unknown, List) of
                true -> cut_all(cut(List, limits(none), [], 0));
                false -> badarg
            end
    end.

cut_all({Message, _N, []}) -> [Message];
cut_all({Message, _N, Rest}) -> [Message | cut_all(cut(Rest, limits(none), [], 0))].

list(Pairs) when is_map(Pairs) -> maps:to_list(Pairs);
list(Pairs) when length(Pairs) >= 0 -> Pairs;
list(_Term) -> badarg.

are_good(unknown, Pairs) ->
    lists:all(fun(Pair) -> is_tuple(Pair) andalso tuple_size(Pair) =:= 2 end, Pairs);
are_good(Fields, Pairs) ->
    lists:all(fun(Pair) -> ebpf_maps_terms:bad_pair(Fields, Pair) =:= none end, Pairs) andalso
        (not ebpf_maps_terms:is_per_cpu(Fields) orelse have_one_length(Pairs)).

%% A typed handle looks like any other, but takes terms, which the C node alone checks. For a pair
%% that no map takes, that raises badmember if the handle is typed, and badarg if it is not. Any
%% other reason stands in the way of the merge itself.
are_terms(Fields, [{Key, _} | _] = Pairs, Map, Args) when Fields =/= unknown ->
    lists:all(fun(Pair) -> ebpf_maps_terms:bad_untyped(Fields, Pair) =:= none end, Pairs) andalso
        case ebpf_maps_request:ask(Map, merge, [Map, [impossible(Fields, Key)]], Args) of
            {raise, {badmember, _}, _} -> true;
            Raise -> Raise
        end;
are_terms(_Fields, _Pairs, _Map, _Args) ->
    false.

%% A key that can have no layout would be refused first: a good one stands there.
impossible(Fields, Key) ->
    case ebpf_maps_terms:may_be_typed(key, Fields) of
        true -> {self(), self()};
        false -> {Key, self()}
    end.

%% Only the C node knows the number of CPUs, but lists of two lengths cannot both be right.
have_one_length(Pairs) ->
    length(lists:usort([length(Values) || {_, Values} <- Pairs, is_list(Values)])) < 2.

limits({Type, _, _, _}) when Type =:= array_of_maps; Type =:= hash_of_maps ->
    {?MESSAGE_BYTES, ?MESSAGE_MAPS};
limits(_Fields) ->
    {?MESSAGE_BYTES, ?MESSAGE_PAIRS}.

%% An empty message is sent too: only the C node knows whether the map is live.
put_all(Pairs, {_, MostPairs} = Limits, Done, Map, Progress, Args) ->
    {Message, N, Rest} = cut(Pairs, Limits, [], 0),
    case ebpf_maps_request:ask(Map, merge, [Map, Message], Args) of
        {value, _} when Rest =:= [] ->
            done(Message, Progress),
            {value, Map};
        {value, _} ->
            put_all(Rest, Limits, Done + N, Map, more(Message, Progress), Args);
        {raise, {too_big, Max}, _} when N > 1, Max div 2 < element(1, Limits) ->
            put_all(Pairs, {Max div 2, MostPairs}, Done, Map, Progress, Args);
        {raise, {badmap, Map} = Reason, _} ->
            GoOn = fun(Handle) -> put_all(Pairs, Limits, Done, Handle, Progress, Args) end,
            {ended, {raise, counted(Reason, Done), Args}, GoOn};
        {raise, Reason, _} ->
            {raise, counted(Reason, Done), Args}
    end.

%% The reason of a later message, after Done pairs have been put.
counted(Reason, 0) -> Reason;
counted({too_big, _} = Reason, Done) -> {Reason, Done};
counted({Posix, N}, Done) when is_integer(N) -> {Posix, Done + N};
counted(Reason, Done) -> {Reason, Done}.

%% The pairs of the next message, their number, and the rest.
cut([{Key, Value} = Pair | Rest] = Pairs, {Bytes, Most}, Message, N) ->
    Left = Bytes - bytes(Key) - bytes(Value) - 2,
    if
        N =:= Most; N > 0, Left < 0 -> {lists:reverse(Message), N, Pairs};
        true -> cut(Rest, {Left, Most}, [Pair | Message], N + 1)
    end;
cut([], _Limits, Message, N) ->
    {lists:reverse(Message), N, []}.

%% An upper bound of its size in a message.
bytes(Binary) when is_binary(Binary) -> byte_size(Binary) + 5;
bytes(Integer) when is_integer(Integer), ?IS_SMALL(Integer) -> 11;
bytes(Term) -> erlang:external_size(Term).
