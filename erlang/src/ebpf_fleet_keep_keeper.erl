%% SPDX-License-Identifier: Apache-2.0
%%
%% Holds what is to be kept, and has a process look after each host: now and then, when a node
%% comes, and less often where it fails. Nothing is asked here, so no host holds up another one. Specs are
%% kept for a successor of this process, and for those processes, without being copied.
%% @private
-module(ebpf_fleet_keep_keeper).
-behaviour(gen_server).

-export([start_link/0, keep/1, forget/1, forget_elsewhere/1, status/0, map/3]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(MOST_SPECS, 64).
-define(AT_ONCE, 8). % hosts
-define(MOST_WORKERS, 64). % with those that are slow
-define(SLOW, 1000). % ms, after which another host has its turn
-define(DEADLINE, 180_000). % of a worker
-define(AGAIN, 30_000). % ms, the longest pause after a failure
-define(SOON, 100).
-define(AT_ANY_TIME, -(1 bsl 58)). % monotonic time may be negative
-define(TIME, 15_000). % for an answer of this process

-record(host, {
    result = pending :: pending | {ok, [term()]} | {error, term()},
    maps = #{} :: #{binary() => tuple()},
    worker = none :: pid() | none | waiting,
    again = ?AT_ANY_TIME :: integer(), % ms, monotonic: not before
    failures = 0 :: non_neg_integer(),
    cache = #{} :: ebpf_fleet_keep_host:cache()
}).

-record(kept, {
    every :: pos_integer(),
    timer :: reference(),
    finder = none :: pid() | none,
    hosts = #{} :: #{node() => #host{}}
}).

-record(state, {
    kept = #{} :: #{atom() => #kept{}},
    workers = #{} :: #{pid() => {Name :: atom(), node() | finder, Since :: integer()}},
    waiting = queue:new() :: queue:queue({atom(), node()}),
    soon = none :: reference() | none
}).

-type status() :: #{atom() => #{node() => ok | {differs, [binary()]} | {error, term(), binary()}}}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec keep(ebpf_fleet_keep_spec:spec()) -> ok | {error, too_many | notstarted}.
keep(Spec) -> ask({keep, Spec}).

%% The nodes where it was kept. Nothing is ended there yet.
-spec forget(Name :: atom()) -> {ok, [node()]} | {error, notstarted}.
forget(Name) -> ask({forget, Name}).

%% The same of keepers of the nodes of the cluster.
-spec forget_elsewhere(Name :: atom()) -> [node()].
forget_elsewhere(Name) ->
    {Answers, _} = gen_server:multi_call(nodes(), ?MODULE, {forget, Name}, ?TIME),
    [Node || {_, {ok, Nodes}} <- Answers, length(Nodes) >= 0, Node <- Nodes, is_atom(Node)].

-spec status() -> status() | {error, notstarted}.
status() -> ask(status).

%% The handle of a map of what is kept.
-spec map(Name :: atom(), Map :: binary(), node()) -> tuple() | {error, enoent | notstarted}.
map(Name, Map, Node) -> ask({map, Name, Map, Node}).

ask(Request) ->
    try
        gen_server:call(?MODULE, Request, ?TIME)
    catch
        exit:{noproc, _} -> {error, notstarted}
    end.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init([]) -> {ok, #state{}}.
init([]) ->
    process_flag(trap_exit, true),
    ok = net_kernel:monitor_nodes(true, #{node_type => all}),
    Names = persistent_term:get(?MODULE, []),
    {ok, #state{kept = maps:from_list([{Name, begin_one(Name, spec(Name))} || Name <- Names])}}.

%% With the application it ends for good; what is kept stays on the hosts.
-spec terminate(term(), #state{}) -> ok.
terminate(shutdown, #state{kept = Kept}) ->
    lists:foreach(fun forget_spec/1, maps:keys(Kept)),
    _ = persistent_term:erase(?MODULE),
    ok;
terminate(_Reason, _State) ->
    ok.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({keep, #{name := Name}}, _From, #state{kept = Kept} = State) when
    not is_map_key(Name, Kept), map_size(Kept) >= ?MOST_SPECS
->
    {reply, {error, too_many}, State};
handle_call({keep, #{name := Name} = Spec}, _From, State) ->
    #state{kept = Kept} = Dropped = drop(Name, State),
    persistent_term:put({?MODULE, Name}, Spec),
    persistent_term:put(?MODULE, [Name | maps:keys(Kept)]),
    {reply, ok, Dropped#state{kept = Kept#{Name => begin_one(Name, Spec)}}};
handle_call({forget, Name}, _From, #state{kept = Kept} = State) when is_map_key(Name, Kept) ->
    #{Name := #kept{hosts = Hosts}} = Kept,
    Dropped = drop(Name, State),
    persistent_term:put(?MODULE, maps:keys(Dropped#state.kept)),
    _ = forget_spec(Name),
    {reply, {ok, maps:keys(Hosts)}, Dropped};
handle_call({forget, _Name}, _From, State) ->
    {reply, {ok, []}, State};
handle_call(status, _From, #state{kept = Kept} = State) ->
    Told = fun(_Name, #kept{hosts = Hosts}) -> maps:map(fun told/2, Hosts) end,
    {reply, maps:map(Told, Kept), State};
handle_call({map, Name, Map, Node}, _From, #state{kept = Kept} = State) ->
    case Kept of
        #{Name := #kept{hosts = #{Node := #host{maps = #{Map := Handle}}}}} ->
            {reply, Handle, State};
        #{} ->
            {reply, {error, enoent}, State}
    end;
handle_call(Request, _From, State) ->
    {reply, {error, {unknown_call, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({look, Name}, #state{kept = Kept} = State) when is_map_key(Name, Kept) ->
    {noreply, look(Name, State)};
handle_info({'EXIT', Pid, Reason}, #state{workers = Workers} = State) when
    is_map_key(Pid, Workers)
->
    {{Name, Node, _}, Rest} = maps:take(Pid, Workers),
    {noreply, more(finished(Name, Node, Reason, State#state{workers = Rest}))};
handle_info({late, Pid}, #state{workers = Workers} = State) when is_map_key(Pid, Workers) ->
    true = exit(Pid, kill),
    {noreply, State};
handle_info(more, State) ->
    {noreply, more(State)};
handle_info({nodeup, Node, _Info}, State) ->
    {noreply, soon(at_once(Node, State))};
handle_info(soon, #state{kept = Kept} = State) ->
    {noreply, lists:foldl(fun look/2, State#state{soon = none}, maps:keys(Kept))};
handle_info(_Message, State) ->
    {noreply, State}.

%%--------------------------------------------------------------------------------------------------
%% Specs
%%--------------------------------------------------------------------------------------------------

spec(Name) -> persistent_term:get({?MODULE, Name}).

forget_spec(Name) -> persistent_term:erase({?MODULE, Name}).

begin_one(Name, #{every := Every}) ->
    #kept{every = Every, timer = erlang:send_after(0, self(), {look, Name})}.

%% Where a worker is killed, the next one finds what it has left.
drop(Name, #state{kept = Kept, workers = Workers, waiting = Waiting} = State) ->
    case maps:take(Name, Kept) of
        {#kept{timer = Timer}, Rest} ->
            _ = erlang:cancel_timer(Timer),
            Its = [Pid || {Pid, {Same, _, _}} <- maps:to_list(Workers), Same =:= Name],
            lists:foreach(fun end_worker/1, Its),
            State#state{
                kept = Rest,
                workers = maps:without(Its, Workers),
                waiting = queue:filter(fun({Same, _}) -> Same =/= Name end, Waiting)
            };
        error ->
            State
    end.

end_worker(Pid) ->
    true = exit(Pid, kill),
    receive
        {'EXIT', Pid, _} -> ok
    end.

%% Looks for hosts. A function of the user's, or an epmd, may take its time.
look(Name, #state{kept = Kept, workers = Workers} = State) ->
    #{Name := #kept{every = Every, timer = Timer, finder = Finder} = One} = Kept,
    _ = erlang:cancel_timer(Timer),
    Next = One#kept{timer = erlang:send_after(Every, self(), {look, Name})},
    case Finder of
        none ->
            Pid = work(fun() -> find(Name) end),
            State#state{
                kept = Kept#{Name := Next#kept{finder = Pid}},
                workers = Workers#{Pid => {Name, finder, now_ms()}}
            };
        _ ->
            State#state{kept = Kept#{Name := Next}}
    end.

find(Name) ->
    #{nodes := Source} = spec(Name),
    case is_alive() andalso ebpf_fleet_nodes:find(source(Source)) of
        {ok, Nodes} -> {found, Nodes};
        _ -> {found, none}
    end.

source(default) -> ebpf_cnode_env:get(fleet);
source(Source) -> Source.

%% It ends with this process.
work(Fun) ->
    Pid = spawn_link(erlang, apply, [fun work_by_exit/1, [Fun]]),
    _ = erlang:send_after(?DEADLINE, self(), {late, Pid}),
    Pid.

-spec work_by_exit(fun(() -> term())) -> no_return().
work_by_exit(Fun) -> exit(Fun()).

soon(#state{soon = none} = State) ->
    State#state{soon = erlang:send_after(?SOON, self(), soon)};
soon(State) ->
    State.

at_once(Node, #state{kept = Kept} = State) ->
    State#state{kept = maps:map(fun(_Name, #kept{hosts = Hosts} = One) ->
        case Hosts of
            #{Node := Host} ->
                Reset = Host#host{again = ?AT_ANY_TIME, failures = 0},
                One#kept{hosts = Hosts#{Node := Reset}};
            #{} ->
                One
        end
    end, Kept)}.

%%--------------------------------------------------------------------------------------------------
%% Hosts
%%--------------------------------------------------------------------------------------------------

finished(Name, finder, Reason, #state{kept = Kept} = State) ->
    #{Name := #kept{hosts = Hosts} = One} = Kept,
    Now = now_ms(),
    Wanted =
        case Reason of
            {found, Nodes} when is_list(Nodes) ->
                maps:from_list([{Node, maps:get(Node, Hosts, #host{})} || Node <- Nodes]);
            _ ->
                Hosts
        end,
    Due = [Node || {Node, #host{worker = none, again = Again}} <- maps:to_list(Wanted),
                   Again =< Now],
    All = maps:map(fun(Node, Host) -> wait_if(lists:member(Node, Due), Host) end, Wanted),
    lists:foldl(fun(Node, #state{waiting = Waiting} = Next) ->
        Next#state{waiting = queue:in({Name, Node}, Waiting)}
    end, State#state{kept = Kept#{Name := One#kept{finder = none, hosts = All}}}, Due);
finished(Name, Node, Reason, State) ->
    in_host(Name, Node, fun(Host, Every) -> told_of(Node, Reason, Every, Host) end, State).

wait_if(true, Host) -> Host#host{worker = waiting};
wait_if(false, Host) -> Host.

%% A host may be none of the spec's any more.
in_host(Name, Node, Fun, #state{kept = Kept} = State) ->
    case Kept of
        #{Name := #kept{every = Every, hosts = #{Node := Host} = Hosts} = One} ->
            State#state{kept = Kept#{Name := One#kept{hosts = Hosts#{Node := Fun(Host, Every)}}}};
        #{} ->
            State
    end.

told_of(_Node, {kept, {{ok, [], Maps}, Cache}}, _Every, Host) ->
    Good = Host#host{result = {ok, []}, again = ?AT_ANY_TIME, failures = 0},
    Good#host{maps = Maps, worker = none, cache = Cache};
told_of(_Node, {kept, {{ok, Differences, Maps}, Cache}}, Every, Host) ->
    later(Every, Host#host{result = {ok, Differences}, maps = Maps, cache = Cache});
told_of(Node, {kept, {{error, Reason}, _}}, _Every, Host) when
    Reason =:= nodedown; Reason =:= timeout
->
    _ = ebpf_fleet_known:silent(Node, Reason),
    Host#host{result = {error, Reason}, worker = none, again = now_ms() + ?AGAIN};
told_of(_Node, {kept, {{error, Reason}, _}}, Every, Host) ->
    later(Every, Host#host{result = {error, Reason}, cache = #{}});
told_of(_Node, _Reason, _Every, Host) ->
    Host#host{result = {error, worker}, worker = none, again = now_ms() + ?AGAIN, cache = #{}}.

%% What failed is tried less and less often.
later(Every, #host{failures = Failures} = Host) ->
    Pause = min(?AGAIN, Every bsl min(Failures, 16)),
    Host#host{worker = none, again = now_ms() + Pause - ?SOON, failures = Failures + 1}.

%% Has those begin whose turn it is. One that is slow keeps no place.
more(#state{waiting = Waiting, workers = Workers} = State) ->
    Since = now_ms() - ?SLOW,
    Busy = [Pid || {Pid, {_, Node, At}} <- maps:to_list(Workers), Node =/= finder, At > Since],
    Free = length(Busy) < ?AT_ONCE andalso map_size(Workers) < ?MOST_WORKERS,
    case queue:out(Waiting) of
        {empty, _} ->
            State;
        {{value, {Name, Node}}, Rest} when Free ->
            more(begin_worker(Name, Node, State#state{waiting = Rest}));
        _ ->
            _ = erlang:send_after(2 * ?SOON, self(), more),
            State
    end.

begin_worker(Name, Node, #state{workers = Workers} = State) ->
    case ebpf_fleet_known:is_silent(Node) of
        {true, Reason} ->
            in_host(Name, Node, fun(Host, _Every) ->
                Host#host{result = {error, Reason}, worker = none}
            end, State);
        false ->
            Cache = cache(Name, Node, State),
            Pid = work(fun() -> {kept, ebpf_fleet_keep_host:run(Node, spec(Name), Cache)} end),
            Begun = State#state{workers = Workers#{Pid => {Name, Node, now_ms()}}},
            in_host(Name, Node, fun(Host, _Every) -> Host#host{worker = Pid} end, Begun)
    end.

cache(Name, Node, #state{kept = Kept}) ->
    case Kept of
        #{Name := #kept{hosts = #{Node := #host{cache = Cache}}}} -> Cache;
        #{} -> #{}
    end.

told(_Node, #host{result = {ok, []}}) ->
    ok;
told(_Node, #host{result = {ok, Differences}}) ->
    {differs, [ebpf_fleet_keep_words:difference(One) || One <- Differences]};
told(_Node, #host{result = pending}) ->
    {differs, [ebpf_fleet_keep_words:difference(pending)]};
told(_Node, #host{result = {error, Reason}}) ->
    {error, Reason, ebpf_fleet_keep_words:reason(Reason)}.

now_ms() -> erlang:monotonic_time(millisecond).
