%% SPDX-License-Identifier: Apache-2.0
%%
%% A scrape of a map, a series for each entry, and the same text by an httpd that has it ready. Needs
%% the facade on the code path of this node.
-module(bench_metrics).

-export([start/2, time/1, do/1]).

-type way() :: scrape | ready.

-define(READY, {?MODULE, text}).
-define(TIME, 60000). % ms

%% Where both listen is known to time/1.
-spec start(node(), Entries :: pos_integer()) -> ok.
start(Node, Entries) ->
    Map = erpc:call(Node, ebpf_maps, new, [hash, 4, 8, Entries]),
    Pairs = [{<<I:32/native>>, <<I:64/native>>} || I <- lists:seq(1, Entries)],
    Map = erpc:call(Node, ebpf_maps, merge, [Map, Pairs]),
    Metric = {counter, bench_total, "Counts.", fun(_) -> Map end, [{number, 4}], u64},
    Options = [{port, 0}, {declare, [Metric]}, {fleet, [{nodes, [Node]}]}],
    {ok, Pid} = ebpf_metrics:start_link(Options),
    true = unlink(Pid),
    {_, Text} = fetch(ebpf_metrics:port()),
    persistent_term:put(?READY, Text),
    {ok, Server} = inets:start(httpd, [
        {port, 0}, {bind_address, {127, 0, 0, 1}}, {server_name, "ready"}, {server_root, "/"},
        {document_root, "/"}, {modules, [?MODULE]}
    ]),
    [{port, Ready}] = httpd:info(Server, [port]),
    persistent_term:put(?MODULE, #{scrape => ebpf_metrics:port(), ready => Ready}).

%% Of httpd: all requests have that answer.
-spec do(tuple()) -> {proceed, list()}.
do(_Request) ->
    Text = persistent_term:get(?READY),
    Head = [{code, 200}, {content_type, "text/plain"},
            {content_length, integer_to_list(byte_size(Text))}],
    {proceed, [{response, {response, Head, [Text]}}]}.

%% Nanoseconds from the connection to the end of the answer, and how many series that had.
-spec time(way()) -> bench_whole:times().
time(Way) ->
    Port = maps:get(Way, persistent_term:get(?MODULE)),
    bench_calls:in_process(fun() ->
        {Took, Text} = fetch(Port),
        {Took, length(binary:matches(Text, <<"\nbench_total{">>))}
    end).

fetch(Port) ->
    Begun = erlang:monotonic_time(nanosecond),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    ok = gen_tcp:send(Socket, "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"),
    Answer = read(Socket, []),
    Took = erlang:monotonic_time(nanosecond) - Begun,
    [_, Text] = binary:split(Answer, <<"\r\n\r\n">>),
    {Took, Text}.

read(Socket, Parts) ->
    case gen_tcp:recv(Socket, 0, ?TIME) of
        {ok, Part} -> read(Socket, [Part | Parts]);
        {error, closed} -> iolist_to_binary(lists:reverse(Parts))
    end.
