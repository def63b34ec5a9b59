%% SPDX-License-Identifier: Apache-2.0
%%
%% A process that subscribes to a ring, and hands what comes to a handler. It grants what the
%% handler is done with, once that is half of the credit: of events with types the bytes are not
%% known here, so of those it asks for a refill.
%% @private
-module(ebpf_events_consumer).

-behaviour(gen_server).

-export([start_link/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(CREDIT, 1048576). % as in the C node
-define(FIRST_PAUSE, 100). % ms
-define(LONGEST_PAUSE, 5000).

-record(consumer, {
    ring :: ebpf_events:source() | fun(() -> ebpf_events:source()),
    options :: [ebpf_events:option()],
    retry :: boolean(),
    window :: non_neg_integer(), % of credit
    handler :: fun((ebpf_events:news()) -> term()) | module(),
    state :: term(), % the module's
    subscription :: pid() | none,
    monitor :: reference() | undefined,
    next = 0 :: non_neg_integer(), % number of the next event
    lost = 0 :: non_neg_integer(), % as the program has counted
    done = 0 :: non_neg_integer(), % bytes to be granted
    pause = ?FIRST_PAUSE :: pos_integer()
}).

-spec start_link(term(), term(), term()) -> {ok, pid()} | {error, term()} | ignore.
start_link(Ring, Handler, Options) ->
    case gen_server:start_link(?MODULE, {Ring, Handler, Options}, []) of
        {error, {shutdown, Reason}} -> {error, Reason};
        Started -> Started
    end.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init(term()) -> {ok, #consumer{}} | {stop, term()}.
init({Ring, Handler, Options}) when length(Options) >= 0 ->
    {Own, Rest} = lists:partition(fun is_own/1, Options),
    Consumer = #consumer{
        ring = Ring,
        options = Rest,
        retry = proplists:get_value(retry, Own, true),
        window = proplists:get_value(credit, Rest, ?CREDIT),
        handler = handler(Handler),
        state = undefined,
        subscription = none
    },
    case is_boolean(Consumer#consumer.retry) andalso init_handler(Handler) of
        {ok, State} -> first(Consumer#consumer{state = State});
        {stop, Reason} -> {stop, Reason};
        _ -> failed(badarg)
    end;
init(_Term) ->
    failed(badarg).

%% Its caller gets the reason, and nothing has crashed.
failed(Reason) -> {stop, {shutdown, Reason}}.

is_own(Option) -> is_tuple(Option) andalso tuple_size(Option) =:= 2 andalso
    element(1, Option) =:= retry.

handler({Module, _Args}) -> Module;
handler(Fun) -> Fun.

init_handler({Module, Args}) when is_atom(Module) -> Module:init(Args);
init_handler(Fun) when is_function(Fun, 1) -> {ok, undefined};
init_handler(_Term) -> badarg.

first(Consumer) ->
    case subscribe(Consumer) of
        {ok, Subscribed} -> {ok, Subscribed};
        {error, Reason} -> failed(Reason)
    end.

-spec handle_call(term(), term(), #consumer{}) -> {reply, term(), #consumer{}}.
handle_call(Request, _From, Consumer) ->
    {reply, {error, {unknown_call, Request}}, Consumer}.

-spec handle_cast(term(), #consumer{}) -> {noreply, #consumer{}}.
handle_cast(_Message, Consumer) ->
    {noreply, Consumer}.

-spec handle_info(term(), #consumer{}) -> {noreply, #consumer{}} | {stop, term(), #consumer{}}.
handle_info({ebpf_events, S, First, Lost, Runs}, #consumer{subscription = S} = Consumer) ->
    handled(take(First, Lost, Runs, Consumer));
handle_info({'DOWN', M, process, S, Reason}, #consumer{subscription = S, monitor = M} = Consumer) ->
    ended(Reason, Consumer#consumer{subscription = none, monitor = undefined});
handle_info(subscribe, #consumer{subscription = none} = Consumer) ->
    again(Consumer);
handle_info(_Message, Consumer) ->
    {noreply, Consumer}.

-spec terminate(term(), #consumer{}) -> term().
terminate(Reason, #consumer{handler = Module, state = State}) when is_atom(Module) ->
    case erlang:function_exported(Module, terminate, 2) of
        true -> Module:terminate(Reason, State);
        false -> ok
    end;
terminate(_Reason, _Consumer) ->
    ok.

handled({ok, Consumer}) -> {noreply, Consumer};
handled({stop, Reason, Consumer}) -> {stop, Reason, Consumer}.

%%--------------------------------------------------------------------------------------------------
%% Subscribing
%%--------------------------------------------------------------------------------------------------

subscribe(#consumer{ring = Ring, options = Options} = Consumer) ->
    try ebpf_events:subscribe(ring(Ring), self(), Options) of
        {error, Reason} ->
            {error, Reason};
        Subscription ->
            {ok, Consumer#consumer{
                subscription = Subscription,
                monitor = monitor(process, Subscription),
                next = 0, lost = 0, done = 0, pause = ?FIRST_PAUSE
            }}
    catch
        error:Reason -> {error, Reason}
    end.

ring(Ring) when is_function(Ring, 0) -> Ring();
ring(Ring) -> Ring.

%% The connection is lost, or the C node has ended: it may come back. Whether it still has a handle
%% then, it says itself.
ended(noconnection, #consumer{retry = true} = Consumer) ->
    {noreply, later(Consumer)};
ended({shutdown, _} = Reason, Consumer) ->
    {stop, Reason, Consumer};
ended(Reason, Consumer) ->
    {stop, {shutdown, Reason}, Consumer}.

later(#consumer{pause = Pause} = Consumer) ->
    erlang:send_after(Pause, self(), subscribe),
    Consumer#consumer{pause = min(2 * Pause, ?LONGEST_PAUSE)}.

again(Consumer) ->
    case subscribe(Consumer) of
        {ok, Subscribed} -> handled(tell({missed, unknown}, Subscribed));
        {error, {nodedown, _}} -> {noreply, later(Consumer)};
        {error, {timeout, _}} -> {noreply, later(Consumer)};
        {error, enoent} -> {noreply, later(Consumer)};
        {error, Reason} -> {stop, {shutdown, Reason}, Consumer}
    end.

%%--------------------------------------------------------------------------------------------------
%% Events
%%--------------------------------------------------------------------------------------------------

take(First, Lost, Runs, Consumer) ->
    Events = ebpf_events:records(Runs),
    News = [{missed, First - Consumer#consumer.next} || First > Consumer#consumer.next]
        ++ [{lost, Lost - Consumer#consumer.lost}
            || is_integer(Lost), Lost > Consumer#consumer.lost]
        ++ [{events, Events}],
    Next = Consumer#consumer{next = First + length(Events), lost = known(Lost)},
    case tell_all(News, Next) of
        {ok, Told} -> {ok, grant(Runs, Told)};
        Stop -> Stop
    end.

known(unknown) -> 0;
known(Lost) -> Lost.

tell_all([], Consumer) ->
    {ok, Consumer};
tell_all([News | Rest], Consumer) ->
    case tell(News, Consumer) of
        {ok, Told} -> tell_all(Rest, Told);
        Stop -> Stop
    end.

tell(News, #consumer{handler = Fun} = Consumer) when is_function(Fun) ->
    _ = Fun(News),
    {ok, Consumer};
tell(News, #consumer{handler = Module, state = State} = Consumer) ->
    case Module:handle_events(News, State) of
        {ok, New} -> {ok, Consumer#consumer{state = New}};
        {stop, Reason, New} -> {stop, Reason, Consumer#consumer{state = New}}
    end.

grant([{terms, _}], #consumer{subscription = S} = Consumer) ->
    S ! {credit, refill},
    Consumer;
grant(Runs, #consumer{subscription = S, window = Window} = Consumer) ->
    Done = lists:sum([byte_size(Binary) || {_, Binary} <- Runs]) + Consumer#consumer.done,
    case 2 * Done >= Window of
        true ->
            S ! {credit, Done},
            Consumer#consumer{done = 0};
        false ->
            Consumer#consumer{done = Done}
    end.
