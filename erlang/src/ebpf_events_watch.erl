%% SPDX-License-Identifier: Apache-2.0
%%
%% Prints events in a shell.
%% @private
-module(ebpf_events_watch).

-export([watch/2]).

%% The consumer prints to the shell of the caller, who waits for Enter.
-spec watch(Ring :: term(), Options :: term()) -> ok | {error, term()}.
watch(Ring, Options) ->
    Shell = group_leader(),
    Old = process_flag(trap_exit, true),
    Result =
        case ebpf_events:start_link(Ring, fun(News) -> print(Shell, News) end, Options) of
            {ok, Pid} ->
                _ = io:get_line(Shell, ""),
                stop(Pid);
            {error, Reason} ->
                receive {'EXIT', _, {shutdown, Reason}} -> ok after 0 -> ok end,
                {error, Reason}
        end,
    process_flag(trap_exit, Old),
    Result.

stop(Pid) ->
    unlink(Pid),
    receive
        {'EXIT', Pid, {shutdown, Reason}} -> {error, Reason};
        {'EXIT', Pid, Reason} -> {error, Reason}
    after 0 ->
        gen_server:stop(Pid)
    end.

print(Shell, {events, Events}) ->
    io:put_chars(Shell, [line(Event) || Event <- Events]);
print(Shell, {missed, unknown}) ->
    io:put_chars(Shell, "... the connection was lost: some may be missing\n");
print(Shell, {missed, N}) ->
    io:put_chars(Shell, ["... ", integer_to_list(N), " not sent\n"]);
print(Shell, {lost, N}) ->
    io:put_chars(Shell, ["... ", integer_to_list(N), " lost for want of room\n"]).

line(#{time := Time, level := Level, message := Message}) ->
    When = calendar:system_time_to_rfc3339(Time div 1000, [{unit, millisecond}, {offset, "Z"}]),
    [When, $\s, atom_to_list(Level), $\s, value(Message), $\n];
line(Event) when is_map(Event) ->
    Members = [[ebpf_maps_layout:printable(Name), $=, value(Value)]
               || {Name, Value} <- maps:to_list(Event)],
    [lists:join("  ", Members), $\n];
line(Event) ->
    [value(Event), $\n].

%% Text as it is, if all of it can be printed.
value(Value) when is_binary(Value) ->
    case io_lib:printable_unicode_list(unicode:characters_to_list(Value)) of
        true -> Value;
        false -> io_lib:format("~0tp", [Value])
    end;
value(Value) ->
    io_lib:format("~0tp", [Value]).
