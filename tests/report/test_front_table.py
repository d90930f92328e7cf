"""The points of the front carry their values, and what each lacks."""

from __future__ import annotations

import re

from kmon_analysis.recommend.candidates import Budget, Candidate, Setting
from kmon_analysis.recommend.choose import Plateau
from kmon_analysis.report.figure import alt_text
from kmon_analysis.report.front import Outlook, lettered, outlook
from kmon_analysis.report.front_table import front_table, why_not
from kmon_analysis.report.page import render_report
from kmon_analysis.report.plots import front_figure
from kmon_analysis.timing import MINUTE_MS
from tests.recommend.world import advise, lag_history
from tests.report.samples import consumer_life

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
    assert said == "room for the threshold above 0 up to 0.9; above 0 up to 0.5 with the proposed values"
    same = why_not(point(threshold=0.3), BUDGET, rooms, Setting(0.4, None, AT.for_ms, 0, None))
    assert same == "another place in the same room, above 0 up to 0.9"


def test_less_room_is_called_less():
    other = Candidate(None, 10 * MINUTE_MS)
    rooms = {AT: Plateau(AT, 0.0185185, 0.0, "INC-1", True, 0), other: Plateau(other, 0.0222222, 0.0, "INC-1", True, 0)}
    said = why_not(point(threshold=0.005), BUDGET, rooms, Setting(0.01, None, other.for_ms, 0, None))
    assert said == "less room for the threshold above 0 up to 0.0185; above 0 up to 0.0222 with the proposed values"


def test_what_is_no_worse_than_the_proposal_has_a_letter_in_picture_and_table():
    proposed = Setting(600.0, None, AT.for_ms, 0, None)
    at = Outlook(0.25, 21 * MINUTE_MS, 0)
    quiet, fast, both = point(pages=0.0, minutes=21), point(pages=0.25, minutes=3), point(pages=0.1, minutes=20)
    others = [
        point(pages=0.0, minutes=22),
        point(pages=0.3, minutes=2),
        point(pages=0.0, minutes=1, missed=1),
        point(pages=0.25 + 1e-12, minutes=21),
    ]
    assert lettered([fast, *others, both, quiet], at) == {quiet: "a", both: "b", fast: "c"}
    assert lettered([quiet], None) == {}

    life = consumer_life(weeks=10)
    table = front_table(life, [quiet, others[0]], BUDGET, proposed, at)
    assert [row[0] for row in table.rows] == ["proposed", "a", "–"]
    assert table.rows[0][2:5] == ("0.25", "21 min", "threshold 600 · for 5m")
    assert [row[-1] == "it is" for row in table.rows] == [True, False, False]
    own = front_table(life, [Outlook(0.25, at.worst_delay_ms, 0, proposed)], BUDGET, proposed, at)
    assert [row[0] for row in own.rows] == ["proposed"]

    ours = outlook(life.score(600.0))
    better = Outlook(0.0, ours.worst_delay_ms, ours.missed, point(threshold=700.0).setting)
    figure = front_figure(life, [better], BUDGET, proposed)
    drawn = {text.get_text(): text for text in figure.axes[0].texts}
    assert drawn["a"].xy == (0.0, ours.worst_delay_ms / MINUTE_MS)
    assert "a: no worse in this past" in [name.get_text() for name in figure.axes[0].get_legend().get_texts()]
    assert "Points a are no worse" in alt_text(figure)


def test_the_report_lists_the_points_with_threshold_and_for():
    page = render_report(advise(*lag_history(6, incidents=(8.4, 12.3, 17.6, 22.5, 27.3, 33.6))))
    table = page[page.index("What was possible, point by point") :]
    assert re.search(r"threshold [\d,.]+ · for", table[: table.index("</table>")])
