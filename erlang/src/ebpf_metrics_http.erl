%% SPDX-License-Identifier: Apache-2.0
%%
%% The listener: OTP's httpd with this module and no other, so that there are no files, no scripts
%% and no TRACE behind it. It serves GET and HEAD of /metrics.
%% @private
-module(ebpf_metrics_http).

-export([start_link/1, port/1]).
-export([do/1]).

%% That of inets' httpd.hrl, whose fields have no types. So inets need not be there for the build.
-record(mod, {
    init_data :: term(),
    data = [] :: list(),
    socket_type = ip_comm :: term(),
    socket :: inet:socket(),
    config_db :: term(),
    method :: string(),
    absolute_uri = [] :: string(),
    request_uri :: string(),
    http_version :: string(),
    request_line :: string(),
    parsed_header = [] :: [{string(), string()}],
    entity_body :: term(),
    connection :: boolean()
}).

-define(PATH, "/metrics").
-define(MAX_CLIENTS, 16).
%% Seconds for a request to come, and for the next one on a connection.
-define(IDLE, 10).
%% Milliseconds that an answer waits for the one before it, which is not read. One that is not read
%% ends when the connection has been idle.
-define(SEND_TIMEOUT, 10000).
-define(MAX_HEADERS, 8192).
-define(MAX_URI, 1024).
-define(MAX_REQUESTS, 1000).

%% What is kept of a scrape's timeout for the way, in milliseconds.
-define(MARGIN, 500).
-define(LEAST_TIMEOUT, 50).

%%--------------------------------------------------------------------------------------------------
%% The server
%%--------------------------------------------------------------------------------------------------

%% Not below inets' own supervisor: it ends with the caller.
-spec start_link(ebpf_metrics_options:config()) -> {ok, pid()} | {error, term()}.
start_link(Config) ->
    case inets:start(httpd, options(Config), stand_alone) of
        {ok, Pid} -> listening(port(Pid), Pid, Config);
        {error, Reason} -> {error, {listen, Reason}}
    end.

%% Where it could not listen at any port, httpd has nothing below it, and says nothing.
listening(none, Pid, #{address := Address}) ->
    true = unlink(Pid),
    ok = gen_server:stop(Pid, shutdown, infinity),
    case gen_tcp:listen(0, [family(Address), {ip, Address}]) of
        {ok, Socket} ->
            ok = gen_tcp:close(Socket),
            {error, {listen, eagain}};
        {error, Reason} ->
            {error, {listen, Reason}}
    end;
listening(_Port, Pid, _Config) ->
    {ok, Pid}.

options(#{port := Port, address := Address, timeout := Timeout}) ->
    %% httpd wants folders, and never looks into them.
    Folder = code:lib_dir(kernel),
    [{port, Port}, {bind_address, Address}, {ipfamily, family(Address)},
     {server_name, "ebpf_metrics"}, {server_tokens, none},
     {server_root, Folder}, {document_root, Folder},
     {modules, [?MODULE]},
     {max_clients, ?MAX_CLIENTS},
     {keep_alive, true}, {keep_alive_timeout, ?IDLE}, {max_keep_alive_request, ?MAX_REQUESTS},
     {max_header_size, ?MAX_HEADERS}, {max_uri_size, ?MAX_URI}, {max_body_size, 1},
     {?MODULE, Timeout}].

family(Address) when tuple_size(Address) =:= 8 -> inet6;
family(_Address) -> inet.

%% httpd:info/2 knows only those below inets.
-spec port(pid()) -> inet:port_number() | none.
port(Pid) ->
    case supervisor:which_children(Pid) of
        [{{httpd_instance_sup, _Address, Port, _Profile}, _, _, _}] -> Port;
        [] -> none
    end.

%%--------------------------------------------------------------------------------------------------
%% Requests
%%--------------------------------------------------------------------------------------------------

%% Called by httpd in the process of the connection.
-spec do(#mod{}) -> {proceed, list()}.
do(#mod{method = Method, request_uri = Uri, socket = Socket} = Request) ->
    %% The option socket_type of httpd takes these together with port 0 only.
    _ = inet:setopts(Socket, [{send_timeout, ?SEND_TIMEOUT}, {send_timeout_close, true}]),
    {Head, Body} = case hd(string:split(Uri, "?")) of
        ?PATH when Method =:= "GET"; Method =:= "HEAD" -> metrics(Request);
        ?PATH -> refused(405, [{"allow", "GET, HEAD"}], "only GET and HEAD\n");
        _ -> refused(404, [], "there is only " ?PATH "\n")
    end,
    {proceed, [{response, {response, Head, body(Method, Body)}}]}.

body("HEAD", _Body) -> [];
body(_Method, Body) -> [Body].

metrics(#mod{parsed_header = Headers, config_db = Db}) ->
    Usual = httpd_util:lookup(Db, ?MODULE, ?LEAST_TIMEOUT),
    Format = ebpf_metrics_text:format(proplists:get_value("accept", Headers, "")),
    case ebpf_metrics_scrape:text(Format, timeout(Headers, Usual)) of
        {ok, Text} ->
            {head(200, [], ebpf_metrics_text:content_type(Format), Text), Text};
        {error, timeout} ->
            refused(503, [], "the C nodes have not answered in time\n");
        {error, {failed, _Reason}} ->
            refused(500, [], "the C nodes could not be asked: this node's log says why\n")
    end.

refused(Code, Headers, Text) ->
    {head(Code, Headers, "text/plain; charset=utf-8", Text), Text}.

head(Code, Headers, Type, Body) ->
    [{code, Code}, {content_type, Type}, {content_length, integer_to_list(iolist_size(Body))}
     | Headers].

%% Some time before the scraper gives up.
timeout(Headers, Usual) ->
    case seconds(proplists:get_value("x-prometheus-scrape-timeout-seconds", Headers, "")) of
        none -> Usual;
        Seconds ->
            Ms = round(1000 * min(Seconds, 600)),
            max(?LEAST_TIMEOUT, Ms - min(?MARGIN, Ms div 5))
    end.

seconds(Text) ->
    case {string:to_float(Text), string:to_integer(Text)} of
        {{Float, ""}, _} when is_float(Float), Float > 0 -> Float;
        {_, {Integer, ""}} when is_integer(Integer), Integer > 0 -> Integer;
        _ -> none
    end.
