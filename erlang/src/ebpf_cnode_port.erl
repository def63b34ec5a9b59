%% SPDX-License-Identifier: Apache-2.0
%%
%% Runs the embedded C node as a port program. If a C node of that name is already up, watches that
%% one, and runs its own when it goes. The C node ends when its standard input closes, which it does
%% however this process or the emulator ends. The cookie goes through standard input too, never
%% through the command line. The C node's log goes to logger. When our own C node ends, this process
%% ends too, and the supervisor restarts both.
%%
%% Nothing here waits for the C node or for a connection: each is an event in one of these states.
%%
%%     connecting -> watching               it is up, as somebody else's
%%     connecting -> starting -> running    it is up, as a port of this process
%%     starting -> retrying -> connecting   the name is taken: another emulator was faster
%%     any but watching -> failed           the first process only, until its supervisor ends
%% @private
-module(ebpf_cnode_port).
-behaviour(gen_statem).

-export([first/0, await/1, start_link/1]).
-export([callback_mode/0, init/1, terminate/3]).
-export([connecting/3, watching/3, starting/3, retrying/3, running/3, failed/3]).

-export_type([first/0]).

-include_lib("kernel/include/logger.hrl").

-define(START_TIME, 15000).
-define(STOP_TIME, 4000).
-define(RETRY_TIME, 500).
-define(TRIES, 4).
-define(MAX_LINE, 8192).
-define(NAME_TAKEN, 7).
%% parse/1 reads its log, so the format is text whatever the variable args says.
-define(LAST_ARGS, ["--log-format", "text"]).

-record(first, {ref :: reference(), told :: atomics:atomics_ref(), waits :: pid()}).
-opaque first() :: #first{}.
%% One for all processes that a supervisor starts: the first of them tells how its start went.

-record(data, {
    first :: #first{} | none,
    node = none :: node() | none,
    helper = none :: pid() | none,
    port = none :: port() | none,
    folder = none :: ebpf_cnode_tls:folder(),
    tries = ?TRIES :: pos_integer(),
    last = <<"it printed nothing">> :: binary()
}).

-type state() :: connecting | watching | starting | retrying | running | failed.
-type step() :: gen_statem:event_handler_result(state(), #data{}).

%%--------------------------------------------------------------------------------------------------
%% The first start
%%--------------------------------------------------------------------------------------------------

%% For start_link/1 and await/1.
-spec first() -> first().
first() ->
    #first{ref = make_ref(), told = atomics:new(1, []), waits = self()}.

%% Waits for the first process that start_link/1 has started with it: until the C node is up, or cannot
%% be. To be called by the process that called first/0. The supervisor goes on answering meanwhile.
-spec await(first()) -> up | {failed, term()}.
await(#first{ref = Ref}) ->
    receive
        {Ref, Pid} ->
            Monitor = monitor(process, Pid),
            receive
                {Ref, Pid, Outcome} ->
                    true = demonitor(Monitor, [flush]),
                    Outcome;
                {'DOWN', Monitor, process, Pid, Reason} ->
                    {failed, Reason}
            end
    end.

-spec start_link(first()) -> gen_statem:start_ret().
start_link(First) ->
    gen_statem:start_link({local, ?MODULE}, ?MODULE, First, []).

is_first(#first{told = Told}) ->
    atomics:exchange(Told, 1, 1) =:= 0.

tell(Outcome, #data{first = #first{ref = Ref, waits = Pid}} = Data) ->
    Pid ! {Ref, self(), Outcome},
    Data#data{first = none};
tell(_Outcome, Data) ->
    Data.

%%--------------------------------------------------------------------------------------------------
%% gen_statem
%%--------------------------------------------------------------------------------------------------

-spec callback_mode() -> gen_statem:callback_mode_result().
callback_mode() ->
    state_functions.

-spec init(first()) -> gen_statem:init_result(connecting).
init(#first{ref = Ref, waits = Pid} = First) ->
    process_flag(trap_exit, true),
    Data =
        case is_first(First) of
            true ->
                Pid ! {Ref, self()},
                #data{first = First};
            false ->
                #data{first = none}
        end,
    {ok, connecting, Data, {next_event, internal, connect}}.

-spec connecting(gen_statem:event_type(), term(), #data{}) -> step().
connecting(internal, connect, Data) ->
    try
        Node = node_name(),
        {keep_state, Data#data{node = Node, helper = connect(Node)}}
    catch
        throw:{Fault, Text} -> fail(Fault, Text, Data)
    end;
connecting(info, {connected, Helper, true}, #data{helper = Helper} = Data) ->
    watch(Data#data{helper = none});
connecting(info, {connected, Helper, _}, #data{helper = Helper} = Data) ->
    run(Data#data{helper = none});
connecting(info, {'EXIT', Helper, _Reason}, #data{helper = Helper} = Data) ->
    run(Data#data{helper = none});
connecting(_Type, _Event, _Data) ->
    keep_state_and_data.

-spec watching(gen_statem:event_type(), term(), #data{}) -> step().
watching(info, {nodedown, Node}, #data{node = Node} = Data) ->
    connect_again(Data);
watching(_Type, _Event, _Data) ->
    keep_state_and_data.

-spec starting(gen_statem:event_type(), term(), #data{}) -> step().
starting(info, {Port, {data, {_Eol, Line}}}, #data{port = Port, node = Node} = Data) ->
    case log_line(Node, Line) of
        <<"ready ", _/binary>> -> {next_state, running, tell(up, Data)};
        Text -> {keep_state, Data#data{last = Text}}
    end;
starting(info, {Port, {exit_status, ?NAME_TAKEN}}, #data{port = Port, tries = Tries} = Data) when
    Tries > 1
->
    retry(Data);
%% It has ended before it had read the cookie, and the port does not tell how.
starting(info, {'EXIT', Port, epipe}, #data{port = Port, tries = Tries} = Data) when Tries > 1 ->
    retry(Data);
starting(info, {Port, {exit_status, Status}}, #data{port = Port, last = Last} = Data) ->
    Text = [Last, " (exit status ", integer_to_list(Status), ")"],
    fail(fault(Status), Text, Data#data{port = none});
starting(info, {'EXIT', Port, Reason}, #data{port = Port} = Data) ->
    fail(ended, io_lib:format("the port was closed: ~tp", [Reason]), Data#data{port = none});
starting(state_timeout, late, #data{last = Last} = Data) ->
    fail(not_ready, ["it was not ready in time: ", Last], Data);
starting(_Type, _Event, _Data) ->
    keep_state_and_data.

retry(#data{tries = Tries} = Data) ->
    {next_state, retrying, Data#data{port = none, tries = Tries - 1},
        {state_timeout, ?RETRY_TIME, connect}}.

-spec retrying(gen_statem:event_type(), term(), #data{}) -> step().
retrying(state_timeout, connect, Data) ->
    {next_state, connecting, Data, {next_event, internal, connect}};
retrying(_Type, _Event, _Data) ->
    keep_state_and_data.

-spec running(gen_statem:event_type(), term(), #data{}) -> step().
running(info, {Port, {data, {_Eol, Line}}}, #data{port = Port, node = Node}) ->
    _ = log_line(Node, Line),
    keep_state_and_data;
running(info, {Port, {exit_status, Status}}, #data{port = Port, node = Node} = Data) ->
    Text = io_lib:format("~ts ended with status ~w", [Node, Status]),
    fail(fault(Status), Text, Data#data{port = none});
running(info, {'EXIT', Port, Reason}, #data{port = Port, node = Node} = Data) ->
    Text = io_lib:format("the port of ~ts was closed: ~tp", [Node, Reason]),
    fail(ended, Text, Data#data{port = none});
running(_Type, _Event, _Data) ->
    keep_state_and_data.

-spec failed(gen_statem:event_type(), term(), #data{}) -> step().
failed(_Type, _Event, _Data) ->
    keep_state_and_data.

-spec terminate(term(), state(), #data{}) -> ok.
terminate(_Reason, _State, #data{port = none, folder = Folder}) ->
    ebpf_cnode_tls:forget(Folder);
terminate(_Reason, _State, #data{port = Port, folder = Folder}) ->
    ok = stop(Port),
    ebpf_cnode_tls:forget(Folder).

%%--------------------------------------------------------------------------------------------------
%% Starting and stopping
%%--------------------------------------------------------------------------------------------------

%% net_kernel:connect_node/1 waits, for an epmd or a node that does not answer for seconds.
connect(Node) ->
    Self = self(),
    spawn_link(fun() -> Self ! {connected, self(), net_kernel:connect_node(Node)} end).

connect_again(Data) ->
    {next_state, connecting, Data#data{tries = ?TRIES}, {next_event, internal, connect}}.

watch(#data{node = Node, folder = Folder} = Data) ->
    ?LOG_NOTICE("~ts is already up: watching it", [Node], #{cnode => Node}),
    true = erlang:monitor_node(Node, true),
    ok = ebpf_cnode_tls:forget(Folder),
    {next_state, watching, tell(up, Data#data{folder = none})}.

run(Data) ->
    try ebpf_cnode_tls:options(ebpf_cnode_env:get(args)) of
        {Options, Folder} -> run(Options, Data#data{folder = Folder})
    catch
        throw:{Fault, Text} -> fail(Fault, Text, Data)
    end.

run(Options, #data{node = Node} = Data) ->
    try
        Port = open(Node, Options),
        {next_state, starting, Data#data{port = Port}, {state_timeout, ?START_TIME, late}}
    catch
        throw:{Fault, Text} -> fail(Fault, Text, Data)
    end.

%% Whoever waits for the first start ends the supervisor, so a new start would only be in its way.
fail(Fault, Text, #data{first = First} = Data) ->
    Words = unicode:characters_to_list(Text),
    ?LOG_ERROR("the C node does not run: ~ts", [Words]),
    Reason = {cnode, Fault, Words},
    case First of
        none -> {stop, Reason, Data};
        _ -> {next_state, failed, tell({failed, Reason}, Data)}
    end.

open(Node, Options) ->
    Cookie = cookie(Node),
    Program = program(),
    Args = [name_option(), atom_to_list(Node), "--cookie-file", "/dev/stdin", "--until-eof",
            "--ticktime", integer_to_list(ticktime())
            | Options] ++ ebpf_cnode_env:get(args),
    try
        open_port({spawn_executable, Program},
                  [{args, Args ++ ?LAST_ARGS}, use_stdio, stderr_to_stdout, {line, ?MAX_LINE}, exit_status,
                   binary])
    of
        Port ->
            give(Cookie, Port),
            Port
    catch
        error:Posix when Posix =/= badarg, is_atom(Posix) ->
            throw({no_program, [Program, ": ", file:format_error(Posix)]});
        error:badarg ->
            throw({badenv, "the variable program must be a path, and args a list of strings"})
    end.

%% The cookie is sent as one line. The C node reports other invalid characters itself.
cookie(Node) ->
    Cookie = atom_to_binary(erlang:get_cookie(Node)),
    case binary:match(Cookie, [<<"\n">>, <<"\r">>]) of
        nomatch -> Cookie;
        _ -> throw({cookie, "the cookie contains a line break, which a C node cannot use"})
    end.

%% A program that has already ended is reported by its exit status; and no exception may contain the
%% cookie.
give(Cookie, Port) ->
    try port_command(Port, [Cookie, $\n])
    catch error:_ -> true
    end.

%% A closed port does not report the end of its program, so wait for it in /proc.
stop(Port) ->
    Pid = erlang:port_info(Port, os_pid),
    try port_close(Port) catch error:badarg -> true end,
    case Pid of
        {os_pid, OsPid} -> await_end("/proc/" ++ integer_to_list(OsPid), ?STOP_TIME);
        undefined -> ok
    end.

await_end(Proc, Left) ->
    case Left > 0 andalso filelib:is_dir(Proc) of
        true ->
            timer:sleep(10),
            await_end(Proc, Left - 10);
        false ->
            ok
    end.

%% The exit statuses of ebpf_cnode.
fault(2) -> usage;
fault(3) -> cookie;
fault(4) -> missing_privilege;
fault(5) -> cannot_listen;
fault(6) -> no_epmd;
fault(?NAME_TAKEN) -> name_taken;
fault(_) -> ended.

%%--------------------------------------------------------------------------------------------------
%% What to run
%%--------------------------------------------------------------------------------------------------

node_name() ->
    is_alive() orelse
        throw({notalive, "this node is not distributed: start it with -sname or -name"}),
    [_, Host] = string:split(atom_to_list(node()), "@"),
    Node = ebpf_cnode_request:node_name(),
    case is_atom(Node) andalso string:split(atom_to_list(Node), "@") of
        [_, Host] when Node =/= node() ->
            Node;
        _ ->
            throw({badenv, io_lib:format("the variable node is ~tp, but must name a C node on this "
                                         "host, NAME@~ts, not this node", [Node, Host])})
    end.

name_option() ->
    case net_kernel:get_state() of
        #{name_domain := longnames} -> "--name";
        _ -> "--sname"
    end.

%% The C node uses the same tick time as this node.
ticktime() ->
    case net_kernel:get_net_ticktime() of
        {ongoing_change_to, Seconds} -> Seconds;
        Seconds when is_integer(Seconds) -> Seconds
    end.

program() ->
    case ebpf_cnode_env:get(program) of
        undefined -> installed_program(code:priv_dir(ebpf_cnode));
        Program -> Program
    end.

installed_program({error, bad_name}) ->
    program_in_path();
installed_program(Priv) ->
    Program = filename:join(Priv, "ebpf_cnode"),
    case filelib:is_regular(Program) of
        true -> Program;
        false -> program_in_path()
    end.

program_in_path() ->
    case os:find_executable("ebpf_cnode") of
        false ->
            throw({no_program, "there is no ebpf_cnode in PATH: install it, or set the variable "
                               "program of the application ebpf_cnode"});
        Program ->
            Program
    end.

%%--------------------------------------------------------------------------------------------------
%% Its log
%%--------------------------------------------------------------------------------------------------

%% Logs a line at the level that the C node gave it, and returns its text.
log_line(Node, Line) ->
    {Level, Text} = parse(Line),
    ?LOG(Level, "~ts: ~ts", [Node, Text], #{cnode => Node}),
    Text.

parse(<<_:10/binary, "T", _:12/binary, "Z ", Rest/binary>> = Line) ->
    case binary:split(Rest, <<" ">>) of
        [<<"error">>, Text] -> {error, Text};
        [<<"warning">>, Text] -> {warning, Text};
        [<<"notice">>, Text] -> {notice, Text};
        [<<"info">>, Text] -> {info, Text};
        [<<"debug">>, Text] -> {debug, Text};
        _ -> {notice, Line}
    end;
parse(Line) ->
    {notice, Line}.
