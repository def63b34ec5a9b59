%% SPDX-License-Identifier: Apache-2.0
%%
%% Logs how fast the counts in an eBPF map grow. The map is on another host: a program
%% there counts, for instance test/demo/count_packets.bpf.c, and the C node of that host
%% serves the map. Compile this with erlang/ebin of ebpf_cnode on the code path, and
%%
%%     packet_rate:start_link('ebpf@host', {pinned, "/sys/fs/bpf/packets"}, 1000).
%%
%% logs each second, for each port whose count has grown,
%%
%%     port 9: 102.0 packets/s
%%
%% It belongs under a supervisor: when the C node or its host goes, a poll raises an
%% error and ends the server, and the restart opens the map anew.
-module(packet_rate).

-behaviour(gen_server).

-export([start_link/3]).
-export([init/1, handle_continue/2, handle_info/2, handle_call/3, handle_cast/2]).

-include_lib("kernel/include/logger.hrl").

-type counts() :: #{Port :: 0..65535 => non_neg_integer()}.

-record(state, {
    map :: ebpf_maps:ebpf_map(),
    every :: pos_integer(),
    counts = #{} :: counts(),
    %% monotonic, in milliseconds
    at = 0 :: integer()
}).

%% Polls the map of that C node every so many milliseconds.
-spec start_link(Node :: node(), ebpf_maps:locator(), Every :: pos_integer()) -> gen_server:start_ret().
start_link(Node, What, Every) ->
    gen_server:start_link(?MODULE, {Node, What, Every}, []).

-spec init({node(), ebpf_maps:locator(), pos_integer()}) ->
    {ok, #state{}, {continue, first}} | {stop, {ebpf_maps:locator(), ebpf_maps:posix()}}.
init({Node, What, Every}) ->
    %% With this lifetime the C node closes the handle when this process ends.
    case ebpf_maps:open(What, [{node, Node}, read, {lifetime, process}]) of
        {error, Posix} -> {stop, {What, Posix}};
        Map -> {ok, #state{map = Map, every = Every}, {continue, first}}
    end.

-spec handle_continue(first, #state{}) -> {noreply, #state{}}.
handle_continue(first, State) ->
    {noreply, poll_later(State#state{counts = counts(State), at = now_ms()})}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(poll, #state{counts = Before, at = Then} = State) ->
    Counts = counts(State),
    Now = now_ms(),
    _ = [
        ?LOG_NOTICE("port ~b: ~.1f packets/s", [Port, (Count - Old) * 1000 / max(1, Now - Then)])
     || {Port, Count} <- lists:sort(maps:to_list(Counts)),
        Old <- [maps:get(Port, Before, 0)],
        Count > Old
    ],
    {noreply, poll_later(State#state{counts = Counts, at = Now})};
handle_info(_, State) ->
    {noreply, State}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, term()}, #state{}}.
handle_call(Request, _From, State) ->
    {reply, {error, {unknown, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

%% The whole map in a request or a few, not a request for each port.
-spec counts(#state{}) -> counts().
counts(#state{map = Map}) ->
    maps:from_list([{Port, count(Value)} || {<<Port:32/native>>, Value} <- ebpf_maps:to_list(Map)]).

%% In the byte order of the C node's host, taken to be that of this one. A per-CPU map
%% has a value for each CPU.
count(<<Count:64/native>>) -> Count;
count(Values) when is_list(Values) -> lists:sum([count(Value) || Value <- Values]).

poll_later(#state{every = Every} = State) ->
    _ = erlang:send_after(Every, self(), poll),
    State.

now_ms() ->
    erlang:monotonic_time(millisecond).
