%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade of events: a function for each that the C node serves, and what a process does with
%% the messages that come. ebpf_events_consumer is the process that start_link/3 starts.

%% @doc Events of eBPF programs of any host of the cluster, as messages.
%%
%% A program puts records into a ring buffer: a map of type `ringbuf', made by {@link
%% ebpf_programs:load/2} or {@link ebpf_maps:new/4}. Whoever subscribes gets them as messages, in
%% the order in which they were reserved in the ring. The same holds of a `perf_event_array', except
%% for what is said below.
%%
%% ```
%% 1> Sub = ebpf_events:subscribe(Ring, self()).
%% 2> receive {ebpf_events, Sub, First, Lost, Runs} -> ebpf_events:records(Runs) end.
%% [<<0,0,0,0,42,0,0,0>>,<<1,0,0,0,43,0,0,0>>]
%% 3> Sub ! {credit, 16}.
%% 4> ebpf_events:unsubscribe(Sub).
%% ok
%% '''
%% {@link start_link/3} starts a process that does this, and grants credit as fast as it works.
%% {@link watch/2} prints what comes, until Enter is pressed.
%%
%% == Messages ==
%% A subscriber gets messages `{ebpf_events, Subscription, First, Lost, Runs}'. `First' is the
%% number of the first event in it; the subscription's first event has the number 0. So a message
%% of N events is followed by one whose `First' is N more; if it is larger than that, exactly so
%% many events were not sent, because the subscriber had not granted enough credit while another
%% one had, or its node did not read fast enough, or it takes too long to make terms of them.
%% Events that are dropped by the option `filter' have no number. `Lost' is how many events the
%% program has lost since the subscription began, by its own count, if the option `lost' says where
%% it counts; otherwise `unknown': the kernel does not count those for which a ring buffer has no
%% room.
%%
%% `Runs' is a list of `{Size, Binary}', each binary being one or more records of that size, one
%% after the other: {@link records/1} and {@link fold/3} take them apart, or `[R || {S, B} <- Runs,
%% <<R:S/binary>> <= B]' where the facade is not at hand. With the option `types' it is `[{terms,
%% Events}]', a term for each event.
%%
%% == Credit ==
%% No more bytes of records come than were granted: by the option `credit' in the beginning, and by
%% `Subscription ! {credit, Bytes}' from a process of the same node afterwards, or `{credit,
%% refill}', which makes it what it was in the beginning. So a mailbox cannot grow beyond that. A
%% record that is larger than what is left waits. As long as one subscriber of a ring has credit, the
%% ring goes on for all of them; if none has, events stay in it, and if it is full the program loses
%% new ones. Credit of 2^64 or more is no limit: then only the receiver's memory is.
%%
%% == Subscriptions ==
%% A subscription is a process of the C node to others: its pid can be monitored and linked to, from
%% the node of the subscriber, and it ends by {@link unsubscribe/1} or by `exit(Subscription,
%% Reason)'. It also ends with the process that gets the events, and with the connection between
%% the nodes, for `noconnection'; for `{shutdown, closed}' once the handle is closed by which it was
%% made; and for `{shutdown, stolen}' if another process of the host reads the ring, too, as it then
%% has only some of the events. What has been read when it ends is sent before that.
%%
%% == Perf event arrays ==
%% The first subscription has a child of the C node's loader open an event of each processor that is
%% online, which takes `--programs' with the word `tracing'; once the last one has ended the array
%% is empty again. Events are in order for each processor alone, and come up to 10 ms late. `Lost' is
%% what the kernel has told by then. The kernel fills up each record to 8 N + 4 bytes, so that one
%% of 64 bytes comes as 68. Who else reads the array is put out, or takes the events, and if one of
%% the two ends both are without; a processor that comes online later has none: nobody says so, and
%% what helps is to end all subscriptions and begin anew.
%%
%% == The log ==
%% In place of a ring stands `log', or `{log, Node}', for the log of the C node itself: its lines
%% come as terms, {@type log_event()}, from the subscription on, of those levels that `--log-level'
%% allows. It has room for 64 KiB of them; `Lost' is how many found none. It takes no types and no
%% filter. A subscription to the log is not logged.
%%
%% == Rights ==
%% Subscribing takes `rw' (`--allow' of the C node), and `load' for a ring that was not made by this
%% C node: it has one reader, and to subscribe takes the events away from any other. The C node
%% needs no privilege to read.
%%
%% == Cost ==
%% One thread of the C node reads all rings, and sends to all subscribers: about 0.1 microseconds of
%% CPU for an event of 64 bytes where many come, up to 0.2 ms where one comes by itself. It waits
%% for nobody: whose node reads nothing may lag behind others for 100 ms and within a quarter of the
%% ring, and is then passed over. Meanwhile a subscription takes less than 1 MiB of memory there.
%%
%% == Errors ==
%% As in {@link ebpf_maps}: a function returns `{error, Reason}' only where its documentation says
%% so, and otherwise raises, with exceptions of class `error' that the shell explains. Whether the
%% variable `retry' has a call repeated that lost its connection is said there, too.
%% @since 0.4.0
-module(ebpf_events).

-export([
    subscribe/2, subscribe/3,
    unsubscribe/1,
    subscriptions/0, subscriptions/1,
    push/2,
    %% what comes
    records/1,
    fold/3,
    %% processes
    start_link/3,
    watch/1, watch/2,
    format_error/2
]).

-export_type([
    ring/0,
    source/0,
    log_event/0,
    subscription/0,
    option/0,
    comparison/0,
    message/0,
    runs/0,
    record/0,
    info/0,
    news/0,
    handler/0,
    consumer_option/0
]).

%% As in ebpf_maps: a macro, so that the stack frame is that of the function that was called.
-define(RESULT(Outcome),
    case Outcome of
        {value, Returned_} -> Returned_;
        {raise, Reason_, Args_} -> error(Reason_, Args_, [{error_info, #{module => ?MODULE}}])
    end
).

-import(ebpf_cnode_request, [default_node/0, remote_node/1]).
-import(ebpf_events_request, [ask/4, ask_node/4]).

-type ring() :: ebpf_maps:any_map().
%% A map of type `ringbuf' or `perf_event_array', by a handle that may read and write it, or by a
%% locator.

-type source() :: ring() | log | {log, node()}.
%% What can be subscribed to: a ring, or the log of a C node, of the default one or another.

-type log_event() :: #{
    time := integer(),
    level := error | warning | notice | info | debug,
    message := binary(),
    event => atom(),
    atom() => binary() | integer()
}.
%% A line that the C node logs, with the fields that `--log-format json' has. `time' is Erlang's
%% system time in microseconds: `calendar:system_time_to_rfc3339/2'.

-type subscription() :: pid().
%% A process of the C node.

-type option() ::
    {credit, non_neg_integer()}
    | {batch, 1024..262144}
    | {linger, 0..60000}
    | {from, newest | oldest}
    | {buffer, pos_integer()}
    | {filter, [comparison()]}
    | {types, ebpf_maps:layout() | {btf, Type :: binary() | string() | atom(), ebpf_maps:any_map()}}
    | {as, map | tuple | [Member :: binary() | atom() | string()]}
    | {lost, ebpf_maps:any_map(), Key :: term()}.
%% `credit' is how many bytes of records may come at first: by default 1 MiB. `batch' is how large a
%% message becomes, in bytes, where much comes at once: by default 64 KiB. `linger' is how many
%% milliseconds an event waits for others, by default 0: while one message is sent, the next one
%% gathers. `from' `oldest' begins with what is in the ring already. `buffer' is what the first
%% subscription to a perf event array takes for each processor, in bytes: a power of two, from a page
%% to 16 MiB, by default 128 KiB; the kernel allows the C node's user `perf_event_mlock_kb' of it for
%% each processor, 516 by default.
%%
%% `filter' has up to 8 comparisons, all of which must hold for an event to be sent. With `types'
%% events come as terms: of a layout, as {@link ebpf_maps} explains it, or of the type of that name
%% in the BTF that a map of the same object has (to read it takes CAP_SYS_ADMIN in the C node;
%% libbpf gives a perf event array none, so name another map). It has up to 64 KiB; of a shorter record the rest is read as zeros, of a longer one it is ignored.
%% `as' is that of {@link ebpf_maps:typed/2}. `lost' names a map with a value of 8 bytes, or one for
%% each CPU, in which the program counts the events that it could not put into the ring.

-type comparison() ::
    {
        Offset :: non_neg_integer(),
        Type :: u8 | u16 | u32 | u64 | s8 | s16 | s32 | s64 | be16 | be32 | be64,
        Operator :: '==' | '/=' | '<' | '=<' | '>' | '>=' | 'band',
        integer()
    }.
%% Compares the number that is so many bytes from the start of a record. `band' holds if some of
%% these bits are set. In a record that ends before the number, no comparison holds.

-type record() :: binary() | term().
%% An event: the bytes of its record, or a term if the subscription has types.

-type runs() :: [{Size :: non_neg_integer(), binary()} | {terms, [term()]}].
%% The events of a message.

-type message() ::
    {ebpf_events, subscription(), First :: non_neg_integer(),
     Lost :: non_neg_integer() | unknown, runs()}.
%% See {@section Messages}.

-type info() :: #{
    subscription := subscription(),
    pid := pid(),
    ring := non_neg_integer() | log,
    credit := non_neg_integer(),
    sent := non_neg_integer(),
    messages := non_neg_integer(),
    bytes := non_neg_integer(),
    skipped := non_neg_integer(),
    filtered := non_neg_integer(),
    stalls := non_neg_integer(),
    fill := non_neg_integer()
}.
%% `pid' gets the events, `ring' is the id of the map. `credit' is left, in bytes. `sent' events, of
%% `bytes', went out in so many `messages'; `skipped' were not sent for want of credit or time,
%% `filtered' were dropped by the filter. `stalls' is how often it could take no more. `fill' is how
%% many bytes wait in the ring.

-type news() ::
    {events, [record()]}
    | {missed, pos_integer() | unknown}
    | {lost, pos_integer()}.
%% What a consumer gets: events in order; that so many were not sent to it, or an unknown number
%% while there was no connection; that the program has lost so many more, by its own count.

-type handler() :: fun((news()) -> term()) | {module(), Args :: term()}.
%% A function of the news, or a module with the callbacks of this behaviour.

-type consumer_option() :: option() | {retry, boolean()}.
%% Options of {@link subscribe/3}; and `retry', by default `true', whether to subscribe again once
%% the connection to the C node is back. With `false' the process then ends.

-callback init(Args :: term()) -> {ok, State :: term()} | {stop, Reason :: term()}.
-callback handle_events(news(), State) -> {ok, State} | {stop, Reason :: term(), State}.
-callback terminate(Reason :: term(), State :: term()) -> term().
-optional_callbacks([terminate/2]).

%%--------------------------------------------------------------------------------------------------
%% Subscriptions
%%--------------------------------------------------------------------------------------------------

%% @equiv subscribe(Ring, Pid, [])
-spec subscribe(Ring :: source(), pid()) ->
    subscription() | {error, file:posix() | notype | {loader, gone | killed | timeout}}.
subscribe(Ring, Pid) ->
    ?RESULT(ask(Ring, subscribe, [Ring, Pid], [Ring, Pid])).

%% @doc Has the events of a ring sent to a process of this node, as messages.
%%
%% Returns the subscription, or `{error, Reason}': `emfile': there are `--max-subscriptions'
%% already, or no descriptors for the events of each processor; `eacces': the handle cannot both read
%% and write; `eperm': the ring is frozen, the kernel
%% allows no more perf buffers, or the C node may not read the BTF; `notype': the BTF has no type of
%% that name; `e2big': the type is too large; `enodev': a perf event array has no entry for any
%% processor that is online; `{loader, How}': see {@link ebpf_programs}; `enomem'.
%%
%% Raises `badarg' for a wrong option, and for a process of another node; `enotsup' for a map that
%% is no ring; `{badmap, Ring}'; `eacces' if this node may not subscribe to it; and as in
%% {@link ebpf_maps} what every call may. Costs one message, and mapping the ring the first time:
%% 0.3 ms of a MiB; of a perf event array a child of the loader, some ms. `retry' never repeats it.
-spec subscribe(Ring :: source(), pid(), Options :: [option()]) ->
    subscription() | {error, file:posix() | notype | {loader, gone | killed | timeout}}.
subscribe(Ring, Pid, Options) ->
    ?RESULT(ask(Ring, subscribe, [Ring, Pid, Options], [Ring, Pid, Options])).

%% @doc Ends a subscription of this node. When it returns, all messages of it have come.
%%
%% Returns `{error, esrch}' if there is none. Raises `badarg' for what is no pid of another node.
%% `retry' never repeats it.
-spec unsubscribe(subscription()) -> ok | {error, esrch}.
unsubscribe(Subscription) ->
    ?RESULT(ebpf_events_request:ask_subscription(unsubscribe, Subscription)).

%% @doc The subscriptions of the default C node. `retry' repeats it.
-spec subscriptions() -> [info()].
subscriptions() ->
    ?RESULT(ask_node(default_node(), subscriptions, [], [])).

%% @doc The subscriptions to a ring or a log, or all of a C node.
%%
%% Raises `badarg' for this node itself, and as {@link subscribe/2}. `retry' repeats it.
-spec subscriptions(source() | node()) -> [info()].
subscriptions(log) ->
    ?RESULT(ask(log, subscriptions, [log], [log]));
subscriptions(Node) when is_atom(Node) ->
    ?RESULT(ask_node(remote_node(Node), subscriptions, [], [Node]));
subscriptions(Ring) ->
    ?RESULT(ask(Ring, subscriptions, [Ring], [Ring])).

%% @doc Puts a record into a user ring buffer, which a program drains when it runs.
%%
%% Returns the map. Raises `enospc' if there is no room until the program has drained some;
%% `e2big' for a record that the ring can never hold; `enotsup' for a map of another type than
%% `user_ringbuf'; `eacces' if the handle cannot both read and write, or this node may only read;
%% `eperm' if it is frozen. Nothing wakes the program. Only one process of the host may push: the C
%% node, for all its callers. `retry' never repeats it.
-spec push(Value, Ring) -> Ring when Value :: binary(), Ring :: ebpf_maps:any_map().
push(Value, Ring) ->
    ?RESULT(ask(Ring, push, [Value, Ring], [Value, Ring])).

%%--------------------------------------------------------------------------------------------------
%% What comes
%%--------------------------------------------------------------------------------------------------

%% @doc The events of a message, in order. Binaries of up to 64 bytes are copied.
-spec records(runs()) -> [record()].
records(Runs) ->
    ebpf_events_runs:records(Runs).

%% @doc Folds a function over the events of a message, without making a list of them.
-spec fold(fun((record(), Acc) -> Acc), Acc, runs()) -> Acc.
fold(Fun, Acc, Runs) ->
    ebpf_events_runs:fold(Fun, Acc, Runs).

%%--------------------------------------------------------------------------------------------------
%% Processes
%%--------------------------------------------------------------------------------------------------

%% @doc Starts a process that subscribes, hands what comes to a handler, and grants credit when the
%% handler is done with it: so its mailbox holds no more than the option `credit', however slow the
%% handler is.
%%
%% The handler is called in that process, also with what it has missed. If the connection is lost,
%% or the C node restarts, the process subscribes again, with longer and longer pauses up to 5 s,
%% and the handler gets `{missed, unknown}': how many there were nobody knows, as events are numbered
%% anew. What is in the ring by then comes with the option `{from, oldest}': none of it again after an
%% orderly end of the C node; after a kill what it had sent last may come twice.
%%
%% The process ends when the handler says so, when it fails, when the subscription ends for another
%% reason, and where subscribing again is refused, with `{shutdown, Reason}'. A C node that has
%% restarted, and does not keep handles (`--keep'), refuses a handle: `{shutdown, {badmap, Ring}}'.
%% There let `Ring' be a locator, such as `{pinned, Path}', or a function that returns a handle. The
%% variable `retry' has no part in all this.
%%
%% Returns `{error, Reason}' if the first subscription fails, or if `init/1' of the module does.
%% `gen_server:stop/1' ends it. Put it below a supervisor by a child specification.
-spec start_link(Ring :: source() | fun(() -> source()), handler(), Options :: [consumer_option()]) ->
    {ok, pid()} | {error, Reason :: term()} | ignore.
start_link(Ring, Handler, Options) ->
    ebpf_events_consumer:start_link(Ring, Handler, Options).

%% @equiv watch(Ring, [])
-spec watch(Ring :: source()) -> ok | {error, Reason :: term()}.
watch(Ring) ->
    watch(Ring, []).

%% @doc Prints the events of a ring, a line each, until Enter is pressed in the shell.
%%
%% What was missed, and what the program has lost, is printed between them. With the option `types'
%% events are printed as terms, otherwise as binaries.
-spec watch(Ring :: source(), Options :: [option()]) -> ok | {error, Reason :: term()}.
watch(Ring, Options) ->
    ebpf_events_watch:watch(Ring, Options).

%%--------------------------------------------------------------------------------------------------
%% Words
%%--------------------------------------------------------------------------------------------------

%% @doc Explains in words why a function of this module raised an exception, as the shell does; and,
%% for `{error, Reason}' that one returned, what that means.
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    ebpf_events_errors:format_error(Reason, Stack).
