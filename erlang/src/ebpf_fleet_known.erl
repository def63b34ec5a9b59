%% SPDX-License-Identifier: Apache-2.0
%%
%% What is known of the C nodes between two calls: the handles of maps that were opened by name, and
%% who did not answer. The process owns the table, and ends handles that nobody has used for long; it
%% is callers that read and write. Without the application there is no table, and nothing is known.
%% @private
-module(ebpf_fleet_known).
-behaviour(gen_server).

-export([start_link/0]).
-export([find/1, keep/2, use/1, drop/1, is_silent/1, silent/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([key/0]).

-define(AGAIN, 30_000). % ms until who was silent is asked again
-define(UNUSED, 600_000). % ms after which a handle is closed
-define(SWEEP, 60_000).
-define(MOST_HANDLES, 4096).

-type key() :: {node(), What :: term(), View :: term(), read | write}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%%--------------------------------------------------------------------------------------------------
%% Handles
%%--------------------------------------------------------------------------------------------------

-spec find(key()) -> {ok, Handle :: term()} | none | off.
find(Key) ->
    try ets:lookup(?MODULE, {handle, Key}) of
        [{_, Handle, _}] ->
            use(Key),
            {ok, Handle};
        [] ->
            none
    catch
        error:badarg -> off
    end.

%% False: another one was kept meanwhile, or there are too many.
-spec keep(key(), Handle :: term()) -> boolean().
keep(Key, Handle) ->
    try
        ets:info(?MODULE, size) < ?MOST_HANDLES andalso
            ets:insert_new(?MODULE, {{handle, Key}, Handle, now_ms()})
    catch
        error:badarg -> false
    end.

-spec use(key()) -> boolean().
use(Key) ->
    try
        ets:update_element(?MODULE, {handle, Key}, {3, now_ms()})
    catch
        error:badarg -> false
    end.

-spec drop(key()) -> true.
drop(Key) ->
    try
        ets:delete(?MODULE, {handle, Key})
    catch
        error:badarg -> true
    end.

%%--------------------------------------------------------------------------------------------------
%% Silence
%%--------------------------------------------------------------------------------------------------

%% Why it did not answer when it was last asked, if that is not long ago.
-spec is_silent(node()) -> {true, nodedown | timeout} | false.
is_silent(Node) ->
    Now = now_ms(),
    try ets:lookup(?MODULE, {silent, Node}) of
        [{_, Reason, Until}] when Until > Now -> {true, Reason};
        _ -> false
    catch
        error:badarg -> false
    end.

-spec silent(node(), nodedown | timeout) -> boolean().
silent(Node, Reason) ->
    try
        ets:insert(?MODULE, {{silent, Node}, Reason, now_ms() + ?AGAIN})
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

%% A handle outlives a connection that is soon back, and with --keep its C node: who uses one that is
%% not live opens another.
-spec handle_info(term(), none) -> {noreply, none}.
handle_info({nodeup, Node, _Info}, none) ->
    true = ets:delete(?MODULE, {silent, Node}),
    {noreply, none};
handle_info(sweep, none) ->
    Before = now_ms(),
    Unused = [{{{handle, '$1'}, '$2', '$3'}, [{'<', '$3', Before - ?UNUSED}], [{{'$1', '$2'}}]}],
    lists:foreach(fun close/1, ets:select(?MODULE, Unused)),
    _ = ets:select_delete(?MODULE, [{{{silent, '_'}, '_', '$1'}, [{'<', '$1', Before}], [true]}]),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, none};
handle_info(_Message, none) ->
    {noreply, none}.

%% Nobody waits for the answer, and nobody has to be connected for its sake.
close({{Node, _, _, _} = Key, Handle}) ->
    drop(Key),
    lists:member(Node, nodes(connected)) andalso erpc:cast(Node, ebpf_maps, close, [Handle]).

now_ms() -> erlang:monotonic_time(millisecond).
