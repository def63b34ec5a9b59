%% SPDX-License-Identifier: Apache-2.0
%%
%% A block list for a whole cluster: one call has the packets of an address dropped on all hosts, by
%% XDP, before the kernel's network stack sees them. The program is kept by ebpf_fleet:keep/1, so also
%% on hosts that come later, and stays where it is when this node ends. Entries expire on each host by
%% themselves. The C nodes have to give this node `load', such as those started with
%%
%%     ebpf_cnode --programs xdp --allow 'me@*=load'
%%
%% Compile the program by clang, and this with erlang/ebin of ebpf_cnode on the code path:
%%
%%     clang -target bpf -g -O2 -idirafter /usr/include/$(uname -m)-linux-gnu \
%%         -c block_list.bpf.c -o block_list.bpf.o
%%
%% Then, with the application ebpf_cnode started,
%%
%%     block_list:start_link("block_list.bpf.o", {xdp, "eth0", native}, []).
%%     block_list:block({10,0,9,9}, 3600).
%%     block_list:drops().
%%
%% blocks that address for an hour, and shows how many packets each host has dropped.
-module(block_list).
-behaviour(gen_server).

-export([start_link/3, block/2, unblock/1, blocked/0, drops/0, stop/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(LOOK, 1000). % ms between looks for hosts that have come
-define(SECOND, 1_000_000_000). % ns
-define(DROPS, [{keys, {bytes, 16}}, {values, u64}, {percpu, sum}]).

-type results() :: ebpf_fleet:results().

-record(state, {
    nodes :: [ebpf_fleet:option()],
    listed = #{} :: #{Key :: binary() => Until :: integer()}, % s, monotonic
    filled = [] :: [node()] % that have all that is listed
}).

%% Of the options {nodes, Nodes} is for this; without it, see ebpf_fleet. Ends whatever list was there.
-spec start_link(File :: file:name_all(), ebpf_programs:target(), [{nodes, ebpf_fleet:source()}]) ->
    gen_server:start_ret().
start_link(File, Target, Options) ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, {File, Target, Options}, []).

%% Drops what comes from that address for so many seconds. A host that is not in the result yet, or
%% failed, gets the entry once it is there.
-spec block(inet:ip_address(), Seconds :: pos_integer()) -> results().
block(Address, Seconds) -> gen_server:call(?MODULE, {block, key(Address), Seconds}, infinity).

-spec unblock(inet:ip_address()) -> results().
unblock(Address) -> gen_server:call(?MODULE, {unblock, key(Address)}, infinity).

%% What is listed, and for how many more seconds.
-spec blocked() -> [{inet:ip_address(), Seconds :: pos_integer()}].
blocked() -> gen_server:call(?MODULE, blocked).

%% Packets that each host has dropped.
-spec drops() -> {#{node() => non_neg_integer()}, results()}.
drops() -> gen_server:call(?MODULE, drops, infinity).

%% Ends it on all hosts.
-spec stop() -> results().
stop() ->
    Results = gen_server:call(?MODULE, stop, infinity),
    ok = gen_server:stop(?MODULE),
    Results.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init({file:name_all(), ebpf_programs:target(), list()}) -> {ok, #state{}} | {stop, term()}.
init({File, Target, Options}) ->
    Spec = #{name => ?MODULE, elf => {file, File}, attach => [{"drop", Target}]},
    case ebpf_fleet:keep(maps:merge(Spec, maps:from_list(Options))) of
        ok -> {ok, look(#state{nodes = Options})};
        {error, Reason} -> {stop, Reason}
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({block, Key, Seconds}, _From, #state{listed = Listed} = State) ->
    Until = now_s() + Seconds,
    Results = put_on(ready(), #{Key => Until}),
    Filled = [Node || {Node, ok} <- maps:to_list(Results), lists:member(Node, State#state.filled)],
    {reply, Results, State#state{listed = Listed#{Key => Until}, filled = Filled}};
handle_call({unblock, Key}, _From, #state{listed = Listed, nodes = Nodes} = State) ->
    {_Count, Results} = ebpf_fleet:remove(Key, ebpf_fleet:kept(?MODULE, blocked), Nodes),
    {reply, Results, State#state{listed = maps:remove(Key, Listed)}};
handle_call(blocked, _From, #state{listed = Listed} = State) ->
    {reply, [{address(Key), Until - now_s()} || {Key, Until} <- maps:to_list(Listed)], State};
handle_call(drops, _From, #state{nodes = Nodes} = State) ->
    Count = fun(Node, _Key, N, All) -> maps:update_with(Node, fun(M) -> M + N end, N, All) end,
    Drops = ebpf_fleet:kept(?MODULE, drops),
    {reply, ebpf_fleet:fold(Count, #{}, Drops, ?DROPS ++ Nodes), State};
handle_call(stop, _From, #state{nodes = Nodes} = State) ->
    {_Count, Results} = ebpf_fleet:unkeep(?MODULE, Nodes),
    {reply, Results, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(look, State) -> {noreply, look(State)};
handle_info(_Message, State) -> {noreply, State}.

%%--------------------------------------------------------------------------------------------------
%% Hosts
%%--------------------------------------------------------------------------------------------------

%% Hosts where the program has come are told of all that is listed.
look(#state{listed = Listed, filled = Filled} = State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    Now = now_s(),
    Left = maps:filter(fun(_Key, Until) -> Until > Now end, Listed),
    Ready = ready(),
    Results = put_on(Ready -- Filled, Left),
    Told = [Node || {Node, ok} <- maps:to_list(Results)],
    State#state{listed = Left, filled = [Node || Node <- Filled, lists:member(Node, Ready)] ++ Told}.

%% Where all is as it is kept.
ready() ->
    #{?MODULE := Hosts} = ebpf_fleet:status(),
    [Node || {Node, ok} <- maps:to_list(Hosts)].

%% Each host has a clock of its own.
put_on(Nodes, Listed) ->
    {Hosts, Asked} = ebpf_fleet:call(host, [], [{nodes, Nodes}]),
    Map = ebpf_fleet:kept(?MODULE, blocked),
    Pairs = fun(#{uptime := Uptime}) ->
        [{Key, <<((Uptime + Until - now_s()) * ?SECOND):64>>} || {Key, Until} <- maps:to_list(Listed)]
    end,
    Args = fun(Node) -> [Map(Node), Pairs(maps:get(Node, Hosts))] end,
    {_, Put} = ebpf_fleet:call(merge, Args, [{nodes, maps:keys(Hosts)}]),
    maps:merge(Asked, Put).

key({_, _, _, _} = Address) -> key(inet:ipv4_mapped_ipv6_address(Address));
key(Address) -> << <<Part:16>> || Part <- tuple_to_list(Address) >>.

address(Key) ->
    case list_to_tuple([Part || <<Part:16>> <= Key]) of
        {0, 0, 0, 0, 0, 16#ffff, _, _} = Mapped -> inet:ipv4_mapped_ipv6_address(Mapped);
        Address -> Address
    end.

now_s() -> erlang:monotonic_time(second).
