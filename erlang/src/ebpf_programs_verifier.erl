%% SPDX-License-Identifier: Apache-2.0
%%
%% Picks what matters out of a verifier's log: the last line of the source, the instruction that was
%% refused, and the reason. Logs are not a format: what is not recognised counts as a reason.
%% @private
-module(ebpf_programs_verifier).

-export([words/2, last_lines/1]).

-define(MOST_LINES, 15).
-define(NO_REASON, <<"the verifier tells no reason">>).

%% For the facade.
-spec words(Error :: term(), Args :: [term()]) -> ebpf_cnode_request:outcome().
words({error, {rejected, Posix, Program, Log}}, _Args) when
    is_atom(Posix), is_binary(Program), is_binary(Log)
->
    {value, last_lines(Log)};
words(Log, _Args) when is_binary(Log) ->
    {value, last_lines(Log)};
words(_Term, Args) ->
    {raise, badarg, Args}.

-spec last_lines(Log :: binary()) -> binary().
last_lines(Log) ->
    Lines = [Line || Line <- binary:split(Log, <<"\n">>, [global]), not is_noise(Line)],
    case pick(lists:reverse(Lines)) of
        [] -> ?NO_REASON;
        Picked -> iolist_to_binary(lists:join($\n, [utf8(Line) || Line <- Picked]))
    end.

%% The reasons come after the last instruction, or alone if there is none.
pick(Backwards) ->
    case lists:splitwith(fun(Line) -> not is_instruction(Line) end, Backwards) of
        {Reasons, [Instruction | Before]} ->
            Source = lists:sublist(lists:filter(fun is_source/1, Reasons ++ Before), 1),
            Others = lists:filter(fun is_reason/1, Reasons),
            Source ++ [Instruction | first(?MOST_LINES - 2, lists:reverse(Others))];
        {Lines, []} ->
            lists:reverse(lists:sublist(Lines, ?MOST_LINES))
    end.

%% The first says most, but the end is not to be missed.
first(N, Lines) when length(Lines) =< N -> Lines;
first(N, Lines) -> lists:sublist(Lines, N - 1) ++ [lists:last(Lines)].

is_reason(Line) -> not is_source(Line) andalso not is_state(Line).

%% 7: (79) r1 = *(u64 *)(r0 +0)
is_instruction(Line) -> matches(Line, "^[0-9]+: \\([0-9a-f]{2}\\) ").

%% ; return *value; @ count.bpf.c:24, or with nothing before the @
is_source(Line) -> matches(Line, "^; *[^ @]").

%% Registers, as they were: 4: R1=ctx() R10=fp0, or from 2 to 5: R0=..., or of a call
is_state(Line) ->
    matches(Line, "^([0-9]+:|from [0-9]+ to [0-9]+:)? *(frame[0-9]+: *)?R[0-9]+(_[a-z]+)?=") orelse
        matches(Line, "^(caller|callee|returning from callee|to caller at [0-9]+):$").

%% Statistics, and how the verifier went back for the precision of a register.
is_noise(Line) ->
    Line =:= <<>> orelse
        matches(Line, "^processed [0-9]+ insns") orelse
        matches(Line, "^(verification time|stack depth|insns processed|Live regs before)") orelse
        matches(Line, "^ *[0-9]+: [.0-9]{10} \\(") orelse
        matches(Line, "^(mark_precise: |last_idx |parent |regs=|;  @ )").

matches(Line, Pattern) ->
    re:run(Line, Pattern, [{capture, none}]) =:= match.

%% The kernel cuts a log anywhere, and a source has the bytes that it has.
utf8(Line) ->
    case unicode:characters_to_binary(Line) of
        Text when is_binary(Text) -> Text;
        _ -> unicode:characters_to_binary(Line, latin1)
    end.
