%% SPDX-License-Identifier: Apache-2.0
%%
%% The busiest TCP connections of a cluster by bytes, and which of its Erlang processes they belong
%% to. A program counts on each host for as long as this server lives; the C nodes have to give this
%% node `load', such as those started with
%%
%%     ebpf_cnode --programs cgroup --allow 'me@*=load'
%%
%% Compile the program by clang, and this with erlang/ebin of ebpf_cnode on the code path; all
%% Erlang nodes of the cluster need it on theirs:
%%
%%     clang -target bpf -g -O2 -idirafter /usr/include/$(uname -m)-linux-gnu \
%%         -c busy_connections.bpf.c -o busy_connections.bpf.o
%%
%% Then, for all processes of the hosts,
%%
%%     {ok, Server} = busy_connections:start_link("busy_connections.bpf.o", "/sys/fs/cgroup", []).
%%     busy_connections:print(Server).
%%
%% prints the ten busiest since the start, one a line, and what failed on which host:
%%
%%          5243008  web1@web1  #Port<0.9>  my_upload  10.0.0.1:41770 - 10.0.0.2:8080
%%            71680  db1@db1    #Port<0.5>  web1@web1  10.0.0.3:35123 - 10.0.0.1:44321
%%             4096  -          -           -          10.0.0.3:22 - 10.0.9.9:50222
%%
%% Each end is a line of its own: a connection within the cluster comes twice. Those of the loopback
%% interfaces of two hosts are one, where they have the same ports.
-module(busy_connections).

-behaviour(gen_server).

-export([start_link/3, top/2, print/1, ends/0]).
-export([init/1, handle_call/3, handle_cast/2]).

-export_type([connection/0, busy/0, owner/0]).

-define(DEADLINE, 5000). % ms

-type connection() :: {Local :: endpoint(), Remote :: endpoint()}.
-type endpoint() :: {inet:ip6_address(), inet:port_number()}.
%% IPv4 addresses are mapped to those of IPv6.

-type owner() :: {node(), port() | socket:socket(), Process :: atom() | mfa() | pid()}.
%% The process by its registered name, or the function that it began with; of a connection to
%% another node that node.

-type busy() :: {Bytes :: non_neg_integer(), connection(), owner() | none}.

-record(state, {
    maps :: #{node() => ebpf_maps:ebpf_map()},
    failed :: ebpf_fleet:results()
}).

%% Counts what the processes of that cgroup send and receive on each host. Options are those of
%% ebpf_fleet:load/2, of which {nodes, Nodes} says which C nodes to ask.
-spec start_link(File :: file:name_all(), Cgroup :: ebpf_maps:text(), Options) ->
    gen_server:start_ret() when
    Options :: [ebpf_fleet:option() | ebpf_programs:load_option()].
start_link(File, Cgroup, Options) ->
    gen_server:start_link(?MODULE, {File, Cgroup, Options}, []).

%% The N busiest, busiest first, and of each host whether it is among them.
-spec top(Server :: pid(), N :: non_neg_integer()) -> {[busy()], ebpf_fleet:results()}.
top(Server, N) ->
    {Top, Results} = gen_server:call(Server, {top, N}, infinity),
    Owners = owners(),
    {[{Bytes, End, maps:get(End, Owners, none)} || {End, Bytes} <- Top], Results}.

%%--------------------------------------------------------------------------------------------------
%% The programs
%%--------------------------------------------------------------------------------------------------

%% All handles are those of this process: when it ends, nothing is left on any host.
-spec init({file:name_all(), ebpf_maps:text(), list()}) -> {ok, #state{}} | {stop, term()}.
init({File, Cgroup, Options}) ->
    case file:read_file(File) of
        {ok, Elf} -> load(Elf, Cgroup, [{types, btf}, {lifetime, process} | Options]);
        {error, Posix} -> {stop, {File, Posix}}
    end.

load(Elf, Cgroup, Options) ->
    {Loaded, Results} = ebpf_fleet:load(Elf, Options),
    Sent = attach(<<"sent">>, Loaded, Cgroup),
    Received = attach(<<"received">>, Loaded, Cgroup),
    case lists:foldl(fun maps:merge/2, #{}, [failed(One) || One <- [Results, Sent, Received]]) of
        Failed when map_size(Failed) =:= map_size(Results) -> {stop, Failed};
        Failed ->
            Good = maps:without(maps:keys(Failed), Loaded),
            {ok, #state{maps = maps_of(Good), failed = Failed}}
    end.

attach(Name, Loaded, Cgroup) ->
    Programs = maps:map(fun(_Node, #{programs := #{Name := Program}}) -> Program end, Loaded),
    {_Links, Results} = ebpf_fleet:attach(Programs, {cgroup, Cgroup}, [{lifetime, process}]),
    Results.

failed(Results) -> maps:filter(fun(_Node, Result) -> Result =/= ok end, Results).

maps_of(Loaded) ->
    maps:map(fun(_Node, #{maps := #{<<"connections">> := Map}}) -> Map end, Loaded).

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, {[{connection(), Bytes :: non_neg_integer()}], ebpf_fleet:results()}, #state{}}
    | {reply, {error, term()}, #state{}}.
handle_call({top, N}, _From, #state{maps = Maps, failed = Failed} = State) ->
    What = fun(Node) -> maps:get(Node, Maps) end,
    {Top, Results} = ebpf_fleet:top(N, What, [{nodes, maps:keys(Maps)}, {percpu, sum}]),
    Busy = [{connection(Key), Bytes} || {Key, Bytes} <- Top],
    {reply, {Busy, maps:merge(Failed, Results)}, State};
handle_call(Request, _From, State) ->
    {reply, {error, {unknown, Request}}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

%% Of struct connection.
connection(#{
    <<"local">> := Local,
    <<"local_port">> := LocalPort,
    <<"remote">> := Remote,
    <<"remote_port">> := RemotePort
}) ->
    {{address(Local), LocalPort}, {address(Remote), RemotePort}}.

address(Bytes) -> list_to_tuple([Word || <<Word:16>> <= Bytes]).

%%--------------------------------------------------------------------------------------------------
%% Their owners
%%--------------------------------------------------------------------------------------------------

%% A node that lacks this module, or does not answer, owns none.
owners() ->
    Answers = erpc:multicall([node() | nodes()], ?MODULE, ends, [], ?DEADLINE),
    maps:from_list(lists:append([Ends || {ok, Ends} <- Answers])).

%% Those of this node, by their own end.
-spec ends() -> [{connection(), owner()}].
ends() ->
    ends_of_ports() ++ ends_of_sockets().

ends_of_ports() ->
    Nodes = erlang:system_info(dist_ctrl),
    [
        {{mapped(Local), mapped(Remote)}, {node(), Port, process(Port, Pid, Nodes)}}
     || Port <- erlang:ports(),
        erlang:port_info(Port, name) =:= {name, "tcp_inet"},
        {connected, Pid} <- [erlang:port_info(Port, connected)],
        {ok, Local} <- [inet:sockname(Port)],
        {ok, Remote} <- [inet:peername(Port)]
    ].

%% Those of {inet_backend, socket}.
ends_of_sockets() ->
    [
        {{mapped(Local), mapped(Remote)}, {node(), Socket, process(Socket, Pid, [])}}
     || Socket <- socket:which_sockets(tcp),
        #{owner := Pid} <- [socket:info(Socket)],
        {ok, #{addr := _} = Local} <- [socket:sockname(Socket)],
        {ok, #{addr := _} = Remote} <- [socket:peername(Socket)]
    ].

mapped(#{addr := Address, port := Port}) -> mapped({Address, Port});
mapped({{_, _, _, _} = IPv4, Port}) -> {inet:ipv4_mapped_ipv6_address(IPv4), Port};
mapped({IPv6, Port}) -> {IPv6, Port}.

process(Port, Pid, Nodes) ->
    case lists:keyfind(Port, 2, Nodes) of
        {Node, _} -> Node;
        false -> name(process_info(Pid, registered_name), Pid)
    end.

name({registered_name, Name}, _Pid) -> Name;
name([], Pid) -> proc_lib:translate_initial_call(Pid);
name(undefined, Pid) -> Pid.

%%--------------------------------------------------------------------------------------------------
%% As text
%%--------------------------------------------------------------------------------------------------

%% The ten busiest, and what has failed.
-spec print(Server :: pid()) -> ok.
print(Server) ->
    {Top, Results} = top(Server, 10),
    Rows = [row(Busy) || Busy <- Top],
    lists:foreach(fun(Row) -> io:format("~12b  ~ts  ~ts  ~ts  ~ts~n", padded(Row, Rows)) end, Rows),
    maps:foreach(fun failure/2, Results).

failure(_Node, ok) -> ok;
failure(Node, {error, Reason}) -> io:format("~ts: ~ts~n", [Node, ebpf_fleet:words(Reason)]).

row({Bytes, {Local, Remote}, Owner}) ->
    [Bytes | owner(Owner)] ++ [[text(Local), " - ", text(Remote)]].

owner(none) -> ["-", "-", "-"];
owner({Node, Port, {Module, Function, Arity}}) ->
    [words(Node), words(Port), io_lib:format("~tp:~tp/~b", [Module, Function, Arity])];
owner({Node, Port, Process}) ->
    [words(Node), words(Port), words(Process)].

words(Term) -> io_lib:format("~tp", [Term]).

text({{0, 0, 0, 0, 0, 16#ffff, _, _} = Address, Port}) ->
    [inet:ntoa(inet:ipv4_mapped_ipv6_address(Address)), $:, integer_to_list(Port)];
text({Address, Port}) ->
    [$[, inet:ntoa(Address), "]:", integer_to_list(Port)].

%% In columns as wide as their longest text.
padded([Bytes | Texts], Rows) ->
    Columns = lists:seq(2, 1 + length(Texts)),
    Widths = [lists:max([string:length(lists:nth(N, Row)) || Row <- Rows]) || N <- Columns],
    [Bytes | [string:pad(Text, Width) || {Text, Width} <- lists:zip(Texts, Widths)]].
