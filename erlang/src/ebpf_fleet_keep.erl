%% SPDX-License-Identifier: Apache-2.0
%%
%% What the functions of the facade do that keep something on all hosts.
%% @private
-module(ebpf_fleet_keep).

-export([keep/2, unkeep/3, status/2, kept/3]).

-import(ebpf_cnode_arguments, [is_text/1, utf8/1]).

-type outcome() :: ebpf_cnode_request:outcome().
-type args() :: [term()].

-spec keep(Spec :: term(), args()) -> outcome().
keep(Spec, Args) ->
    case {is_alive(), ebpf_fleet_keep_spec:read(Spec)} of
        {false, _} -> {raise, notalive, Args};
        {true, badarg} -> {raise, badarg, Args};
        {true, {error, Reason}} -> {value, {error, Reason}};
        {true, {ok, Read}} -> {value, ebpf_fleet_keep_keeper:keep(Read)}
    end.

-spec status(Name :: term(), args()) -> outcome().
status(Name, Args) ->
    case ebpf_fleet_keep_keeper:status() of
        #{Name := Hosts} -> {value, Hosts};
        #{} -> {raise, {badkey, Name}, Args};
        {error, Reason} -> {value, {error, Reason}}
    end.

-spec kept(Name :: term(), Map :: term(), args()) -> outcome().
kept(Name, Map, Args) ->
    case is_atom(Name) andalso is_text(Map) of
        true -> {value, fun(Node) -> ebpf_fleet_keep_keeper:map(Name, utf8(Map), Node) end};
        false -> {raise, badarg, Args}
    end.

%% Nobody is to mend what is being ended.
-spec unkeep(Name :: term(), Options :: term(), args()) -> outcome().
unkeep(Name, Options, Args) when is_atom(Name) ->
    ebpf_fleet_work:with_nodes(unkeep, Options, Args, #{}, fun(#{nodes := Nodes} = Read, _Others) ->
        Here =
            case ebpf_fleet_keep_keeper:forget(Name) of
                {ok, Known} -> Known;
                {error, notstarted} -> []
            end,
        There = ebpf_fleet_keep_keeper:forget_elsewhere(Name),
        Results = finish(Name, lists:usort(Nodes ++ Here ++ There), Read),
        Count = length([ok || ok <- maps:values(Results)]),
        ebpf_fleet_work:strictly(Read, {Count, Results}, Args)
    end);
unkeep(_Name, _Options, Args) ->
    {raise, badarg, Args}.

%% A process for each host, as locks are of processes.
finish(Name, Nodes, #{deadline := Deadline, on_node := Tell}) ->
    Until = now_ms() + Deadline,
    Begun = [{Node, spawn_monitor(erlang, apply, [fun end_by_exit/2, [Node, Name]])}
             || Node <- Nodes],
    maps:from_list([{Node, told(Node, result(One, Until), Tell)} || {Node, One} <- Begun]).

-spec end_by_exit(node(), atom()) -> no_return().
end_by_exit(Node, Name) -> exit({ended, ended(Node, Name)}).

ended(Node, Name) ->
    case ebpf_fleet_known:is_silent(Node) of
        {true, Reason} -> {error, Reason};
        false -> ebpf_fleet_keep_host:finish(Node, Name, #{})
    end.

result({Pid, Monitor}, Until) ->
    receive
        {'DOWN', Monitor, process, Pid, {ended, Result}} -> Result;
        {'DOWN', Monitor, process, Pid, _Reason} -> {error, badreply}
    after max(0, Until - now_ms()) ->
        true = demonitor(Monitor, [flush]),
        true = exit(Pid, kill),
        {error, timeout}
    end.

told(_Node, Result, none) ->
    Result;
told(Node, Result, Tell) ->
    _ = Tell(Node, Result),
    Result.

now_ms() -> erlang:monotonic_time(millisecond).
