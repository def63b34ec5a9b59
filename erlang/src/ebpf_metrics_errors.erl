%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains in words why a function of metrics raised an exception, why the listener did not start,
%% and why a node has no metrics.
%% @private
-module(ebpf_metrics_errors).

-export([format_error/2, of_start/2, of_node/1]).

-import(ebpf_cnode_words, [shown/1]).

-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error(badarg, [{ebpf_metrics, text, [Options | More], _Info} | _]) ->
    ebpf_cnode_words:binaries(maps:merge(bad_options(Options), bad_format(More)));
format_error(_Reason, _Stack) ->
    #{}.

bad_options(Options) ->
    case ebpf_metrics_options:compile(Options) of
        {ok, _Config} -> #{};
        {error, Texts} -> #{1 => lists:join("; ", Texts)}
    end.

bad_format([Format]) when Format =/= prometheus, Format =/= openmetrics ->
    #{2 => ["neither prometheus nor openmetrics: ", shown(Format)]};
bad_format(_More) ->
    #{}.

%% Why the server did not start.
-spec of_start(term(), ebpf_metrics_options:config()) -> binary().
of_start(Reason, #{port := Port, address := Address}) ->
    Place = io_lib:format("port ~w of ~ts", [Port, inet:ntoa(Address)]),
    unicode:characters_to_binary(because(Reason, Place)).

because(no_inets, _Place) ->
    "metrics need OTP's application inets, which is not here (Debian: erlang-inets)";
because({already_started, _Pid}, _Place) ->
    "metrics are served by this node already: there is one listener, by the application's variable "
    "metrics or by ebpf_metrics:start_link/1";
because({Reason, Child}, Place) when element(1, Child) =:= child ->
    because(Reason, Place);
because({listen, Reason}, Place) ->
    ["cannot listen at ", Place, ": ", listening(posix(Reason))];
because(Reason, _Place) ->
    shown(Reason).

listening(eaddrinuse) -> "another process does; choose another port, or 0 for any";
listening(eacces) -> "ports below 1024 are root's; choose another port";
listening(eaddrnotavail) -> "this host has no such address";
listening(Posix) when is_atom(Posix) -> inet:format_error(Posix);
listening(Reason) -> shown(Reason).

%% Deep in what httpd returns.
posix(Reason) when is_atom(Reason) -> Reason;
posix({listen, Reason}) -> posix(Reason);
posix({error, Reason}) -> posix(Reason);
posix({shutdown, Reason}) -> posix(Reason);
posix({failed_to_start_child, _Child, Reason}) -> posix(Reason);
posix({Reason, Child}) when element(1, Child) =:= child -> posix(Reason);
posix(Reason) -> Reason.

%% Why a node has no series, or no series of a metric.
-spec of_node(term()) -> unicode:chardata().
of_node(Reason) -> ebpf_fleet:words(Reason).
