import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.labels import Labels, Matcher
from kmon_analysis.sources.planning import Piece
from kmon_analysis.sources.remote_read import (
    _field,
    _number,
    _written,
    decode_read_response,
    encode_read_request,
)
from kmon_analysis.sources.scan_kernels import checksum


class BitWriter:
    """Write a chunk as Prometheus' `xorAppender` does, bit by bit: the naive inverse of the scanner."""

    def __init__(self):
        self.bits = []

    def put(self, value, width):
        self.bits += [(value >> (width - 1 - index)) & 1 for index in range(width)]

    def varint(self, number):
        for byte in _written(number):
            self.put(byte, 8)

    def content(self, count):
        padded = self.bits + [0] * (-len(self.bits) % 8)
        octets = (padded[index : index + 8] for index in range(0, len(padded), 8))
        return struct.pack(">H", count) + bytes(int("".join(map(str, octet)), 2) for octet in octets)


def xor_chunk(samples):
    writer = BitWriter()
    leading, trailing = 0xFF, 0
    step = time = value = 0
    for index, (at, bits) in enumerate(samples):
        if index == 0:
            writer.varint((at << 1) ^ (at >> 63) if at < 0 else at << 1)
            writer.put(bits, 64)
            time, value = at, bits
            continue
        if index == 1:
            step = at - time
            writer.varint(step)
        else:
            change = at - time - step
            step = at - time
            if change == 0:
                writer.put(0b0, 1)
            elif -(1 << 13) + 1 <= change <= 1 << 13:
                writer.put(0b10, 2)
                writer.put(change & 0x3FFF, 14)
            elif -(1 << 16) + 1 <= change <= 1 << 16:
                writer.put(0b110, 3)
                writer.put(change & 0x1FFFF, 17)
            elif -(1 << 19) + 1 <= change <= 1 << 19:
                writer.put(0b1110, 4)
                writer.put(change & 0xFFFFF, 20)
            else:
                writer.put(0b1111, 4)
                writer.put(change & (2**64 - 1), 64)
        delta = bits ^ value
        if delta == 0:
            writer.put(0, 1)
        else:
            writer.put(1, 1)
            new_leading = min(64 - delta.bit_length(), 31)
            new_trailing = (delta & -delta).bit_length() - 1
            if leading != 0xFF and new_leading >= leading and new_trailing >= trailing:
                writer.put(0, 1)
            else:
                leading, trailing = new_leading, new_trailing
                writer.put(1, 1)
                writer.put(leading, 5)
                writer.put((64 - leading - trailing) & 63, 6)
            writer.put(delta >> trailing, 64 - leading - trailing)
        time, value = at, bits
    return writer.content(len(samples))


def chunked_series(labels, chunks, kind=1):
    pairs = b"".join(_field(1, _field(1, name.encode()) + _field(2, text.encode())) for name, text in labels.items())
    parts = b"".join(_field(2, _number(1, 5) + _number(2, 6) + _number(3, kind) + _field(4, chunk)) for chunk in chunks)
    return _field(1, pairs + parts)


def naive_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(message):
    return _written(len(message)) + struct.pack(">I", naive_crc32c(message)) + message


value_bits = st.one_of(
    st.sampled_from([0x7FF0000000000002, 0x7FF8000000000001, 0x8000000000000000, 0]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 1000).map(lambda whole: struct.unpack("<Q", struct.pack("<d", float(whole)))[0]),
)
# Around the widths in which a change of the step is written.
changes = st.one_of(
    st.just(0),
    st.integers(-40, 40),
    st.sampled_from([0, 1 << 13, 1 << 16, 1 << 19, 1 << 40]).flatmap(
        lambda edge: st.sampled_from([sign * edge + delta for sign in (1, -1) for delta in (-1, 0, 1)])
    ),
)


@st.composite
def chunk_samples(draw):
    values = draw(st.lists(value_bits, min_size=0, max_size=12))
    time, step, samples = draw(st.integers(-(2**42), 2**42)), 2**44, []
    for index, bits in enumerate(values):
        samples.append((time, bits))
        step += draw(changes) if index else 0
        time += step
    return samples


@given(st.lists(st.lists(chunk_samples(), max_size=3), max_size=3))
@settings(deadline=None, max_examples=200)
def test_chunks_read_as_they_were_written(series):
    messages = [
        chunked_series({"__name__": "lag", "i": str(number)}, [xor_chunk(samples) for samples in chunks])
        for number, chunks in enumerate(series)
    ]
    answer = decode_read_response(b"".join(frame(message) for message in messages))
    assert [part.labels for part in answer.series] == [
        Labels({"__name__": "lag", "i": str(number)}) for number in range(len(series))
    ]
    for part, chunks in zip(answer.series, series, strict=True):
        flat = [sample for samples in chunks for sample in samples]
        assert part.times.tolist() == [time for time, _ in flat]
        assert part.values.view(np.uint64).tolist() == [bits for _, bits in flat]


WHOLE = frame(
    chunked_series({"a": "b"}, [xor_chunk([(1000 * n, 4607182418800017408 + 977 * n * n) for n in range(50)])])
)


@given(at=st.integers(1, len(WHOLE) - 1))
def test_a_cut_answer_is_never_read(at):
    with pytest.raises(ValueError, match=r"cut|malformed|endless"):
        decode_read_response(WHOLE[:at])


@given(at=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_read(at, bit):
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1 << bit
    with pytest.raises(ValueError, match=r"cut|malformed|checksum|endless"):
        decode_read_response(bytes(damaged))


CHUNK = xor_chunk([(1000 * n + n % 3, 4607182418800017408 + 977 * n * n) for n in range(50)])


@given(at=st.integers(0, len(CHUNK) - 1))
def test_a_chunk_that_ends_early_is_never_read(at):
    with pytest.raises(ValueError, match="malformed"):
        decode_read_response(frame(chunked_series({"a": "b"}, [CHUNK[:at]])))


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_any_chunk_bytes_are_read_or_refused(content):
    try:
        decode_read_response(frame(chunked_series({"a": "b"}, [content])))
    except ValueError as error:
        assert "malformed" in str(error)  # noqa: PT017


@given(st.binary(max_size=40))
def test_the_checksum_is_castagnolis(content):
    data = np.frombuffer(content, dtype=np.uint8)
    assert int(checksum(data, 0, len(data))) == naive_crc32c(content)


def test_the_published_check_value():
    assert naive_crc32c(b"123456789") == 0xE3069283


def test_histograms_are_named_and_unknown_chunks_refused():
    assert decode_read_response(frame(chunked_series({"a": "b"}, [b"\0\1xyz"], kind=2))).histograms == (
        Labels({"a": "b"}),
    )
    with pytest.raises(ValueError, match=r"unknown kind \(9\)"):
        decode_read_response(frame(chunked_series({"a": "b"}, [b"\0\1xyz"], kind=9)))


def test_the_request_has_the_documented_bytes():
    import pyarrow as pa

    sent = encode_read_request(Piece((Matcher("a", "=~", "b"),), 5, 301))
    query = b"\x08\x05\x10\xac\x02\x1a\x08\x08\x02\x12\x01a\x1a\x01b"
    assert pa.Codec("snappy").decompress(sent, len(query) + 4, asbytes=True) == (
        b"\x0a" + bytes([len(query)]) + query + b"\x10\x01"
    )
