%% SPDX-License-Identifier: Apache-2.0
%%
%% What is known of the C nodes between two calls: the handles of maps that were opened by name, and
%% who did not answer. A name may come to mean another map, so a handle is used for some seconds only;
%% it is closed once nobody works with it any more. The process owns the table, and ends what is left
%% there; it is callers that read and write. Without the application there is no table, and nothing is
%% known.
%% @private
-module(ebpf_fleet_known).
-behaviour(gen_server).

-export([start_link/0]).
-export([find/1, keep/2, release/2, drop/2, is_silent/1, silent/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([key/0]).

-define(AGAIN, 30_000). % ms until who was silent is asked again
-define(KEPT, 5_000). % ms for which a handle is used
-define(LONGEST_USE, 3_600_000). % ms that a call may take with it
-define(SWEEP, 5_000).
-define(MOST_HANDLES, 4096).

-type key() :: {node(), What :: term(), View :: term()}.

-record(handle, {
    key :: {handle, key() | '_'} | {old, Known :: term()} | '_',
    node :: node() | '_',
    known :: term(), % {Handle, _}
    since :: integer() | atom(), % ms, monotonic
    users :: non_neg_integer() | '_'
}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%%--------------------------------------------------------------------------------------------------
%% Handles
%%--------------------------------------------------------------------------------------------------

%% Who has found one releases it.
-spec find(key()) -> {ok, Known :: term()} | none | off.
find(Key) ->
    Now = now_ms(),
    try ets:lookup(?MODULE, {handle, Key}) of
        [#handle{known = Known, since = Since}] when Now - Since < ?KEPT ->
            used(Key, Known);
        [#handle{}] ->
            expire(Key),
            none;
        [] ->
            none
    catch
        error:badarg -> off
    end.

%% It may have gone meanwhile.
used(Key, Known) ->
    try ets:update_counter(?MODULE, {handle, Key}, {#handle.users, 1}) of
        _ -> {ok, Known}
    catch
        error:badarg -> none
    end.

expire(Key) ->
    case ets:take(?MODULE, {handle, Key}) of
        [#handle{users = 0} = Handle] -> close(Handle);
        [#handle{known = Known} = Handle] -> ets:insert(?MODULE, Handle#handle{key = {old, Known}});
        [] -> true
    end.

%% It has one user then. False: another one is kept already, or there are too many.
-spec keep(key(), Known :: term()) -> boolean().
keep({Node, _, _} = Key, Known) ->
    Handle = #handle{
        key = {handle, Key}, node = Node, known = Known, since = now_ms(), users = 1
    },
    try
        ets:info(?MODULE, size) < ?MOST_HANDLES andalso ets:insert_new(?MODULE, Handle)
    catch
        error:badarg -> false
    end.

-spec release(key(), Known :: term()) -> ok.
release(Key, Known) ->
    _ = try ets:lookup(?MODULE, {handle, Key}) of
        [#handle{known = Known}] ->
            ets:update_counter(?MODULE, {handle, Key}, {#handle.users, -1});
        _ ->
            release_old({old, Known})
    catch
        error:badarg -> gone
    end,
    ok.

release_old(Key) ->
    case ets:update_counter(?MODULE, Key, {#handle.users, -1}) of
        0 -> lists:foreach(fun close/1, ets:take(?MODULE, Key));
        _ -> ok
    end.

%% One that is not live.
-spec drop(key(), Known :: term()) -> ok.
drop(Key, Known) ->
    _ = try
        ets:match_delete(?MODULE, #handle{key = {handle, Key}, known = Known, _ = '_'})
    catch
        error:badarg -> gone
    end,
    ok.

%% Nobody waits for the answer, and nobody has to be connected for its sake.
close(#handle{node = Node, known = {Handle, _}}) ->
    lists:member(Node, nodes(connected)) andalso erpc:cast(Node, ebpf_maps, close, [Handle]).

%%--------------------------------------------------------------------------------------------------
%% Silence
%%--------------------------------------------------------------------------------------------------

%% Why it did not answer when it was last asked, if that is not long ago.
-spec is_silent(node()) -> {true, nodedown | timeout} | false.
is_silent(Node) ->
    Now = now_ms(),
    try ets:lookup(?MODULE, {silent, Node}) of
        [{silent, _, Reason, Until}] when Until > Now -> {true, Reason};
        _ -> false
    catch
        error:badarg -> false
    end.

-spec silent(node(), nodedown | timeout) -> boolean().
silent(Node, Reason) ->
    try
        ets:insert(?MODULE, {silent, {silent, Node}, Reason, now_ms() + ?AGAIN})
    catch
        error:badarg -> false
    end.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init([]) -> {ok, none}.
init([]) ->
    ?MODULE = ets:new(?MODULE, [named_table, public, {keypos, #handle.key}]),
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
    Now = now_ms(),
    sweep(#handle{key = {handle, '_'}, since = '$1', users = 0, _ = '_'}, Now - ?KEPT),
    sweep(#handle{since = '$1', _ = '_'}, Now - ?LONGEST_USE),
    _ = ets:select_delete(?MODULE, [{{silent, '_', '_', '$1'}, [{'<', '$1', Now}], [true]}]),
    _ = erlang:send_after(?SWEEP, self(), sweep),
    {noreply, none};
handle_info(_Message, none) ->
    {noreply, none}.

%% Somebody may just have begun to use one: that call opens another.
sweep(Pattern, Before) ->
    lists:foreach(fun(#handle{key = Key}) -> lists:foreach(fun close/1, ets:take(?MODULE, Key)) end,
                  ets:select(?MODULE, [{Pattern, [{'<', '$1', Before}], ['$_']}])).

now_ms() -> erlang:monotonic_time(millisecond).
