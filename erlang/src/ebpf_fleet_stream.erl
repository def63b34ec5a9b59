%% SPDX-License-Identifier: Apache-2.0
%%
%% Subscriptions of one process to events of all hosts, also of those that come later. The events go
%% from the C nodes to that process, not through this one, which subscribes for it, again where that
%% has ended, and says who is there. Each host is asked by a process of its own: an answer may come
%% late, but never to nobody, and a host is not asked twice at a time.
%% @private
-module(ebpf_fleet_stream).
-behaviour(gen_server).

-export([subscribe/4, unsubscribe/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(LOOK, 5000). % ms between looks for nodes without a subscription

-type result() :: ok | {error, Reason :: term()}.

-record(stream, {
    what :: term(),
    pid :: pid(),
    options :: [term()],
    source :: ebpf_fleet_nodes:source(),
    monitor :: reference(),
    finder = none :: pid() | none,
    asked = #{} :: #{node() => pid()},
    subscriptions = #{} :: #{reference() => {node(), pid()}},
    %% who waits for the results of the first round
    caller = none :: none | gen_server:from(),
    results = #{} :: #{node() => result()}
}).

-spec subscribe(What :: term(), Pid :: term(), Options :: term(), Args :: [term()]) ->
    ebpf_cnode_request:outcome().
subscribe(What, Pid, Options, Args) ->
    case {is_source(What), is_pid(Pid) andalso node(Pid) =:= node()} of
        {false, _} ->
            {raise, {badmap, What}, Args};
        {_, false} ->
            {raise, badarg, Args};
        _ ->
            ebpf_fleet_work:with_nodes(subscribe, Options, Args, #{}, fun(Read, Others) ->
                start(What, Pid, Read, Others, Args)
            end)
    end.

is_source(log) -> true;
is_source(What) -> ebpf_fleet_work:is_what(What).

start(What, Pid, #{nodes := Nodes, source := Source} = Read, Others, Args) ->
    Given = #stream{
        what = What, pid = Pid, options = Others, source = Source, monitor = make_ref()
    },
    {ok, Stream} = gen_server:start(?MODULE, Given, []),
    #{timeout := Timeout, deadline := Deadline, on_node := Tell} = Read,
    Results = gen_server:call(Stream, {begin_with, Nodes, min(Timeout, Deadline)}, infinity),
    _ = is_function(Tell) andalso [Tell(Node, Result) || {Node, Result} <- maps:to_list(Results)],
    case ebpf_fleet_work:strictly(Read, {Stream, Results}, Args) of
        {value, _} = Value ->
            Value;
        Raise ->
            _ = unsubscribe(Stream, Args),
            Raise
    end.

-spec unsubscribe(Stream :: term(), Args :: [term()]) -> ebpf_cnode_request:outcome().
unsubscribe(Stream, Args) when is_pid(Stream), node(Stream) =:= node() ->
    case is_stream(Stream) of
        true ->
            try gen_server:stop(Stream) of
                ok -> {value, ok}
            catch
                exit:_ -> {value, {error, esrch}}
            end;
        false ->
            {raise, badarg, Args};
        gone ->
            {value, {error, esrch}}
    end;
unsubscribe(_Term, Args) ->
    {raise, badarg, Args}.

is_stream(Pid) ->
    case process_info(Pid, dictionary) of
        {dictionary, Said} -> proplists:get_value('$initial_call', Said) =:= {?MODULE, init, 1};
        undefined -> gone
    end.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init(#stream{}) -> {ok, #stream{}}.
init(#stream{pid = Pid} = Stream) ->
    ok = net_kernel:monitor_nodes(true, #{node_type => all}),
    {ok, Stream#stream{monitor = monitor(process, Pid)}}.

-spec handle_call(term(), gen_server:from(), #stream{}) ->
    {reply, term(), #stream{}} | {noreply, #stream{}}.
handle_call({begin_with, Nodes, Time}, From, Stream) ->
    _ = erlang:send_after(?LOOK, self(), look),
    _ = erlang:send_after(Time, self(), over),
    {noreply, reply_if_all(ask_all(Nodes, Stream#stream{caller = From}))};
handle_call(Request, _From, Stream) ->
    {reply, {error, {unknown_call, Request}}, Stream}.

-spec handle_cast(term(), #stream{}) -> {noreply, #stream{}}.
handle_cast(_Message, Stream) ->
    {noreply, Stream}.

-spec handle_info(term(), #stream{}) -> {noreply, #stream{}} | {stop, normal, #stream{}}.
handle_info({'DOWN', M, process, _, _}, #stream{monitor = M} = Stream) ->
    {stop, normal, Stream};
handle_info({'DOWN', M, process, _, Reason}, #stream{subscriptions = All} = Stream) when
    is_map_key(M, All)
->
    {{Node, _}, Rest} = maps:take(M, All),
    tell({down, Node, Reason}, Stream),
    {noreply, Stream#stream{subscriptions = Rest}};
handle_info({answer, Asked, Node, Answer}, #stream{asked = All} = Stream) ->
    Asked ! {taken, self()},
    {noreply, reply_if_all(answered(Answer, Node, Stream#stream{asked = maps:remove(Node, All)}))};
handle_info(over, Stream) ->
    {noreply, reply(Stream)};
handle_info({nodeup, _Node, _Info}, Stream) ->
    {noreply, look(Stream)};
handle_info(look, Stream) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, look(Stream)};
handle_info({found, Finder, Nodes}, #stream{finder = Finder} = Stream) ->
    {noreply, ask_all(Nodes, Stream#stream{finder = none})};
handle_info(_Message, Stream) ->
    {noreply, Stream}.

%% Those that are yet to be answered end by who asks for them.
-spec terminate(term(), #stream{}) -> ok.
terminate(_Reason, #stream{subscriptions = All}) ->
    lists:foreach(fun({_Node, Pid}) -> end_subscription(Pid) end, maps:values(All)).

%% Not from here: it may have to wait for a node that does not read.
end_subscription(Pid) ->
    _ = spawn(erlang, exit, [Pid, shutdown]),
    ok.

%%--------------------------------------------------------------------------------------------------
%% Looking for nodes
%%--------------------------------------------------------------------------------------------------

%% A function of the user's, or an epmd, may take its time, or fail: the next look is as good.
look(#stream{finder = none, source = Source} = Stream) ->
    Self = self(),
    Stream#stream{finder = spawn(fun() -> Self ! {found, self(), now_there(Source)} end)};
look(#stream{finder = Finder} = Stream) ->
    case is_process_alive(Finder) of
        true -> Stream;
        false -> look(Stream#stream{finder = none})
    end.

now_there(Source) ->
    try ebpf_fleet_nodes:find(Source) of
        {ok, Nodes} -> Nodes;
        _ -> []
    catch
        _:_ -> []
    end.

ask_all(Nodes, #stream{subscriptions = All, asked = Asked} = Stream) ->
    There = [Node || {Node, _} <- maps:values(All)],
    lists:foldl(fun ask/2, Stream, (Nodes -- There) -- maps:keys(Asked)).

ask(Node, #stream{what = What, pid = Pid, options = Options, asked = Asked} = Stream) ->
    case ebpf_fleet_known:is_silent(Node) of
        {true, Reason} ->
            result(Node, {error, Reason}, Stream);
        false ->
            Self = self(),
            Asks = spawn(fun() -> give(Self, Node, subscribe_to(Node, What, Pid, Options)) end),
            Stream#stream{asked = Asked#{Node => Asks}}
    end.

%%--------------------------------------------------------------------------------------------------
%% In a process for a node
%%--------------------------------------------------------------------------------------------------

subscribe_to(Node, What, Pid, Options) ->
    try
        erpc:call(Node, ebpf_events, subscribe, [ring(What, Node), Pid, Options], infinity)
    catch
        Class:Reason -> {error, reason(Class, Reason, Node)}
    end.

ring(Fun, Node) when is_function(Fun) -> Fun(Node);
ring(What, _Node) -> What.

reason(Class, Reason, Node) ->
    case ebpf_cnode_request:reason(Class, Reason, ebpf_events, Node) of
        {Why, Node} when Why =:= nodedown; Why =:= undef -> Why;
        Other -> Other
    end.

%% A stream that has ended wants none any more.
give(Stream, Node, Answer) ->
    Monitor = monitor(process, Stream),
    Stream ! {answer, self(), Node, Answer},
    receive
        {taken, Stream} -> ok;
        {'DOWN', Monitor, process, _, _} when is_pid(Answer) -> exit(Answer, shutdown);
        {'DOWN', Monitor, process, _, _} -> ok
    end.

%%--------------------------------------------------------------------------------------------------
%% Answers
%%--------------------------------------------------------------------------------------------------

answered(Pid, Node, #stream{subscriptions = All} = Stream) when is_pid(Pid), node(Pid) =:= Node ->
    tell({up, Node, Pid}, Stream),
    Monitored = All#{monitor(process, Pid) => {Node, Pid}},
    result(Node, ok, Stream#stream{subscriptions = Monitored});
answered({error, Reason}, Node, Stream) ->
    _ = Reason =:= nodedown andalso ebpf_fleet_known:silent(Node, nodedown),
    result(Node, {error, Reason}, Stream);
answered(_Term, Node, Stream) ->
    result(Node, {error, badreply}, Stream).

result(_Node, _Result, #stream{caller = none} = Stream) -> Stream;
result(Node, Result, #stream{results = Results} = Stream) ->
    Stream#stream{results = Results#{Node => Result}}.

reply_if_all(#stream{asked = Asked} = Stream) when map_size(Asked) =:= 0 -> reply(Stream);
reply_if_all(Stream) -> Stream.

%% Who has not answered yet may still do so.
reply(#stream{caller = none} = Stream) ->
    Stream;
reply(#stream{caller = From, asked = Asked, results = Results} = Stream) ->
    Late = maps:map(fun(_Node, _Asks) -> {error, timeout} end, Asked),
    gen_server:reply(From, maps:merge(Results, Late)),
    Stream#stream{caller = none, results = #{}}.

tell(News, #stream{pid = Pid}) ->
    Pid ! {ebpf_fleet, self(), News},
    ok.
