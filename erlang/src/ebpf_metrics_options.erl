%% SPDX-License-Identifier: Apache-2.0
%%
%% What the server of metrics is started with: the variable metrics of the application, or the
%% argument of a function.
%% @private
-module(ebpf_metrics_options).

-export([compile/1]).

-export_type([config/0]).

-import(ebpf_cnode_words, [shown/1]).

-define(PORT, 9435).
%% Prometheus waits for 10 s, if nothing else is said.
-define(TIMEOUT, 9500).
-define(MAX_TIMEOUT, 600000).

-type config() :: #{
    port := inet:port_number(),
    address := inet:ip_address(),
    declare := [ebpf_metrics_declaration:metric()],
    fleet := [term()],
    timeout := pos_integer(),
    programs := boolean()
}.

%% With defaults, or all that is wrong with them.
-spec compile(term()) -> {ok, config()} | {error, [binary()]}.
compile(Options) when length(Options) >= 0 ->
    Compiled = [option(Option) || Option <- Options],
    Twice = twice([Name || {Name, _} <- Compiled]),
    Faults = [Text || {error, Texts} <- Compiled, Text <- Texts] ++
        [["the option ", atom_to_list(Name), " is there twice"] || Name <- Twice, Name =/= error],
    case Faults of
        [] -> {ok, maps:merge(defaults(), maps:from_list(Compiled))};
        _ -> {error, [unicode:characters_to_binary(Text) || Text <- Faults]}
    end;
compile(Term) ->
    {error, [unicode:characters_to_binary(["not a list of options: ", shown(Term)])]}.

defaults() ->
    #{port => ?PORT, address => {127, 0, 0, 1}, declare => [], fleet => [], timeout => ?TIMEOUT,
      programs => false}.

twice(Names) -> lists:usort(Names -- lists:usort(Names)).

option({port, Port}) when is_integer(Port), Port >= 0, Port =< 65535 -> {port, Port};
option({port, Term}) ->
    fault(["the option port is a number from 0, any that is free, to 65535, not ", shown(Term)]);
option({address, Address}) ->
    case address(Address) of
        {ok, Ip} -> {address, Ip};
        error -> fault(["the option address is an address of this host, such as \"127.0.0.1\" or "
                        "{0,0,0,0}, not ", shown(Address)])
    end;
option({declare, Declarations}) ->
    case ebpf_metrics_declaration:compile(Declarations) of
        {ok, Metrics} -> {declare, Metrics};
        {error, Texts} -> {error, Texts}
    end;
option({fleet, Options}) when length(Options) >= 0 ->
    case [Option || Option <- Options, not is_of_fleet(Option)] of
        [] -> fleet(Options, ebpf_fleet_options:fault(call, Options));
        [Option | _] ->
            fault(["the option fleet has nodes, window and timeout, not ", shown(Option)])
    end;
option({fleet, Term}) ->
    fault(["the option fleet is a list of options of ebpf_fleet, not ", shown(Term)]);
option({timeout, Ms}) when is_integer(Ms), Ms > 0, Ms =< ?MAX_TIMEOUT -> {timeout, Ms};
option({timeout, Term}) ->
    fault(io_lib:format("the option timeout is a number of milliseconds from 1 to ~w, not ~ts",
                        [?MAX_TIMEOUT, shown(Term)]));
option({programs, Whether}) when is_boolean(Whether) -> {programs, Whether};
option({programs, Term}) -> fault(["the option programs is true or false, not ", shown(Term)]);
option(Term) ->
    fault(["not an option, which are port, address, declare, fleet, timeout and programs: ",
           shown(Term)]).

is_of_fleet({Name, _Value}) -> lists:member(Name, [nodes, window, timeout]);
is_of_fleet(_Term) -> false.

fleet(Options, none) -> {fleet, Options};
fleet(_Options, Text) -> fault(["the option fleet: ", Text]).

fault(Text) -> {error, [Text]}.

address(Address) when is_tuple(Address) ->
    case inet:is_ip_address(Address) of
        true -> {ok, Address};
        false -> error
    end;
address(Text) ->
    case ebpf_metrics_names:name(Text) of
        error -> error;
        Binary ->
            case inet:parse_strict_address(binary_to_list(Binary)) of
                {ok, Ip} -> {ok, Ip};
                {error, einval} -> error
            end
    end.
