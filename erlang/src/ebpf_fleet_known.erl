%% SPDX-License-Identifier: Apache-2.0
%%
%% What is known between two calls: who did not answer, and which processes wait with handles of maps
%% for the next one (see ebpf_fleet_reader). This process owns the table; it is others that read and
%% write. Without the application there is no table, and nothing is known.
%% @private
-module(ebpf_fleet_known).
-behaviour(gen_server).

-export([start_link/0]).
-export([take/1, give/2, taken/2, is_silent/1, silent/2, late/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(AGAIN, 30_000). % ms until who was silent is asked again
-define(SWEEP, 10_000).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%%--------------------------------------------------------------------------------------------------
%% Processes with handles
%%--------------------------------------------------------------------------------------------------

%% One that waits is the caller's alone then.
-spec take(none | term()) -> pid() | none.
take(Key) ->
    try ets:take(?MODULE, {reader, Key}) of
        [{_, Pid}] -> Pid;
        [] -> none
    catch
        error:badarg -> none
    end.

%% False: another one waits already.
-spec give(term(), pid()) -> boolean().
give(Key, Pid) ->
    try
        ets:insert_new(?MODULE, {{reader, Key}, Pid})
    catch
        error:badarg -> false
    end.

-spec taken(term(), pid()) -> true.
taken(Key, Pid) ->
    try
        ets:delete_object(?MODULE, {{reader, Key}, Pid})
    catch
        error:badarg -> true
    end.

%%--------------------------------------------------------------------------------------------------
%% Silence
%%--------------------------------------------------------------------------------------------------

%% Why it did not answer when it was last asked, if that is not long ago. One that is connected again
%% may not have been told of here yet.
-spec is_silent(node()) -> {true, nodedown | timeout} | false.
is_silent(Node) ->
    Now = now_ms(),
    try ets:lookup(?MODULE, {silent, Node}) of
        [{_, nodedown, Until}] when Until > Now -> not_connected(Node);
        [{_, timeout, Until}] when Until > Now -> {true, timeout};
        _ -> false
    catch
        error:badarg -> false
    end.

not_connected(Node) ->
    case lists:member(Node, nodes(connected)) of
        true -> false;
        false -> {true, nodedown}
    end.

-spec silent(node(), nodedown | timeout) -> boolean().
silent(Node, Reason) ->
    insert({{silent, Node}, Reason, now_ms() + ?AGAIN}).

%% It was waited for, but not for long: the second time that is silence, too. What a node does not
%% read gathers here, until it blocks who asks.
-spec late(node()) -> boolean().
late(Node) ->
    Now = now_ms(),
    try ets:lookup(?MODULE, {late, Node}) of
        [{_, _, Until}] when Until > Now -> silent(Node, timeout);
        _ -> insert({{late, Node}, timeout, Now + ?AGAIN})
    catch
        error:badarg -> false
    end.

insert(Object) ->
    try
        ets:insert(?MODULE, Object)
    catch
        error:badarg -> false
    end.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init([]) -> {ok, none}.
init([]) ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {read_concurrency, true}]),
    ok = net_kernel:monitor_nodes(true, #{node_type => all}),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {ok, none}.

-spec handle_call(term(), gen_server:from(), none) -> {reply, {error, term()}, none}.
handle_call(Request, _From, none) ->
    {reply, {error, {unknown_call, Request}}, none}.

-spec handle_cast(term(), none) -> {noreply, none}.
handle_cast(_Message, none) ->
    {noreply, none}.

-spec handle_info(term(), none) -> {noreply, none}.
handle_info({nodeup, Node, _Info}, none) ->
    true = ets:delete(?MODULE, {silent, Node}),
    true = ets:delete(?MODULE, {late, Node}),
    {noreply, none};
handle_info(sweep, none) ->
    _ = ets:select_delete(?MODULE, [{{'_', '_', '$1'}, [{'<', '$1', now_ms()}], [true]}]),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, none};
handle_info(_Message, none) ->
    {noreply, none}.

now_ms() -> erlang:monotonic_time(millisecond).
