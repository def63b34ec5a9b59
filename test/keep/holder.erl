%% SPDX-License-Identifier: Apache-2.0
%%
%% A node that holds handles of a C node which is killed again and again: workers that make, put,
%% close, attach and detach, each with a model of what was acknowledged. After each end they compare
%% it with what came back; what was asked for and not answered may have happened or not.
-module(holder).

-export([start/3, go/0, wait/0, check/0, steps/0, end_all/0]).

-define(TIMEOUT, 30000).
-define(CLOSED, 30). % of those that were closed, so many are tried again
-define(MOST, 12). % handles of a worker

-type value() :: {is, non_neg_integer()} | {either, non_neg_integer(), non_neg_integer()}.

-record(worker, {
    node :: node(),
    program :: term() | none, % of a raw tracepoint
    steps :: counters:counters_ref(),
    maps = #{} :: #{term() => value()},
    doubtful = [] :: [term()], % perhaps closed
    links = [] :: [term()],
    leaving = [] :: [term()], % links, perhaps detached
    closed = [] :: [term()]
}).

-spec start(node(), pos_integer(), term()) -> ok.
start(Node, Workers, Program) ->
    Steps = counters:new(1, []),
    Pids = [spawn(fun() -> stand(#worker{node = Node, program = Program, steps = Steps}) end) ||
            _ <- lists:seq(1, Workers)],
    persistent_term:put(?MODULE, {Pids, Steps}),
    ok.

%% Until the C node is gone.
-spec go() -> ok.
go() ->
    [Pid ! go || Pid <- pids()],
    ok.

%% All of them have met its end.
-spec wait() -> ok | {error, term()}.
wait() -> ask(wait).

%% What came back is what was acknowledged.
-spec check() -> ok | {error, term()}.
check() -> ask(check).

-spec end_all() -> ok | {error, term()}.
end_all() -> ask(end_all).

-spec steps() -> non_neg_integer().
steps() ->
    {_, Steps} = persistent_term:get(?MODULE),
    counters:get(Steps, 1).

pids() -> element(1, persistent_term:get(?MODULE)).

ask(What) ->
    Monitors = [{Pid, monitor(process, Pid)} || Pid <- pids()],
    [Pid ! {What, self()} || {Pid, _} <- Monitors],
    Results = [receive
        {answer, Pid} -> demonitor(Monitor, [flush]), ok;
        {'DOWN', Monitor, process, Pid, Reason} -> {error, Reason}
    after 60000 -> {error, {late, What}}
    end || {Pid, Monitor} <- Monitors],
    case [Error || {error, _} = Error <- Results] of
        [] -> ok;
        [Error | _] -> Error
    end.

%%--------------------------------------------------------------------------------------------------

stand(W) ->
    receive
        go -> stand(run(W));
        {wait, From} -> answer(From), stand(W);
        {check, From} -> Checked = compare(W), answer(From), stand(Checked);
        {end_all, From} -> close_all(W), answer(From)
    end.

answer(To) -> To ! {answer, self()}.

run(W) ->
    case step(W) of
        {gone, Next} -> Next;
        Next -> counters:add(Next#worker.steps, 1, 1), run(Next)
    end.

%% {ok, Value}, or gone.
call(#worker{node = Node}, Module, Function, Args) ->
    try {ok, erpc:call(Node, Module, Function, Args, ?TIMEOUT)}
    catch error:{erpc, noconnection} -> gone
    end.

step(#worker{maps = Maps, links = Links, program = Program} = W) ->
    case rand:uniform(8) of
        N when N =< 2; map_size(Maps) =:= 0 -> make(W);
        N when N =< 5 -> put_some(W);
        N when N =< 7, Program =/= none, Links =:= [] -> attach(W);
        7 when Links =/= [] -> detach(W);
        _ -> close(W)
    end.

make(#worker{maps = Maps} = W) when map_size(Maps) >= ?MOST -> close(W);
make(W) ->
    Lifetime = element(rand:uniform(3), {node, process, permanent}),
    case call(W, ebpf_maps, new, [hash, 4, 8, 4, [{lifetime, Lifetime}]]) of
        {ok, Map} when element(1, Map) =:= ebpf_map ->
            %% no reference of before
            false = is_map_key(Map, W#worker.maps) orelse lists:member(Map, W#worker.closed),
            put_value(Map, {is, 0}, rand:uniform(1 bsl 60), W);
        gone -> {gone, W}
    end.

any(Maps) -> lists:nth(rand:uniform(map_size(Maps)), maps:keys(Maps)).

put_some(#worker{maps = Maps} = W) ->
    Map = any(Maps),
    put_value(Map, maps:get(Map, Maps), rand:uniform(1 bsl 60), W).

put_value(Map, {is, Old}, New, #worker{maps = Maps} = W) ->
    case call(W, ebpf_maps, put, [1, New, Map]) of
        {ok, Map} -> W#worker{maps = Maps#{Map => {is, New}}};
        gone -> {gone, W#worker{maps = Maps#{Map => {either, Old, New}}}}
    end.

close(#worker{maps = Maps, closed = Closed} = W) ->
    Map = any(Maps),
    Rest = maps:remove(Map, Maps),
    case call(W, ebpf_maps, close, [Map]) of
        {ok, ok} -> W#worker{maps = Rest, closed = lists:sublist([Map | Closed], ?CLOSED)};
        gone -> {gone, W#worker{maps = Rest, doubtful = [Map | W#worker.doubtful]}}
    end.

attach(#worker{program = Program, links = Links} = W) ->
    case call(W, ebpf_programs, attach, [Program, {raw_tracepoint, <<"sys_enter">>}]) of
        {ok, Link} when element(1, Link) =:= ebpf_link -> W#worker{links = [Link | Links]};
        gone -> {gone, W}
    end.

detach(#worker{links = [Link | Links], closed = Closed} = W) ->
    case call(W, ebpf_programs, detach, [Link]) of
        {ok, ok} -> W#worker{links = Links, closed = lists:sublist([Link | Closed], ?CLOSED)};
        gone -> {gone, W#worker{links = Links, leaving = [Link | W#worker.leaving]}}
    end.

%%--------------------------------------------------------------------------------------------------

compare(#worker{maps = Maps, doubtful = Doubtful, links = Links, leaving = Leaving} = W) ->
    Settled = maps:map(fun(Map, Value) -> settle(Value, look(W, Map)) end, Maps),
    [{Link, attached} = {Link, link(W, Link)} || Link <- Links],
    [{Dead, dead} = {Dead, dead(W, Dead)} || Dead <- W#worker.closed],
    Alive = lists:foldl(
        fun(Map, Acc) ->
            case look(W, Map) of
                badmap -> Acc;
                Value -> Acc#{Map => {is, Value}}
            end
        end, #{}, Doubtful),
    Left = [Link || Link <- Leaving, link(W, Link) =:= attached],
    W#worker{maps = maps:merge(Settled, Alive), doubtful = [], links = Links ++ Left, leaving = []}.

settle({is, Value}, Value) -> {is, Value};
settle({either, Value, _}, Value) -> {is, Value};
settle({either, _, Value}, Value) -> {is, Value};
settle(Expected, Found) -> error({differs, Expected, Found}).

look(#worker{node = Node}, Map) ->
    try erpc:call(Node, ebpf_maps, find, [1, Map], ?TIMEOUT) of
        {ok, <<Value:64/native>>} -> Value;
        error -> 0
    catch
        error:{exception, {badmap, Map}, _} -> badmap
    end.

link(#worker{node = Node}, Link) ->
    try erpc:call(Node, ebpf_programs, info, [Link], ?TIMEOUT) of
        #{type := raw_tracepoint} -> attached
    catch
        error:{exception, {badlink, Link}, _} -> dead
    end.

dead(W, Link) when element(1, Link) =:= ebpf_link -> link(W, Link);
dead(W, Map) ->
    case look(W, Map) of
        badmap -> dead;
        Value -> {came_back, Value}
    end.

close_all(#worker{maps = Maps, links = Links} = W) ->
    [{ok, ok} = call(W, ebpf_maps, close, [Map]) || Map <- maps:keys(Maps)],
    [{ok, ok} = call(W, ebpf_programs, detach, [Link]) || Link <- Links],
    ok.
