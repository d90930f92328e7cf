"""Options that may be given once: a second one is refused, where the parser would silently take the last."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kmon_analysis.errors import SettingError

__all__ = ["refuse_repeats"]

# What such an option holds may be a secret.
_MAY_HOLD_CREDENTIALS = "URL"
_TIMES = {2: "twice"}


def refuse_repeats(command: Any) -> None:
    """Let every verb refuse an option that is given again, unless it is meant to be repeated."""
    for verb in getattr(command, "commands", {}).values():
        refuse_repeats(verb)
    for option in command.params:
        if option.param_type_name == "option" and not (option.is_flag or option.multiple or option.count):
            option.add_to_parser = _collecting(option)
            option.handle_parse_result = _taking_one(option, option.handle_parse_result)


def _collecting(option: Any) -> Callable[[Any, Any], None]:
    def add_to_parser(parser: Any, _context: Any) -> None:
        parser.add_option(obj=option, opts=option.opts, dest=option.name, action="append", nargs=option.nargs)

    return add_to_parser


def _taking_one(option: Any, handle: Callable[..., Any]) -> Callable[..., Any]:
    def handle_parse_result(context: Any, given: Mapping[str, Any], rest: list[str]) -> Any:
        values = given.get(option.name)
        if not values:
            return handle(context, given, rest)
        if len(values) > 1:
            raise _repeated(option, values)
        return handle(context, {**given, option.name: values[0]}, rest)

    return handle_parse_result


def _repeated(option: Any, values: Sequence[str]) -> SettingError:
    """Return what to raise for an option with several values."""
    shown = "" if option.metavar == _MAY_HOLD_CREDENTIALS else f": {' and '.join(map(repr, values))}"
    cure = "Give it once"
    if option.name == "history":
        cure = f"Make one history of them: kmon import {shlex.join(dict.fromkeys(values))} -o history"
    times = _TIMES.get(len(values), f"{len(values)} times")
    return SettingError(f"is given {times}{shown}", place="/".join(option.opts), cure=cure)
