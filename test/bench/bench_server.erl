%% SPDX-License-Identifier: Apache-2.0
%%
%% The other Erlang node of "BEAM to BEAM": functions and a gen_server that only answer, with terms
%% as long as those of the C node. They take the size of a value from the handle and read no map.
-module(bench_server).

-behaviour(gen_server).

-export([start/1, get/2, put/3, update/3, take/2]).
-export([init/1, handle_call/3, handle_cast/2]).

%% ValueSizes are the sizes that calls will need.
-spec start(ValueSizes :: [pos_integer()]) -> ok.
start(ValueSizes) ->
    [persistent_term:put({?MODULE, Size}, binary:copy(<<0>>, Size)) || Size <- ValueSizes],
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, [], []),
    ok.

-spec get(binary(), tuple()) -> binary().
get(_Key, Map) -> persistent_term:get({?MODULE, element(5, Map)}).

-spec put(binary(), binary(), tuple()) -> tuple().
put(_Key, _Value, Map) -> Map.

-spec update(binary(), binary(), tuple()) -> tuple().
update(_Key, _Value, Map) -> Map.

-spec take(binary(), tuple()) -> {binary(), tuple()}.
take(Key, Map) -> {get(Key, Map), Map}.

%%--------------------------------------------------------------------------------------------------

-spec init([]) -> {ok, []}.
init([]) -> {ok, []}.

-spec handle_call({atom(), [term()]}, gen_server:from(), []) -> {reply, term(), []}.
handle_call({Function, Args}, _From, State) -> {reply, apply(?MODULE, Function, Args), State}.

-spec handle_cast(term(), []) -> {noreply, []}.
handle_cast(_Message, State) -> {noreply, State}.
