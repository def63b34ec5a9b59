%% SPDX-License-Identifier: Apache-2.0
%%
%% Subscriptions of one process to events of all hosts, also of those that come later. The events go
%% from the C nodes to that process, not through this one, which subscribes for it, again where that
%% has ended, and says who is there.
%% @private
-module(ebpf_fleet_stream).
-behaviour(gen_server).

-export([subscribe/4, unsubscribe/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-define(LOOK, 5000). % ms between looks for nodes without a subscription
-define(STOP_TIME, 5000).

-record(stream, {
    what :: term(),
    pid :: pid(),
    read :: ebpf_fleet_options:options(),
    monitor :: reference(),
    subscriptions = #{} :: #{reference() => {node(), pid()}}
}).

-spec subscribe(What :: term(), Pid :: term(), Options :: term(), Args :: [term()]) ->
    ebpf_cnode_request:outcome().
subscribe(What, Pid, Options, Args) ->
    case {is_source(What), is_pid(Pid) andalso node(Pid) =:= node()} of
        {false, _} -> {raise, {badmap, What}, Args};
        {_, false} -> {raise, badarg, Args};
        _ -> begin_stream(What, Pid, Options, Args)
    end.

is_source(log) -> true;
is_source(Fun) when is_function(Fun, 1) -> true;
is_source(What) -> ebpf_maps_terms:is_locator(What) andalso element(1, What) =/= id.

%% The options are read by the caller, who is told of those that are wrong.
begin_stream(What, Pid, Options, Args) ->
    Make = fun(Read) -> {Read, none, fun(_) -> Read end} end,
    case ebpf_fleet_work:over(subscribe, Options, Args, #{}, checked(Make)) of
        {value, {Read, _}} -> started(gen_server:start(?MODULE, {What, Pid, Read}, []), Read, Args);
        Raise -> Raise
    end.

%% No node is asked yet.
checked(Make) ->
    fun(Read) ->
        {_, _, Result} = Make(Read),
        {Read, fun(_Node, Acc) -> {{done, ok}, Acc} end, Result}
    end.

started({ok, Stream}, #{strict := Strict}, Args) ->
    Results = gen_server:call(Stream, results, infinity),
    case {Strict, [{Node, Reason} || {Node, {error, Reason}} <- maps:to_list(Results)]} of
        {true, [_ | _] = Failed} ->
            _ = unsubscribe(Stream, Args),
            {raise, {failed, maps:from_list(Failed)}, Args};
        _ ->
            {value, {Stream, Results}}
    end.

-spec unsubscribe(Stream :: term(), Args :: [term()]) -> ebpf_cnode_request:outcome().
unsubscribe(Stream, Args) when is_pid(Stream), node(Stream) =:= node() ->
    try gen_server:stop(Stream, normal, ?STOP_TIME) of
        ok -> {value, ok}
    catch
        exit:noproc -> {value, {error, esrch}};
        exit:timeout -> {raise, timeout, Args}
    end;
unsubscribe(_Term, Args) ->
    {raise, badarg, Args}.

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init({term(), pid(), ebpf_fleet_options:options()}) -> {ok, #stream{}}.
init({What, Pid, Read}) ->
    ok = net_kernel:monitor_nodes(true, #{node_type => all}),
    {ok, #stream{what = What, pid = Pid, read = Read, monitor = monitor(process, Pid)}}.

-spec handle_call(term(), gen_server:from(), #stream{}) -> {reply, term(), #stream{}}.
handle_call(results, _From, #stream{read = #{nodes := Nodes}} = Stream) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {Results, Subscribed} = subscribe_to(Nodes, Stream),
    {reply, Results, Subscribed};
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
handle_info({nodeup, _Node, _Info}, Stream) ->
    {noreply, look(Stream)};
handle_info(look, Stream) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, look(Stream)};
handle_info(_Message, Stream) ->
    {noreply, Stream}.

-spec terminate(term(), #stream{}) -> ok.
terminate(_Reason, #stream{subscriptions = All}) ->
    lists:foreach(fun({_Node, Pid}) -> exit(Pid, shutdown) end, maps:values(All)).

%%--------------------------------------------------------------------------------------------------
%% Subscriptions
%%--------------------------------------------------------------------------------------------------

look(#stream{read = #{source := Source}} = Stream) ->
    {_Results, Subscribed} = subscribe_to(now_there(Source), Stream),
    Subscribed.

%% A function of the user's may fail: the next look is as good.
now_there(Source) ->
    try ebpf_fleet_nodes:find(Source) of
        {ok, Nodes} -> Nodes;
        _ -> []
    catch
        _:_ -> []
    end.

subscribe_to(Nodes, #stream{subscriptions = All, read = Read} = Stream) ->
    Wanted = Nodes -- [Node || {Node, _} <- maps:values(All)],
    {Subscribed, Results} = ebpf_fleet_run:run(Wanted, fun begin_one/2, Stream, Read),
    {Results, Subscribed}.

begin_one(Node, #stream{what = What, pid = Pid, read = #{others := Options}} = Stream) ->
    try ring(What, Node) of
        Ring -> {{ask, ebpf_events, subscribe, [Ring, Pid, Options], fun(Answer, Stream1) ->
            answered(Answer, Node, Stream1)
        end}, Stream}
    catch
        error:Reason -> {{done, {error, Reason}}, Stream}
    end.

ring(Fun, Node) when is_function(Fun) -> Fun(Node);
ring(What, _Node) -> What.

answered({ok, Pid}, Node, #stream{subscriptions = All} = Stream) when
    is_pid(Pid), node(Pid) =:= Node
->
    tell({up, Node, Pid}, Stream),
    {{done, ok}, Stream#stream{subscriptions = All#{monitor(process, Pid) => {Node, Pid}}}};
answered({ok, {error, Reason}}, _Node, Stream) ->
    {{done, {error, Reason}}, Stream};
answered({ok, _Term}, _Node, Stream) ->
    {{done, {error, badreply}}, Stream};
answered({error, Reason}, _Node, Stream) ->
    {{done, {error, Reason}}, Stream}.

tell(News, #stream{pid = Pid}) ->
    Pid ! {ebpf_fleet, self(), News},
    ok.
