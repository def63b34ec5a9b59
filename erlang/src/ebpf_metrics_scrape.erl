%% SPDX-License-Identifier: Apache-2.0
%%
%% The process that has sweeps made: who asks while one is under way waits for that one, so that
%% there is never more than one, however many scrape. It keeps counters that go on from one to the
%% next, and logs what has begun to fail.
%% @private
-module(ebpf_metrics_scrape).
-behaviour(gen_server).

-export([start_link/1, text/2, once/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-include_lib("kernel/include/logger.hrl").

%% What a sweep gets beyond its deadline, in milliseconds, before it is ended.
-define(GRACE, 1000).
%% Failures that are logged of one sweep.
-define(MAX_LOGGED, 20).

-record(state, {
    config :: ebpf_metrics_options:config(),
    %% the sweep that is under way, and who waits for it
    worker = none :: none | pid(),
    waiting = [] :: [waiting()],
    %% how long that sweep may take, and who has so much more time that the next one is better
    timeout = 0 :: non_neg_integer(),
    later = [] :: [{waiting(), Timeout :: pos_integer(), Deadline :: integer()}],
    %% those that write texts, and for whom
    writers = #{} :: #{pid() => [waiting()]},
    failed = #{} :: ebpf_metrics_sweep:failed(),
    failures = #{} :: ebpf_metrics_sweep:failures()
}).

-type waiting() :: {gen_server:from(), ebpf_metrics_text:format()}.

-spec start_link(ebpf_metrics_options:config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, Config, []).

%% The text, within so many milliseconds.
-spec text(ebpf_metrics_text:format(), Timeout :: pos_integer()) ->
    {ok, binary()} | {error, timeout | {failed, term()}}.
text(Format, Timeout) ->
    Deadline = erlang:monotonic_time(millisecond) + Timeout,
    try
        gen_server:call(?MODULE, {text, Format, Timeout, Deadline}, Timeout)
    catch
        exit:{timeout, _} -> {error, timeout};
        exit:{Reason, _} -> {error, {failed, Reason}}
    end.

%% The text of a sweep of one's own, without that process.
-spec once(Format :: term(), Options :: term(), Args :: [term()]) ->
    {value, binary()} | {raise, badarg, Args :: [term()]}.
once(Format, Options, Args) when Format =:= prometheus; Format =:= openmetrics ->
    case ebpf_metrics_options:compile(Options) of
        {ok, #{timeout := Timeout} = Config} ->
            Deadline = erlang:monotonic_time(millisecond) + Timeout,
            {Families, _Failed, _Failures} = ebpf_metrics_sweep:run(Config, Deadline, #{}),
            {value, written(Format, Families)};
        {error, _Texts} ->
            {raise, badarg, Args}
    end;
once(_Format, _Options, Args) ->
    {raise, badarg, Args}.

written(Format, Families) ->
    iolist_to_binary(ebpf_metrics_text:render(Format, Families)).

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init(ebpf_metrics_options:config()) -> {ok, #state{}}.
init(Config) ->
    _ = process_flag(trap_exit, true),
    {ok, #state{config = Config}}.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {noreply, #state{}} | {reply, term(), #state{}}.
handle_call({text, Format, Timeout, Deadline}, From, State) ->
    {noreply, wait({{From, Format}, Timeout, Deadline}, State)};
%% The sweep is done: who asks from now on gets another.
handle_call({swept, Failed, Failures}, {Worker, _}, #state{worker = Worker} = State) ->
    #state{waiting = Waiting, writers = Writers, failures = Old} = State,
    log_failures(maps:without(maps:keys(Old), Failures)),
    Told = State#state{failed = Failed, failures = Failures,
                       writers = Writers#{Worker => Waiting}},
    {reply, Waiting, next(Told)};
handle_call(_Request, _From, State) ->
    {reply, {error, badarg}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({late, Worker}, #state{worker = Worker} = State) ->
    true = exit(Worker, kill),
    {noreply, State};
handle_info({'EXIT', Worker, Reason}, #state{worker = Worker, waiting = Waiting} = State) ->
    reply_failed(Waiting, Reason),
    {noreply, next(State)};
handle_info({'EXIT', Writer, Reason}, #state{writers = Writers} = State) ->
    case maps:take(Writer, Writers) of
        {_Waiting, Left} when Reason =:= normal ->
            {noreply, State#state{writers = Left}};
        {Waiting, Left} ->
            reply_failed(Waiting, Reason),
            {noreply, State#state{writers = Left}};
        error ->
            {noreply, State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

reply_failed(Waiting, killed) ->
    lists:foreach(fun({From, _}) -> gen_server:reply(From, {error, timeout}) end, Waiting);
reply_failed(Waiting, Reason) ->
    ?LOG_WARNING("ebpf_metrics: a scrape failed: ~0tp", [Reason]),
    lists:foreach(fun({From, _}) -> gen_server:reply(From, {error, {failed, Reason}}) end, Waiting).

%%--------------------------------------------------------------------------------------------------
%% A sweep
%%--------------------------------------------------------------------------------------------------

%% A scraper with little time shortens the sweep for nobody else.
wait({Waiting, Timeout, Deadline}, #state{worker = none} = State) ->
    Worker = start_sweep(Deadline, State),
    State#state{worker = Worker, timeout = Timeout, waiting = [Waiting]};
wait({Waiting, Timeout, _Deadline}, #state{timeout = Shared} = State) when Timeout =< 2 * Shared ->
    State#state{waiting = [Waiting | State#state.waiting]};
wait(Late, #state{later = Later} = State) ->
    State#state{later = [Late | Later]}.

%% With those who have waited for it, the one with the most time first.
next(#state{later = Later} = State) ->
    lists:foldl(fun wait/2, State#state{worker = none, waiting = [], later = []},
                lists:reverse(lists:keysort(3, Later))).

start_sweep(Deadline, #state{config = Config, failed = Failed}) ->
    Server = self(),
    Worker = spawn_link(fun() -> sweep(Server, Config, Deadline, Failed) end),
    _ = erlang:send_after(max(0, Deadline + ?GRACE - erlang:monotonic_time(millisecond)), Server,
                          {late, Worker}),
    Worker.

%% The families stay here: what goes to those who wait is one binary of each format.
sweep(Server, Config, Deadline, Failed) ->
    {Families, NewFailed, Failures} = ebpf_metrics_sweep:run(Config, Deadline, Failed),
    Waiting = gen_server:call(Server, {swept, NewFailed, Failures}, infinity),
    lists:foreach(
        fun(Format) ->
            Text = written(Format, Families),
            [gen_server:reply(From, {ok, Text}) || {From, F} <- Waiting, F =:= Format]
        end, lists:usort([Format || {_, Format} <- Waiting])).

log_failures(New) ->
    lists:foreach(
        fun({{Metric, Node}, Reason}) ->
            ?LOG_WARNING("ebpf_metrics: ~ts of ~ts: ~ts",
                         [what(Metric), Node, ebpf_metrics_errors:of_node(Reason)])
        end, lists:sublist(lists:sort(maps:to_list(New)), ?MAX_LOGGED)).

what(all) -> <<"all metrics">>;
what(Metric) -> Metric.
