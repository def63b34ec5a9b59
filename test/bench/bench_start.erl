%% SPDX-License-Identifier: Apache-2.0
%%
%% Measures the time from starting a program until it is ready.
-module(bench_start).

-export([ready/3]).

-define(DEADLINE, 30000).

%% In nanoseconds. The program is ready when it writes a line with Word to standard output or error;
%% it must end at the end of its standard input, or by itself.
-spec ready(Program :: string(), Args :: [string()], Word :: string()) -> pos_integer().
ready(Program, Args, Word) ->
    Begun = erlang:monotonic_time(nanosecond),
    Port = open_port({spawn_executable, Program},
                     [{args, Args}, {line, 1000}, binary, exit_status, stderr_to_stdout]),
    await(Port, Word, []),
    Took = erlang:monotonic_time(nanosecond) - Begun,
    port_close(Port),
    Took.

await(Port, Word, Lines) ->
    receive
        {Port, {data, {_, Line}}} ->
            case string:find(Line, Word) of
                nomatch -> await(Port, Word, [Line | Lines]);
                _ -> ok
            end;
        {Port, {exit_status, Status}} ->
            error({ended, Status, lists:reverse(Lines)})
    after ?DEADLINE ->
        port_close(Port),
        error({not_ready, lists:reverse(Lines)})
    end.
