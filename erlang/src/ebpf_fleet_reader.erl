%% SPDX-License-Identifier: Apache-2.0
%%
%% Processes that work with a map on many nodes in the place of the caller. The handles are theirs, and
%% end with them, also those that come too late; so nothing is left behind however a call ends. One
%% that has only read, and missed no answer, waits some seconds for the next call of that kind: a name
%% may come to mean another map, so no longer.
%% @private
-module(ebpf_fleet_reader).

-export([work/4, find/1, keep/2, drop/1]).

-define(KEPT, 5_000). % ms for which handles are used
-define(LATE, 1_000). % ms beyond the deadline: what is asked of a node may block

-type key() :: term().
-type work(Result) :: fun(() -> {Again :: boolean(), Result}).

%% Fun is evaluated by one of them, and what it raises is raised here. Key says for which calls it can
%% be used again; none: for no other. Late: it did not end in time.
-spec work(none | key(), Deadline :: non_neg_integer(), work(Result), Late :: Result) -> Result.
work(Key, Deadline, Fun, Late) ->
    Reader = ebpf_fleet_known:take(Key),
    case ask(Reader, Key, Fun, Deadline + ?LATE) of
        gone when is_pid(Reader) -> work(Key, Deadline, Fun, Late);
        gone -> Late();
        {value, Value} -> Value;
        {raise, Class, Reason, Stack} -> erlang:raise(Class, Reason, Stack)
    end.

ask(none, Key, Fun, Time) ->
    Caller = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> serve_first(Key, Caller) end),
    ask(Pid, Monitor, Fun, Time);
ask(Pid, Monitor, Fun, Time) when is_reference(Monitor) ->
    Pid ! {work, self(), Monitor, Fun},
    receive
        {Monitor, Outcome} ->
            true = demonitor(Monitor, [flush]),
            Outcome;
        {'DOWN', Monitor, process, Pid, _Reason} ->
            gone
    after Time ->
        true = exit(Pid, kill),
        true = demonitor(Monitor, [flush]),
        receive {Monitor, Outcome} -> Outcome after 0 -> gone end
    end;
ask(Pid, _Key, Fun, Time) ->
    ask(Pid, monitor(process, Pid), Fun, Time).

%%--------------------------------------------------------------------------------------------------
%% In such a process
%%--------------------------------------------------------------------------------------------------

serve_first(Key, Caller) ->
    Until = now_ms() + ?KEPT,
    receive
        {work, Caller, Tag, Fun} -> serve(Key, Until, Caller, Tag, Fun)
    end.

serve(Key, Until, Caller, Tag, Fun) ->
    {Guard, Monitor} = spawn_monitor(guard(self(), Caller)),
    Again =
        try Fun() of
            {Clean, Value} ->
                Caller ! {Tag, {value, Value}},
                Clean
        catch
            Class:Reason:Stack ->
                Caller ! {Tag, {raise, Class, Reason, Stack}},
                false
        end,
    true = demonitor(Monitor, [flush]),
    true = exit(Guard, kill),
    Again andalso Key =/= none andalso ebpf_fleet_known:give(Key, self()) andalso
        await(Key, Until).

await(Key, Until) ->
    true = erlang:garbage_collect(),
    receive
        {work, Caller, Tag, Fun} -> serve(Key, Until, Caller, Tag, Fun)
    after max(0, Until - now_ms()) ->
        ebpf_fleet_known:taken(Key, self())
    end.

%% Who is killed asks for nothing more.
guard(Reader, Caller) ->
    fun() ->
        Ends = [monitor(process, Reader), monitor(process, Caller)],
        receive
            {'DOWN', End, process, _, _} when End =/= hd(Ends) -> exit(Reader, kill);
            {'DOWN', _, process, _, _} -> ok
        end
    end.

%%--------------------------------------------------------------------------------------------------
%% Its handles
%%--------------------------------------------------------------------------------------------------

-spec find(node()) -> {ok, Known :: term()} | none.
find(Node) ->
    case get({?MODULE, Node}) of
        undefined -> none;
        Known -> {ok, Known}
    end.

-spec keep(node(), Known :: term()) -> ok.
keep(Node, Known) ->
    _ = put({?MODULE, Node}, Known),
    ok.

-spec drop(node()) -> ok.
drop(Node) ->
    _ = erase({?MODULE, Node}),
    ok.

now_ms() -> erlang:monotonic_time(millisecond).
