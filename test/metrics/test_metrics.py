# SPDX-License-Identifier: Apache-2.0
"""Series of the maps of several hosts, as they were declared."""

import struct

import pytest

from etf import Atom
from host import CPUS
from metrics import counter, label, option
from native import u32, u64

PAIR = (Atom("struct"), 16, [(b"packets", 0, Atom("u64")), (b"bytes", 64, Atom("u64"))])
FLOW = (Atom("struct"), 8, [(b"port", 0, Atom("be16")), (b"pid", 32, Atom("u32"))])


def merge(fleet, what, pairs):
    """Bytes, on the first host."""
    [node, *_] = fleet.hosts
    map = fleet.maps(node, "open", what)
    fleet.maps(node, "merge", map, pairs)
    fleet.maps(node, "close", map)


def test_a_counter_has_a_series_for_each_key_of_each_host(three, metrics):
    what = three.new("m")
    for i, node in enumerate(three.hosts):
        three.put(node, what, {7: 10 + i, 8: 1})
    metrics.start([counter("drops_total", what, [label("reason", 4)])])
    samples = metrics.scrape()
    assert samples.types["drops_total"] == "counter"
    assert samples.helps["drops_total"] == "Counts."
    for i, node in enumerate(three.hosts):
        assert samples.by("drops_total", "reason", node=node.name) == {"7": 10 + i, "8": 1}
        assert samples.get("ebpf_up", node=node.name) == 1
        assert samples.get("ebpf_metric_up", node=node.name, metric="drops_total") == 1
    assert samples.get("ebpf_series_dropped", metric="drops_total") == 0
    assert samples.get("ebpf_decoder_failures_total", metric="drops_total") == 0
    assert samples.get("ebpf_scrape_duration_seconds") >= 0


@pytest.fixture
def one(fleet):
    """A fleet of one."""
    fleet.start()
    return fleet


DECODED = {
    "uint": (u32(7), "uint", "7"),
    "uint of three bytes": (b"\1\2\0", (Atom("uint"), Atom("little")), "513"),
    "big-endian": (b"\0\0\0\7", (Atom("uint"), Atom("big")), "7"),
    "string": (b"nginx\0worker", "string", "nginx"),
    "string without an end": (b"nginx", "string", "nginx"),
    "string that is none": (b"a\xffb\0", "string", "a\ufffdb"),
    "string with quotes": (b'a"b\\c\nd', "string", 'a"b\\c\nd'),
    "string with what is for no reader": (b"a\x01\x7f\rb", "string", "a\ufffd\ufffd\ufffdb"),
    "hex": (b"\x0a\xbc", "hex", "0abc"),
    "ip": (bytes([10, 0, 0, 1]), "ip", "10.0.0.1"),
    "ip of 16 bytes": (bytes(15) + b"\1", "ip", "::1"),
    "enum": (u32(1), (Atom("enum"), {0: b"pass", 1: b"drop"}), "drop"),
    "enum without that name": (u32(5), (Atom("enum"), {0: b"pass"}), "5"),
    "errno": (u32(2), "errno", "ENOENT"),
    "errno below zero": (struct.pack("=i", -13), "errno", "EACCES"),
    "errno of 64 bits": (struct.pack("=q", -110), "errno", "ETIMEDOUT"),
    "errno that is none": (u32(4000), "errno", "4000"),
    "interface": (u32(1), "ifname", "lo"),
    "interface that is not there": (u32(999999), "ifname", "999999"),
    "cgroup that is not there": (u64(2**60), "cgroup", str(2**60)),
}


@pytest.mark.parametrize("key, decoder, text", DECODED.values(), ids=DECODED)
def test_decoders(key, decoder, text, one, metrics):
    what = one.new("m", key=len(key))
    merge(one, what, [(key, u64(3))])
    metrics.start([counter("a_total", what, [label("l", len(key), decoder)])])
    assert metrics.scrape().by("a_total", "l") == {text: 3}


def test_a_cgroup_has_its_path(one, metrics):
    cgroups = one.maps(one.hosts[0], "host")["cgroups"]
    [id, path] = next(pair for pair in cgroups.items() if pair[1])
    what = one.new("m", key=8)
    merge(one, what, [(u64(id), u64(3))])
    metrics.start([counter("a_total", what, [label("l", 8, "cgroup")])])
    assert metrics.scrape().by("a_total", "l") == {bytes(path).decode(): 3}


def test_a_decoder_can_be_a_fun(one, metrics):
    what = one.new("m")
    one.put(one.hosts[0], what, {1: 1, 2: 2, 3: 3, 4: 4, 5: 5})
    declared = """
        [{counter, a_total, "Counts.", {pinned, "%s"}, [{name, 4, fun
            (<<1:32/native>>) -> "one";
            (<<2:32/native>>) -> [<<"zwei ">>, 252];
            (<<3:32/native>>) -> error(no);
            (<<4:32/native>>) -> {no, text};
            (<<5:32/native>>) -> throw(no)
        end}], u64}]
    """
    metrics.start(declared % what[1].decode())
    for times in (1, 2):
        samples = metrics.scrape()
        assert samples.by("a_total", "name") == {"one": 1, "zwei \u00fc": 2}
        assert samples.get("ebpf_decoder_failures_total", metric="a_total") == 3 * times


def test_keys_of_the_same_labels_are_added_up(one, metrics):
    what = one.new("m", key=12)
    keys = [u32(7) + b"skip" + b"a\0xx", u32(7) + b"SKIP" + b"a\0yy", u32(8) + b"skip" + b"b\0xx"]
    merge(one, what, [(key, u64(i + 1)) for i, key in enumerate(keys)])
    labels = [label("n", 4), (Atom("skip"), 4), label("s", 4, "string")]
    metrics.start([
        counter("a_total", what, labels),
        counter("b_total", what, []),
        counter("c_total", what, [(Atom("skip"), 4), (Atom("skip"), 4), label("s", 4, "string")]),
    ])
    samples = metrics.scrape()
    assert samples.get("a_total", n="7", s="a") == 3 and samples.get("a_total", n="8", s="b") == 3
    assert samples.get("b_total") == 6
    assert samples.by("c_total", "s") == {"a": 3, "b": 3}


def test_keys_of_another_size_are_no_series(one, metrics):
    """The labels have to make up all of the key."""
    what = one.new("m", key=8)
    merge(one, what, [(bytes(8), u64(1))])
    metrics.start([counter("a_total", what, [label("l", 4)])])
    samples = metrics.scrape()
    assert samples.all("a_total") == []
    assert samples.get("ebpf_decoder_failures_total", metric="a_total") == 1


def test_values_of_another_size_are_none_of_the_metric(one, metrics):
    what = one.new("m", value=4)
    merge(one, what, [(u32(1), u32(1))])
    metrics.start([counter("a_total", what, [label("l", 4)])])
    samples = metrics.scrape()
    assert samples.all("a_total") == []
    assert samples.get("ebpf_metric_up", metric="a_total") == 0
    metrics.logged("may have other sizes or types")


def test_a_value_can_be_a_member(one, metrics):
    what = one.new("m", key=8, value=16)
    merge(one, what, [(struct.pack("=H2xI", 0x5000, 7), struct.pack("=QQ", 3, 400))])
    layouts = [option("keys", FLOW), option("values", PAIR)]
    members = [(b"port", Atom("port")), (b"pid", [b"pid"])]
    metrics.start([
        counter("packets_total", what, members, "packets", *layouts),
        counter("bytes", what, members, b"bytes", *layouts, type="gauge"),
        counter("kilobytes", what, members, b"bytes", *layouts, option("multiply", 0.001), type="gauge"),
    ])
    samples = metrics.scrape()
    port = str(int.from_bytes(struct.pack("=H", 0x5000), "big"))
    assert samples.get("packets_total", port=port, pid="7") == 3
    assert samples.get("bytes", port=port, pid="7") == 400
    assert samples.get("kilobytes", port=port, pid="7") == 0.4


def test_a_member_can_have_a_decoder(one, metrics):
    key = (Atom("struct"), 8, [(b"ip", 0, Atom("be32")), (b"comm", 32, (Atom("char"), 4))])
    what = one.new("m", key=8)
    merge(one, what, [(bytes([10, 0, 0, 7]) + b"sh\0\0", u64(1))])
    labels = [label("ip", Atom("ip"), "ip"), (b"comm", b"comm"), label("hex", b"ip", "hex")]
    metrics.start([counter("a_total", what, labels, "u64", option("keys", key))])
    assert metrics.scrape().get("a_total", ip="10.0.0.7", comm="sh", hex="a000007") == 1


def test_values_of_cpus_are_added_up_or_have_a_label(one, metrics):
    what = one.new("m", type="percpu_hash")
    merge(one, what, [(u32(7), [u64(i + 1) for i in range(CPUS)])])
    labels = [label("l", 4)]
    metrics.start([
        counter("a_total", what, labels),
        counter("b_total", what, labels, "u64", option("percpu", "label")),
    ])
    samples = metrics.scrape()
    assert samples.get("a_total", l="7") == sum(range(1, CPUS + 1))
    assert samples.by("b_total", "cpu", l="7") == {str(i): i + 1 for i in range(CPUS)}


def test_a_map_can_be_of_a_fun(one, metrics):
    what = one.new("m")
    one.put(one.hosts[0], what, {7: 3})
    declared = """
        [{counter, a_total, "Counts.", fun(Node) ->
              Map = ebpf_maps:open({pinned, "%s"}, [{node, Node}]),
              ebpf_maps:typed(Map, [{types, {u32, {struct, 8, [{n, 0, u64}]}}}])
          end, [], n},
         {counter, b_total, "Counts.", fun(_) -> error(no) end, [], n}]
    """
    metrics.start(declared % what[1].decode())
    samples = metrics.scrape()
    assert samples.get("a_total") == 3
    assert samples.get("ebpf_metric_up", metric="a_total") == 1
    assert samples.get("ebpf_metric_up", metric="b_total") == 0


def test_a_host_without_the_map_is_up_all_the_same(three, metrics):
    [first, *others] = three.hosts
    what = three.new("m", on=[first])
    three.put(first, what, {7: 3})
    metrics.start([counter("a_total", what)])
    samples = metrics.scrape()
    assert samples.by("a_total", "node") == {first.name: 3}
    assert set(samples.by("ebpf_up", "node").values()) == {1}
    up = samples.by("ebpf_metric_up", "node", metric="a_total")
    assert up == {first.name: 1, **{node.name: 0 for node in others}}
    metrics.logged(f"a_total of {others[0].name}: no map has that name")


def test_there_is_an_end_to_the_series_of_a_metric(three, metrics):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {key: 1 for key in range(100)})
    metrics.start([
        counter("a_total", what, [label("l", 4)], "u64", option("max_series", 250)),
        counter("b_total", what, [label("l", 4)]),
    ])
    samples = metrics.scrape()
    assert len(samples.all("a_total")) == 250
    assert samples.by("ebpf_series_dropped", "metric") == {"a_total": 50, "b_total": 0}


def test_ten_thousand_series_are_rendered(one, metrics):
    what = one.new("m", entries=16384)
    one.put(one.hosts[0], what, {key: key for key in range(10_001)})
    metrics.start([counter("a_total", what, [label("l", 4)])])
    samples = metrics.scrape()
    found = samples.by("a_total", "l")
    assert len(found) == 10_000
    assert all(found[l] == int(l) for l in found)
    assert samples.get("ebpf_series_dropped", metric="a_total") == 1


def test_the_text_comes_without_a_server_too(one, metrics):
    what = one.new("m")
    one.put(one.hosts[0], what, {7: 3})
    declared = [(Atom("declare"), [counter("a_total", what)])]
    text = metrics.beam.apply("ebpf_metrics", "text", declared).decode()
    line = f'a_total{{node="{one.hosts[0].name}"}} 3\n'
    assert "# TYPE a_total counter\n" in text and line in text
    text = metrics.beam.apply("ebpf_metrics", "text", declared, Atom("openmetrics")).decode()
    assert "# TYPE a counter\n" in text and line in text and text.endswith("# EOF\n")
    assert metrics.beam.apply("ebpf_metrics", "port") == "none"
