"""At which offset inside its interval Prometheus evaluates a group: a hash of the file's path and the group's name."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["HashForm", "group_hash", "group_offset_ns", "hash_form"]

# How a release turns labels into the bytes that are hashed.
HashForm = Literal["separated", "varint", "counted"]

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def hash_form(version: str) -> HashForm:
    """Return the form of the official builds of a release.

    Parameters
    ----------
    version : str
        ``major.minor``, with more behind it or not.

    Notes
    -----
    Prometheus ``model/labels/labels_slicelabels.go`` and ``labels_stringlabels.go`` (default from 2.44 on).
    """
    match = re.match(r"v?(\d+)\.(\d+)", version)
    release = (int(match[1]), int(match[2])) if match else (3, 0)
    return "separated" if release < (2, 44) else "varint" if release < (3, 0) else "counted"


def group_hash(path: str, group: str, form: HashForm) -> int:
    """Return the 64-bit hash of a group.

    Parameters
    ----------
    path : str
        The rule file's path as the server sees it.
    group : str
        The group's name.
    form : {"separated", "varint", "counted"}
        See `hash_form`.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.hash``: the labels are ``file`` and ``name``.
    """
    texts = [text.encode() for text in ("file", path, "name", group)]
    if form == "separated":
        return xxh64(b"".join(text + b"\xff" for text in texts))
    size = _varint if form == "varint" else _counted
    return xxh64(b"".join(size(len(text)) + text for text in texts))


def group_offset_ns(path: str, group: str, interval_ms: int, form: HashForm) -> int:
    """Return the offset of a group's evaluations inside their interval, in nanoseconds.

    Notes
    -----
    Prometheus ``rules/group.go``, ``Group.EvalTimestamp``.
    """
    return group_hash(path, group, form) % (interval_ms * 1_000_000)


def _varint(size: int) -> bytes:
    out = bytearray()
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def _counted(size: int) -> bytes:
    return bytes([size]) if size < 255 else b"\xff" + size.to_bytes(3, "little")


def xxh64(data: bytes) -> int:
    """Return the xxHash of bytes, 64 bits wide, with seed 0.

    Notes
    -----
    Specification: xxHash fast digest algorithm, version 0.1.1, section "XXH64".

    Examples
    --------
    >>> hex(xxh64(b"")), hex(xxh64(b"a"))
    ('0xef46db3751d8e999', '0xd24ec4f1a98c6e5b')
    """
    size, at = len(data), 0
    if size >= 32:
        lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while at + 32 <= size:
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        total = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            total = ((total ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        total = _P5
    total = (total + size) & _MASK
    while at + 8 <= size:
        total ^= _round(0, int.from_bytes(data[at : at + 8], "little"))
        total = (_rotated(total, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= size:
        total ^= int.from_bytes(data[at : at + 4], "little") * _P1 & _MASK
        total = (_rotated(total, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        total = _rotated(total ^ (byte * _P5 & _MASK), 11) * _P1 & _MASK
    total = (total ^ total >> 33) * _P2 & _MASK
    total = (total ^ total >> 29) * _P3 & _MASK
    return total ^ total >> 32


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 64 - by) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotated((lane + word * _P2) & _MASK, 31) * _P1 & _MASK
