#!/usr/bin/env escript
%% SPDX-License-Identifier: Apache-2.0
%%! +Bd -hidden
%% run_expressions.escript NAME CNODE FILE [EBIN]
%% Becomes the node NAME and evaluates the expressions of FILE as a shell does:
%% each is printed, and then its result. The first that fails ends it, status 1.

-mode(compile).

main([Name, CNode, File | Ebin]) ->
    [true = code:add_patha(Dir) || Dir <- Ebin],
    {ok, _} = net_kernel:start([list_to_atom(Name), shortnames]),
    {ok, Bin} = file:read_file(File),
    Text = string:replace(unicode:characters_to_list(Bin),
                          "ebpf_demo@HOST", CNode, all),
    run(parts(string:split(lists:append(Text), "\n", all)), 1,
        erl_eval:new_bindings()),
    ok = logger_std_h:filesync(default),
    ok = logger:set_primary_config(level, none), % over TLS the end is not without words
    net_kernel:stop();
main(_) ->
    fail("usage: run_expressions.escript NAME CNODE FILE [EBIN]", []).

%% Comments, commands and expressions; these may take several lines and end with
%% a line that ends in a full stop.
parts([]) -> [];
parts(["" | Lines]) -> parts(Lines);
parts(["%% SPDX" ++ _ | Lines]) -> parts(lists:dropwhile(fun is_text/1, Lines));
parts(["%% " ++ _ | _] = Lines) ->
    {Comment, Rest} = lists:splitwith(fun(L) -> lists:prefix("%% ", L) end, Lines),
    [{comment, lists:join("\n# ", [Text || "%% " ++ Text <- Comment])} | parts(Rest)];
parts(["$ " ++ Command | Lines]) -> [{command, Command} | parts(Lines)];
parts(Lines) ->
    {Before, [Last | Rest]} =
        lists:splitwith(fun(L) -> not lists:suffix(".", L) end, Lines),
    [{expression, lists:join("\n", Before ++ [Last])} | parts(Rest)].

is_text(Line) -> Line =/= "".

run([], _, _) ->
    ok;
run([{comment, Comment} | Parts], N, Bindings) ->
    io:format("~n# ~ts~n", [Comment]),
    run(Parts, N, Bindings);
run([{command, Command} | Parts], N, Bindings) ->
    shell_command(filled_in(Command, Bindings)),
    run(Parts, N, Bindings);
run([{expression, Text} | Parts], N, Bindings) ->
    String = lists:flatten(Text),
    io:format("~w> ~ts~n", [N, String]),
    {Value, Bindings2} = evaluate(String, Bindings),
    io:format("~ts~n", [printed(Value)]),
    case failed(Value) of
        true -> fail("expression ~w failed", [N]);
        false -> run(Parts, N + 1, Bindings2)
    end.

%% Also the checks among the expressions, which are to be true.
failed({badrpc, _}) -> true;
failed({error, _}) -> true;
failed(false) -> true;
failed(_) -> false.

evaluate(String, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(String),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    try
        {value, Value, Bindings2} = erl_eval:exprs(Expressions, Bindings),
        {Value, Bindings2}
    catch
        Class:Reason:Stack ->
            fail("~ts", [erl_error:format_exception(Class, Reason, Stack)])
    end.

%% With the value of a variable, an integer, in place of $Variable.
filled_in(Command, Bindings) ->
    lists:foldl(fun({Name, Value}, Text) when is_integer(Value) ->
                        Number = integer_to_list(Value),
                        lists:append(string:replace(Text, [$$ | atom_to_list(Name)], Number, all));
                   (_, Text) ->
                        Text
                end, Command, erl_eval:bindings(Bindings)).

%% As deep and as wide as the shell prints by default.
printed(Value) ->
    io_lib:format("~80.1tP", [Value, 30]).

shell_command(Command) ->
    io:format("$ ~ts~n", [Command]),
    Output = os:cmd([Command, " && echo done"]),
    case lists:suffix("done\n", Output) of
        true -> io:format("~ts", [lists:sublist(Output, length(Output) - 5)]);
        false -> fail("~ts~ts failed", [Output, Command])
    end.

-spec fail(string(), [term()]) -> no_return().
fail(Format, Arguments) ->
    io:format(standard_error, "demo: " ++ Format ++ "~n", Arguments),
    halt(1).
