%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade of metrics: what is declared, served and explained.

%% @doc Metrics of the maps of a whole cluster, for Prometheus.
%%
%% A metric is declared: which map it is of, which labels its keys have, and what is the number. One
%% Erlang node then serves all C nodes that {@link ebpf_fleet} finds, each series with the label
%% `node'. It listens for HTTP; a C node never does.
%%
%% ```
%% application:set_env(ebpf_cnode, metrics, [
%%     {port, 9435},
%%     {declare, [
%%         {counter, dropped_packets_total, "Packets that were dropped, by port.",
%%          {pinned, "/sys/fs/bpf/drops"}, [{port, 2, {uint, big}}, {skip, 2}, {reason, 4, uint}],
%%          u64}
%%     ]}
%% ]).
%% application:ensure_all_started(ebpf_cnode).
%% '''
%%
%% == Declarations ==
%% A declaration is `{Type, Name, Help, What, Labels, Value}', or that with a list of options as a
%% seventh element: see {@type declaration()}. `What' is a map as {@link ebpf_fleet} takes it, which
%% is looked for on each host. Entries whose labels are the same are added up, so a map needs no
%% label for each part of its key.
%%
%% Names follow the rules of Prometheus. That of a counter ends in `_total', and no other does.
%% The label `node' is added, and names the C node.
%%
%% `Labels' take the key apart from its first byte to its last: `{Name, Size, Decoder}' is a label
%% of `Size' bytes, `{Name, Size}' one by the decoder `uint', and `{skip, Size}' leaves some out,
%% such as padding. If keys are terms, by the option `keys' or because `What' is a fun that returns
%% a typed map, a label is `{Name, Member}' or `{Name, Member, Decoder}'. Without labels there is one
%% series for each host, the sum of all entries.
%%
%% `Value' is a layout, such as `u64', or a member of a value whose layout the option `values' has,
%% or the typed map. A layout that is a name is taken for a layout: give such a member as a list.
%%
%% == Decoders ==
%% What a program has put into a key may be anything, so a label is always made valid: bytes that
%% are no text become U+FFFD. See {@type decoder()}. A decoder that fails, as a fun may, and a key
%% or a value of another size or kind than was declared, cost that entry its series, and count in
%% `ebpf_decoder_failures_total'.
%%
%% == Histograms ==
%% The value of a histogram is `{Buckets, Value}'; see {@type buckets()}. Either the key has the
%% number of a bucket, as a label called `le', and the value is its count; or the value is an array
%% of counts, or has one as a member. Bucket N of `log2' is what programs make it: it counts the
%% integers from 2^N to 2^(N+1)-1, so that its `le' is 2^(N+1)-1. The last bucket of those that are
%% declared has the `le' +Inf, as programs count there whatever is larger. `{sum, Member}' is an
%% option for the sum of all values, where the program has one.
%%
%% == What is there anyway ==
%% For each C node `ebpf_up', 1 if it has answered; `ebpf_cnode_...', which is what {@link
%% ebpf_maps:stats/0} tells, with the latency as a histogram; for each metric `ebpf_metric_up', 1 on
%% a host that has the map, `ebpf_series_dropped', the entries beyond `max_series' of this scrape,
%% and `ebpf_decoder_failures_total'; and `ebpf_scrape_duration_seconds'. With the option `programs'
%% there are `ebpf_program_run_total', `ebpf_program_run_seconds_total' and
%% `ebpf_program_recursion_misses_total' of each program that a C node has a handle of, where it may
%% count: see {@link ebpf_programs:count/1}, which slows each run of every program of the host a
%% little.
%%
%% == Scrapes ==
%% Scrapes at the same time share one sweep over the hosts. It ends before the scraper gives up, by
%% the header `X-Prometheus-Scrape-Timeout-Seconds', or else the option `timeout': a host that has
%% not answered by then has `ebpf_up' 0, and no series of a metric that it has not told in full. The
%% first time that a metric fails on a host is logged, with the reason in words.
%%
%% The answer is Prometheus' text format 0.0.4, or OpenMetrics 1.0.0 if the header Accept asks for
%% that. Only GET and HEAD of `/metrics' are served, to 16 clients at most, whose requests have to
%% come within 10 seconds. There is no TLS and no password: it listens at 127.0.0.1, unless
%% the option `address' says otherwise.
%%
%% == Cost ==
%% A scrape reads every map once on each host; 10,000 series take some 50 ms to be written. The
%% node needs the permission `ro' only, and OTP's application inets.
%% @since 0.4.0
-module(ebpf_metrics).

-export([
    start_link/1,
    port/0,
    check/1,
    text/1, text/2,
    format_error/2
]).

-export_type([option/0, declaration/0, type/0, label/0, decoder/0, value/0, buckets/0,
              declaration_option/0, format/0]).

%% As in ebpf_maps: a macro, so that the stack frame is that of the function that was called.
-define(RESULT(Outcome),
    case Outcome of
        {value, Returned_} -> Returned_;
        {raise, Reason_, Args_} -> error(Reason_, Args_, [{error_info, #{module => ?MODULE}}])
    end
).

-type option() ::
    {port, inet:port_number()}
    | {address, inet:ip_address() | string() | binary()}
    | {declare, [declaration()]}
    | {fleet, Options :: [term()]}
    | {timeout, pos_integer()}
    | {programs, boolean()}.
%% How metrics are served. `port' is 9435 if it is not given; 0 is any that is free, which {@link
%% port/0} tells. `address' is that of this host which it listens at, 127.0.0.1 if it is not given.
%% `fleet' has options of {@link ebpf_fleet}, such as `{nodes, _}'. `timeout' is in milliseconds,
%% for a scrape that does not say how long it waits: 9500 if it is not given.

-type declaration() ::
    {type(), Name :: name(), Help :: text(), What :: term(), [label()], value()}
    | {type(), Name :: name(), Help :: text(), What :: term(), [label()], value(),
       [declaration_option()]}.
%% A metric. `What' is `{name, Name}', `{pinned, Path}', or a fun that makes a map of a node; in a
%% file of configuration a fun is written as `fun Module:Function/1'.

-type type() :: counter | gauge | histogram.
%% Of a metric.

-type name() :: atom() | string() | binary().
%% Of a metric, a label or a member.

-type text() :: string() | binary().
%% In words.

-type label() ::
    {Name :: name(), Size :: pos_integer()}
    | {Name :: name(), Size :: pos_integer(), decoder()}
    | {skip, Size :: pos_integer()}
    | {Name :: name(), Member :: member()}
    | {Name :: name(), Member :: member(), decoder()}.
%% A part of the key: bytes, or a member.

-type member() :: name() | [name() | non_neg_integer()].
%% A member, or a path of members and of indexes of arrays.

-type decoder() ::
    uint
    | {uint, little | big}
    | string
    | hex
    | ip
    | {enum, #{integer() => name()}}
    | ifname
    | cgroup
    | errno
    | fun((Bytes :: binary() | term()) -> unicode:chardata()).
%% What makes a text of bytes. `uint' is a number in the byte order of this host; `string' ends at
%% the first zero byte; `hex' shows bytes, or a number, in hexadecimal; `ip' is an address of 4 or
%% 16 bytes in network order; `enum' has names for numbers; `ifname' and `cgroup' have the host's
%% name for the number of an interface or the id of a cgroup; `errno' is the name of an error
%% number, below zero or not, such as ENOENT. Where there is no name there is the number. A fun gets the
%% bytes, or the member, and is called in the process of the scrape.

-type value() :: term() | member() | {buckets(), term() | member()}.
%% A layout, or a member; of a histogram with its buckets. Booleans are 0 and 1.

-type buckets() ::
    log2
    | {log2, Buckets :: 1..64}
    | {linear, Min :: integer(), Step :: pos_integer(), Buckets :: pos_integer()}
    | {explicit, [Edge :: number()]}.
%% Of a histogram. `log2' has 64. Bucket N of `linear' counts the integers from Min + N * Step up to
%% the next bucket. Those of `explicit' have the largest value of each bucket, and there is one more
%% for what is larger. The last one always has what is larger.

-type declaration_option() ::
    {percpu, sum | label}
    | {multiply, number()}
    | {max_series, pos_integer()}
    | {keys, Layout :: term()}
    | {values, Layout :: term()}
    | {sum, member()}.
%% `percpu' says whether the values of CPUs are added up, as they are if it is not given, or are
%% series with the label `cpu'. `multiply' gives another unit, such as 1.0e-9 for seconds of
%% nanoseconds: of a value, and of the edges and the sum of a histogram. `max_series' is 10000 if it
%% is not given, of all hosts together; each line of a histogram is a series. `keys' and `values'
%% are layouts that make terms of a map's bytes.

-type format() :: prometheus | openmetrics.
%% Prometheus' text format 0.0.4, or OpenMetrics 1.0.0.

%%--------------------------------------------------------------------------------------------------
%% Serving
%%--------------------------------------------------------------------------------------------------

%% @doc Starts what serves metrics, below a supervisor of one's own. The variable `metrics' of the
%% application does the same, below the application's. There is one in a node.
%%
%% Returns `{error, [Text]}' if an option or a declaration is wrong, if the port is taken, or if
%% inets is not here: a text for each fault.
%% @since 0.4.0
-spec start_link(Options :: [option()]) -> {ok, pid()} | {error, [binary()]}.
start_link(Options) ->
    case ebpf_metrics_options:compile(Options) of
        {ok, Config} ->
            case ebpf_metrics_sup:start_link(Config) of
                {ok, Pid} -> {ok, Pid};
                {error, Reason} -> {error, [ebpf_metrics_errors:of_start(Reason, Config)]}
            end;
        {error, Texts} ->
            {error, Texts}
    end.

%% @doc The port at which metrics are served, or `none' if they are not.
%% @since 0.4.0
-spec port() -> inet:port_number() | none.
port() ->
    ebpf_metrics_sup:port().

%%--------------------------------------------------------------------------------------------------
%% Without serving
%%--------------------------------------------------------------------------------------------------

%% @doc Says what is wrong with declarations: a text for each fault, or `ok'.
%%
%% It asks no C node, so a map that is not there is no fault.
%% @since 0.4.0
-spec check(Declarations :: [declaration()] | term()) -> ok | {error, [binary()]}.
check(Declarations) ->
    case ebpf_metrics_options:compile([{declare, Declarations}]) of
        {ok, _Config} -> ok;
        {error, Texts} -> {error, Texts}
    end.

%% @equiv text(Options, prometheus)
%% @since 0.4.0
-spec text(Options :: [option()]) -> binary().
text(Options) ->
    ?RESULT(ebpf_metrics_scrape:once(prometheus, Options, [Options])).

%% @doc The text that a scrape would get, of a sweep of its own: to try declarations in the shell,
%% or to serve them by another server of HTTP. `port' and `address' play no part.
%%
%% Raises `badarg' for wrong options: {@link format_error/2} says in words which; and what {@link
%% ebpf_fleet} raises where it cannot tell which nodes there are.
%%
%% Cost: that of a scrape, in the calling process.
%% @since 0.4.0
-spec text(Options :: [option()], format()) -> binary().
text(Options, Format) ->
    ?RESULT(ebpf_metrics_scrape:once(Format, Options, [Options, Format])).

%%--------------------------------------------------------------------------------------------------
%% Words
%%--------------------------------------------------------------------------------------------------

%% @doc Explains in words why a function of this module raised an exception, as the shell does.
%% @since 0.4.0
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => unicode:chardata()}.
format_error(Reason, Stack) ->
    ebpf_metrics_errors:format_error(Reason, Stack).
