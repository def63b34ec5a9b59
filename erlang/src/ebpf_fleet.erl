%% SPDX-License-Identifier: Apache-2.0
%%
%% The facade of a fleet: one call for the maps, programs and events of many hosts. ebpf_fleet_work
%% has what the functions do, ebpf_fleet_run how many nodes are asked at once.

%% @doc eBPF maps, programs and events of all hosts of a cluster, by one call.
%%
%% ```
%% 1> ebpf_fleet:top(3, {name, "drops"}, [{keys, u32}, {values, u64}]).
%% {[{7,4711},{2,815},{3,42}],#{ebpf@db1 => ok,ebpf@db2 => ok,ebpf@web1 => {error,nodedown}}}
%% 2> ebpf_fleet:put(<<10,0,0,7>>, <<1>>, {pinned, "/sys/fs/bpf/blocked"}, []).
%% {2,#{ebpf@db1 => ok,ebpf@db2 => ok,ebpf@web1 => {error,nodedown}}}
%% '''
%% Each function asks the C nodes themselves, and returns `{Value, Results}': what came of those that
%% answered, and of each node whether it did. A host never raises an exception for all, unless the
%% option `strict' is given. {@link words/1} says what is behind an error.
%%
%% == Which nodes ==
%% The option `nodes', or else the variable `fleet' of the application `ebpf_cnode', says it:
%% <dl>
%% <dt>`[Node]'</dt><dd>These.</dd>
%% <dt>`hosts'</dt><dd>The default: by the rule of {@link ebpf_maps} for a call without a handle, on
%%   the host of each node of the cluster, `ebpf@Host'. If the variable `node' names another, its
%%   name before the `@' is taken.</dd>
%% <dt>`epmd', `{epmd, Prefix, Hosts}'</dt><dd>The names with that prefix that epmd has on these
%%   hosts; without them, those with the prefix of the default C node, on the hosts of the cluster.
%%   A host whose epmd does not answer within 2 s has none.</dd>
%% <dt>`fun(() -> [Node])'</dt><dd>What the function returns.</dd>
%% </dl>
%% They are C nodes: an Erlang node that has the facade only asks one, and is refused as `badreply'.
%%
%% == Which map ==
%% `{name, Name}' and `{pinned, Path}' name a map on each host. While the application runs its handle
%% is kept for further reads, and renewed when it is no longer live, and every 5 s: by then a name
%% that has come to mean another map is noticed. To write, the map is opened anew each time. A
%% function of the node returns a handle of that node for it, which stays the caller's.
%%
%% Keys and values are terms if the kernel has types of the map, or the options `keys' and `values'
%% give their layouts; what has none is bytes. Of a map with a value for each CPU, values are folded
%% where they are read: by the option `percpu', or else as `merge' says, so that one number comes for
%% each key and host. If they are neither typed nor folded they are lists, as {@link ebpf_maps:get/2}
%% returns them.
%%
%% == Limits ==
%% So many nodes as the option `window' says, 8, are at work at once, and what they send is folded as
%% it comes: of each there is a chunk of 4,096 entries at most. A node that is silent for 100 ms keeps
%% no other one waiting. `timeout' is how long each answer of a node may take, 5000 ms, and `deadline'
%% how long all may, 15000 ms; of what has not come by then the node's result is `{error, timeout}'. A
%% node that could not be reached, or was silent for a second, is asked again 30 s after that, or once
%% it is connected; until then its result is the same without asking.
%%
%% What reads or writes maps is done in a process of its own, in which functions are called that are
%% given for it; what such a function raises is raised in the caller. Whatever is opened ends with
%% that process. {@link call/3}, {@link load/2} and {@link attach/3} ask from the calling process, to
%% which belongs what they make; there a large mailbox makes them slower.
%%
%% == Errors of a node ==
%% <dl>
%% <dt>`nodedown', `timeout'</dt><dd>It was not reached, or did not answer in time. What was asked
%%   may have been done.</dd>
%% <dt>`{partial, Count, Reason}'</dt><dd>It failed after so many entries: those are in the value, or
%%   put.</dd>
%% <dt>`badreply'</dt><dd>No C node answers so.</dd>
%% <dt>`{badvalue, Value}'</dt><dd>A value that cannot be merged: no number, or of another shape than
%%   that of another host.</dd>
%% <dt>`{max_keys, N}'</dt><dd>It has keys beyond that number; those that others have, too, are
%%   merged.</dd>
%% <dt>`undone', `{left, Reason}'</dt><dd>See {@link load/2}.</dd>
%% <dt>`undef'</dt><dd>Its version lacks the function.</dd>
%% <dt>others</dt><dd>What {@link ebpf_maps}, {@link ebpf_programs} and {@link ebpf_events} return
%%   and raise.</dd>
%% </dl>
%%
%% == Exceptions ==
%% `badarg' for wrong arguments, `{badmap, What}', `notalive' if this node is not distributed,
%% `{badnodes, Term}' if the function of the option `nodes' returns something else, `{badenv, {fleet,
%% Term}}'; with `strict' `{failed, #{Node => Reason}}'; and whatever a function of the caller's
%% raises. The shell explains them.
%% @since 0.4.0
-module(ebpf_fleet).

-export([
    nodes/1,
    call/3,
    get/3,
    to_map/2,
    fold/4,
    top/3,
    sum/2,
    put/4,
    remove/3,
    merge/3,
    load/2,
    attach/3,
    subscribe/3,
    unsubscribe/1,
    keep/1,
    unkeep/1, unkeep/2,
    status/0, status/1,
    kept/2,
    words/1,
    format_error/2
]).

-export_type([source/0, what/0, option/0, how/0, results/0, reason/0, news/0]).
-export_type([spec/0, entries/0, state/0]).

-define(RESULT(Outcome),
    case Outcome of
        {value, Returned_} -> Returned_;
        {raise, Reason_, Args_} -> error(Reason_, Args_, [{error_info, #{module => ?MODULE}}])
    end
).

-type source() ::
    [node()]
    | hosts
    | epmd
    | {epmd, Prefix :: string(), Hosts :: [string()]}
    | fun(() -> [node()]).
%% See {@section Which nodes}.

-type what() ::
    {name, ebpf_maps:text()}
    | {pinned, Path :: ebpf_maps:text()}
    | fun((node()) -> ebpf_maps:ebpf_map()).
%% See {@section Which map}.

-type how() ::
    sum | max | min | last | list
    | {fun((Merged :: term(), Value :: term()) -> term())}.
%% How the values that hosts have for the same key become one. `sum', the default, `max' and `min'
%% take numbers, and structures, tuples and arrays of one shape member by member; what is no number
%% must be the same. `last' takes the one that comes last, `list' becomes `[{Node, Value}]' in the
%% order of nodes, and a function gets what there is and the next one.

-type option() ::
    {nodes, source()}
    | {window, pos_integer()}
    | {timeout, Ms :: non_neg_integer()}
    | {deadline, Ms :: non_neg_integer()}
    | {on_node, fun((node(), ok | {error, reason()}) -> term())}
    | strict
    | {strict, boolean()}
    | {keys, ebpf_maps:layout()}
    | {values, ebpf_maps:layout()}
    | {percpu, list | sum | max | min}
    | {merge, how()}
    | {member, ebpf_maps:member() | ebpf_maps:path()}
    | {max_keys, non_neg_integer()}
    | {all_or_none, boolean()}.
%% `on_node' is called for each node once it is done. `member' is the number in a value
%% that is summed or ranked, `max_keys' how many different keys a result may have, by default 1000000.
%% All functions take the first seven; which others one takes it says itself.

-type reason() :: term().
%% See {@section Errors of a node}.

-type results() :: #{node() => ok | {error, reason()}}.
%% Every node is in it.

-type news() :: {up, node(), ebpf_events:subscription()} | {down, node(), Reason :: term()}.
%% A subscription of a stream has begun, or has ended.

-type spec() :: #{
    name := atom(),
    elf := binary() | {file, file:name_all()},
    load => [ebpf_programs:load_option()],
    attach => [{Program :: ebpf_programs:name(), ebpf_programs:target()}],
    maps => #{Map :: ebpf_programs:name() => entries()},
    nodes => source(),
    every => Ms :: pos_integer()
}.
%% What is kept on each host: the programs of an object, loaded with the options `load' of {@link
%% ebpf_programs:load/2}, and attached; and entries of its maps.
%%
%% Options of `load' that are of one host, or that say how long handles live, are not taken: `node',
%% `lifetime', `types', `as', and handles in `maps'. Nor are targets with a handle: sockmaps, and
%% places beside a link. `every' is how often all hosts are looked at, 5000 ms by default. At most 64
%% attachments and maps, and 1,000,000 pairs in a map.

-type entries() :: #{
    pairs => #{term() => term()} | [{term(), term()}],
    keys => ebpf_maps:layout(),
    values => ebpf_maps:layout(),
    exactly => boolean()
}.
%% The entries that a map has to have, and with `exactly' no others, except arrays, which have all
%% keys. What has no layout is bytes. Values are compared as the C node returns them.

-type state() :: ok | {differs, [Text :: binary()]} | {error, reason(), Text :: binary()}.
%% `differs': what is not as the spec says, in words, and could not be mended.

%%--------------------------------------------------------------------------------------------------
%% Nodes
%%--------------------------------------------------------------------------------------------------

%% @doc Returns the C nodes that the other functions would ask with these options, in order, whether
%% they are up or not. Cost: none; with `epmd', a connection to each host.
-spec nodes(Options :: [option()]) -> [node()].
nodes(Options) -> ?RESULT(ebpf_fleet_work:nodes(Options, [Options])).

%% @doc Calls a function of {@link ebpf_maps}, or of another module that C nodes serve, on all.
%%
%% `Args' can be a function of the node. The value has what each returned; `{error, Reason}', and what
%% a C node raises, is an error of the node. Cost: one message to each, and what the function costs.
-spec call(Function, Args, Options) -> {#{node() => term()}, results()} when
    Function :: atom() | {module(), atom()},
    Args :: [term()] | fun((node()) -> [term()]),
    Options :: [option()].
call(Function, Args, Options) ->
    ?RESULT(ebpf_fleet_work:call(Function, Args, Options, [Function, Args, Options])).

%%--------------------------------------------------------------------------------------------------
%% Reading
%%--------------------------------------------------------------------------------------------------

%% @doc Returns what the hosts have for a key, merged; `none' if none has the key.
%%
%% Options: `keys', `values', `percpu', `merge'. Cost: one message to each node, and three more the
%% first time, to open the map.
-spec get(Key :: term(), what(), Options :: [option()]) -> {term() | none, results()}.
get(Key, What, Options) ->
    ?RESULT(ebpf_fleet_work:get(Key, What, Options, [Key, What, Options])).

%% @doc Returns the entries of all hosts, those of the same key merged.
%%
%% Options: `keys', `values', `percpu', `merge', `max_keys'. Cost: a message for each 4,096 entries of
%% a node; the memory of the result and of `window' chunks.
-spec to_map(what(), Options :: [option()]) -> {#{Key :: term() => Value :: term()}, results()}.
to_map(What, Options) ->
    ?RESULT(ebpf_fleet_work:to_map(What, Options, [What, Options])).

%% @doc Calls a function for each entry of each host, as they come: in no order, and entries of one
%% host between those of others.
%%
%% With four arguments it gets the node first. Options: `keys', `values', `percpu', by default `list'.
%% Cost: as {@link to_map/2}, and no memory for a result.
-spec fold(Fun, Acc, What, Options) -> {Acc, results()} when
    What :: what(),
    Options :: [option()],
    Fun :: fun((Key :: term(), Value :: term(), Acc) -> Acc)
         | fun((node(), Key :: term(), Value :: term(), Acc) -> Acc).
fold(Fun, Acc, What, Options) ->
    ?RESULT(ebpf_fleet_work:fold(Fun, Acc, What, Options, [Fun, Acc, What, Options])).

%% @doc Returns the `N' entries with the largest values, largest first, of equal ones those with the
%% smaller key.
%%
%% They are ranked after the merge, by the number at the option `member', or the value itself: a key
%% may lead by its sum that leads on no host. Raises `{badvalue, Value}' if what a function has merged
%% has no number there. Options: as {@link to_map/2}, and `member'. Cost: as {@link to_map/2}; of one
%% host {@link ebpf_maps:top/3} costs less.
-spec top(N :: non_neg_integer(), what(), Options :: [option()]) ->
    {[{Key :: term(), Value :: term()}], results()}.
top(N, What, Options) ->
    ?RESULT(ebpf_fleet_work:top(N, What, Options, [N, What, Options])).

%% @doc Returns the sum of all values of all hosts, or of the option `member' of them.
%%
%% Options: `keys', `values', `percpu', `member'. Cost: one message to each node, which sums up its
%% own: see {@link ebpf_maps:sum/2}.
-spec sum(what(), Options :: [option()]) -> {number(), results()}.
sum(What, Options) ->
    ?RESULT(ebpf_fleet_work:sum(What, Options, [What, Options])).

%%--------------------------------------------------------------------------------------------------
%% Writing
%%--------------------------------------------------------------------------------------------------

%% @doc Puts an entry on all hosts, and returns on how many. Options: `keys', `values'. Cost: a message
%% to each node, and up to four to open and close the map, unless `What' is a function.
-spec put(Key :: term(), Value :: term(), what(), Options :: [option()]) ->
    {non_neg_integer(), results()}.
put(Key, Value, What, Options) ->
    ?RESULT(ebpf_fleet_work:write(put, [Key, Value], What, Options, [Key, Value, What, Options])).

%% @doc Removes a key from all hosts, also where it is not, and returns on how many. Options: `keys',
%% `values'. Cost: as {@link put/4}.
-spec remove(Key :: term(), what(), Options :: [option()]) -> {non_neg_integer(), results()}.
remove(Key, What, Options) ->
    ?RESULT(ebpf_fleet_work:write(remove, [Key], What, Options, [Key, What, Options])).

%% @doc Puts these entries on all hosts, and returns on how many all were put.
%%
%% Options: `keys', `values'. Cost: to each node a message for each 16,384 entries or MiB.
-spec merge(what(), Pairs :: #{term() => term()} | [{term(), term()}], Options :: [option()]) ->
    {non_neg_integer(), results()}.
merge(What, Pairs, Options) ->
    ?RESULT(ebpf_fleet_work:merge(What, Pairs, Options, [What, Pairs, Options])).

%%--------------------------------------------------------------------------------------------------
%% Programs and events
%%--------------------------------------------------------------------------------------------------

%% @doc Loads the programs of an object file on all hosts.
%%
%% Options that are not of this module are those of {@link ebpf_programs:load/2}. With `{all_or_none,
%% true}' it is undone everywhere when one host fails, for which there is as much time again: the value
%% is empty then, and the result of the others `{error, undone}'; or `{error, {left, Reason}}' where it
%% could not be, with what is left in the value. On a host whose answer came too late it ends with this node's connection.
%% `timeout' and `deadline' are 60000 ms by default. Cost: the object travels to each node.
-spec load(Elf :: binary(), Options :: [option() | ebpf_programs:load_option()]) ->
    {#{node() => ebpf_programs:loaded()}, results()}.
load(Elf, Options) ->
    ?RESULT(ebpf_fleet_programs:load(Elf, Options, [Elf, Options])).

%% @doc Attaches to the same target on all hosts the program that `Programs' has for each: it says
%% which nodes are asked, not the option `nodes'.
%%
%% Options that are not of this module are those of {@link ebpf_programs:attach/3}; `all_or_none' is
%% as in {@link load/2}. Cost: one message to each node.
-spec attach(Programs, Target, Options) ->
    {#{node() => ebpf_programs:link()}, results()} when
    Programs :: #{node() => ebpf_programs:program()},
    Target :: ebpf_programs:target(),
    Options :: [option() | {lifetime, ebpf_programs:lifetime()}].
attach(Programs, Target, Options) ->
    ?RESULT(ebpf_fleet_programs:attach(Programs, Target, Options, [Programs, Target, Options])).

%% @doc Has the events of a ring on each host, or the lines of the C nodes' logs, sent to a process
%% of this node.
%%
%% They come as {@link ebpf_events:subscribe/3} says, from each C node by itself: `{ebpf_events,
%% Subscription, First, Lost, Runs}', where `node(Subscription)' is the host and `Subscription' gets
%% the credit. The value is a process that looks every 5 s, and when a node comes, for hosts without a
%% subscription; it tells the subscriber `{ebpf_fleet, Stream, News}', see {@type news()}. It ends
%% with the subscriber, or by {@link unsubscribe/1}. Options that are not of this module are those of {@link
%% ebpf_events:subscribe/3}.
-spec subscribe(what() | log, pid(), Options :: [option() | ebpf_events:option()]) ->
    {Stream :: pid(), results()}.
subscribe(What, Pid, Options) ->
    ?RESULT(ebpf_fleet_stream:subscribe(What, Pid, Options, [What, Pid, Options])).

%% @doc Ends a stream and its subscriptions. Returns `{error, esrch}' if it has ended before.
-spec unsubscribe(Stream :: pid()) -> ok | {error, esrch}.
unsubscribe(Stream) ->
    ?RESULT(ebpf_fleet_stream:unsubscribe(Stream, [Stream])).

%%--------------------------------------------------------------------------------------------------
%% A state that is kept
%%--------------------------------------------------------------------------------------------------

%% @doc Keeps programs attached, and maps filled, on every host that is there or comes.
%%
%% ```
%% Spec = #{name => firewall, elf => {file, "drop.bpf.o"}, attach => [{"drop", {xdp, "eth0", native}}],
%%          maps => #{"blocked" => #{keys => be32, values => u8, pairs => #{16#c0000207 => 1}}}}.
%% ok = ebpf_fleet:keep(Spec).
%% #{firewall := #{ebpf@web1 := ok}} = ebpf_fleet:status().
%% '''
%% It returns at once. A process of the application looks at all hosts, then every `every' ms and when
%% a node comes, and mends what differs: it loads once, puts pairs before it attaches, and attaches
%% again what was detached, or whose interface has gone and come back. {@link status/0} says how far it
%% is. What fails is tried less and less often, and at least every 30 s; so is a host that does not
%% answer. Hosts are independent: each has a process of its own, 8 begin at once.
%%
%% What is kept is permanent: it stays on the hosts when the application, or this node, ends. The next
%% one that keeps the same spec, on whatever node, finds it there and attaches nothing a second time.
%% Two that keep it at the same time do the same; they need not be connected to one another. One that
%% was killed in the middle of its work keeps the host from others for the C node's `--grace'.
%%
%% A spec replaces the one of the same name. With the same object and `load' programs stay as they are.
%% Otherwise links get the new ones by {@link ebpf_programs:update/2}, without a gap, or where the
%% kernel cannot, the new ones are attached before the old are detached. Maps of the same name, type and
%% sizes keep their entries, except variables; so put into a map what is to outlive an update. If a new
%% object is refused, the old one goes on. Where pairs are left out of a spec, they stay in the map
%% unless it says `exactly'.
%%
%% Marks on a host, by which this is found, are maps whose names begin with `k_' or, while one is at
%% work, `l_'. Maps without keys, such as rings, have a handle of their own only where the C node may
%% open by id; programs hold them in any case. Attachments without a kernel link end with the C node.
%%
%% Returns `{error, {file, Posix}}' if the object cannot be read, `{error, too_many}' if 64 others are
%% kept, and `{error, notstarted}' if the application does not run. Raises `badarg' for a wrong spec.
%%
%% It takes the permission `load' at each host, as the one of this node. Cost: every `every' ms three
%% messages to each host, one for each attachment, and one for each 1,024 pairs; with `exactly' one for
%% each 4,096 entries of the map.
-spec keep(spec()) -> ok | {error, {file, file:posix()} | too_many | notstarted}.
keep(Spec) -> ?RESULT(ebpf_fleet_keep:keep(Spec, [Spec])).

%% @equiv unkeep(Name, [])
-spec unkeep(Name :: atom()) -> {non_neg_integer(), results()}.
unkeep(Name) -> ?RESULT(ebpf_fleet_keep:unkeep(Name, [], [Name])).

%% @doc Ends what is kept under that name: on this node and those connected to it nobody keeps it any
%% more, and on the hosts its programs are detached and the handles of its maps closed. It need not be
%% this node that has kept it, nor one that is still there. Returns on how many hosts nothing of it is
%% left.
%%
%% The hosts are those of the option `nodes', and those of the spec. On one that does not answer it
%% stays: call it again then. `{busy, Node}' is the result of a host where a keeper is at work that is
%% not connected to this node, or was killed less than `--grace' ago. `timeout' does not count,
%% `deadline' is 60000 ms by default. Cost: as {@link keep/1}.
-spec unkeep(Name :: atom(), Options :: [option()]) -> {non_neg_integer(), results()}.
unkeep(Name, Options) -> ?RESULT(ebpf_fleet_keep:unkeep(Name, Options, [Name, Options])).

%% @doc Returns of what this node keeps, on each host, whether it is as it should be. It asks nobody:
%% this is what the last look has found. Returns `{error, notstarted}' if the application does not run.
-spec status() -> #{Name :: atom() => #{node() => state()}} | {error, notstarted}.
status() -> ebpf_fleet_keep_keeper:status().

%% @doc The same of one name. Raises `{badkey, Name}' if this node does not keep it.
-spec status(Name :: atom()) -> #{node() => state()} | {error, notstarted}.
status(Name) -> ?RESULT(ebpf_fleet_keep:status(Name, [Name])).

%% @doc Returns the map of that name of what this node keeps on each host, for all functions that take
%% {@type what()}.
%%
%% ```
%% ebpf_fleet:top(3, ebpf_fleet:kept(firewall, "drops"), [{keys, be32}, {values, u64}]).
%% '''
%% A host that has no such map yet has the result `{badmap, {error, enoent}}'. What is not given a
%% layout is bytes. Cost: none.
-spec kept(Name :: atom(), Map :: ebpf_programs:name()) -> what().
kept(Name, Map) -> ?RESULT(ebpf_fleet_keep:kept(Name, Map, [Name, Map])).

%%--------------------------------------------------------------------------------------------------
%% Words
%%--------------------------------------------------------------------------------------------------

%% @doc Says in words why a node failed: `Reason' of its `{error, Reason}'.
-spec words(reason()) -> binary().
words(Reason) -> ebpf_fleet_errors:words(Reason).

%% @doc Explains an exception of this module in words, for the shell and for `erl_error': EEP 54.
-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error(Reason, Stack) -> ebpf_fleet_errors:format_error(Reason, Stack).
