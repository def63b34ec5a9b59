%% SPDX-License-Identifier: Apache-2.0
%%
%% The Erlang node of a soak test: workers that call every function of a C node, each on maps of its
%% own, of which it keeps a model. A worker ends at the first answer that differs from its model.
-module(soak).

-export([start/4, report/0]).

-define(KEYS, 40).
-define(QUEUE, 16).
-define(TIMEOUT, 60000).
-define(MESSAGES, 3). % of a subscription

-record(worker, {
    node :: node(),
    pin :: binary(),
    ring :: pos_integer(), % an id
    hash :: tuple(),
    queue :: tuple(),
    model = #{} :: #{non_neg_integer() => non_neg_integer()},
    items = [] :: [non_neg_integer()]
}).

%% Each worker pins at Pin followed by its number; into the ring come numbered events.
-spec start(node(), pos_integer(), binary(), Ring :: pos_integer()) -> ok.
start(Node, Workers, Pin, Ring) ->
    persistent_term:put(?MODULE, counters:new(2, [])),
    ets:new(?MODULE, [named_table, public, {heir, whereis(init), []}]),
    [spawn(fun() -> work(Node, <<Pin/binary, (integer_to_binary(I))/binary>>, Ring) end) ||
     I <- lists:seq(1, Workers)],
    ok.

%% The number of steps done, and what went wrong.
-spec report() -> {non_neg_integer(), [term()]}.
report() ->
    {counters:get(persistent_term:get(?MODULE), 1), ets:tab2list(?MODULE)}.

work(Node, Pin, Ring) ->
    W = #worker{node = Node, pin = Pin, ring = Ring},
    try
        loop(W#worker{hash = call(W, new, [hash, 4, 8, 64]),
                      queue = call(W, new, [queue, 0, 8, ?QUEUE])})
    catch
        Class:Reason:Stack -> ets:insert(?MODULE, {self(), {Class, Reason, Stack}})
    end.

loop(W) ->
    Steps = steps(),
    Step = element(rand:uniform(tuple_size(Steps)), Steps),
    Next = Step(rand:uniform(?KEYS), rand:uniform(1 bsl 32), W),
    counters:add(persistent_term:get(?MODULE), 1, 1),
    loop(Next).

steps() ->
    {fun put/3, fun put/3, fun put/3, fun get/3, fun find/3, fun remove/3, fun take/3, fun insert/3,
     fun update/3, fun lists/3, fun merge/3, fun with/3, fun chunks/3, fun walk/3, fun empty/3,
     fun push/3, fun push/3, fun pop/3, fun handle/3, fun view/3, fun look/3,
     fun events/3}.

%%--------------------------------------------------------------------------------------------------
%% Steps
%%--------------------------------------------------------------------------------------------------

put(K, V, #worker{hash = H} = W) ->
    H = call(W, put, [K, V, H]),
    known(K, V, W).

get(K, _V, #worker{hash = H, model = M} = W) ->
    case M of
        #{K := V} -> true = value(V) =:= call(W, get, [K, H]);
        #{} -> {badkey, K} = raised(W, get, [K, H])
    end,
    true = value(maps:get(K, M, 0)) =:= call(W, get, [K, H, value(0)]),
    W.

find(K, _V, #worker{hash = H, model = M} = W) ->
    true = maps:is_key(K, M) =:= call(W, is_key, [K, H]),
    case M of
        #{K := V} -> true = {ok, value(V)} =:= call(W, find, [K, H]);
        #{} -> error = call(W, find, [K, H])
    end,
    W.

remove(K, _V, #worker{hash = H} = W) ->
    H = call(W, remove, [K, H]),
    unknown(K, W).

take(K, _V, #worker{hash = H, model = M} = W) ->
    case M of
        #{K := V} -> true = {value(V), H} =:= call(W, take, [K, H]);
        #{} -> error = call(W, take, [K, H])
    end,
    unknown(K, W).

insert(K, V, #worker{hash = H, model = M} = W) when is_map_key(K, M) ->
    {keyexists, K} = raised(W, insert, [K, V, H]),
    W;
insert(K, V, #worker{hash = H} = W) ->
    H = call(W, insert, [K, V, H]),
    known(K, V, W).

update(K, V, #worker{hash = H, model = M} = W) when is_map_key(K, M) ->
    H = call(W, update, [K, V, H]),
    known(K, V, W);
update(K, V, #worker{hash = H} = W) ->
    {badkey, K} = raised(W, update, [K, V, H]),
    W.

lists(_K, _V, #worker{hash = H, model = M} = W) ->
    {Keys, Values} = lists:unzip(entries(M)),
    true = entries(M) =:= lists:sort(call(W, to_list, [H])),
    true = Keys =:= lists:sort(call(W, keys, [H])),
    true = lists:sort(Values) =:= lists:sort(call(W, values, [H])),
    true = length(Keys) =:= call(W, size, [H]),
    W.

merge(K, V, #worker{hash = H, model = M} = W) ->
    More = maps:from_list([{I, V} || I <- lists:seq(K, K + 9)]),
    H = call(W, merge, [H, More]),
    W#worker{model = maps:merge(M, More)}.

with(K, _V, #worker{hash = H, model = M} = W) ->
    Some = lists:seq(K, K + 5),
    There = maps:map(fun(_, V) -> value(V) end, maps:with(Some, M)),
    true = There =:= call(W, with, [Some, H]),
    H = call(W, without, [Some, H]),
    W#worker{model = maps:without(Some, M)}.

chunks(K, _V, #worker{hash = H} = W) when K rem 2 =:= 0 ->
    true = entries(W#worker.model) =:= lists:sort(all(W, next_chunk, start)),
    H = call(W, put, [K, 1, H]),
    known(K, 1, W);
chunks(_K, _V, W) ->
    true = entries(W#worker.model) =:= lists:sort(all(W, drain_chunk, start)),
    W#worker{model = #{}}.

all(_W, _Function, done) ->
    [];
all(W, Function, Cursor) ->
    {Chunk, Next} = call(W, Function, [Cursor, W#worker.hash, 10]),
    Chunk ++ all(W, Function, Next).

walk(_K, _V, #worker{hash = H, model = M} = W) ->
    true = entries(M) =:= lists:sort(follow(W, call(W, iterator, [H]))),
    W.

follow(W, Iterator) ->
    case call(W, next, [Iterator]) of
        none -> [];
        {K, V, Next} -> [{K, V} | follow(W, Next)]
    end.

empty(K, _V, #worker{hash = H} = W) when K rem 2 =:= 0 ->
    true = entries(W#worker.model) =:= lists:sort(call(W, drain, [H])),
    W#worker{model = #{}};
empty(_K, _V, #worker{hash = H} = W) ->
    H = call(W, clear, [H]),
    [] = call(W, to_list, [H]),
    W#worker{model = #{}}.

push(_K, V, #worker{queue = Q, items = Items} = W) when length(Items) < ?QUEUE ->
    Q = call(W, push, [V, Q]),
    W#worker{items = Items ++ [V]};
push(_K, V, #worker{queue = Q} = W) ->
    e2big = raised(W, push, [V, Q]),
    W.

pop(_K, _V, #worker{queue = Q, items = []} = W) ->
    empty = call(W, peek, [Q]),
    empty = call(W, pop, [Q]),
    W;
pop(_K, _V, #worker{queue = Q, items = [First | Rest]} = W) ->
    true = value(First) =:= call(W, peek, [Q]),
    true = value(First) =:= call(W, pop, [Q]),
    W#worker{items = Rest}.

%% A handle from creation to close, and two more of the same map by its pin.
handle(K, V, #worker{pin = Pin} = W) ->
    ok = call(W, check, [array, 4, 8, ?KEYS + 1, [{name, soak}]]),
    {error, [_]} = call(W, check, [array, 8, 8, ?KEYS + 1]),
    New = call(W, new, [array, 4, 8, ?KEYS + 1, [{name, soak}]]),
    ok = call(W, pin, [Pin, New]),
    Again = call(W, open, [{pinned, Pin}]),
    Again = call(W, put, [K, V, Again]),
    Reading = call(W, open, [{pinned, Pin}, [read]]),
    true = value(V) =:= call(W, get, [K, Reading]),
    eperm = raised(W, put, [K, 0, Reading]),
    #{type := array, value_size := 8, pinned := [Pin]} = call(W, info, [New]),
    ok = call(W, unpin, [Pin, New]),
    ok = call(W, freeze, [New]),
    eperm = raised(W, put, [K, 0, Again]),
    [ok, ok, ok] = [call(W, close, [Map]) || Map <- [New, Again, Reading]],
    {error, ebadf} = call(W, close, [New]),
    {badmap, New} = raised(W, get, [K, New]),
    W.

%% The hash with terms for its entries, and with bytes again.
view(K, V, #worker{hash = H} = W) ->
    Types = {u32, {struct, 8, [{<<"n">>, 0, u64}]}},
    Typed = call(W, typed, [H, [{types, Types}]]),
    Types = call(W, types, [Typed]),
    Typed = call(W, put, [K, #{n => V}, Typed]),
    #{<<"n">> := V} = call(W, get, [K, Typed]),
    Sum = call(W, sum, [n, Typed]),
    [{_, #{<<"n">> := Most}}] = call(W, top, [1, n, Typed]),
    true = Sum >= Most andalso Most >= V,
    ok = call(W, close, [Typed]),
    true = value(V) =:= call(W, get, [K, H]),
    known(K, V, W).

look(_K, _V, #worker{hash = H} = W) ->
    hash = call(W, type, [H]),
    #{id := Id} = call(W, info, [H]),
    [#{handles := [_ | _]}] = [I || #{id := J} = I <- call(W, list, []), J =:= Id],
    true = length(call(W, handles, [])) > 1,
    #{connections := N} = call(W, stats, []),
    #{modules := #{ebpf_maps := [_ | _]}} = call(W, features, []),
    #{kernel := _} = call(W, host, []),
    true = N > 0,
    true = is_integer(call(W, fd, [H])),
    W.

%% Some events of a ring: their numbers go on as those of messages do.
events(_K, _V, #worker{node = Node, ring = Ring} = W) ->
    Args = [{id, Ring}, self(), [{credit, 1 bsl 64}]],
    Subscription = erpc:call(Node, ebpf_events, subscribe, Args, ?TIMEOUT),
    Monitor = monitor(process, Subscription),
    true = is_numbered(Subscription, ?MESSAGES, none),
    ok = erpc:call(Node, ebpf_events, unsubscribe, [Subscription], ?TIMEOUT),
    receive {'DOWN', Monitor, process, Subscription, normal} -> ok after ?TIMEOUT -> error(no_end) end,
    forget(Subscription),
    W.

%% Before is the difference between the numbers of events and those of messages.
is_numbered(_Subscription, 0, _Before) ->
    true;
is_numbered(Subscription, Left, Before) ->
    receive
        {ebpf_events, Subscription, First, unknown, [{64, Records}]} ->
            Numbers = [N || <<N:64/native, _:56/binary>> <= Records],
            Difference = hd(Numbers) - First,
            Numbers =:= lists:seq(hd(Numbers), lists:last(Numbers)) andalso
                (Before =:= none orelse Before =:= Difference) andalso
                is_numbered(Subscription, Left - 1, Difference)
    after 50 -> true
    end.

forget(Subscription) ->
    receive {ebpf_events, Subscription, _, _, _} -> forget(Subscription) after 0 -> ok end.

%%--------------------------------------------------------------------------------------------------
%% Helpers
%%--------------------------------------------------------------------------------------------------

call(#worker{node = Node}, Function, Args) ->
    erpc:call(Node, ebpf_maps, Function, Args, ?TIMEOUT).

raised(W, Function, Args) ->
    try call(W, Function, Args) of
        Value -> {not_raised, Value}
    catch
        error:{exception, Reason, _Stack} -> Reason
    end.

known(K, V, #worker{model = M} = W) -> W#worker{model = M#{K => V}}.

unknown(K, #worker{model = M} = W) -> W#worker{model = maps:remove(K, M)}.

value(V) -> <<V:64/native>>.

entries(Model) -> lists:sort([{<<K:32/native>>, value(V)} || {K, V} <- maps:to_list(Model)]).
