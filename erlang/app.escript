%% SPDX-License-Identifier: Apache-2.0
%%
%% Makes the .app of the .app.src, with the modules filled in:
%%
%%     escript erlang/app.escript SOURCE TARGET VERSION BEAM...      ends with 1 at a fault
%%
%% VERSION is that of configure.ac. rebar3 reads the one in the .app.src, so the two have to agree.

main([Source, Target, Version | Beams = [_ | _]]) ->
    case file:consult(Source) of
        {ok, [{application, Name, Keys}]} ->
            write(Target, Name, with_modules(Keys, Beams), Version, Source);
        {ok, _Terms} ->
            fail(Source, "is not one {application, Name, Keys}");
        {error, Reason} ->
            fail(Source, file:format_error(Reason))
    end.

with_modules(Keys, Beams) ->
    Modules = [list_to_atom(filename:basename(Beam, ".beam")) || Beam <- Beams],
    lists:keystore(modules, 1, Keys, {modules, Modules}).

write(Target, Name, Keys, Version, Source) ->
    case proplists:get_value(vsn, Keys) of
        Version -> write(Target, io_lib:format("~tp.~n", [{application, Name, Keys}]));
        Other -> fail(Source, io_lib:format("vsn is ~tp, in configure.ac it is ~ts", [Other, Version]))
    end.

write(Target, Text) ->
    case file:write_file(Target, unicode:characters_to_binary(Text)) of
        ok -> ok;
        {error, Reason} -> fail(Target, file:format_error(Reason))
    end.

-spec fail(file:filename(), unicode:chardata()) -> no_return().
fail(File, Text) ->
    io:format(standard_error, "~ts: ~ts~n", [File, Text]),
    halt(1).
