# SPDX-License-Identifier: Apache-2.0
"""What takes several calls of ebpf_maps, may raise, or is a word of Python."""

from beam import BeamError


def outcome(call, *args):
    """What a call gives, or ("raised", Reason)."""
    try:
        return call(*args)
    except BeamError as e:
        assert e.kind == "error"
        return ("raised", e.reason)


def with_(maps, keys, map):
    return maps.call("with", keys, map)


def walked(maps, map):
    """All that an iterator gives; it raises as next/1 does."""
    step, pairs = maps.next(maps.iterator(map)), []
    while step != "none":
        pairs.append(step[:2])
        step = maps.next(step[2])
    return pairs


def chunks_of(maps, map, most, function="next_chunk"):
    """The chunks that a walk gives, most entries asked for at a time."""
    cursor, chunks = "start", []
    while cursor != "done":
        chunk, cursor = maps.call(function, cursor, map, most)
        chunks.append(chunk)
    return chunks


def chunked(maps, map, most, function="next_chunk"):
    """All that is in those chunks."""
    return flat(chunks_of(maps, map, most, function))


def flat(chunks):
    return [pair for chunk in chunks for pair in chunk]
