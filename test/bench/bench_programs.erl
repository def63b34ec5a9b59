%% SPDX-License-Identifier: Apache-2.0
%%
%% Loads objects of eBPF programs: opens, loads, attaches all, detaches, closes all. All times are
%% in nanoseconds, of all loads together.
-module(bench_programs).

-export([bare/3, facade/3, bpftool/4, start/2, stop/0]).

-define(DEADLINE, 300000).

-type times() :: {Nanoseconds :: pos_integer(), Links :: non_neg_integer()}.

%% By erpc, with no module of ours in this node.
-spec bare(node(), Elf :: binary(), Count :: pos_integer()) -> times().
bare(Node, Elf, Count) -> run(fun() -> load(Node, Elf) end, Count).

-spec facade(node(), Elf :: binary(), Count :: pos_integer()) -> times().
facade(Node, Elf, Count) ->
    Links = fun(#{links := Links}) -> map_size(Links) end,
    run(fun() -> ebpf_programs:with_program(Elf, [{node, Node}], Links) end, Count).

%% bpftool pins what it loads, in Folder, and attaches nothing; without its pins it is gone.
-spec bpftool(Program, Object, Folder, Count) -> times() when
    Program :: string(),
    Object :: string(),
    Folder :: string(),
    Count :: pos_integer().
bpftool(Program, Object, Folder, Count) ->
    Args = ["prog", "loadall", Object, Folder],
    run(fun() ->
            done(open_port({spawn_executable, Program},
                           [{args, Args}, binary, exit_status, stderr_to_stdout]), []),
            ok = file:del_dir_r(Folder),
            0
        end, Count).

done(Port, Output) ->
    receive
        {Port, {data, Data}} -> done(Port, [Data | Output]);
        {Port, {exit_status, 0}} -> ok;
        {Port, {exit_status, _}} -> error({failed, lists:reverse(Output)})
    after ?DEADLINE -> error(deadline)
    end.

run(Load, Count) ->
    bench_calls:in_process(fun() ->
        Begun = erlang:monotonic_time(nanosecond),
        Links = lists:sum([Load() || _ <- lists:seq(1, Count)]),
        {erlang:monotonic_time(nanosecond) - Begun, Links}
    end).

load(Node, Elf) ->
    #{programs := Programs, maps := Maps} = ask(Node, load, [Elf, []]),
    Links = [attach(Node, Program) || Program <- maps:values(Programs)],
    [ok = ask(Node, detach, [Link]) || Link <- Links],
    [ok = ask(Node, close, [Program]) || Program <- maps:values(Programs)],
    [ok = erpc:call(Node, ebpf_maps, close, [Map]) || Map <- maps:values(Maps)],
    length(Links).

attach(Node, Program) ->
    Link = ask(Node, attach, [Program, auto]),
    ebpf_link = element(1, Link),
    Link.

ask(Node, Function, Args) -> erpc:call(Node, ebpf_programs, Function, Args, ?DEADLINE).

%%--------------------------------------------------------------------------------------------------
%% Beside other work
%%--------------------------------------------------------------------------------------------------

%% Loads again and again, until stop/0. Returns when the first load is done.
-spec start(node(), Elf :: binary()) -> ok.
start(Node, Elf) ->
    Parent = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        register(?MODULE, self()),
        _ = load(Node, Elf),
        Parent ! {loading, self()},
        again(Node, Elf, 1)
    end),
    receive
        {loading, Pid} -> true = demonitor(Monitor, [flush]), ok;
        {'DOWN', Monitor, process, Pid, Reason} -> error({failed, Reason})
    after ?DEADLINE -> error(deadline)
    end.

again(Node, Elf, Loads) ->
    receive
        {stop, Asker} -> Asker ! {stopped, Loads}
    after 0 ->
        _ = load(Node, Elf),
        again(Node, Elf, Loads + 1)
    end.

%% The number of loads since start/2, when the last one is done.
-spec stop() -> pos_integer().
stop() ->
    Monitor = monitor(process, ?MODULE),
    catch ?MODULE ! {stop, self()},
    receive
        {stopped, Loads} -> true = demonitor(Monitor, [flush]), Loads;
        {'DOWN', Monitor, process, _, Reason} -> error({failed, Reason})
    after ?DEADLINE -> error(deadline)
    end.
