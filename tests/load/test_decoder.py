"""The decoder against what was put on the wire: any cut, any piling up, and the arrival of just the read that ended an event."""

from __future__ import annotations

import random
from bisect import bisect_left
from itertools import accumulate, pairwise

import pytest

from llmlab.load.decoder import Decoder

WORDS = [" one", " two\u2028", ' "error"', "\n\n", " 0\r\n\r\n", " e" * 150, "data: [DONE]", " last"]


class Written:
    """A reply as it is put on the wire, and where each event with content ends in it."""

    def __init__(
        self, wire, *, crlf: bool = False, comments: bool = False, apart: int = 0, together: int = 1
    ) -> None:
        """`apart`: bytes of a chunk, whatever they hold; 0: `together` events a chunk."""
        events = [wire.text(word) for word in WORDS]
        events += [*wire.good()[2:]]
        if comments:
            events = [part for event in events for part in (b": ping\n\n", event, b"id: 4\nretry: 9\n\n")]
        if crlf:
            events = [event.replace(b"\n", b"\r\n") for event in events]
        body = b"".join(events)
        if apart:
            cuts = list(range(apart, len(body), apart))
        else:
            cuts = list(accumulate(map(len, events)))[together - 1 : -1 : together]
        chunks = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        self.bytes = wire.head
        ends = iter(
            [
                end
                for event, end in zip(events, accumulate(map(len, events)), strict=True)
                if self._speaks(event)
            ]
        )
        self.ends: list[int] = []
        seen, end = 0, next(ends)
        for chunk in chunks:
            start = len(self.bytes) + len(b"%x\r\n" % len(chunk))
            while end is not None and end <= seen + len(chunk):
                self.ends.append(start + end - seen)
                end = next(ends, None)
            self.bytes += wire.chunk(chunk)
            seen += len(chunk)
        self.bytes += wire.end

    @staticmethod
    def _speaks(event: bytes) -> bool:
        return b'"text":' in event.replace(b" ", b"") and b'"text":""' not in event.replace(b" ", b"")

    def decoded(self, cuts: list[int], *, at_once: bool = True) -> None:
        """Cut there and decode: what comes out must be what was written, at the arrivals of these reads."""
        places = [0, *cuts, len(self.bytes)]
        reads = [self.bytes[a:b] for a, b in pairwise(places) if a < b]
        stops = list(accumulate(map(len, reads)))
        arrivals = [float(place) for place in range(len(reads))]
        decoder = Decoder(keep=True)
        if at_once:
            decoder.feed(reads, arrivals)
        else:
            for read, arrival in zip(reads, arrivals, strict=True):
                decoder.feed([read], [arrival])
        assert "".join(decoder.stream.text or []) == "".join(WORDS)
        assert decoder.stream.chunks == [bisect_left(stops, end) for end in self.ends]
        assert (decoder.complete, decoder.problem) == (len(reads) - 1, None)
        assert (decoder.stream.done, decoder.stream.finish, decoder.stream.error) == (True, "length", None)
        assert decoder.stream.usage is not None
        assert decoder.stream.usage.completion_tokens == 3

    @property
    def chunk_ends(self) -> list[int]:
        """Where each chunk ends, as a server that writes each by itself is read."""
        place, found = self.bytes.index(b"\r\n\r\n") + 4, []
        while place < len(self.bytes):
            found.append(place)
            size, _, _ = self.bytes[place:].partition(b"\r\n")
            place += len(size) + 4 + int(size, 16)
        return found


SHAPES = {
    "an event a chunk": {},
    "three events a chunk": {"together": 3},
    "chunks cut anywhere": {"apart": 37},
    "three bytes a chunk": {"apart": 3},
    "CRLF": {"crlf": True},
    "comments": {"comments": True},
    "comments, CRLF, chunks cut anywhere": {"comments": True, "crlf": True, "apart": 53},
}


@pytest.fixture(params=SHAPES, ids=str)
def written(request, wire) -> Written:
    return Written(wire, **SHAPES[request.param])


def test_cut_in_two_at_every_byte(written: Written) -> None:
    for cut in range(1, len(written.bytes), 3 if len(written.ends) > 500 else 1):
        written.decoded([cut])


def test_cut_at_every_byte_beside_the_servers_own_cuts(written: Written) -> None:
    """Each write is a read, but for one more cut: the quick way and the parser must hand over to each other anywhere."""
    ends = written.chunk_ends
    for cut in range(1, len(written.bytes), 11 if len(ends) > 500 else 1):
        written.decoded(sorted({*ends, cut}))


@pytest.mark.parametrize("seed", range(20))
def test_cut_at_random(written: Written, seed: int) -> None:
    draw = random.Random(seed)
    every = range(1, len(written.bytes))
    written.decoded(sorted(draw.sample(every, draw.randrange(1, 40))), at_once=bool(seed % 2))
    piled = sorted(draw.sample(written.chunk_ends, draw.randrange(1, len(written.chunk_ends))))
    written.decoded(piled, at_once=bool(seed % 2))


def test_the_parser_is_not_called_for_each_chunk(wire, monkeypatch) -> None:
    parsed: list[bytes] = []
    parse = Decoder._parse
    monkeypatch.setattr(
        Decoder, "_parse", lambda self, data, now: (parsed.append(data), parse(self, data, now))
    )
    reads = [wire.head, *(wire.chunk(wire.text(f" {place}")) for place in range(400)), wire.end]
    decoder = Decoder()
    decoder.feed(reads[:1], [0.0])
    decoder.feed(reads[1:], [float(place) for place in range(1, len(reads))])
    assert decoder.stream.chunks == [float(place) for place in range(1, 401)]
    assert parsed == [reads[0], wire.end]


@pytest.mark.parametrize("size", [b"1", b"0x%x", b"-%x", b"", b"+%x"])
def test_a_chunk_whose_size_is_wrong_is_no_http(wire, size: bytes) -> None:
    event = wire.text(" a")
    wrong = (size % len(event) if b"%" in size else size) + b"\r\n" + event + b"\r\n"
    decoder = Decoder()
    decoder.feed([wire.head + wire.chunk(event)], [0.0])
    decoder.feed([wire.chunk(event), wrong, wire.chunk(event)], [1.0, 2.0, 3.0])
    assert decoder.stream.chunks[:2] == [0.0, 1.0]
    assert decoder.complete is None
    assert decoder.problem is not None
    assert decoder.problem.startswith("not HTTP")


@pytest.mark.parametrize("size", [b"%X", b"0%x", b"%x;ext=1"])
def test_other_ways_to_write_a_size_are_the_parsers(wire, size: bytes) -> None:
    event = wire.text(" a" * 40)
    odd = size % len(event) + b"\r\n" + event + b"\r\n"
    decoder = Decoder()
    decoder.feed([wire.head + wire.chunk(event)], [0.0])
    decoder.feed([wire.chunk(event), odd, wire.chunk(event), wire.end], [1.0, 2.0, 3.0, 4.0])
    assert (decoder.stream.chunks, decoder.complete, decoder.problem) == ([0.0, 1.0, 2.0, 3.0], 4.0, None)


@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"choices": [{"text": "x"}],\ndata: "created": 1}\n\n',
        b"event: m\ndata: {}\n\n",
        b"data: null\n\n",
    ],
    ids=["two lines", "a named event", "null"],
)
def test_what_is_no_event_of_one_line_is_read_all_the_same(wire, odd: bytes) -> None:
    """In the midst of many that are."""
    reads = [wire.chunk(wire.text("a")), wire.chunk(odd), wire.chunk(wire.text("b")), wire.end]
    many, single = Decoder(), Decoder()
    for decoder in (many, single):
        decoder.feed([wire.head + wire.chunk(wire.text("x"))], [0.0])
    many.feed(reads, [1.0, 2.0, 3.0, 4.0])
    for read in b"".join(reads):
        single.feed([bytes([read])], [9.0])
    assert len(many.stream.chunks) == len(single.stream.chunks)
    assert (many.stream.error, many.stream.events) == (single.stream.error, single.stream.events)
    assert many.complete == 4.0


def test_an_empty_event_and_one_with_two_lines_do_not_make_two(wire) -> None:
    """Together they have as many lines as events; only the second's first line is one."""
    word = wire.text("y")
    reads = [wire.chunk(b"data: \n\n"), wire.chunk(word[:-1] + word[6:-1] + b"\n"), wire.chunk(word)]
    many, single = Decoder(), Decoder()
    for decoder in (many, single):
        decoder.feed([wire.head + wire.chunk(wire.text("x"))], [0.0])
    many.feed(reads, [1.0, 2.0, 3.0])
    for read in b"".join(reads):
        single.feed([bytes([read])], [9.0])
    assert len(many.stream.chunks) == len(single.stream.chunks) == 3
    assert many.stream.error == single.stream.error is not None
