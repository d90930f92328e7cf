"""The two recursions that plain NumPy cannot do, compiled; import this module only inside functions.

Everything is integer arithmetic, so the same input gives the same output on every machine.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

__all__ = ["deal_out", "drain"]


@numba.njit(cache=True, nogil=True)
def deal_out(
    counts: npt.NDArray[np.int64],
    shares: npt.NDArray[np.int64],
    jitter: npt.NDArray[np.uint8],
    hot: npt.NDArray[np.int64],
    hot_partition: int,
    leaderless: npt.NDArray[np.int64],
) -> npt.NDArray[np.int32]:
    """Deal a topic's messages out to its partitions.

    Parameters
    ----------
    counts : int64 array, shape (T,)
        Messages sent to the topic in each step.
    shares : int64 array, shape (P,)
        Shares of the partitions, in 1/4096.
    jitter : uint8 array, shape (T, P)
        Random bytes: a share varies by a quarter from step to step.
    hot : int64 array, shape (T,)
        Additional traffic of one partition, in 1/256 of its own.
    hot_partition : int
        Which one.
    leaderless : int64 array, shape (T,)
        Bit i set: partition i accepts nothing.

    Returns
    -------
    int32 array, shape (T, P)
        Messages that each partition accepts.
    """
    steps, partitions = len(counts), len(shares)
    accepted = np.zeros((steps, partitions), dtype=np.int32)
    carry = np.zeros(partitions, dtype=np.int64)
    for t in range(steps):
        for i in range(partitions):
            part = counts[t] * shares[i] * (192 + jitter[t, i] // 2)
            if i == hot_partition:
                part += (part * hot[t]) >> 8
            if (leaderless[t] >> i) & 1:
                continue
            carry[i] += part
            accepted[t, i] = carry[i] >> 20
            carry[i] &= (1 << 20) - 1
    return accepted


@numba.njit(cache=True, nogil=True)
def drain(
    accepted: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int64],
    effort: npt.NDArray[np.int64],
    blocked: npt.NDArray[np.int64],
    members: int,
    gain: int,
    knee: int,
    retention_steps: int,
    uncommitted: int,
    noise: npt.NDArray[np.uint8],
    every: int,
    start: int,
) -> npt.NDArray[np.int64]:
    """Let a consumer group work through a topic and measure its lag.

    Parameters
    ----------
    accepted : int32 array, shape (T, P)
        Messages that arrive in each partition.
    capacity : int64 array, shape (ceil(T / 6),)
        What one member can process in a step, in 1/256 messages, for each minute.
    effort : int64 array, shape (T,)
        Factor on the capacity in 1/256; 0 while the group stands still.
    blocked : int64 array, shape (T,)
        Bit i set: nobody gets on with partition i.
    members : int
        Partitions are dealt out to them in turn.
    gain, knee : int
        Capacity grows by up to `gain`/256 while a member's backlog grows to `knee` messages.
    retention_steps : int
        Older messages are gone; a consumer that comes back finds its offset out of range and
        starts at the earliest that is left. 0: nothing is ever lost.
    uncommitted : int
        Longest age of the committed offset, in 1/256 steps.
    noise : uint8 array, shape (ceil(T / every), P)
        Random bytes: where in its commit interval each partition is measured.
    every : int
        Steps between measurements.
    start : int
        Step in which the group subscribes; before it the lag counts everything sent so far.

    Returns
    -------
    int64 array, shape (ceil(T / every),)
        End offsets minus committed offsets, summed over the partitions.
    """
    steps, partitions = accepted.shape
    lag = np.zeros((steps + every - 1) // every, dtype=np.int64)
    backlog = np.zeros(partitions, dtype=np.int64)
    readable = np.zeros(partitions, dtype=np.int64)
    carry = np.zeros(members, dtype=np.int64)
    taken = np.zeros(partitions, dtype=np.int64)
    for t in range(steps):
        for i in range(partitions):
            backlog[i] += accepted[t, i]
            readable[i] += accepted[t, i]
            if retention_steps > 0 and t >= retention_steps:
                readable[i] -= accepted[t - retention_steps, i]
            taken[i] = 0
        if effort[t] > 0 and t >= start:
            for member in range(members):
                waiting = 0
                for i in range(member, partitions, members):
                    if retention_steps > 0 and backlog[i] > readable[i]:
                        backlog[i] = readable[i]
                    if not (blocked[t] >> i) & 1:
                        waiting += backlog[i]
                strength = (capacity[t // 6] * effort[t]) >> 8
                strength += strength * gain * min(waiting, knee) // (knee * 256)
                carry[member] += strength
                budget = carry[member] >> 8
                carry[member] &= 255
                for i in range(member, partitions, members):
                    if not (blocked[t] >> i) & 1:
                        taken[i] = backlog[i] if waiting <= budget else backlog[i] * budget // waiting
                        backlog[i] -= taken[i]
        if t % every == 0:
            total = 0
            for i in range(partitions):
                total += backlog[i] + ((taken[i] * uncommitted * noise[t // every, i]) >> 16)
            lag[t // every] = total
    return lag
