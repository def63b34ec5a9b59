%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains in words why a function of events raised an exception: EEP 54; and what an error means
%% that it returned. It says no more than follows from the reason and the arguments.
%% @private
-module(ebpf_events_errors).

-export([format_error/2]).

-import(ebpf_cnode_arguments, [bad_list/2, bad_node/1]).
-import(ebpf_cnode_words, [shown/1, kernel_says/1]).

-type words() :: ebpf_cnode_words:words().

-define(MAX_COMPARISONS, 8).
%% What only the C node can know.
-define(UNKNOWN, "the option types, as or lost: the layout, the members or the key are wrong; the C "
                 "node does not say which").

-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error({error, Reason}, _Stack) ->
    ebpf_cnode_words:binaries(#{general => returned(Reason)});
format_error(Reason, [{ebpf_events, Function, Args, _Info} | _]) when is_list(Args) ->
    ebpf_cnode_words:binaries(raised(Reason, Function, Args));
format_error(_Reason, _Stack) ->
    #{}.

%%--------------------------------------------------------------------------------------------------
%% Returned
%%--------------------------------------------------------------------------------------------------

returned(emfile) ->
    "the C node has as many subscriptions as its --max-subscriptions allows; or no descriptor left "
    "for the perf events of each processor, by its limit of open files";
returned(eacces) ->
    "the handle of the ring may only be read, or only be written; a reader does both";
returned(eperm) ->
    "the ring is frozen; the kernel allows no more perf buffers (perf_event_mlock_kb); or the C "
    "node may not read the BTF of the map: that takes CAP_SYS_ADMIN, which --no-open-by-id gives "
    "up, so give the layout itself";
returned(notype) ->
    "the map has no BTF, or its BTF has no type of that name: clang leaves out types that only "
    "local variables have, so give the layout itself";
returned(e2big) ->
    "the type of the option types is larger than 64 KiB, or too large for a plan";
returned(enodev) ->
    "the perf event array has no entry for any processor that is online: it is smaller than that";
returned({loader, How}) when How =:= gone; How =:= killed; How =:= timeout ->
    ebpf_cnode_words:loader(How, subscribe);
returned(esrch) ->
    "there is no such subscription of this node: it has ended, or was made by another node";
returned(Posix) when is_atom(Posix) ->
    kernel_says(Posix);
returned(Reason) ->
    shown(Reason).

%%--------------------------------------------------------------------------------------------------
%% Raised
%%--------------------------------------------------------------------------------------------------

-spec raised(Reason :: term(), atom(), Args :: [term()]) -> words().
raised(badarg, Function, Args) ->
    faults(Function, Args);
raised({badmap, Term}, Function, Args) ->
    bad_map(Term, Function, Args);
raised(Reason, Function, Args) ->
    case ebpf_cnode_words:of_request(Reason, ebpf_events, Function, length(Args)) of
        none when is_atom(Reason) -> posix(Reason, Function, Args);
        none -> #{};
        Text -> #{general => Text}
    end.

ring_at(push) -> 2;
ring_at(_Function) -> 1.

posix(Reason, Function, Args) ->
    N = ring_at(Function),
    Ring = lists:nth(min(N, length(Args) + 1), Args ++ [none]),
    case ebpf_maps_locators:words(Reason, Function, Ring) of
        none -> #{general => because(Reason, Function)};
        Text -> #{N => Text}
    end.

because(enotsup, subscribe) ->
    "not a ring: only maps of type ringbuf and perf_event_array have events";
because(enotsup, push) ->
    "not a user ring buffer: only maps of type user_ringbuf are pushed to";
because(enospc, push) ->
    "the ring is full until its program has drained some: it does so when it runs";
because(e2big, push) ->
    "the ring is smaller than the record";
because(eacces, subscribe) ->
    "this node may only read (--allow of the C node); the ring was not made by the C node, and this "
    "node may not load programs; or it is a perf event array, and --programs of the C node does "
    "not allow tracing";
because(eacces, push) ->
    "this node may only read (--allow of the C node); or the handle may";
because(eperm, push) ->
    "the ring is frozen";
because(enomem, _Function) ->
    "the C node's host is out of memory, or the C node has reached its --max-memory";
because(Posix, _Function) ->
    kernel_says(Posix).

bad_map(Term, Function, Args) ->
    Text = ebpf_maps_errors:no_map(Term),
    N = ring_at(Function),
    case length(Args) >= N andalso lists:nth(N, Args) of
        Term -> #{N => Text};
        _ -> #{3 => ["in the options: ", Text]}
    end.

%%--------------------------------------------------------------------------------------------------
%% Arguments
%%--------------------------------------------------------------------------------------------------

faults(subscribe, [Ring, Pid | Options]) ->
    Found = found([{1, bad_log(Ring)}, {2, bad_pid(Pid)}] ++ [{3, bad_options(Ring, O)} || O <- Options]),
    case map_size(Found) of
        0 when Options =/= [] -> #{3 => ?UNKNOWN};
        _ -> Found
    end;
faults(unsubscribe, [Subscription]) ->
    #{1 => ["not a subscription, which is a pid of a C node: ", shown(Subscription)]};
faults(subscriptions, [Node]) when is_atom(Node) ->
    found([{1, bad_node(Node)}]);
faults(subscriptions, [Ring]) ->
    found([{1, bad_log(Ring)}]);
faults(push, [Value, _Ring]) when not is_binary(Value) ->
    #{1 => ["not a binary: ", shown(Value)]};
faults(_Function, _Args) ->
    #{}.

bad_log({log, Node}) -> bad_node(Node);
bad_log(_Ring) -> none.

found(Faults) ->
    maps:from_list([{N, Text} || {N, Text} <- Faults, Text =/= none]).

bad_pid(Pid) when is_pid(Pid), node(Pid) =:= node() -> none;
bad_pid(Pid) when is_pid(Pid) ->
    ["a process of ", atom_to_list(node(Pid)), ": subscribe there, events go to the node that "
     "asks for them"];
bad_pid(Term) -> ["not a pid: ", shown(Term)].

bad_options(Ring, Options) when Ring =:= log; element(1, Ring) =:= log ->
    bad_list(Options, fun bad_option_of_log/1);
bad_options(_Ring, Options) ->
    bad_list(Options, fun bad_option/1).

bad_option_of_log({Name, _}) when Name =:= types; Name =:= as; Name =:= filter ->
    not_of_log(Name);
bad_option_of_log({lost, _Map, _Key}) ->
    not_of_log(lost);
bad_option_of_log(Option) ->
    bad_option(Option).

not_of_log(Name) ->
    ["the option ", atom_to_list(Name), " is not for the log, whose lines are terms as they are"].

bad_option({credit, N}) -> in_range(credit, N, 0, infinity);
bad_option({batch, N}) -> in_range(batch, N, 1024, 262144);
bad_option({linger, N}) -> in_range(linger, N, 0, 60000);
bad_option({buffer, N}) -> bad_buffer(N);
bad_option({from, From}) when From =:= newest; From =:= oldest -> none;
bad_option({from, Term}) -> ["the option from is newest or oldest, not ", shown(Term)];
bad_option({filter, Filter}) -> bad_filter(Filter);
bad_option({types, {btf, _Name, _Map}}) -> none;
bad_option({types, Layout}) -> bad_layout(Layout);
bad_option({as, _}) -> none;
bad_option({lost, _Map, _Key}) -> none;
bad_option({lost, Term}) -> ["the option lost is {lost, Map, Key}, not ", shown({lost, Term})];
bad_option(Option) -> ["no option: ", shown(Option)].

bad_buffer(N) when is_integer(N), N >= 4096, N =< 16777216, N band (N - 1) =:= 0 -> none;
bad_buffer(Term) ->
    ["the option buffer is a power of two, from a page of the C node's host to 16777216, not ",
     shown(Term)].

bad_layout(Layout) ->
    case ebpf_maps_layout:fault(Layout) of
        {badarg, Text} -> ["the option types: ", Text];
        _ -> none
    end.

in_range(_Name, N, Least, Most) when is_integer(N), N >= Least, N =< Most ->
    none;
in_range(Name, N, Least, Most) ->
    io_lib:format("the option ~w is a number from ~w to ~w, not ~ts", [Name, Least, Most, shown(N)]).

bad_filter(Filter) when length(Filter) > ?MAX_COMPARISONS ->
    io_lib:format("the option filter has ~w comparisons, more than ~w",
                  [length(Filter), ?MAX_COMPARISONS]);
bad_filter(Filter) when length(Filter) >= 0 ->
    case [Text || Test <- Filter, (Text = bad_test(Test)) =/= none] of
        [] -> none;
        [Text | _] -> ["the option filter: ", Text]
    end;
bad_filter(Term) ->
    ["the option filter is a list of {Offset, Type, Operator, Number}, not ", shown(Term)].

bad_test({Offset, Type, Operator, Number}) ->
    case {is_integer(Offset) andalso Offset >= 0 andalso Offset < 1 bsl 32, range(Type),
          lists:member(Operator, ['==', '/=', '<', '=<', '>', '>=', 'band'])} of
        {false, _, _} -> ["no offset: ", shown(Offset)];
        {_, none, _} -> ["no type of a number: ", shown(Type)];
        {_, _, false} -> ["no operator: ", shown(Operator)];
        {_, {Least, Most}, _} when is_integer(Number), Number >= Least, Number =< Most -> none;
        _ -> ["no number of type ", atom_to_list(Type), ": ", shown(Number)]
    end;
bad_test(Term) ->
    ["not {Offset, Type, Operator, Number}: ", shown(Term)].

%% The integers of a layout of at most 8 bytes.
range(Type) ->
    case ebpf_maps_layout:integer(Type) of
        {_, Bits} when Bits > 64 -> none;
        {signed, Bits} -> {-(1 bsl (Bits - 1)), 1 bsl (Bits - 1) - 1};
        {_, Bits} -> {0, 1 bsl Bits - 1};
        none -> none
    end.
