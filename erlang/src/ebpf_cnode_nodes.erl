%% SPDX-License-Identifier: Apache-2.0
%%
%% Connects again to C nodes from which this node has got handles. An emulator connects when somebody
%% calls, and not by itself: while nobody does, the C node counts this node as gone, and ends its
%% handles after --grace. So a lost connection is made anew here, with longer and longer pauses, for
%% as long as the application runs; unless it was this node that has disconnected: then once somebody
%% has called that C node again, by which it is connected.
%%
%% A handle that ends is not noticed here: a node is watched until the application stops. If this
%% process fails, the next one knows the nodes: of those that nobody calls it could not learn.
%% @private
-module(ebpf_cnode_nodes).
-behaviour(gen_server).

-export([start_link/0, got/4]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(FIRST_PAUSE, 100). % ms
-define(LONGEST_PAUSE, 2000).
-define(LONG_UP, 1000). % ms
%% Of more it connects to none again.
-define(MOST_NODES, 1024).

-record(watched, {
    pause = ?FIRST_PAUSE :: pos_integer(), % before the next try
    up = 0 :: integer(), % since when, monotonic
    timer = none :: reference() | none, % to that try
    helper = none :: pid() | none % which connects
}).

-type watched() :: #{node() => #watched{}}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%%--------------------------------------------------------------------------------------------------
%% What is returned
%%--------------------------------------------------------------------------------------------------

%% A function of that C node has returned that value to this node. It costs next to nothing where
%% that can have no handle of its own, as of a put.
-spec got(node(), module(), atom(), Value :: term()) -> ok.
got(Node, Module, Function, Value) ->
    case has_handle(Module, Function, Value) of
        true -> note(Node);
        false -> ok
    end.

%% Without the application there is no table. A message is sent but for the first handle.
note(Node) ->
    try ets:member(?MODULE, Node) of
        true -> ok;
        false -> gen_server:cast(?MODULE, {note, Node})
    catch
        error:badarg -> ok
    end.

has_handle(ebpf_maps, Function, Map) when Function =:= new; Function =:= open; Function =:= typed ->
    ebpf_maps_terms:is_handle(Map);
has_handle(ebpf_maps, get, Value) ->
    ebpf_maps_terms:is_handle(Value);
has_handle(ebpf_maps, find, {ok, Value}) ->
    ebpf_maps_terms:is_handle(Value);
has_handle(ebpf_maps, take, {Value, _Map}) ->
    ebpf_maps_terms:is_handle(Value);
has_handle(ebpf_maps, next, {_Key, Value, _Iterator}) ->
    ebpf_maps_terms:is_handle(Value);
has_handle(ebpf_maps, Function, {[{_Key, Value} | _], _Cursor}) when
    Function =:= next_chunk; Function =:= drain_chunk
->
    ebpf_maps_terms:is_handle(Value);
has_handle(ebpf_maps, with, Found) when is_map(Found) ->
    case maps:next(maps:iterator(Found)) of
        {_Key, Value, _Iterator} -> ebpf_maps_terms:is_handle(Value);
        none -> false
    end;
has_handle(ebpf_programs, load, #{programs := _, maps := _}) ->
    true;
has_handle(ebpf_programs, Function, Value) when
    Function =:= load; Function =:= open; Function =:= attach
->
    ebpf_programs_terms:is_handle(either, Value);
has_handle(_Module, _Function, _Value) ->
    false.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

%% The exits are those of helpers, which end with this process.
-spec init([]) -> {ok, watched()}.
init([]) ->
    process_flag(trap_exit, true),
    ?MODULE = ets:new(?MODULE, [named_table, {read_concurrency, true}]),
    ok = net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]),
    Known = persistent_term:get(?MODULE, []),
    true = ets:insert(?MODULE, [{Node} || Node <- Known]),
    {ok, maps:from_list([{Node, later(Node, #watched{up = now_ms()})} || Node <- Known])}.

%% With the application it ends for good.
-spec terminate(term(), watched()) -> ok.
terminate(shutdown, _Nodes) ->
    _ = persistent_term:erase(?MODULE),
    ok;
terminate(_Reason, _Nodes) ->
    ok.

-spec handle_call(term(), gen_server:from(), watched()) -> {reply, {error, term()}, watched()}.
handle_call(Request, _From, Nodes) ->
    {reply, {error, {unknown_call, Request}}, Nodes}.

%% The connection may be lost by now.
-spec handle_cast(term(), watched()) -> {noreply, watched()}.
handle_cast({note, Node}, Nodes) when
    not is_map_key(Node, Nodes), map_size(Nodes) < ?MOST_NODES
->
    true = ets:insert(?MODULE, {Node}),
    {noreply, known(Nodes#{Node => later(Node, #watched{up = now_ms()})})};
handle_cast(_Message, Nodes) ->
    {noreply, Nodes}.

-spec handle_info(term(), watched()) -> {noreply, watched()}.
handle_info({nodeup, Node, _Info}, Nodes) when is_map_key(Node, Nodes) ->
    {noreply, maps:update_with(Node, fun is_up/1, Nodes)};
handle_info({nodedown, Node, Info}, Nodes) when is_map_key(Node, Nodes) ->
    case proplists:get_value(nodedown_reason, Info) of
        disconnect -> {noreply, maps:update_with(Node, fun cancel/1, Nodes)};
        _ -> {noreply, maps:update_with(Node, fun(One) -> is_down(Node, One) end, Nodes)}
    end;
handle_info({connect, Node}, Nodes) when is_map_key(Node, Nodes) ->
    {noreply, maps:update_with(Node, fun(One) -> connect(Node, One) end, Nodes)};
handle_info({'EXIT', Helper, _Reason}, Nodes) ->
    Tried = fun(Node, One) -> tried(Node, Helper, One) end,
    {noreply, maps:map(Tried, Nodes)};
handle_info(_Message, Nodes) ->
    {noreply, Nodes}.

%%--------------------------------------------------------------------------------------------------
%% One node
%%--------------------------------------------------------------------------------------------------

is_up(Watched) ->
    (cancel(Watched))#watched{up = now_ms()}.

%% Who goes again at once gets longer pauses, too.
is_down(Node, #watched{up = Up} = Watched) ->
    case now_ms() - Up > ?LONG_UP of
        true -> later(Node, Watched#watched{pause = ?FIRST_PAUSE});
        false -> later(Node, Watched)
    end.

%% They change seldom, as this is not cheap.
known(Nodes) ->
    ok = persistent_term:put(?MODULE, maps:keys(Nodes)),
    Nodes.

later(Node, #watched{timer = none, helper = none, pause = Pause} = Watched) ->
    case lists:member(Node, nodes(connected)) of
        true ->
            Watched;
        false ->
            Timer = erlang:send_after(Pause, self(), {connect, Node}),
            Watched#watched{timer = Timer, pause = min(2 * Pause, ?LONGEST_PAUSE)}
    end;
later(_Node, Watched) ->
    Watched.

cancel(#watched{timer = none} = Watched) ->
    Watched;
cancel(#watched{timer = Timer} = Watched) ->
    _ = erlang:cancel_timer(Timer),
    Watched#watched{timer = none}.

%% While this node is not distributed it only waits.
connect(Node, #watched{helper = none} = Watched) ->
    case is_alive() of
        true -> Watched#watched{timer = none, helper = helper(Node)};
        false -> later(Node, Watched#watched{timer = none})
    end;
connect(_Node, Watched) ->
    Watched.

%% It takes as long as net_setuptime says, where a host does not answer.
helper(Node) ->
    spawn_link(net_kernel, connect_node, [Node]).

tried(Node, Helper, #watched{helper = Helper} = Watched) ->
    later(Node, Watched#watched{helper = none});
tried(_Node, _Helper, Watched) ->
    Watched.

now_ms() -> erlang:monotonic_time(millisecond).
