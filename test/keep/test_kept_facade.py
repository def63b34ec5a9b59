# SPDX-License-Identifier: Apache-2.0
"""The facade while its C node is started anew, and has its handles again."""

import signal
import threading

import pytest

from cluster import wait_until
from conftest import raises
from native import u32, u64

HASH = ("hash", 4, 8, 50_000)
LONG = 600_000  # ms
START = "{ok, _} = application:ensure_all_started(ebpf_cnode)."
ENDS = pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)

# A process that puts 1, 2, 3 ... and reads what it has put, until it has to stop.
WORK = """
    Me = self(),
    spawn(fun() ->
        Loop = fun Loop(I) ->
            receive stop -> Me ! {worked, I} after 0 ->
                M = ebpf_maps:put(1, I, M),
                <<I:64/native>> = ebpf_maps:get(1, M),
                Loop(I + 1)
            end
        end,
        try Loop(1) catch C:R -> Me ! {failed, C, R} end
    end)."""
WORKED = "P ! stop, receive {worked, I} -> I; {failed, _, _} = F -> F after 30000 -> late end."


@pytest.fixture
def facade(start_beam, ebin, kept):
    """An Erlang node with the application, whose default C node is the kept one."""

    def facade(*options, start=True, retry=LONG):
        kept.start(*options)
        beam = start_beam(paths=[ebin])
        beam.eval("ok = application:load(ebpf_cnode).")
        for name, value in ("node", kept.name), ("retry", retry):
            beam.apply("application", "set_env", "ebpf_cnode", name, value)
        if start:
            beam.eval(START)
        return beam

    return facade


def call(beam, function, *args, module="ebpf_maps"):
    return beam.apply(module, function, *args, timeout=60)


@ENDS
def test_reads_and_puts_with_retry_see_no_error(facade, kept, how):
    beam = facade()
    map = call(beam, "new", *HASH)
    worker = beam.eval(WORK, M=map)
    for _ in range(5):
        first = call(beam, "get", u32(1), map, u64(0))
        wait_until(lambda: call(beam, "get", u32(1), map, u64(0)) != first)  # noqa: B023
        kept.again(how)
    count = beam.eval(WORKED, P=worker)
    assert isinstance(count, int) and count > 5, count


def test_without_retry_they_do(facade, kept):
    beam = facade(retry=0)
    map = call(beam, "new", *HASH)
    worker = beam.eval(WORK, M=map)
    wait_until(lambda: call(beam, "get", u32(1), map, u64(0)) != u64(0))
    kept.end()
    failed = beam.eval("receive {failed, C, R} -> {C, R} after 30000 -> late end.")
    assert failed == ("error", ("nodedown", kept.name))
    assert beam.eval("is_process_alive(P).", P=worker) == "false"
    kept.start()


def test_a_walk_goes_on_from_its_cursor(facade, kept):
    """Over several restarts, in the middle of a fold: each entry comes once."""
    beam = facade()
    map = call(beam, "new", *HASH)
    count = 40_000
    beam.eval("ebpf_maps:merge(M, [{I, I} || I <- lists:seq(1, K)]), ok.", M=map, K=count)
    beam.start_eval(
        """true = register(walker, self()),
        ebpf_maps:fold(fun(_, <<V:64/native>>, {N, S}) ->
            case N rem 10000 of
                5000 -> receive on -> ok after 20000 -> late end;
                _ -> ok
            end,
            {N + 1, S + V} end, {0, 0}, M).""",
        M=map,
    )
    for _ in range(4):
        wait_until(
            lambda: kept.beam.apply("rpc", "call", beam.name, "erlang", "whereis", ["walker"])
            != "undefined"
        )
        kept.again()
        kept.beam.apply("rpc", "call", beam.name, "erlang", "send", ["walker", "on"])
    assert beam.finish(60) == (count, count * (count + 1) // 2)


def test_an_idle_owner_is_connected_again_before_grace_is_over(facade, kept):
    beam = facade("--grace", "3")
    map = call(beam, "new", *HASH)
    kept.again()
    wait_until(lambda: kept.name in beam.connected(), 20)
    kept.node.wait_log(f"connected {beam.name}")
    assert [handle for handle, *_ in kept.handles()] == [map]


def test_an_idle_owner_without_the_application_is_not(facade, kept):
    beam = facade("--grace", "1", start=False)
    map = call(beam, "new", *HASH)
    kept.again()
    wait_until(lambda: kept.handles() == [], 20)
    with raises(("badmap", map)):
        call(beam, "size", map)


def test_a_process_handle_of_an_idle_node_stays(facade, kept):
    beam = facade("--grace", "3")
    beam.eval(
        """Me = self(), spawn(fun() ->
            Me ! {map, ebpf_maps:new(hash, 4, 8, 4, [{lifetime, process}])},
            receive stop -> ok end end), ok."""
    )
    map = beam.eval("receive {map, M} -> M end.")
    kept.again()
    wait_until(lambda: kept.name in beam.connected(), 20)
    ((handle, owner, lifetime),) = kept.handles()
    assert (handle, lifetime) == (map, "process")
    beam.eval("exit(P, kill).", P=owner)
    wait_until(lambda: kept.handles() == [])


CONSUME = """
    Me = self(),
    {ok, Pid} = ebpf_events:start_link(Ring, fun(News) -> Me ! {news, News} end, []),
    Pid."""
NEWS = "receive {news, {W, _} = N} when W =:= What -> N after 20000 -> late end."


def test_a_consumer_of_a_kept_ring_subscribes_again_and_tells(facade, kept):
    beam = facade()
    ring = call(beam, "new", "ringbuf", 0, 0, 4096)
    consumer = beam.eval(CONSUME, Ring=ring)
    for _ in range(2):
        kept.again()
        assert beam.eval(NEWS, What="missed") == ("missed", "unknown")
    assert beam.eval("is_process_alive(P).", P=consumer) == "true"
    subscribed = beam.erpc(kept.name, "subscriptions", module="ebpf_events")
    assert len(subscribed) == 1


def test_many_callers_on_many_handles_see_one_restart_as_a_pause(facade, kept):
    beam = facade()
    beam.eval(
        """Me = self(),
        [spawn(fun() ->
            M = ebpf_maps:new(hash, 4, 8, 4),
            Me ! {ready, self()},
            Loop = fun Loop(I) ->
                receive stop -> Me ! {done, I}
                after 0 -> M = ebpf_maps:put(I, I, M), M = ebpf_maps:remove(I, M), Loop(I + 1)
                end
            end,
            try Loop(1) catch C:R -> Me ! {done, {C, R}} end
        end) || _ <- lists:seq(1, 20)],
        ok."""
    )
    workers = beam.eval("[receive {ready, P} -> P after 20000 -> late end || _ <- lists:seq(1, 20)].")
    timer = threading.Event()
    for how in signal.SIGKILL, signal.SIGTERM, signal.SIGKILL:
        timer.wait(0.05)  # calls are under way
        kept.again(how)
    done = beam.eval(
        "[P ! stop || P <- Ps], [receive {done, D} -> D after 30000 -> late end || _ <- Ps].",
        Ps=workers, timeout=60,
    )
    assert all(isinstance(count, int) for count in done), done
