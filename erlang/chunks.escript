%% SPDX-License-Identifier: Apache-2.0
%%
%% Makes the documentation chunks (EEP 48) that h/2,3 of the shell, IEx and language servers read:
%%
%%     escript erlang/chunks.escript DIR SOURCE...      into DIR/chunks; ends with 1 at a fault
%%     escript erlang/chunks.escript --probe            ends with 0 where this Erlang can make them
%%     escript erlang/chunks.escript --if-possible ...  is content, and says so, where it cannot
%%
%% edoc and what it is made of are applications that a small Erlang/OTP leaves out.

main(["--probe"]) ->
    halt(case missing() of [] -> 0; _ -> 1 end);
main(["--if-possible" | Args]) ->
    case missing() of
        [] -> main(Args);
        Names -> io:format("ebpf_cnode: no documentation for the shell, as this Erlang/OTP has no "
                           "~ts (Debian: erlang-edoc)~n", [lists:join(", ", Names)])
    end;
main([Dir | Sources = [_ | _]]) ->
    try
        %% Modules that are private get a chunk too: it hides them.
        edoc:files(Sources, [{doclet, edoc_doclet_chunks}, {layout, edoc_layout_chunks},
                             {preprocess, true}, {dir, Dir}])
    catch
        Class:Reason ->
            io:format(standard_error, "~ts: ~tp~n", [Dir, {Class, Reason}]),
            halt(1)
    end.

missing() ->
    [atom_to_list(App) || {App, Module} <- [{edoc, edoc_doclet_chunks}, {syntax_tools, erl_syntax},
                                            {xmerl, xmerl_lib}],
                          code:which(Module) =:= non_existing].
