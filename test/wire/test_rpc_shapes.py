# SPDX-License-Identifier: Apache-2.0
"""Every shape in which a request can come, from nodes without the facade."""

import subprocess

import pytest

import dist
import etf
from beam import Beam
from cluster import wait_until

pytestmark = pytest.mark.single

KEY, VALUE = b"\x01", b"\x02"


@pytest.fixture
def map(maps):
    """A hash of one byte to one byte that holds 1 -> 2."""
    map = maps.new("hash", 1, 1, 64)
    maps.put(KEY, VALUE, map)
    return map


@pytest.fixture
def at_once(alice, bob, cnode):
    """Evaluates in both nodes at the same time; gives both values."""

    def at_once(text, **bindings):
        for beam in (alice, bob):
            beam.start_eval(text, N=cnode.name, **bindings)
        return [beam.finish() for beam in (alice, bob)]

    return at_once


WITH_RESULT = {
    "erpc:call/4": "erpc:call(N, M, F, A)",
    "erpc:call/5": "erpc:call(N, M, F, A, 15000)",
    "rpc:call/4": "rpc:call(N, M, F, A)",
    "rpc:call/5": "rpc:call(N, M, F, A, 15000)",
    "rpc:block_call/4": "rpc:block_call(N, M, F, A)",
    "rpc:block_call/5": "rpc:block_call(N, M, F, A, 15000)",
    "erpc:multicall/4": "[{ok, V}] = erpc:multicall([N], M, F, A), V",
    "rpc:multicall/4": "{[V], []} = rpc:multicall([N], M, F, A), V",
    "rpc:multicall/5": "{[V], []} = rpc:multicall([N], M, F, A, 15000), V",
    "erpc:send_request/4 and receive_response/2": """
        erpc:receive_response(erpc:send_request(N, M, F, A), 15000)""",
    "erpc:send_request/4 and wait_response/2": """
        {response, V} = erpc:wait_response(erpc:send_request(N, M, F, A), 15000),
        V""",
    "erpc:send_request/6 and receive_response/3": """
        Ids = erpc:send_request(N, M, F, A, tag, erpc:reqids_new()),
        {V, tag, _} = erpc:receive_response(Ids, 15000, true),
        V""",
    "rpc:async_call/4 and yield/1": "rpc:yield(rpc:async_call(N, M, F, A))",
    "rpc:async_call/4 and nb_yield/2": """
        {value, V} = rpc:nb_yield(rpc:async_call(N, M, F, A), 15000), V""",
    "gen_server:call of rex with call": """
        gen_server:call({rex, N}, {call, M, F, A, group_leader()}, 15000)""",
    "gen_server:call of rex with block_call": """
        gen_server:call({rex, N}, {block_call, M, F, A, group_leader()}, 15000)""",
    "gen_server:send_request of rex": """
        Id = gen_server:send_request({rex, N}, {call, M, F, A, group_leader()}),
        {reply, V} = gen_server:receive_response(Id, 15000),
        V""",
}

WITHOUT_RESULT = {
    "rpc:cast/4": "true = rpc:cast(N, M, F, A)",
    "erpc:cast/4": "ok = erpc:cast(N, M, F, A)",
    "erpc:multicast/4": "ok = erpc:multicast([N], M, F, A)",
    "spawn/4": "N = node(spawn(N, M, F, A))",
    "spawn_link/4": """
        process_flag(trap_exit, true),
        P = spawn_link(N, M, F, A),
        receive {'EXIT', P, normal} -> ok after 15000 -> error(no_exit) end""",
    "spawn_monitor/4": """
        {P, R} = spawn_monitor(N, M, F, A),
        receive {'DOWN', R, process, P, normal} -> ok
        after 15000 -> error(no_down) end""",
    "spawn_opt/5 with link and monitor": """
        process_flag(trap_exit, true),
        {P, R} = spawn_opt(N, M, F, A, [link, monitor]),
        receive {'DOWN', R, process, P, normal} -> ok
        after 15000 -> error(no_down) end,
        receive {'EXIT', P, normal} -> ok after 15000 -> error(no_exit) end""",
    "spawn_request/5": """
        R = spawn_request(N, M, F, A, []),
        receive {spawn_reply, R, ok, P} when node(P) =:= N -> ok
        after 15000 -> error(no_reply) end""",
    "spawn_request/5 with monitor": """
        R = spawn_request(N, M, F, A, [monitor]),
        P = receive {spawn_reply, R, ok, P0} -> P0 after 15000 -> error(late) end,
        receive {'DOWN', R, process, P, normal} -> ok
        after 15000 -> error(no_down) end""",
}


@pytest.mark.parametrize("shape", WITH_RESULT)
def test_a_call_gives_the_value_to_both_nodes(shape, at_once, map):
    values = at_once(
        WITH_RESULT[shape], M="ebpf_maps", F="get", A=[KEY, map]
    )
    assert values == [VALUE, VALUE]


@pytest.mark.parametrize("shape", WITHOUT_RESULT)
def test_a_request_without_result_takes_effect(shape, alice, bob, cnode, maps, map):
    for beam, key in ((alice, b"a"), (bob, b"b")):
        beam.start_eval(
            WITHOUT_RESULT[shape],
            N=cnode.name,
            M="ebpf_maps",
            F="put",
            A=[key, b"!", map],
        )
    alice.finish()
    bob.finish()
    for key in (b"a", b"b"):
        wait_until(lambda: maps.get(key, map, b"?") == b"!", what="the entry")


WITH_EXCEPTION = {
    "erpc:call/4": """
        try erpc:call(N, M, F, A) catch error:{exception, R, S} -> {R, S} end""",
    "rpc:call/4": "{badrpc, {'EXIT', X}} = rpc:call(N, M, F, A), X",
    "rpc:block_call/4": "{badrpc, {'EXIT', X}} = rpc:block_call(N, M, F, A), X",
    "erpc:multicall/4": """
        [{error, {exception, R, S}}] = erpc:multicall([N], M, F, A), {R, S}""",
    "rpc:multicall/4": """
        {[{badrpc, {'EXIT', X}}], []} = rpc:multicall([N], M, F, A), X""",
    "erpc:send_request/4": """
        try erpc:receive_response(erpc:send_request(N, M, F, A), 15000)
        catch error:{exception, R, S} -> {R, S} end""",
    "rpc:async_call/4": """
        {badrpc, {'EXIT', X}} = rpc:yield(rpc:async_call(N, M, F, A)), X""",
    "gen_server:call of rex": """
        {badrpc, {'EXIT', X}} =
            gen_server:call({rex, N}, {call, M, F, A, group_leader()}, 15000),
        X""",
    "spawn_monitor/4": """
        {P, R} = spawn_monitor(N, M, F, A),
        receive {'DOWN', R, process, P, X} -> X after 15000 -> error(late) end""",
    "spawn_link/4": """
        process_flag(trap_exit, true),
        P = spawn_link(N, M, F, A),
        receive {'EXIT', P, X} -> X after 15000 -> error(late) end""",
}


@pytest.mark.parametrize("shape", WITH_EXCEPTION)
def test_an_exception_reaches_both_callers_with_its_stack(shape, at_once, map):
    answers = at_once(
        WITH_EXCEPTION[shape], M="ebpf_maps", F="get", A=[b"k", map]
    )
    for reason, stack in answers:
        assert reason == ("badkey", b"k")
        assert stack[0][:3] == ("ebpf_maps", "get", [b"k", map])
        assert isinstance(stack[0][3], list)


UNDEFINED = [
    ("ebpf_maps", "nope", []),
    ("ebpf_maps", "nope", [1, 2]),
    ("ebpf_maps", "get", []),
    ("ebpf_maps", "get", [1, 2, 3, 4]),
    ("ebpf_maps", "get", [{}] * 300),
    ("nope", "get", ["a", b"b"]),
    ("\U0001f41d" * 255, "\u00e9" * 255, ["\U00010348" * 255]),
    ("", "", [""]),
]


@pytest.mark.parametrize("shape", WITH_EXCEPTION)
@pytest.mark.parametrize("mfa", UNDEFINED, ids=range(len(UNDEFINED)))
def test_undef_looks_as_from_an_erlang_node(shape, mfa, alice, bob, cnode):
    module, function, args = mfa
    answers = []
    for node in (cnode.name, bob.name):
        answers.append(
            alice.eval(WITH_EXCEPTION[shape], N=node, M=module, F=function, A=args)
        )
    assert answers[0] == answers[1]
    assert answers[0] == ("undef", [(module, function, args, [])])


def test_undef_by_ei_rpc_looks_as_from_an_erlang_node(connect, cluster, cnode, bob):
    class BobNode:
        port = cluster.epmd.port_of(bob.sname)

    request = ("ebpf_maps", "nope", [1])
    answers = [connect(node).rex(*request) for node in (cnode, BobNode)]
    assert answers[0] == answers[1]
    assert answers[0][0] == "badrpc"


def test_an_improper_argument_list_hurts_only_its_caller(alice, cnode, maps, map):
    answer = alice.eval("rpc:call(N, ebpf_maps, get, [a | b])", N=cnode.name)
    assert answer[0] == "badrpc"
    assert maps.get(KEY, map) == VALUE


@pytest.mark.parametrize("function", ["get", "remove", "take"])
def test_arguments_that_travel_as_a_string_are_read(function, alice, cnode):
    reason, stack = alice.eval(
        WITH_EXCEPTION["erpc:call/4"],
        N=cnode.name,
        M="ebpf_maps",
        F=function,
        A=[1, 2],
    )
    assert reason == ("badmap", 2)
    assert stack[0][:3] == ("ebpf_maps", function, [1, 2])


def test_ping_gives_pong_to_a_node_that_was_not_connected(start_beam, cnode):
    assert start_beam().apply("net_adm", "ping", cnode.name) == "pong"


def test_a_second_ping_gives_pong(at_once):
    assert at_once("[net_adm:ping(N), net_adm:ping(N)]") == [["pong"] * 2] * 2


def test_a_node_with_default_settings_can_call(cluster, cnode, map):
    """-connect_all and all else as erl has it; the C node stays hidden."""
    beam = Beam(cluster, "-connect_all", "true")
    try:
        assert beam.erpc(cnode.name, "get", KEY, map) == VALUE
        assert beam.eval("nodes()") == []
        assert beam.eval("nodes(hidden)") == [cnode.name]
    finally:
        beam.close()


def test_ei_rpc_gives_the_value(connect, cnode, map):
    peer = connect(cnode)
    assert peer.rex("ebpf_maps", "get", [KEY, map]) == VALUE
    assert peer.rex("ebpf_maps", "get", [b"x", map, "none"]) == "none"


@pytest.mark.plain  # erl_call knows no TLS
def test_erl_call_gives_the_value(cluster, fresh_cnode):
    done = subprocess.run(
        ["erl_call", "-sname", fresh_cnode.sname, "-a", "ebpf_maps new [hash,4,4,16]"],
        env=cluster.env,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{ebpf_map"), done.stdout


def test_a_raw_spawn_request_is_answered_by_a_fresh_pid_each(connect, cnode):
    peer = connect(cnode)
    pids = set()
    for _ in range(10):
        request = peer.start_erpc("ebpf_maps", "close", [{}])
        control, _ = peer.receive_until(lambda c, p: c[0] == dist.SPAWN_REPLY)
        assert control[1] == request
        assert control[3] & 2
        pids.add(control[4].raw)
        peer.finish_erpc(request)
    assert len(pids) == 10


def test_a_monitor_of_a_name_that_is_not_there_is_told_noproc(at_once):
    answers = at_once("""
        R = monitor(process, {nosuch, N}),
        receive {'DOWN', R, process, {nosuch, N}, Why} -> Why
        after 15000 -> late end""")
    assert answers == ["noproc", "noproc"]


GONE = "P = spawn(N, ebpf_maps, close, [x]), "


def test_a_monitor_of_a_pid_that_has_gone_is_told_noproc(at_once):
    answers = at_once(GONE + """
        pong = net_adm:ping(N),
        R = monitor(process, P),
        receive {'DOWN', R, process, P, Why} -> Why after 15000 -> late end""")
    assert answers == ["noproc", "noproc"]


def test_a_link_to_a_pid_that_has_gone_is_told_noproc(at_once):
    answers = at_once(GONE + """
        process_flag(trap_exit, true),
        pong = net_adm:ping(N),
        link(P),
        receive {'EXIT', P, Why} -> Why after 15000 -> late end""")
    assert answers == ["noproc", "noproc"]


def test_a_gen_server_call_of_a_name_that_is_not_there_exits_at_once(at_once):
    answers = at_once("""
        try gen_server:call({nosuch, N}, hello, 15000)
        catch exit:{Why, {gen_server, call, _}} -> Why end""")
    assert answers == ["noproc", "noproc"]


def test_a_gen_server_call_of_a_pid_that_has_gone_exits_at_once(at_once):
    answers = at_once(GONE + """
        pong = net_adm:ping(N),
        try gen_server:call(P, hello, 15000)
        catch exit:{Why, {gen_server, call, _}} -> Why end""")
    assert answers == ["noproc", "noproc"]


def test_what_is_sent_to_nobody_is_dropped(at_once, maps, map):
    at_once(GONE + """
        P ! hello, {nosuch, N} ! hello, {rex, N} ! hello, {net_kernel, N} ! hello,
        exit(P, kill), exit(P, reason), group_leader(group_leader(), self()),
        unlink(P), rpc:abcast([N], nosuch, hello), rpc:abcast([N], rex, {a, b})
        """)
    assert maps.get(KEY, map) == VALUE


def test_unlink_is_acknowledged(connect, cnode):
    peer = connect(cnode)
    me, other = peer.pid(), peer.pid(node=cnode.name)
    peer.send((dist.UNLINK_ID_OP, (1 << 63) + 5, me, other))
    control, _ = peer.receive()
    assert control == (dist.UNLINK_ID_ACK, (1 << 63) + 5, other, me)


def test_unlink_with_an_id_that_is_too_big_does_no_harm(connect, cnode, maps, map):
    """ei copies such an id into a buffer that is too small."""
    peer = connect(cnode)
    me, other = peer.pid(), peer.pid(node=cnode.name)
    peer.send((dist.UNLINK_ID_OP, 1 << 20000, me, other))
    assert maps.get(KEY, map) == VALUE


def test_demonitor_and_repeated_monitors_leave_the_connection_alone(at_once):
    answers = at_once("""
        Rs = [monitor(process, {rex, N}) || _ <- lists:seq(1, 100)],
        [demonitor(R, [flush]) || R <- Rs],
        pong = net_adm:ping(N),
        receive Any -> Any after 0 -> nothing end""")
    assert answers == ["nothing", "nothing"]


TRACED = [s for s in WITH_RESULT if "send_request/6" not in s]


@pytest.mark.parametrize("shape", TRACED)
def test_a_request_with_a_sequential_trace_token_is_served(shape, alice, cnode, map):
    value = alice.eval(
        "seq_trace:set_token(label, 17), seq_trace:set_token(send, true),"
        "try " + WITH_RESULT[shape] + " after seq_trace:set_token([]) end",
        N=cnode.name,
        M="ebpf_maps",
        F="get",
        A=[KEY, map],
    )
    assert value == VALUE


def test_a_traced_cast_and_spawn_take_effect(alice, cnode, maps, map):
    alice.eval(
        """
        seq_trace:set_token(label, 17),
        try
            rpc:cast(N, ebpf_maps, put, [<<"a">>, <<"!">>, Map]),
            spawn(N, ebpf_maps, put, [<<"b">>, <<"!">>, Map])
        after seq_trace:set_token([]) end""",
        N=cnode.name,
        Map=map,
    )
    for key in (b"a", b"b"):
        wait_until(lambda: maps.get(key, map, b"?") == b"!", what="the entry")


def test_requests_of_many_processes_on_two_nodes_are_each_answered(at_once, map):
    answers = at_once(
        """
        Self = self(),
        Caller = fun(I) -> fun() ->
            Got = [erpc:call(N, ebpf_maps, get, [<<1>>, Map, I]) ||
                   _ <- lists:seq(1, 20)] ++
                  [erpc:call(N, ebpf_maps, get, [<<9>>, Map, {I, J}]) ||
                   J <- lists:seq(1, 20)],
            Self ! {I, Got}
        end end,
        [spawn(Caller(I)) || I <- lists:seq(1, 100)],
        [receive {I, Got} ->
             Got =:= lists:duplicate(20, <<2>>) ++ [{I, J} || J <- lists:seq(1, 20)]
         after 15000 -> late end || I <- lists:seq(1, 100)]
        """,
        Map=map,
    )
    assert answers == [["true"] * 100] * 2


def test_requests_sent_without_waiting_are_answered_in_order(connect, cnode, map):
    peer = connect(cnode)
    asked = [
        peer.start_erpc("ebpf_maps", "get", [b"x", map, n]) for n in range(1000)
    ]
    answers = [peer.finish_erpc(request) for request in asked]
    assert answers == [("return", n) for n in range(1000)]


def test_one_multicall_asks_several_nodes(alice, bob, start_cnode):
    nodes = [start_cnode(), start_cnode()]
    answers = alice.eval(
        "erpc:multicall(Ns, ebpf_maps, new, [hash, 4, 4, 1])",
        Ns=[nodes[0].name, nodes[1].name],
    )
    assert [status for status, _ in answers] == ["ok", "ok"]
    homes = [alice.eval("node(element(2, M))", M=m) for _, m in answers]
    assert homes == [nodes[0].name, nodes[1].name]
    mixed, bad = alice.eval(
        "rpc:multicall(Ns, ebpf_maps, close, [M])",
        Ns=[nodes[0].name, bob.name, "nosuch@nowhere"],
        M=answers[0][1],
    )
    assert mixed[0] == "ok"
    assert mixed[1][0] == "badrpc"
    assert bad == ["nosuch@nowhere"]


def test_a_call_that_timed_out_disturbs_no_later_one(alice, cnode, maps, map):
    alice.eval(
        """
        [try erpc:call(N, ebpf_maps, get, [<<1>>, Map], 0)
         catch error:{erpc, timeout} -> late end || _ <- lists:seq(1, 50)]""",
        N=cnode.name,
        Map=map,
    )
    assert maps.get(KEY, map) == VALUE
    assert alice.eval("receive Any -> Any after 0 -> nothing end") == "nothing"


def test_a_caller_that_dies_disturbs_no_other(alice, cnode, maps, map):
    alice.eval(
        """
        [exit(spawn(erpc, call, [N, ebpf_maps, get, [<<1>>, Map]]), kill) ||
         _ <- lists:seq(1, 100)]""",
        N=cnode.name,
        Map=map,
    )
    assert maps.get(KEY, map) == VALUE


def test_a_reference_of_five_words_is_echoed(connect, cnode):
    peer = connect(cnode)
    request = etf.ref(peer.name, [1, 2, 3, 4, 5], peer.creation)
    me = peer.pid()
    mfa = ("erpc", "execute_call", 4)
    control = (dist.SPAWN_REQUEST, request, me, me, mfa, ["monitor"])
    peer.send(control, [request, "ebpf_maps", "nope", []])
    answer = peer.finish_erpc(request)
    assert answer == ("error", "undef", [("ebpf_maps", "nope", [], [])])


def test_a_spawn_without_monitor_is_only_told_its_pid(connect, cnode):
    peer = connect(cnode)
    me, request = peer.pid(), peer.ref()
    control = (dist.SPAWN_REQUEST, request, me, me, ("ebpf_maps", "close", 1), [])
    peer.send(control, ["x"])
    control, payload = peer.receive()
    assert control[:4] == (dist.SPAWN_REPLY, request, me, 0)
    assert payload is None
    assert peer.erpc("ebpf_maps", "close", ["x"])[0] == "error"
