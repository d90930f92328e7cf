"""Match as ``Matcher.matches`` does: with RE2 where it gives the same answer, else step by step and counted.

RE2 takes time in proportion to the text. What it lacks (look-around, back references, possessive and atomic
groups) is matched by backtracking as Java does it, within a budget of steps, so that no pattern hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import re2

from kmon_analysis.kafka.javachars import ALL, OTHER
from kmon_analysis.kafka.javaregex import (
    Alternation,
    Assertion,
    Atomic,
    BackReference,
    Chars,
    Group,
    Look,
    Node,
    RegexError,
    RegexTree,
    Repeat,
    can_be_empty,
    longest,
    parse_java,
)
from kmon_analysis.kafka.javaregex import Sequence as Parts

__all__ = ["Budget", "Captures", "JavaPattern", "match_slowly"]

# Text of each group, 0 the whole; None for a group that took no part.
Captures = tuple[str | None, ...]

STEPS_A_TEXT = 50_000
STEPS = 4_000_000
LARGEST_RE2_REPEAT = 1000


@dataclass
class Budget:
    """Steps that backtracking may still take; shared by the patterns of one configuration.

    Attributes
    ----------
    left : int
        Steps.
    """

    left: int = STEPS


@dataclass
class JavaPattern:
    """A compiled pattern.

    Parameters
    ----------
    pattern : str
        Java's syntax.
    budget : Budget, optional
        For what is matched by backtracking.

    Attributes
    ----------
    tree : RegexTree
        The pattern as read.

    Raises
    ------
    RegexError
        If Java refuses the pattern, or if it is not replayed.

    Examples
    --------
    >>> JavaPattern("(a+)(?<rest>.*)").match("aab")
    ('aab', 'aa', 'b')
    >>> JavaPattern("a++ab").match("aaab") is None
    True
    """

    pattern: str
    budget: Budget = field(default_factory=Budget)
    tree: RegexTree = field(init=False)
    _fast: re2._Regexp[str] | None = field(init=False, default=None)
    _slow: _Backtracker | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.tree = parse_java(self.pattern)
        if re2_suits(self.tree.root):
            options = re2.Options()
            options.log_errors = False
            try:
                self._fast = re2.compile(to_re2(self.tree.root), options)
            except re2.error:
                self._fast = None
        if self._fast is None:
            self._slow = _Backtracker(self.tree, self.budget)

    def match(self, text: str) -> Captures | None:
        """Match a whole text.

        Raises
        ------
        RegexError
            If backtracking takes more steps than the budget allows.
        """
        if self._slow is not None:
            return self._slow.match(text)
        found = self._fast.fullmatch(text) if self._fast is not None else None
        return None if found is None else (found.group(0), *found.groups())


def match_slowly(pattern: str, text: str) -> Captures | None:
    """Match by backtracking whatever the pattern is; the twin of the fast way."""
    return _Backtracker(parse_java(pattern), Budget()).match(text)


# ---- RE2 ----------------------------------------------------------------------------------------


def re2_suits(node: Node) -> bool:
    """Tell whether RE2 finds the same match and the same groups as Java."""
    if isinstance(node, Look | BackReference | Atomic):
        return False
    if isinstance(node, Assertion):
        return node.place != "resume"
    if isinstance(node, Group):
        return re2_suits(node.body)
    if isinstance(node, Repeat):
        if node.greed == "possessive" or max(node.least, node.most or 0) > LARGEST_RE2_REPEAT:
            return False
        # What an empty round leaves in a group differs.
        return re2_suits(node.body) and not (can_be_empty(node.body) and _captures(node.body))
    if isinstance(node, Chars):
        return True
    return all(map(re2_suits, node.parts if isinstance(node, Parts) else node.options))


def _captures(node: Node) -> bool:
    """Tell whether a node holds a capturing group."""
    if isinstance(node, Group):
        return True
    if isinstance(node, Repeat | Atomic | Look):
        return _captures(node.body)
    if isinstance(node, Parts | Alternation):
        return any(map(_captures, node.parts if isinstance(node, Parts) else node.options))
    return False


def to_re2(node: Node) -> str:
    """Write a tree in RE2's syntax."""
    if isinstance(node, Chars):
        return _char_class(node.bits)
    if isinstance(node, Parts):
        return "".join(map(to_re2, node.parts))
    if isinstance(node, Alternation):
        return "(?:" + "|".join(map(to_re2, node.options)) + ")"
    if isinstance(node, Group):
        return f"({to_re2(node.body)})"
    if isinstance(node, Repeat):
        most = "" if node.most is None else str(node.most)
        lazy = "?" if node.greed == "lazy" else ""
        return f"(?:{to_re2(node.body)}){{{node.least},{most}}}{lazy}"
    if isinstance(node, Assertion):
        return {"begin": r"\A", "end": r"\z", "word": r"\b", "no word": r"\B"}[node.place]
    raise TypeError(f"RE2 has no {type(node).__name__}")


@cache
def _char_class(bits: int) -> str:
    """Write a set of characters as a class of ranges."""
    if bits == ALL:
        return r"[\x{0}-\x{10FFFF}]"
    ranges: list[str] = []
    code = 0
    while code < 128:
        if bits >> code & 1:
            end = code
            while end < 127 and bits >> (end + 1) & 1:
                end += 1
            ranges.append(f"\\x{{{code:x}}}-\\x{{{end:x}}}")
            code = end
        code += 1
    if bits & OTHER:
        ranges.append(r"\x{80}-\x{10FFFF}")
    # An empty class matches nothing; RE2 has no other way to say it.
    return f"[{''.join(ranges)}]" if ranges else r"[^\x{0}-\x{10FFFF}]"


# ---- backtracking -------------------------------------------------------------------------------


@dataclass
class _State:
    """One attempt at one text."""

    text: str
    starts: list[int]
    spans: list[tuple[int, int] | None]
    loops: dict[int, tuple[int, int]]
    steps: int
    end: int = 0

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            problem = "backtracks without bound on the name of an MBean; the exporter would hang, too: it"
            raise RegexError(f"{problem} is not replayed", 0, java=False)


_Matcher = Callable[[_State, int], bool]


class _Backtracker:
    """Java's own order of trying, as functions that call the next one."""

    def __init__(self, tree: RegexTree, budget: Budget) -> None:
        self.groups = tree.groups
        self.budget = budget
        self.run = self.build(tree.root, _at_the_end)

    def match(self, text: str) -> Captures | None:
        steps = min(STEPS_A_TEXT, self.budget.left)
        state = _State(text, [0] * (self.groups + 1), [None] * (self.groups + 1), {}, steps)
        try:
            matched = self.run(state, 0)
        except RecursionError:
            raise RegexError("is nested too deeply to be replayed", 0, java=False) from None
        finally:
            self.budget.left -= steps - state.steps
        if not matched:
            return None
        return (text, *(None if span is None else text[slice(*span)] for span in state.spans[1:]))

    def build(self, node: Node, after: _Matcher) -> _Matcher:
        if isinstance(node, Chars):
            return _one(node.bits, after)
        if isinstance(node, Parts):
            for part in reversed(node.parts):
                after = self.build(part, after)
            return after
        if isinstance(node, Alternation):
            options = [self.build(option, after) for option in node.options]
            return lambda state, at: any(option(state, at) for option in options)
        if isinstance(node, Group):
            return self.group(node, after)
        if isinstance(node, Repeat):
            if node.greed == "possessive":
                return self.sealed(Repeat(node.body, node.least, node.most, "greedy"), after)
            if isinstance(node.body, Chars):
                return _run_of(node.body.bits, node, after)
            return self.loop(node, after)
        if isinstance(node, Atomic):
            return self.sealed(node.body, after)
        if isinstance(node, Look):
            return self.look(node, after)
        if isinstance(node, BackReference):
            return _back(node, after)
        return _place(node, after)

    def group(self, node: Group, after: _Matcher) -> _Matcher:
        index = node.index

        def close(state: _State, at: int) -> bool:
            before = state.spans[index]
            state.spans[index] = (state.starts[index], at)
            if after(state, at):
                return True
            state.spans[index] = before
            return False

        body = self.build(node.body, close)

        def open_(state: _State, at: int) -> bool:
            state.step()
            before = state.starts[index]
            state.starts[index] = at
            if body(state, at):
                return True
            state.starts[index] = before
            return False

        return open_

    def loop(self, node: Repeat, after: _Matcher) -> _Matcher:
        key = id(node)

        def again(state: _State, at: int) -> bool:
            state.step()
            count, start = state.loops[key]
            # Java leaves a loop whose last round took nothing.
            if at == start:
                return after(state, at)
            more = node.most is None or count < node.most

            def round_() -> bool:
                state.loops[key] = (count + 1, at)
                if body(state, at):
                    return True
                state.loops[key] = (count, start)
                return False

            if count < node.least:
                return round_()
            if node.greed == "lazy":
                return after(state, at) or (more and round_())
            return (more and round_()) or after(state, at)

        body = self.build(node.body, again)

        def enter(state: _State, at: int) -> bool:
            before = state.loops.get(key)
            state.loops[key] = (0, -1)
            if again(state, at):
                return True
            if before is not None:
                state.loops[key] = before
            return False

        return enter

    def sealed(self, body: Node, after: _Matcher) -> _Matcher:
        inner = self.build(body, _stop)

        def once(state: _State, at: int) -> bool:
            state.step()
            before = list(state.spans)
            if inner(state, at):
                if after(state, state.end):
                    return True
                state.spans = before
            return False

        return once

    def look(self, node: Look, after: _Matcher) -> _Matcher:
        inner = self.build(node.body, _stop)
        wide = longest(node.body) or 0
        wanted = -1

        def reach(state: _State, at: int) -> bool:
            return at == wanted

        behind = self.build(node.body, reach)

        def seen(state: _State, at: int) -> bool:
            nonlocal wanted
            if node.ahead:
                return inner(state, at)
            before, wanted = wanted, at
            try:
                return any(behind(state, start) for start in range(at, max(at - wide, 0) - 1, -1))
            finally:
                wanted = before

        def check(state: _State, at: int) -> bool:
            state.step()
            before = list(state.spans)
            found = seen(state, at)
            if node.negative:
                state.spans = before
            if found != node.negative and after(state, at):
                return True
            state.spans = before
            return False

        return check


def _at_the_end(state: _State, at: int) -> bool:
    return at == len(state.text)


def _stop(state: _State, at: int) -> bool:
    state.end = at
    return True


def _has(bits: int, char: str) -> bool:
    return bool(bits >> min(ord(char), 128) & 1)


def _one(bits: int, after: _Matcher) -> _Matcher:
    return lambda state, at: at < len(state.text) and _has(bits, state.text[at]) and after(state, at + 1)


def _run_of(bits: int, node: Repeat, after: _Matcher) -> _Matcher:
    """Repeat one character without recursion, so that long texts need no deep stack."""

    def run(state: _State, at: int) -> bool:
        text = state.text
        limit = len(text) if node.most is None else min(len(text), at + node.most)
        stop = at
        while stop < limit and _has(bits, text[stop]):
            stop += 1
        ends: Sequence[int] = range(at + node.least, stop + 1)
        for end in ends if node.greed == "lazy" else reversed(ends):
            state.step()
            if after(state, end):
                return True
        return False

    return run


def _back(node: BackReference, after: _Matcher) -> _Matcher:
    def same(state: _State, at: int) -> bool:
        span = state.spans[node.index] if node.index < len(state.spans) else None
        if span is None:
            return False
        said = state.text[slice(*span)]
        here = state.text[at : at + len(said)]
        equal = said.lower() == here.lower() if node.fold else said == here
        return equal and after(state, at + len(said))

    return same


def _word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and (text[at].isalnum() or text[at] == "_")


def _place(node: Assertion, after: _Matcher) -> _Matcher:
    place = node.place

    def there(state: _State, at: int) -> bool:
        if place == "begin" or place == "resume":
            fits = at == 0
        elif place == "end":
            fits = at == len(state.text)
        else:
            fits = (_word(state.text, at - 1) != _word(state.text, at)) == (place == "word")
        return fits and after(state, at)

    return there
