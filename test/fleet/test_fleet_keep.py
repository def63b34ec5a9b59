# SPDX-License-Identifier: Apache-2.0
"""A state that is kept on all hosts: what is missing is mended, what is there is adopted, and a
keeper that is killed anywhere leaves no second attachment."""

import hashlib
import random
import subprocess
import time
from contextlib import ExitStack

import pytest

from beam import BeamError
from cluster import wait_until
from etf import Atom
from fleets import pretend
from native import u32, u64

LOADS = ["--programs", "all", "--allow", "*=load"]
START = "{ok, _} = application:ensure_all_started(ebpf_cnode)"
TARGET = (Atom("tc"), b"lo", Atom("ingress"), Atom("last"))


@pytest.fixture
def elf(compile_bpf):
    return compile_bpf("attach").read_bytes()


@pytest.fixture
def veth(cluster):
    """The name of one end of a pair, which can be taken away."""
    name = cluster.name("v")[:12]
    make_veth(name)
    yield name
    subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL)


def make_veth(name):
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)


class Kept:
    """What a spec of one name says, and what there is of it."""

    def __init__(self, beam, elf, name):
        self.beam = beam
        self.elf = elf
        self.name = Atom(name)

    def spec(self, nodes, *targets, programs=("tc",), maps=None, load=(), every=300, attach=True):
        options = [(Atom("programs"), [name.encode() for name in programs]), *load]
        return {
            Atom("name"): self.name,
            Atom("nodes"): [Atom(node.name) for node in nodes],
            Atom("elf"): self.elf,
            Atom("load"): options,
            Atom("attach"): list(targets or [(b"tc", TARGET)]) if attach else [],
            Atom("maps"): maps or {},
            Atom("every"): every,
        }

    def keep(self, *args, beam=None, **options):
        return (beam or self.beam).apply("ebpf_fleet", "keep", self.spec(*args, **options))

    def status(self, beam=None):
        return (beam or self.beam).apply("ebpf_fleet", "status", self.name)

    def wait_ok(self, node, beam=None):
        def is_ok():
            self.told = self.status(beam).get(Atom(node.name))
            return self.told == "ok"

        try:
            wait_until(is_ok, timeout=20, what="it is as the spec says")
        except AssertionError:
            raise AssertionError(self.told) from None

    def wait_text(self, node, words):
        """Of what differs, or why it failed."""

        def has():
            kind, *rest = self.status().get(Atom(node.name)) or (None,)
            texts = rest[0] if kind == "differs" else rest[1:]
            return [text for text in texts if words.encode() in text]

        return wait_until(has, timeout=20, what=words)[0]

    def unkeep(self, beam=None, nodes=()):
        options = [(Atom("nodes"), [Atom(node.name) for node in nodes])]
        return (beam or self.beam).apply("ebpf_fleet", "unkeep", self.name, options, timeout=40)


def links(beam, node):
    return [h for h, *_ in held(beam, node, "ebpf_programs") if h[0] == "ebpf_link"]


def held(beam, node, module="ebpf_maps"):
    return [one for one in beam.erpc(Atom(node.name), "handles", module=module) if one[2] == "permanent"]


def info(beam, node, link):
    return beam.erpc(Atom(node.name), "info", link, module="ebpf_programs")


def programs_of(beam, node):
    return sorted(info(beam, node, link)["program"] for link in links(beam, node))


@pytest.fixture
def start_keeper(start_beam, ebin):
    def start(**options):
        beam = start_beam(paths=[ebin], hint="keeper", **options)
        beam.eval(START)
        return beam

    return start


@pytest.fixture
def kept(start_keeper, elf, cluster):
    return Kept(start_keeper(), elf, cluster.name("spec"))


@pytest.fixture
def start_host(start_cnode):
    return lambda *options, **others: start_cnode(*LOADS, *options, **others)


# --- Kept ---------------------------------------------------------------------------


def test_it_is_attached_on_all_hosts_and_on_those_that_come(kept, start_host, cluster):
    first = start_host()
    late = cluster.name("cnode")

    class Later:
        name = f"{late}@{cluster.host}"

    assert kept.keep([first, Later]) == "ok"
    kept.wait_ok(first)
    kept.wait_text(Later, "no connection")
    second = start_host(sname=late)
    kept.beam.apply("net_adm", "ping", Atom(second.name))
    kept.wait_ok(second)
    for node in first, second:
        assert len(links(kept.beam, node)) == 1
    count, results = kept.unkeep()
    assert (count, set(results.values())) == (2, {"ok"})
    for node in first, second:
        assert not links(kept.beam, node) and not held(kept.beam, node)
    with pytest.raises(BeamError) as raised:
        kept.status()
    assert raised.value.reason == ("badkey", kept.name)


def test_what_was_detached_is_attached_again_with_the_same_maps(kept, start_host):
    node = start_host()
    maps = {b"hits": {Atom("pairs"): {u32(31): u64(7)}}}
    kept.keep([node], maps=maps)
    kept.wait_ok(node)
    before = held(kept.beam, node)
    [link] = links(kept.beam, node)
    kept.beam.erpc(Atom(node.name), "detach", link, module="ebpf_programs")
    wait_until(lambda: links(kept.beam, node))
    kept.wait_ok(node)
    assert held(kept.beam, node) == before


def test_entries_that_differ_are_put(kept, start_host):
    node = start_host()
    entries = {
        Atom("pairs"): {31: 7, 30: 8},
        Atom("keys"): Atom("u32"),
        Atom("values"): Atom("u64"),
    }
    kept.keep([node], maps={b"hits": entries})
    kept.wait_ok(node)
    map = kept.beam.eval("(ebpf_fleet:kept(S, \"hits\"))(N)", S=kept.name, N=Atom(node.name))
    get = lambda: kept.beam.erpc(Atom(node.name), "get", u32(31), map)  # noqa: E731
    assert get() == u64(7)
    kept.beam.erpc(Atom(node.name), "put", u32(31), u64(9), map)
    wait_until(lambda: get() == u64(7))


def test_exactly_these_entries(kept, start_host, compile_bpf):
    node = start_host()
    kept.elf = compile_bpf("count", "-DPIDS=pids", "-DALL=all").read_bytes()
    entries = {Atom("pairs"): {u32(1): u64(7), u32(2): u64(8)}, Atom("exactly"): True}
    kept.keep([node], maps={b"pids": entries}, programs=[], attach=False)
    kept.wait_ok(node)
    map = kept.beam.eval("(ebpf_fleet:kept(S, pids))(N)", S=kept.name, N=Atom(node.name))
    kept.beam.erpc(Atom(node.name), "merge", map, {u32(2): u64(9), u32(3): u64(9)})
    wanted = {u32(1): u64(7), u32(2): u64(8)}
    wait_until(lambda: dict(kept.beam.apply("ebpf_maps", "to_list", map)) == wanted)
    # fewer pairs, by another spec
    entries[Atom("pairs")].pop(u32(1))
    kept.keep([node], maps={b"pids": entries}, programs=[], attach=False)
    wait_until(lambda: dict(kept.beam.apply("ebpf_maps", "to_list", map)) == {u32(2): u64(8)})


def test_an_interface_that_comes_back_is_attached_to(kept, start_host, veth):
    node = start_host()
    xdp = (b"xdp", (Atom("xdp"), veth.encode(), Atom("native")))
    kept.keep([node], xdp, programs=["xdp"])
    kept.wait_ok(node)
    subprocess.run(["ip", "link", "del", veth], check=True)
    kept.wait_text(node, "its target has gone")
    make_veth(veth)
    kept.wait_ok(node)
    [link] = links(kept.beam, node)
    assert info(kept.beam, node, link)["target"]["ifindex"] > 0


# --- Another keeper -------------------------------------------------------------------


def test_the_next_keeper_adopts_what_is_there(kept, start_keeper, start_host):
    node = start_host()
    kept.keep([node])
    kept.wait_ok(node)
    before = links(kept.beam, node), programs_of(kept.beam, node), held(kept.beam, node)
    kept.beam.kill()
    kept.beam = start_keeper()
    kept.keep([node])
    kept.wait_ok(node)
    assert (links(kept.beam, node), programs_of(kept.beam, node), held(kept.beam, node)) == before
    kept.beam.kill()
    # one that has never kept it ends it
    other = start_keeper()
    assert kept.unkeep(other, [node])[0] == 1
    assert not links(other, node) and not held(other, node)


def test_two_keepers_at_once_attach_once(kept, start_keeper, start_host):
    """They are not connected to one another."""
    node = start_host()
    other = start_keeper()
    spec = kept.spec([node], every=50)
    for beam in kept.beam, other:
        beam.start_apply("ebpf_fleet", "keep", [spec])
    for beam in kept.beam, other:
        assert beam.finish() == "ok"
    for beam in kept.beam, other:
        kept.wait_ok(node, beam)
    assert len(links(other, node)) == 1
    assert other.name not in map(str, kept.beam.connected())


def test_who_is_at_work_keeps_others_out(kept, start_beam, start_host):
    """By a map of its process, with no connection between the two."""
    node = start_host()
    digits = hashlib.md5(str(kept.name).encode()).hexdigest()[:12].upper()
    options = [(Atom("name"), f"l_{digits}".encode()), (Atom("lifetime"), Atom("process"))]
    other = start_beam(hint="other")
    lock = other.erpc(Atom(node.name), "new", Atom("array"), 4, 72, 1, options)
    assert lock[0] == "ebpf_map"
    kept.keep([node])
    assert other.name.encode() in kept.wait_text(node, "another keeper works there")
    assert not links(other, node)
    assert other.erpc(Atom(node.name), "close", lock) == "ok"
    kept.wait_ok(node)


def test_killed_anywhere_it_leaves_one_attachment(kept, start_keeper, start_host):
    node = start_host("--grace", "0")
    rng = random.Random(1)
    maps = {b"hits": {Atom("pairs"): {u32(31): u64(7)}}}
    end = time.monotonic() + 10
    beam, rounds = kept.beam, 0
    watcher = start_keeper()
    while rounds < 3 or time.monotonic() < end:
        load = [(Atom("variables"), {b"process": rounds + 1})]
        beam.apply("ebpf_fleet", "keep", kept.spec([node], maps=maps, load=load, every=20))
        time.sleep(rng.random() * 0.06)
        beam.kill()
        beam = start_keeper()
        rounds += 1
    print(rounds, "rounds")
    beam.apply("ebpf_fleet", "keep", kept.spec([node], maps=maps))
    kept.wait_ok(node, beam)
    assert len(links(watcher, node)) == 1
    assert len(held(watcher, node)) == 4  # a mark, and the maps of the object
    wait_until(
        lambda: len(watcher.erpc(Atom(node.name), "handles", module="ebpf_programs")) == 1,
        what="programs have ended",
    )
    assert kept.unkeep(beam)[0] == 1
    assert not links(watcher, node) and not held(watcher, node)


def test_specs_outlive_the_keepers_process(kept, start_host):
    node = start_host()
    kept.keep([node])
    kept.wait_ok(node)
    text = "K = whereis(ebpf_fleet_keep_keeper), exit(K, kill), K"
    killed = kept.beam.eval(text)
    wait_until(lambda: kept.beam.eval("whereis(ebpf_fleet_keep_keeper)") not in (killed, "undefined"))
    kept.wait_ok(node)
    assert len(links(kept.beam, node)) == 1


# --- Another spec ---------------------------------------------------------------------


def test_another_object_takes_the_place_of_the_old_one(kept, start_host):
    node = start_host()
    kept.keep([node], maps={b"hits": {Atom("pairs"): {u32(31): u64(7)}}})
    kept.wait_ok(node)
    before = links(kept.beam, node), programs_of(kept.beam, node)
    kept.keep([node], load=[(Atom("variables"), {b"process": 1})])
    wait_until(lambda: programs_of(kept.beam, node) != before[1])
    kept.wait_ok(node)
    # the same link, and the same map
    assert links(kept.beam, node) == before[0]
    map = kept.beam.eval("(ebpf_fleet:kept(S, \"hits\"))(N)", S=kept.name, N=Atom(node.name))
    assert kept.beam.erpc(Atom(node.name), "get", u32(31), map) == u64(7)


def test_another_target_takes_the_place_of_the_old_one(kept, start_host, veth):
    node = start_host()
    kept.keep([node])
    kept.wait_ok(node)
    other = (Atom("tc"), veth.encode(), Atom("ingress"), Atom("last"))
    kept.keep([node], (b"tc", other))
    wait_until(lambda: [link[3][1] for link in links(kept.beam, node)] == [veth.encode()])
    kept.wait_ok(node)


# --- Refused --------------------------------------------------------------------------


def test_a_host_that_refuses_is_told_of_and_the_others_go_on(kept, start_host, start_cnode):
    good, refuses = start_host(), start_cnode()
    kept.keep([good, refuses])
    kept.wait_ok(good)
    kept.wait_text(refuses, "--allow")


def test_a_target_that_is_not_there_is_told_of(kept, start_host):
    node = start_host()
    kept.keep([node], (b"xdp", (Atom("xdp"), b"nowhere0", Atom("native"))), programs=["xdp"])
    text = kept.wait_text(node, "nowhere0")
    assert text.startswith(b"program xdp: not attached to xdp nowhere0 native: enodev")
    assert not links(kept.beam, node)


def test_a_wrong_object_is_told_of(kept, start_host):
    node = start_host()
    kept.elf = b"no object"
    kept.keep([node])
    kept.wait_text(node, "libbpf")


WRONG = {
    "no name": "#{elf => <<>>}",
    "nothing to keep": "#{name => a, elf => <<>>}",
    "no bytes": "#{name => a, elf => here, attach => [{p, auto}]}",
    "a lifetime": "#{name => a, elf => <<>>, attach => [{p, auto}], load => [{lifetime, node}]}",
    "a handle": "#{name => a, elf => <<>>, attach => [{p, auto}], load => [{maps, #{m => 1}}]}",
    "no target": "#{name => a, elf => <<>>, attach => [{p, nowhere}]}",
    "twice": "#{name => a, elf => <<>>, attach => [{p, auto}, {\"p\", auto}]}",
    "no layout": "#{name => a, elf => <<>>, maps => #{m => #{pairs => #{1 => 2}}}}",
    "a field": "#{name => a, elf => <<>>, attach => [{p, auto}], colour => red}",
}


@pytest.mark.parametrize("row", WRONG)
def test_a_wrong_spec_raises_badarg_in_words(fleet_beam, row):
    text = f"""
        try ebpf_fleet:keep({WRONG[row]}) of _ -> none
        catch error:badarg:S -> ebpf_fleet:format_error(badarg, S) end
    """
    assert len(fleet_beam.eval(text)[1]) > 10


# --- Hosts ----------------------------------------------------------------------------


def test_hosts_that_hang_hold_up_nobody(kept, start_host):
    hung, good = [start_host() for _ in range(2)], start_host()
    with ExitStack() as stack:
        for node in hung:
            kept.beam.apply("net_adm", "ping", Atom(node.name))
            stack.enter_context(node.asleep())
        kept.keep([*hung, good])
        kept.wait_ok(good)
    # in time again
    for node in hung:
        kept.wait_ok(node)
        assert len(links(kept.beam, node)) == 1


@pytest.mark.parametrize("keeps", [False, True], ids=["forgets", "keeps"])
def test_a_host_that_restarts_has_it_again(kept, start_host, kept_folder, keeps):
    options = ["--keep", kept_folder] if keeps else []
    node = start_host(*options)
    kept.keep([node])
    kept.wait_ok(node)
    before = links(kept.beam, node)
    node.kill()
    wait_until(lambda: node.name not in kept.beam.connected())
    again = start_host(*options, sname=node.sname)
    wait_until(lambda: again.name in kept.beam.connected())
    wait_until(lambda: len(links(kept.beam, again)) == 1)
    kept.wait_ok(again)
    assert (links(kept.beam, again) == before) == keeps


LIES = ["here", "[here]", "[{a, b, permanent}]", "[{{ebpf_map, make_ref(), array, 4, 16384, 1}, none, permanent}]"]


@pytest.mark.parametrize("lie", LIES)
def test_a_host_that_lies_is_an_error_of_its_own(kept, start_beam, lie):
    liar = start_beam(hint="liar")
    pretend(liar, f"""
        -module(ebpf_maps). -export([handles/0, info/1, get/2, new/5, close/1]).
        handles() -> {lie}. info(_) -> #{{id => 1, name => 7}}. get(_, _) -> 7.
        new(_, _, _, _, _) -> {lie}. close(_) -> ok.
    """)
    keeper = kept.beam.eval("whereis(ebpf_fleet_keep_keeper)")
    kept.keep([liar])
    wait_until(lambda: kept.status().get(Atom(liar.name), ("differs",))[0] == "error")
    assert kept.beam.eval("whereis(ebpf_fleet_keep_keeper)") == keeper
