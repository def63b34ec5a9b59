%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains an error number of a function of programs, whether it was raised or returned. Names all
%% causes that are possible, or if those are too many gives the kernel's own words. EOPNOTSUPP is
%% called enotsup, by the C node as by OTP.
%% @private
-module(ebpf_programs_posix).

-export([raised/3, returned/2]).

-import(ebpf_cnode_words, [kernel_says/1, shown/1]).

%%--------------------------------------------------------------------------------------------------
%% Raised
%%--------------------------------------------------------------------------------------------------

-spec raised(Posix :: atom(), atom(), Args :: [term()]) -> unicode:chardata().
raised(eacces, Function, Args) ->
    refused(Function, Args);
raised(eperm, _Function, _Args) ->
    "the C node may not look through the host's programs and links: it lacks CAP_SYS_ADMIN, or "
    "gave it up for --no-open-by-id";
raised(enomem, _Function, _Args) ->
    "the C node's host is out of memory, or the C node has reached its --max-memory";
raised(Posix, _Function, _Args) ->
    kernel_says(Posix).

%% The causes of the arguments come first, then what the node may do.
refused(Function, Args) ->
    case lists:append(of_arguments(Function, Args), rights(Function)) of
        [Cause] -> Cause;
        Causes -> lists:join("; or ", Causes)
    end.

of_arguments(Function, _Args) when Function =:= pin; Function =:= unpin ->
    ["the path is not below the C node's --pin-root, or it is in the folder of its --keep"];
of_arguments(open, [{pinned, _} | _]) ->
    ["the path is not below the C node's --pin-root, or it is in the folder of its --keep"];
of_arguments(close, _Args) ->
    ["the handle is not this node's own, and this node may not load programs (--allow of the C "
     "node)"];
of_arguments(attach, [_, {cgroup, _} | _]) ->
    ["the path is not in the cgroup file system"];
of_arguments(attach, [_, {netns, Path} | _]) when Path =/= own ->
    ["the path is not below the C node's --netns-root"];
of_arguments(attach, [_, {sockmap, _} | _]) ->
    [restricted_map()];
of_arguments(Function, Args) ->
    Options = lists:append([Arg || Arg <- Args, length(Arg) >= 0]),
    [restricted_map() || makes_programs(Function), lists:keymember(maps, 1, Options)]
        ++ [["of ", shown(Name), " ", Cause]
            || {Name, Target} <- ebpf_programs_arguments:targets(Function, Args),
               Cause <- of_arguments(attach, [Name, Target])].

%% A program reads and writes a map whatever its handle may do.
restricted_map() ->
    "the map may only be read, or only be written, by its handle or by this node".

rights(close) ->
    [no_programs()];
rights(count) ->
    ["this node may only read: see --allow and --read-only of the C node", no_programs()];
rights(Function) when
    Function =:= info; Function =:= type; Function =:= list; Function =:= links;
    Function =:= handles
->
    [no_programs()];
rights(Function) ->
    ["this node may not load programs: --allow of the C node must give it load"]
        ++ ["--programs of the C node does not name the type of the program"
            || makes_programs(Function) orelse uses_program(Function)]
        ++ [no_programs()].

makes_programs(Function) ->
    lists:member(Function, [load, load_file, with_program]).

uses_program(Function) ->
    lists:member(Function, [attach, attach_all, update, run]).

no_programs() ->
    "the C node runs without --programs".

%%--------------------------------------------------------------------------------------------------
%% Returned
%%--------------------------------------------------------------------------------------------------

-spec returned(Posix :: atom(), atom()) -> unicode:chardata().
returned(Posix, Function) ->
    case words(Posix, kind(Function)) of
        unknown -> kernel_says(Posix);
        Text -> Text
    end.

%% Functions that fail for the same causes. Of an unknown one it may have been any.
kind(load_file) -> load;
kind(with_program) -> load;
kind(attach_all) -> attach;
kind(unknown) -> load;
kind(Function) -> Function.

words(ambiguous, open) ->
    "several programs have this name: use {id, Id} or {pinned, Path}; list/0 shows all programs";
words(ebadf, close) ->
    "the handle is not live: it was closed, its owner has gone, or the C node has restarted";
words(eperm, Kind) when Kind =:= load; Kind =:= attach ->
    "the C node lacks a capability (CAP_BPF; CAP_NET_ADMIN for types of the network; CAP_PERFMON "
    "for tracing), or the kernel is locked down, or was built without this kind of program; a "
    "permission that this node lacks would raise eacces";
words(eperm, count) ->
    "counting takes CAP_SYS_ADMIN in the C node, or kernel.bpf_stats_enabled = 1 on its host";
words(eperm, pin) ->
    "the path is not in a bpf file system, or the name of the pin has a dot";
words(eperm, unpin) ->
    "what is at this path is no pin in a bpf file system";
words(emfile, _Kind) ->
    "the C node has no room left: close programs, links or maps, or raise its --max-programs, "
    "--max-maps, --max-maps-per-node or ulimit -n";
words(enomem, load) ->
    "the C node's host is out of memory, or the C node has reached its --max-map-memory or, for "
    "one load, --load-memory";
words(ebusy, attach) ->
    "something is attached there already, and there can be only one; or eight requests of this "
    "node wait already, or this one has waited for 30 s";
words(ebusy, Kind) when Kind =:= load; Kind =:= run ->
    "eight requests of this node wait already, or this one has waited for 30 s: ask for fewer at a "
    "time, or raise --max-loads of the C node";
words(e2big, load) ->
    "a program has more than 1000000 instructions, or a map more entries than the kernel takes";
words(einval, load) ->
    "the kernel does not take a map or a program as it is: often a map that needs another size, by "
    "the options max_entries and value_size";
words(esrch, load) ->
    "the kernel has no function or tracepoint of the name that a program is made for: the option "
    "attach_to gives another";
words(Posix, attach) when Posix =:= enoent; Posix =:= esrch ->
    "the C node's host has no such tracepoint, function, cgroup or network namespace";
words(enodev, attach) ->
    "the C node's host has no such network interface";
words(einval, attach) ->
    "a program of this type, or loaded for this, cannot be attached to that target";
words(enospc, attach) ->
    "no priority of traffic control is left before, or behind, all other filters";
words(Posix, Kind) when
    Kind =:= attach orelse Kind =:= update,
    Posix =:= enotsup orelse Posix =:= enotsupp
->
    "the kernel, or the driver of the interface, does not have this for such a link";
words(enotsup, detach) ->
    "the kernel cannot end this link while a pin or another handle holds it: unpin and close it";
words(esrch, detach) ->
    "the process that was to detach it had been killed: it may still be attached";
words(etimedout, detach) ->
    "the process that detaches it has not done so in 5 s: it may still be attached";
words(einval, update) ->
    "the program is not of the type of the one that is attached, or such a link keeps its program";
words(Posix, run) when Posix =:= enotsup; Posix =:= enotsupp ->
    "the kernel cannot run a program of this type on input";
words(einval, run) ->
    "the type of the program does not take this input: types of the network take data of at least "
    "14 bytes, raw_tracepoint a context, and no repeat";
words(eacces, Kind) when Kind =:= open; Kind =:= pin; Kind =:= unpin ->
    "the permissions of the folder or the pin do not allow this to the C node's user";
words(eintr, run) ->
    "a signal ended the run";
words(enotsup, pin) ->
    "a pin would not keep this attachment: it is no kernel link, or one for each processor";
words(enospc, pin) ->
    "there are as many pins as --max-pins of the C node allows";
words(eexist, pin) ->
    "there is something at this path";
words(enoent, Kind) when Kind =:= pin; Kind =:= unpin ->
    "there is no such folder, or nothing at this path";
words(enoent, open) ->
    "there is nothing with this id or name, or at this path";
words(einval, unpin) ->
    "what is pinned at this path is another program or link";
words(einval, open) ->
    "there is neither a program nor a link at this path";
words(_Posix, _Kind) ->
    unknown.
