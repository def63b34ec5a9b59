%% SPDX-License-Identifier: Apache-2.0
%%
%% Conversations with many nodes at once, in the calling process: what is asked next of a node follows
%% from its last answer, and what all of them have said goes into one accumulator as it comes. So many
%% nodes as the window says are at work at a time; who takes long to answer is waited for, but keeps
%% no place from another.
%% @private
-module(ebpf_fleet_run).

-export([run/4]).

-export_type([step/1, answer/0, limits/0]).

-define(SLOW, 100). % ms, after which the next node is asked
-define(WORTH_NOTING, 1000). % ms of silence

-type answer() :: {ok, term()} | {error, Reason :: term()}.

-type step(Acc) ::
    {ask, module(), atom(), Args :: [term()], fun((answer(), Acc) -> {step(Acc), Acc})}
    | {done, ok | {error, Reason :: term()}}.

-type limits() :: #{
    window := pos_integer(),
    timeout := non_neg_integer(), % ms, for each answer
    deadline := non_neg_integer(), % ms, for all
    on_node := none | fun((node(), ok | {error, term()}) -> term()),
    _ => _
}.

-record(asked, {
    next :: fun((answer(), term()) -> {step(term()), term()}),
    module :: module(),
    first :: boolean(), % nothing has come from it before
    at :: integer() % ms
}).

-record(run, {
    begin_with :: fun((node(), term()) -> {step(term()), term()}),
    limits :: limits(),
    until :: integer(), % ms
    waiting :: [node()],
    asked = #{} :: #{node() => #asked{}},
    requests :: erpc:request_id_collection(),
    results = #{} :: #{node() => ok | {error, term()}},
    acc :: term()
}).

%% Begin is called for each node once it is its turn. An exception of it, or of what comes after it,
%% is the caller's: no request is left behind then.
-spec run([node()], Begin, Acc, limits()) -> {Acc, #{node() => ok | {error, Reason :: term()}}} when
    Begin :: fun((node(), Acc) -> {step(Acc), Acc}).
run(Nodes, Begin, Acc, #{deadline := Deadline} = Limits) ->
    loop(#run{
        begin_with = Begin,
        limits = Limits,
        until = now_ms() + Deadline,
        waiting = Nodes,
        requests = erpc:reqids_new(),
        acc = Acc
    }).

loop(#run{waiting = [], asked = Asked, acc = Acc, results = Results}) when map_size(Asked) =:= 0 ->
    {Acc, Results};
loop(Run) ->
    Now = now_ms(),
    case Now >= Run#run.until of
        true -> loop(give_up(come(Run)));
        false -> loop(await(begin_more(Run, Now)))
    end.

%% What has come already, as while a function of the caller's was at work, is not late. What is asked
%% next is.
come(#run{asked = Asked} = Run) when map_size(Asked) =:= 0 ->
    Run;
come(#run{requests = Requests} = Run) ->
    case wait(Requests, 0) of
        none -> Run;
        {Node, Answer, Rest} -> come(answered(Node, Answer, Run#run{requests = Rest}))
    end.

%%--------------------------------------------------------------------------------------------------
%% Beginning
%%--------------------------------------------------------------------------------------------------

begin_more(#run{waiting = []} = Run, _Now) ->
    Run;
begin_more(#run{waiting = [Node | Waiting], limits = #{window := Window}} = Run, Now) ->
    case busy(Run, Now) < Window of
        true -> begin_more(begin_one(Node, Run#run{waiting = Waiting}), Now);
        false -> Run
    end.

busy(#run{asked = Asked}, Now) ->
    length([quick || #asked{at = At} <- maps:values(Asked), Now - At < ?SLOW]).

%% Who was silent a short while ago is not asked.
begin_one(Node, #run{begin_with = Begin} = Run) ->
    case not maps:get(ask_silent, Run#run.limits, false) andalso ebpf_fleet_known:is_silent(Node) of
        {true, Reason} ->
            ended(Node, {error, Reason}, Run);
        _ ->
            follow(Node, guarded(fun() -> Begin(Node, Run#run.acc) end, Run), true, Run)
    end.

%%--------------------------------------------------------------------------------------------------
%% Answers
%%--------------------------------------------------------------------------------------------------

await(#run{asked = Asked} = Run) when map_size(Asked) =:= 0 ->
    Run;
await(#run{requests = Requests} = Run) ->
    case wait(Requests, wait_time(Run)) of
        none -> time_out(Run);
        {Node, Answer, Rest} -> answered(Node, Answer, Run#run{requests = Rest})
    end.

wait(Requests, Time) ->
    try erpc:wait_response(Requests, Time, true) of
        {{response, Value}, Node, Rest} -> {Node, {ok, Value}, Rest};
        no_response -> none
    catch
        Class:{Reason, Node, Rest} -> {Node, {Class, Reason}, Rest}
    end.

%% Until the next node may begin, or the time of one is over.
wait_time(#run{asked = Asked, waiting = Waiting, until = Until, limits = #{timeout := Timeout}}) ->
    Now = now_ms(),
    Ends = [At + Timeout || #asked{at = At} <- maps:values(Asked)],
    Slow = [At + ?SLOW || #asked{at = At} <- maps:values(Asked), Waiting =/= [], At + ?SLOW > Now],
    max(0, lists:min([Until | Ends ++ Slow]) - Now).

answered(Node, Answer, #run{asked = Asked} = Run) ->
    {#asked{next = Next, first = First, module = Module} = One, Rest} = maps:take(Node, Asked),
    Read = read(Answer, Module, Node),
    First andalso note(Node, Read, One),
    Left = Run#run{asked = Rest},
    follow(Node, guarded(fun() -> Next(Read, Run#run.acc) end, Left), false, Left).

note(Node, {error, nodedown}, _Asked) -> ebpf_fleet_known:silent(Node, nodedown);
note(_Node, _Answer, _Asked) -> ok.

read({ok, Value}, _Module, _Node) ->
    {ok, Value};
read({Class, Reason}, Module, Node) ->
    case ebpf_cnode_request:reason(Class, Reason, Module, Node) of
        {Why, Node} when Why =:= nodedown; Why =:= timeout; Why =:= undef -> {error, Why};
        Other -> {error, Other}
    end.

follow(Node, {{ask, Module, Function, Args, Next}, Acc}, First, Run) ->
    #run{asked = Asked, requests = Requests} = Run,
    Id = erpc:send_request(Node, Module, Function, Args),
    Run#run{
        acc = Acc,
        requests = erpc:reqids_add(Id, Node, Requests),
        asked = Asked#{Node => #asked{next = Next, module = Module, first = First, at = now_ms()}}
    };
follow(Node, {{done, Result}, Acc}, _First, Run) ->
    ended(Node, Result, Run#run{acc = Acc}).

ended(Node, Result, #run{results = Results, limits = #{on_node := Tell}} = Run) ->
    _ = is_function(Tell) andalso guarded(fun() -> Tell(Node, Result) end, Run),
    Run#run{results = Results#{Node => Result}}.

guarded(Fun, Run) ->
    try
        Fun()
    catch
        Class:Reason:Stack ->
            _ = abandon(maps:keys(Run#run.asked), Run),
            erlang:raise(Class, Reason, Stack)
    end.

%%--------------------------------------------------------------------------------------------------
%% Silence
%%--------------------------------------------------------------------------------------------------

time_out(#run{asked = Asked, limits = #{timeout := Timeout}} = Run) ->
    Now = now_ms(),
    late([Node || {Node, #asked{at = At}} <- maps:to_list(Asked), Now - At >= Timeout], Run).

%% The time for all is over: who was not asked has not answered either.
give_up(#run{asked = Asked, waiting = Waiting} = Run) ->
    Late = late(maps:keys(Asked), Run),
    lists:foldl(fun(Node, One) -> ended(Node, {error, timeout}, One) end, Late#run{waiting = []},
                Waiting).

%% What follows from that is not asked any more: the node would not answer.
late(Nodes, Run) ->
    lists:foldl(fun is_late/2, abandon(Nodes, Run), Nodes).

is_late(Node, #run{asked = Asked} = Run) ->
    {#asked{next = Next, first = First, at = At}, Rest} = maps:take(Node, Asked),
    First andalso note_late(Node, now_ms() - At),
    Left = Run#run{asked = Rest},
    {Step, Acc} = guarded(fun() -> Next({error, timeout}, Left#run.acc) end, Left),
    ended(Node, last(Step), Left#run{acc = Acc}).

note_late(Node, Waited) when Waited >= ?WORTH_NOTING -> ebpf_fleet_known:silent(Node, timeout);
note_late(Node, _Waited) -> ebpf_fleet_known:late(Node).

last({done, Result}) -> Result;
last({ask, _, _, _, _}) -> {error, timeout}.

%% An answer that comes later is dropped by the emulator.
abandon([], Run) ->
    Run;
abandon(Nodes, #run{requests = Requests} = Run) ->
    {Late, Others} = lists:partition(fun({_Id, Node}) -> lists:member(Node, Nodes) end,
                                     erpc:reqids_to_list(Requests)),
    lists:foreach(fun({Id, _Node}) -> drop(Id) end, Late),
    Add = fun({Id, Node}, All) -> erpc:reqids_add(Id, Node, All) end,
    Run#run{requests = lists:foldl(Add, erpc:reqids_new(), Others)}.

drop(Id) ->
    try
        erpc:receive_response(Id, 0)
    catch
        _:_ -> dropped
    end.

now_ms() -> erlang:monotonic_time(millisecond).
