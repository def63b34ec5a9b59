# SPDX-License-Identifier: Apache-2.0
"""Maps of objects that a C node loads with their types: what is read of them as bytes,
as terms and by bpftool, and what becomes of terms that are put; and that all of it is
the same."""

import random
from dataclasses import dataclass

from bpftool_types import Types, known_of
from bpftool_values import differences, entries
from host import CPUS
from layouts import FLOATS, decode, exact, kept, narrowed, normal, resolved
from views import reason

MOST_DUMPED = 1024  # entries


@dataclass
class Seen:
    """A typed map, and what was read of it."""

    name: str
    type: str
    sizes: tuple
    layouts: tuple
    listed: tuple  # layouts by bpftool
    frozen: bool
    pairs: list  # of bytes
    terms: list  # the same as terms
    shown: dict  # by bpftool
    written: list  # bytes, after the terms were put

    def each(self):
        """(layout, bytes, term) of all keys, and of the values of all CPUs."""
        key, value = self.layouts
        for pair, terms in zip(self.pairs, self.terms, strict=True):
            yield key, pair[0], terms[0]
            for data, term in zip(self.per_cpu(pair[1]), self.per_cpu(terms[1]), strict=True):
                yield value, data, term

    def per_cpu(self, value):
        return value if self.is_percpu else [value]

    @property
    def is_percpu(self):
        return "percpu" in self.type

    def check_layouts(self):
        for layout, listed in zip(self.layouts, self.listed, strict=True):
            assert normal(layout) == normal(listed), (self.name, normal(layout), normal(listed))

    def check_terms(self):
        for layout, data, term in self.each():
            assert exact(term) == exact(decode(layout, data)), self.name

    def check_numbers(self):
        key, value = [resolved(of, size) for of, size in zip(self.layouts, self.sizes)]
        for pair, terms in zip(self.pairs, self.terms):
            key_shown, values_shown = self.shown[pair[0]]
            if key_shown is not None:  # none of a section of variables
                assert list(differences(key, terms[0], key_shown)) == [], self.name
            for term, shown in zip(self.per_cpu(terms[1]), values_shown, strict=True):
                assert list(differences(value, term, shown)) == [], self.name

    def check_written(self):
        for pair, written in zip(self.pairs, self.written, strict=True):
            want = [kept(self.layouts[1], data) for data in self.per_cpu(pair[1])]
            assert self.per_cpu(written) == want, self.name


class Reader:
    """Loads objects, and reads and writes their typed maps."""

    def __init__(self, wire, bpftool):
        self.wire = wire
        self.bpftool = bpftool
        self.random = random.Random(14)

    def maps(self, function, *args):
        return self.wire.call(function, *args)

    def see_object(self, name, data, *options):
        options = [("programs", []), ("types", "btf"), *options]
        loaded = self.wire.call("load", data, options, module="ebpf_programs")
        assert isinstance(loaded, dict), (name, loaded)
        types = None
        for map_name, map in loaded["maps"].items():
            id = self.maps("info", map)["id"]
            known = known_of(id)
            if known.btf:
                types = types or Types(self.bpftool("-j", "btf", "dump", "id", known.btf))
                yield self.see(f"{name} {map_name.decode()}", map, id, known, types)
            else:
                assert reason(self.maps, "types", map), map_name
            assert self.maps("close", map) == "ok"

    def see(self, name, view, id, known, types):
        raw = self.maps("open", ("id", id))
        if not known.frozen:
            self.fill(raw)
        pairs, terms = self.first(raw), self.first(view)
        layouts = self.maps("types", view)
        # bpftool stops at the first float
        floats = any(name in repr(layouts) for name in FLOATS)
        # the key of a section of variables has no type: it is an index
        key = types.layout(known.key) if known.key else "u32"
        seen = Seen(
            name=name,
            type=raw[2],
            sizes=raw[3:5],
            layouts=layouts,
            listed=(key, types.layout(known.value)),
            frozen=known.frozen,
            pairs=pairs,
            terms=terms,
            shown={} if floats else self.dump(id, raw, pairs),
            written=[],
        )
        self.write(seen, raw, view)
        assert self.maps("close", raw) == "ok"
        return seen

    def fill(self, map):
        _, _, type, key_size, value_size, most = map
        for n, draw in enumerate([self.any, self.small, self.letters][:most]):
            key = n if "array" in type else draw(key_size)
            values = [draw(value_size) for _ in range(CPUS)]
            self.maps("put", key, values if "percpu" in type else values[0], map)

    def any(self, size):
        return self.random.randbytes(size)

    def small(self, size):
        return bytes(self.random.choices(range(3), k=size))

    def letters(self, size):
        return bytes(self.random.choices(b"\0abcdXYZ", [1, *[3] * 7], k=size))

    def first(self, map):
        return self.maps("next_chunk", "start", map, 3)[0]

    def dump(self, id, map, pairs):
        if "array" not in map[2] or map[5] <= MOST_DUMPED:
            return entries(self.bpftool("-j", "map", "dump", "id", id))
        shown = {}
        for key, _ in pairs:
            hexes = [f"{byte:02x}" for byte in key]
            shown |= entries(self.bpftool("-j", "map", "lookup", "id", id, "key", "hex", *hexes))
        return shown

    def write(self, seen, raw, view):
        """To the map; to one of the same layouts where it is frozen."""
        key, value = [resolved(one, size) for one, size in zip(seen.layouts, seen.sizes)]
        if seen.frozen:
            for terms in seen.terms:
                narrow = narrowed(key, terms[0]), narrowed(value, terms[1])
                assert reason(self.maps, "put", *narrow, view) == "eperm"
            raw = self.maps("new", *raw[2:])
            view = self.maps("typed", raw, [("types", seen.layouts)])
        for pair, terms in zip(seen.pairs, seen.terms):
            values = [narrowed(value, term) for term in seen.per_cpu(terms[1])]
            values = values if seen.is_percpu else values[0]
            assert self.maps("put", narrowed(key, terms[0]), values, view) == view
            seen.written.append(self.maps("get", kept(key, pair[0]), raw))
        if seen.frozen:
            assert self.maps("close", view) == self.maps("close", raw) == "ok"
