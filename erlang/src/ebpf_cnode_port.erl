%% SPDX-License-Identifier: Apache-2.0
%%
%% Runs the embedded C node as a port program. If a C node of that name is already up, watches that
%% one, and runs its own when it goes. The C node ends when its standard input closes, which it does
%% however this process or the emulator ends. The cookie goes through standard input too, never
%% through the command line. The C node's log goes to logger. When our own C node ends, this process
%% ends too, and the supervisor restarts both.
%% @private
-module(ebpf_cnode_port).
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-include_lib("kernel/include/logger.hrl").

-define(START_TIME, 15000).
-define(STOP_TIME, 4000).
-define(RETRY_TIME, 500).
-define(TRIES, 4).
-define(MAX_LINE, 8192).
-define(NAME_TAKEN, 7).
%% parse/1 reads its log, so the format is text whatever the variable args says.
-define(LAST_ARGS, ["--log-format", "text"]).

%% port is none while the C node of that name is not ours.
-record(state, {node :: node(), port = none :: port() | none}).

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%%--------------------------------------------------------------------------------------------------
%% gen_server
%%--------------------------------------------------------------------------------------------------

-spec init([]) -> {ok, #state{}} | {stop, {cnode, atom(), string()}}.
init([]) ->
    process_flag(trap_exit, true),
    try
        Node = node_name(),
        {ok, #state{node = Node, port = run(Node)}}
    catch
        throw:{Fault, Text} -> {stop, failed(Fault, Text)}
    end.

-spec handle_call(term(), gen_server:from(), #state{}) -> {noreply, #state{}}.
handle_call(_Request, _From, State) ->
    {noreply, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) ->
    {noreply, #state{}} | {stop, {cnode, atom(), string()}, #state{}}.
handle_info({Port, {data, {_Eol, Line}}}, #state{port = Port} = State) ->
    _ = log_line(State#state.node, Line),
    {noreply, State};
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    Text = io_lib:format("~ts ended with status ~w", [State#state.node, Status]),
    {stop, failed(fault(Status), Text), State#state{port = none}};
handle_info({'EXIT', Port, Reason}, #state{port = Port} = State) ->
    Text = io_lib:format("the port of ~ts was closed: ~tp", [State#state.node, Reason]),
    {stop, failed(ended, Text), State#state{port = none}};
handle_info({nodedown, Node}, #state{node = Node, port = none} = State) ->
    try
        {noreply, State#state{port = run(Node)}}
    catch
        throw:{Fault, Text} -> {stop, failed(Fault, Text), State}
    end;
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = none}) -> ok;
terminate(_Reason, #state{port = Port}) -> stop(Port).

%%--------------------------------------------------------------------------------------------------
%% Starting and stopping
%%--------------------------------------------------------------------------------------------------

%% Returns when the C node is up: the port of our own, or none for another one, which is then
%% monitored.
run(Node) ->
    run(Node, ?TRIES).

run(Node, Tries) ->
    case net_kernel:connect_node(Node) of
        true ->
            ?LOG_NOTICE("~ts is already up: watching it", [Node], #{cnode => Node}),
            true = erlang:monitor_node(Node, true),
            none;
        _ ->
            start(Node, Tries)
    end.

%% If the name is taken, another emulator on this host may have been faster.
start(Node, Tries) ->
    Port = open(Node),
    Deadline = erlang:monotonic_time(millisecond) + ?START_TIME,
    case await_ready(Port, Node, Deadline, "it printed nothing") of
        ready ->
            Port;
        {ended, Status, _Last} when Status =:= ?NAME_TAKEN, Tries > 1 ->
            timer:sleep(?RETRY_TIME),
            run(Node, Tries - 1);
        {ended, Status, Last} ->
            throw({fault(Status), [Last, " (exit status ", integer_to_list(Status), ")"]})
    end.

open(Node) ->
    Cookie = cookie(Node),
    Program = program(),
    Args = [name_option(), atom_to_list(Node), "--cookie-file", "/dev/stdin", "--until-eof",
            "--ticktime", integer_to_list(ticktime())
            | ebpf_cnode_env:get(args)],
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

await_ready(Port, Node, Deadline, Last) ->
    Left = max(0, Deadline - erlang:monotonic_time(millisecond)),
    receive
        {Port, {data, {_Eol, Line}}} ->
            case log_line(Node, Line) of
                <<"ready ", _/binary>> -> ready;
                Text -> await_ready(Port, Node, Deadline, Text)
            end;
        {Port, {exit_status, Status}} ->
            {ended, Status, Last};
        {'EXIT', Port, Reason} ->
            throw({ended, io_lib:format("the port was closed: ~tp", [Reason])})
    after Left ->
        stop(Port),
        throw({not_ready, ["it was not ready in time: ", Last]})
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

failed(Fault, Text) ->
    Words = unicode:characters_to_list(Text),
    ?LOG_ERROR("the C node does not run: ~ts", [Words]),
    {cnode, Fault, Words}.

%%--------------------------------------------------------------------------------------------------
%% What to run
%%--------------------------------------------------------------------------------------------------

node_name() ->
    is_alive() orelse
        throw({notalive, "this node is not distributed: start it with -sname or -name"}),
    [_, Host] = string:split(atom_to_list(node()), "@"),
    Node = case ebpf_cnode_env:get(node) of undefined -> list_to_atom("ebpf@" ++ Host); Set -> Set end,
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
