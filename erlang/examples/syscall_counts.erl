%% SPDX-License-Identifier: Apache-2.0
%%
%% Counts the system calls of a host, for as long as this server lives. Its program is loaded and
%% attached on the host of a C node that gives this node `load', such as one started with
%%
%%     ebpf_cnode --listen 127.0.0.1 --programs tracing --allow 'me@*=load'
%%
%% Compile it by clang, and this with erlang/ebin of ebpf_cnode on the code path:
%%
%%     clang -target bpf -g -O2 -idirafter /usr/include/$(uname -m)-linux-gnu \
%%         -c syscall_counts.bpf.c -o syscall_counts.bpf.o
%%
%% Then syscall_counts:start_link('ebpf@host', "syscall_counts.bpf.o", 1000) logs each second
%%
%%     5120 system calls/s, most of them number 202
%%
%% and syscall_counts:calls(Server) returns the counts. All handles are those of this process: when
%% it ends, however it ends, the program is detached and freed. It belongs under a supervisor: when
%% the C node goes, a poll raises an error and ends the server, and the restart loads it anew.
-module(syscall_counts).

-behaviour(gen_server).

-export([start_link/3, calls/1]).
-export([init/1, handle_info/2, handle_call/3, handle_cast/2]).

-include_lib("kernel/include/logger.hrl").

-type calls() :: #{Number :: 0..511 => pos_integer()}.

-record(state, {
    map :: ebpf_maps:ebpf_map(),
    every :: pos_integer(),
    calls = #{} :: calls(),
    %% monotonic, in milliseconds
    at :: integer()
}).

%% Logs every so many milliseconds.
-spec start_link(Node :: node(), File :: file:name_all(), Every :: pos_integer()) ->
    gen_server:start_ret().
start_link(Node, File, Every) ->
    gen_server:start_link(?MODULE, {Node, File, Every}, []).

%% How often each system call was made since the start, by its number.
-spec calls(Server :: pid()) -> calls().
calls(Server) ->
    gen_server:call(Server, calls).

-spec init({node(), file:name_all(), pos_integer()}) -> {ok, #state{}} | {stop, binary()}.
init({Node, File, Every}) ->
    case ebpf_programs:load_file(File, [{node, Node}, {lifetime, process}]) of
        #{programs := #{<<"count">> := Program}, maps := #{<<"calls">> := Map}} ->
            attach(Program, poll_later(#state{map = Map, every = Every, at = now_ms()}));
        {error, _} = Error ->
            {stop, words(Error)}
    end.

%% The section of the program's source says where: raw_tracepoint/sys_enter.
attach(Program, State) ->
    case ebpf_programs:attach(Program, auto, [{lifetime, process}]) of
        {error, _} = Error -> {stop, words(Error)};
        _Link -> {ok, State}
    end.

%% What the verifier says, or why the kernel or the C node refuses.
words({error, Reason} = Error) ->
    case ebpf_programs:format_error(Error, []) of
        #{general := Text} -> Text;
        _ -> unicode:characters_to_binary(io_lib:format("~tp", [Reason]))
    end.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(poll, #state{map = Map, calls = Before, at = Then} = State) ->
    Calls = counts(Map),
    Now = now_ms(),
    Grown = [{Count - maps:get(Number, Before, 0), Number} || {Number, Count} <- maps:to_list(Calls)],
    {_, Most} = lists:max([{0, none} | Grown]),
    Rate = lists:sum([Count || {Count, _} <- Grown]) * 1000 div max(1, Now - Then),
    ?LOG_NOTICE("~b system calls/s, most of them number ~w", [Rate, Most]),
    {noreply, poll_later(State#state{calls = Calls, at = Now})};
handle_info(_, State) ->
    {noreply, State}.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, calls() | {error, term()}, #state{}}.
handle_call(calls, _From, #state{map = Map} = State) ->
    {reply, counts(Map), State};
handle_call(Request, _From, State) ->
    {reply, {error, {unknown, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

%% Those of all CPUs, in the byte order of the C node's host, taken to be that of this one.
-spec counts(ebpf_maps:ebpf_map()) -> calls().
counts(Map) ->
    maps:from_list([
        {Number, Count}
     || {<<Number:32/native>>, Values} <- ebpf_maps:to_list(Map),
        Count <- [lists:sum([N || <<N:64/native>> <- Values])],
        Count > 0
    ]).

poll_later(#state{every = Every} = State) ->
    _ = erlang:send_after(Every, self(), poll),
    State.

now_ms() ->
    erlang:monotonic_time(millisecond).
