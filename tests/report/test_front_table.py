"""The points of the front carry their values, and what each lacks."""

from __future__ import annotations

import re

from kmon_analysis.recommend.candidates import Budget, Candidate, Setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.report.front import Outlook
from kmon_analysis.report.front_table import why_not
from kmon_analysis.report.page import render_report
from kmon_analysis.timing import MINUTE_MS
from tests.recommend.world import advise, lag_history

AT = Candidate(None, 5 * MINUTE_MS)
BUDGET = Budget(30 * MINUTE_MS)


def point(threshold=700.0, pages=0.5, minutes=20, missed=0):
    return Outlook(pages, minutes * MINUTE_MS, missed, Setting(threshold, None, AT.for_ms, 0, None))


def why(where, *, weakest=800.0, proposed=600.0):
    rooms = {AT: Plateau(AT, 500.0, weakest, "INC-1", True, MINUTE_MS)}
    return why_not(where, BUDGET, rooms, Setting(proposed, None, AT.for_ms, 0, None))


def test_what_a_point_lacks_is_computed():
    assert why(point(missed=1)) == "misses incidents"
    assert why(point(minutes=31)) == "pages later than accepted"
    assert why(point(pages=1.25)) == "more false pages than accepted"
    assert why(point(), weakest=550.0).startswith("margin 1.10x from end to end")
    assert why(point()) == "nearer to the weakest incident: 1.14x the threshold, 1.33x with the proposed values"
    assert why(point(threshold=600.0)) == "it is"
    nearer = "nearer to ordinary peaks: 1.10x what they need, 1.20x with the proposed values"
    assert why(point(threshold=550.0)) == nearer


def test_no_ratio_is_written_where_the_room_reaches_zero():
    # A falling rule whose incidents stand still: every ratio is infinite.
    other = Candidate(None, 10 * MINUTE_MS)
    rooms = {AT: Plateau(AT, 0.9, 0.0, "INC-1", True, MINUTE_MS), other: Plateau(other, 0.5, 0.0, "INC-1", True, 0)}
    advised = Setting(0.2, None, other.for_ms, 0, None)
    said = why_not(point(threshold=0.3), BUDGET, rooms, advised)
    assert said == "room for the threshold from 0.9 to 0; from 0.5 to 0 with the proposed values"
    same = why_not(point(threshold=0.3), BUDGET, rooms, Setting(0.4, None, AT.for_ms, 0, None))
    assert same == "another place in the same room, from 0.9 to 0"


def test_the_report_lists_the_points_with_threshold_and_for():
    page = render_report(advise(*lag_history(6, incidents=(8.4, 12.3, 17.6, 22.5, 27.3, 33.6))))
    table = page[page.index("What was possible, point by point") :]
    assert re.search(r"threshold [\d,.]+ · for", table[: table.index("</table>")])
