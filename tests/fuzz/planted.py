"""Readers that go wrong on purpose, to see that it is noticed."""

import os
import signal

from tests.fuzz.inputs import KINDS


def ends(text, folder):
    os.kill(os.getpid(), signal.SIGSEGV)


def spins(text, folder):
    while True:
        pass


def takes_memory(text, folder):
    bytearray(8 * 2**30)


def recurses(text, folder):
    recurses(text, folder)


ENDS, SPINS, TAKES_MEMORY, RECURSES = (dict.fromkeys(KINDS, (read,)) for read in (ends, spins, takes_memory, recurses))
NONE = dict.fromkeys(KINDS, ())
