%% SPDX-License-Identifier: Apache-2.0
%%
%% Calls single functions and measures the time. All times are in nanoseconds.
-module(bench_calls).

-export([ask/3, in_process/1, callers/3, callers_on/4, stream/3, bytes/3, multicall/1,
         disconnect/1, handles/2]).

-export_type([way/0, work/0]).

-define(DEADLINE, 300000).
-define(WARM_UP, 200).

-type way() ::
    {erpc, node(), module()}
    | {apply, module()}
    | {gen_server, node(), atom()}.
%% How to call the function.

-type work() :: {
    Function :: get | put | update | take,
    Map :: term(),
    ValueSize :: pos_integer(),
    First :: non_neg_integer(),
    Count :: pos_integer()
}.
%% Count calls, with the keys from First on; after the map's last key comes its first.

-spec ask(way(), atom(), [term()]) -> term().
ask({erpc, Node, Module}, Function, Args) -> erpc:call(Node, Module, Function, Args);
ask({apply, Module}, Function, Args) -> apply(Module, Function, Args);
ask({gen_server, Node, Name}, Function, Args) -> gen_server:call({Name, Node}, {Function, Args}).

%% Evaluates Fun in a process of its own, so that no run collects the garbage of the previous one.
-spec in_process(fun(() -> Value)) -> Value.
in_process(Fun) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({value, Fun()}) end),
    receive
        {'DOWN', Monitor, process, Pid, {value, Value}} -> Value;
        {'DOWN', Monitor, process, Pid, Reason} -> error({failed, Reason})
    after ?DEADLINE -> error(deadline)
    end.

%%--------------------------------------------------------------------------------------------------
%% Callers that wait for each answer
%%--------------------------------------------------------------------------------------------------

%% The time from the start signal until the last caller has all its answers. Before it, each gets
%% some values, which wakes up both sides.
-spec callers(way(), work(), Callers :: pos_integer()) -> pos_integer().
callers(Way, Work, Callers) ->
    Parent = self(),
    Started = [
        spawn_monitor(fun() ->
            warm_up(Way, Share, Callers),
            Parent ! {ready, self()},
            receive go -> loop(Way, Share) end
        end)
     || Share <- shares(Work, Callers)
    ],
    [
        receive
            {ready, Pid} -> ok;
            {'DOWN', Monitor, process, Pid, Reason} -> error({failed, Reason})
        after ?DEADLINE -> error(deadline)
        end
     || {Pid, Monitor} <- Started
    ],
    Begun = erlang:monotonic_time(nanosecond),
    [Pid ! go || {Pid, _} <- Started],
    [
        receive
            {'DOWN', Monitor, process, _, normal} -> ok;
            {'DOWN', Monitor, process, _, Reason} -> error({failed, Reason})
        after ?DEADLINE -> error(deadline)
        end
     || {_, Monitor} <- Started
    ],
    erlang:monotonic_time(nanosecond) - Begun.

%% The same, from several nodes at once.
-spec callers_on([node()], way(), work(), CallersEach :: pos_integer()) -> pos_integer().
callers_on(Nodes, Way, Work, CallersEach) ->
    Begun = erlang:monotonic_time(nanosecond),
    Asked = [
        erpc:send_request(Node, ?MODULE, callers, [Way, Share, CallersEach])
     || {Node, Share} <- lists:zip(Nodes, shares(Work, length(Nodes)))
    ],
    [erpc:receive_response(Request, ?DEADLINE) || Request <- Asked],
    erlang:monotonic_time(nanosecond) - Begun.

shares({Function, Map, ValueSize, First, Count}, Sharers) ->
    Share = Count div Sharers,
    [{Function, Map, ValueSize, First + Share * N, Share} || N <- lists:seq(0, Sharers - 1)].

warm_up(Way, {_, Map, ValueSize, First, Count}, Callers) ->
    loop(Way, {get, Map, ValueSize, First, min(Count, ?WARM_UP div Callers + 1)}).

loop(Way, {Function, Map, ValueSize, First, Count}) ->
    loop(Way, Function, Map, binary:copy(<<1>>, ValueSize), First, First + Count).

loop(_Way, _Function, _Map, _Value, End, End) ->
    ok;
loop(Way, Function, Map, Value, Key, End) ->
    check(Function, ask(Way, Function, args(Function, Key, Value, Map)), Value, Map),
    loop(Way, Function, Map, Value, Key + 1, End).

args(Function, Number, Value, Map) ->
    Entries = element(6, Map),
    Key = <<(Number rem Entries):32/native>>,
    case Function =:= get orelse Function =:= take of
        true -> [Key, Map];
        false -> [Key, Value, Map]
    end.

%% A fast answer must be a right one, too.
check(get, Answer, Value, _Map) when byte_size(Answer) =:= byte_size(Value) -> ok;
check(take, {Answer, Map}, Value, Map) when byte_size(Answer) =:= byte_size(Value) -> ok;
check(put, Map, _Value, Map) -> ok;
check(update, Map, _Value, Map) -> ok;
check(Function, Answer, _Value, _Map) -> error({wrong_answer, Function, Answer}).

%%--------------------------------------------------------------------------------------------------
%% One caller with Window requests in flight
%%--------------------------------------------------------------------------------------------------

-spec stream(way(), work(), Window :: pos_integer()) -> pos_integer().
stream(Way, {Function, Map, ValueSize, First, Count}, Window) ->
    in_process(fun() ->
        Value = binary:copy(<<1>>, ValueSize),
        Send = fun(Key) -> send(Way, Function, args(Function, Key, Value, Map)) end,
        Receive = fun(Request) -> check(Function, response(Way, Request), Value, Map) end,
        Ahead = lists:seq(First, First + min(Window, Count) - 1),
        Begun = erlang:monotonic_time(nanosecond),
        Asked = queue:from_list([Send(Key) || Key <- Ahead]),
        flow(Send, Receive, Asked, First + length(Ahead), First + Count),
        erlang:monotonic_time(nanosecond) - Begun
    end).

flow(Send, Receive, Asked, Key, End) ->
    case queue:out(Asked) of
        {{value, Request}, Rest} when Key < End ->
            Receive(Request),
            flow(Send, Receive, queue:in(Send(Key), Rest), Key + 1, End);
        {{value, Request}, Rest} ->
            Receive(Request),
            flow(Send, Receive, Rest, Key, End);
        {empty, _} ->
            ok
    end.

send({erpc, Node, Module}, Function, Args) ->
    erpc:send_request(Node, Module, Function, Args);
send({gen_server, Node, Name}, Function, Args) ->
    gen_server:send_request({Name, Node}, {Function, Args}).

response({erpc, _, _}, Request) ->
    erpc:receive_response(Request, ?DEADLINE);
response({gen_server, _, _}, Request) ->
    {reply, Reply} = gen_server:receive_response(Request, ?DEADLINE),
    Reply.

%%--------------------------------------------------------------------------------------------------
%% Bytes
%%--------------------------------------------------------------------------------------------------

%% Bytes of one request and of its answer on the wire, as the port of the connection counts them.
-spec bytes(node(), way(), work()) -> {Request :: float(), Answer :: float()}.
bytes(Node, Way, {_, _, _, _, Count} = Work) ->
    loop(Way, Work),
    {Node, Port} = lists:keyfind(Node, 1, erlang:system_info(dist_ctrl)),
    {Sent, Received} = counted(Port),
    loop(Way, Work),
    {SentThen, ReceivedThen} = counted(Port),
    {(SentThen - Sent) / Count, (ReceivedThen - Received) / Count}.

counted(Port) ->
    {ok, Counts} = inet:getstat(Port, [send_oct, recv_oct]),
    {proplists:get_value(send_oct, Counts), proplists:get_value(recv_oct, Counts)}.

%%--------------------------------------------------------------------------------------------------
%% Many C nodes
%%--------------------------------------------------------------------------------------------------

%% The time until the slowest node has answered.
-spec multicall([node()]) -> pos_integer().
multicall(Nodes) ->
    Begun = erlang:monotonic_time(nanosecond),
    Answers = erpc:multicall(Nodes, ebpf_maps, handles, [], ?DEADLINE),
    Took = erlang:monotonic_time(nanosecond) - Begun,
    [] = [Answer || Answer <- Answers, not is_list_answer(Answer)],
    Took.

is_list_answer({ok, Answer}) -> is_list(Answer);
is_list_answer(_) -> false.

-spec disconnect([node()]) -> ok.
disconnect(Nodes) ->
    [erlang:disconnect_node(Node) || Node <- Nodes],
    gone(Nodes, erlang:monotonic_time(millisecond) + ?DEADLINE).

gone(Nodes, Deadline) ->
    case erlang:monotonic_time(millisecond) < Deadline andalso
         [Node || Node <- nodes(connected), lists:member(Node, Nodes)] of
        [] -> ok;
        false -> error(deadline);
        _ -> receive after 10 -> gone(Nodes, Deadline) end
    end.

%% Creates Count maps of one entry, each with its handle.
-spec handles(node(), pos_integer()) -> ok.
handles(Node, Count) ->
    Asked = [
        erpc:send_request(Node, ebpf_maps, new, [array, 4, 8, 1])
     || _ <- lists:seq(1, Count)
    ],
    [ebpf_map = element(1, erpc:receive_response(Request, ?DEADLINE)) || Request <- Asked],
    ok.
