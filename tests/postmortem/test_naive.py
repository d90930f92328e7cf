"""Every number of a postmortem again, by the slow and obvious way: raw samples, one setting at a time, no ranks.

Nothing of the library computes here; it reads the files and gives the answers that are judged.
"""

from __future__ import annotations

import datetime as dt
import math
from functools import cache, cached_property

import numpy as np
import pytest

import kmon_analysis as km
from tests.tools import REPOSITORY

MINUTE = 60_000
LOOKBACK, MERGE = 5 * MINUTE, 5 * MINUTE
STALE = 0x7FF0000000000002
RATE = "kafka_server_BrokerTopicMetrics_MessagesInPerSec"
OFFLINE = "kafka_controller_KafkaController_OfflinePartitionsCount"
ACTIVE = "kafka_controller_KafkaController_ActiveControllerCount"
OWN = {
    "HighConsumerLag": {"severity": "page", "team": "user-platform"},
    "KafkaNoLeader": {"severity": "page", "team": "user-platform"},
    "LowMessageRate": {"severity": "ticket", "team": "user-platform"},
}

# Incidents of every rule: some found, some missed, some that need no page.
CASES = [
    ("user-service", "INC-01"),
    ("user-service", "INC-06"),
    ("user-service", "INC-07"),
    ("recorded-kafka", "INC-001"),
    ("recorded-kafka", "INC-003"),
    ("recorded-kafka", "INC-011"),
]


class Twin:
    """A bundled history, its rules written out by hand."""

    def __init__(self, name):
        folder = REPOSITORY / "data" / name
        self.name = name
        self.rules = km.read_rules(folder / "rules.yml")
        self.history = km.open_history(folder)
        self.incidents = km.read_incidents(folder / "incidents.yml")
        # Faults follow each other within minutes in the recording.
        self.before, self.after = (15 * MINUTE, 5 * MINUTE) if name == "user-service" else (10_000, 30_000)
        settings = km.Settings(credit_before_ms=self.before, credit_after_ms=self.after)
        self.result = km.backtest(self.rules, self.history, self.incidents, settings=settings)
        self.raw = [(dict(labels), *part(self.history.series, labels)) for labels in self.history.series.labels]
        # The server told the phase of the recorded groups; the simulated ones are evaluated at full minutes.
        step, phase = (MINUTE, 0) if name == "user-service" else (5_000, 3_099)
        first = -(-(self.history.interval.start_ms - phase) // step) * step + phase
        self.step, self.times = step, np.arange(first, self.history.interval.end_ms, step)
        every = np.sort(np.concatenate([times for _, times, _ in self.raw]))
        newest = np.searchsorted(every, self.times, side="right") - 1
        self.seen = (newest >= 0) & (every[np.maximum(newest, 0)] > self.times - LOOKBACK)
        # Mondays to Fridays, 08:00 to 20:00; 1 January 1970 was a Thursday.
        seconds = self.times // 1000
        day, hour = (seconds // 86_400 + 4) % 7, seconds // 3600 % 24
        self.rates_over = {}
        self.office = (hour >= 8) & (hour < 20) & (day > 0) & (day < 6)

    def alert(self, rule, labels):
        return key({**labels, **(OWN[rule] if self.name == "user-service" else {}), "alertname": rule})

    def select(self, metric):
        return [each for each in self.raw if each[0]["__name__"] == metric]

    @cached_property
    def lag(self):
        return {
            self.alert("HighConsumerLag", without(labels)): newest(times, values, self.times)
            for labels, times, values in self.select("kafka_consumer_lag_sum")
        }

    def rates(self, window_ms):
        if window_ms not in self.rates_over:
            self.rates_over[window_ms] = self.computed_rates(window_ms)
        return self.rates_over[window_ms]

    def computed_rates(self, window_ms):
        sums = {}
        for labels, times, values in self.select(RATE):
            if labels.get("topic"):
                name = self.alert("LowMessageRate", {"topic": labels["topic"]})
                sums.setdefault(name, []).append(rate(times, values, self.times, window_ms))
        return {name: total(rows) for name, rows in sums.items()}

    @cached_property
    def leaderless(self):
        offline = np.array([newest(times, values, self.times) for _, times, values in self.select(OFFLINE)])
        active = np.array([newest(times, values, self.times) for _, times, values in self.select(ACTIVE)])
        highest = np.fmax.reduce(offline)
        if self.name == "recorded-kafka":
            return highest
        none = np.isnan(offline).all(axis=0)
        return (highest > 0) | (total(active) == 0) | none

    def true(self, rule, values):
        """Return by alert: when its condition is true, and what is compared."""
        threshold, window = values["threshold"], values["window_s"]
        if rule == "HighConsumerLag":
            return {name: (row > threshold, row) for name, row in self.lag.items()}
        if rule == "LowMessageRate":
            rows = self.rates(round(window * 1000))
            if values["hours"]:
                # As deployed, or one of three that are offered to a rule without any.
                hour = self.times // 3_600_000 % 24
                late = "22" in values["hours"]
                inside = (hour >= 6) & (hour < 22) if late else self.office & ((hour < 18) | ("20" in values["hours"]))
                rows = {name: np.where(inside, row, np.nan) for name, row in rows.items()}
            return {name: (row < threshold, row) for name, row in rows.items()}
        found = self.leaderless
        name = self.alert("KafkaNoLeader", {})
        return {name: (found > threshold, found) if threshold is not None else (found, None)}

    def firing(self, rule, values):
        """Return by alert: every unbroken time (true since, fires from, ends), as indices; ends are exclusive."""
        rows = {}
        for name, (true, _) in self.true(rule, values).items():
            rows[name] = []
            for start, end in runs(true):
                held = np.flatnonzero(self.times[start:end] - self.times[start] >= round(values["for_s"] * 1000))
                before = rows[name][-1] if rows[name] else None
                kept = self.kept_until(before[2], values) if before and before[1] is not None else -1
                if start < kept:
                    # Kept since it was last true, it need not be pending anew.
                    rows[name][-1] = (*before[:2], end)
                else:
                    rows[name].append((start, start + int(held[0]) if len(held) else None, end))
            rows[name] = [
                (start, fires, end if fires is None else self.kept_until(end, values))
                for start, fires, end in rows[name]
            ]
        return rows

    def kept_until(self, end, values):
        """Return where keep_firing_for lets go of an alert that is first not true at a column."""
        over = np.searchsorted(self.times, self.at(end) + round(values["keep_firing_for_s"] * 1000))
        return max(end, int(over))

    def window(self, incident, values):
        """Return where a page counts, as indices."""
        start = incident.interval.start_ms - self.before
        end = incident.interval.end_ms + round(values["for_s"] * 1000) + self.after
        inside = np.flatnonzero((self.times >= start) & (self.times < end))
        return range(int(inside[0]), int(inside[-1]) + 1)

    def span(self, excluded):
        inside = (self.times >= excluded.interval.start_ms) & (self.times < excluded.interval.end_ms)
        return range(*runs(inside)[0]) if inside.any() else range(0)

    def of_rule(self, rule):
        return [each for each in self.incidents if not each.rules or rule in each.rules]

    def score(self, rule, values):
        """Count one setting, page by page and incident by incident."""
        fires = {
            name: [(f, e) for _, f, e in lives if f is not None] for name, lives in self.firing(rule, values).items()
        }
        windows = {each.id: self.window(each, values) for each in self.of_rule(rule)}
        pages = []
        for name, spells in fires.items():
            for first, end in spells:
                if pages and pages[-1][0] == name and self.at(first) - self.at(pages[-1][1][-1][1]) < MERGE:
                    pages[-1][1].append((first, end))
                else:
                    pages.append((name, [(first, end)]))
        mine = {each.id: [name for name in fires if concerns(each, name)] for each in self.of_rule(rule)}
        known = [(mine[incident], window) for incident, window in windows.items()]
        known += [
            ([name for name in fires if concerns(each, name)], self.span(each)) for each in self.incidents.excluded
        ]
        false = sum(
            not any(
                name in names and any(first < window.stop and end > window.start for first, end in spells)
                for names, window in known
            )
            for name, spells in pages
        )
        outcomes = {}
        for incident, window in windows.items():
            on = np.zeros(len(self.times), dtype=bool)
            for name in mine[incident]:
                for first, end in fires[name]:
                    on[first:end] = True
            inside = np.flatnonzero(on[window.start : window.stop])
            already = window.start > 0 and on[window.start - 1]
            outcomes[incident] = (bool(already), int(self.times[window.start + inside[0]]) if len(inside) else None)
        outside = self.seen.copy()
        for window in [*windows.values(), *(self.span(each) for each in self.incidents.excluded if not each.labels)]:
            outside[window.start : window.stop] = False
        weeks = np.count_nonzero(outside) * self.step / (7 * 24 * 60 * MINUTE)
        busy = sum(np.count_nonzero(outside[first:end]) for spells in fires.values() for first, end in spells)
        return false, outcomes, weeks, busy / np.count_nonzero(outside), pages

    def at(self, column):
        """Return the instant of a column, also of the one behind the last."""
        return int(self.times[column]) if column < len(self.times) else int(self.times[-1]) + self.step

    def peak(self, rule, values, incident, deadline):
        """Return the value beyond which the threshold must lie for a page by a deadline."""
        window, hold = self.window(incident, values), round(values["for_s"] * 1000)
        best = -math.inf
        sign = -1 if rule == "LowMessageRate" else 1
        for name, (_, row) in self.true(rule, values).items():
            if not concerns(incident, name):
                continue
            for column in window:
                if self.times[column] > deadline:
                    break
                # All evaluations since the latest one that lies a `for` back.
                back = int(np.searchsorted(self.times, self.times[column] - hold, side="right")) - 1
                held = sign * row[max(back, 0) : column + 1]
                if back >= 0 and not np.isnan(held).any():
                    best = max(best, float(held.min()))
        return sign * best


def part(series, labels):
    place = series.labels.index(labels)
    span = slice(series.offsets[place], series.offsets[place + 1])
    return series.times[span], series.values[span]


def key(labels):
    return tuple(sorted(labels.items()))


def without(labels):
    return {name: value for name, value in labels.items() if name != "__name__"}


def stale(values):
    return np.ascontiguousarray(values).view(np.uint64) == STALE


def newest(times, values, at):
    """Return the newest sample of the last five minutes, their beginning left out; NaN for none."""
    place = np.searchsorted(times, at, side="right") - 1
    there = (place >= 0) & (times[np.maximum(place, 0)] > at - LOOKBACK)
    return np.where(there & ~stale(values)[np.maximum(place, 0)], values[np.maximum(place, 0)], np.nan)


def rate(times, values, at, window_ms):
    """Return increases a second, extrapolated to the window as Prometheus does."""
    kept = ~stale(values)
    times, values = times[kept], values[kept]
    resets = np.flatnonzero(values[1:] < values[:-1]) + 1
    low, high = (np.searchsorted(times, at - back, side="right") for back in (window_ms, 0))
    columns = np.flatnonzero(high - low >= 2)
    first, last = low[columns], high[columns] - 1
    gained = values[last] - values[first]
    for reset in resets.tolist():
        gained[(first < reset) & (reset <= last)] += values[reset - 1]
    to_start, to_end = (times[first] - at[columns] + window_ms) / 1000, (at[columns] - times[last]) / 1000
    span = (times[last] - times[first]) / 1000
    each = span / (last - first)
    to_start = np.where(to_start >= each * 1.1, each / 2, to_start)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = np.where((gained > 0) & (values[first] >= 0), span * (values[first] / gained), math.inf)
    to_start = np.minimum(to_start, zero)
    to_end = np.where(to_end >= each * 1.1, each / 2, to_end)
    found = np.full(len(at), np.nan)
    found[columns] = gained * ((span + to_start + to_end) / span / (window_ms / 1000))
    return found


def total(rows):
    """Add up what is there; NaN where nothing is."""
    rows = np.asarray(rows)
    sums = [math.fsum(column) for column in np.nan_to_num(rows).T.tolist()]
    return np.where(np.isnan(rows).all(axis=0), np.nan, sums)


def runs(true):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], true.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def concerns(incident, alert):
    """Tell whether alert and incident agree on every label that both have."""
    return all(incident.labels.get(name, value) == value for name, value in alert)


def instant(told):
    text = told if isinstance(told, str) else told["at"]
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


def words_of(found, times, window, incident, pages):
    """Write down what happens to the alerts that an incident concerns, as (instant, alert, words)."""
    begun = {(name, spells[0][0]) for name, spells in pages}
    steps = []
    for name, lives in found.items():
        for true, fires, end in lives if concerns(incident, name) else ():
            if end < window.start or true >= window.stop:
                continue
            page = ["page"] * ((name, fires) in begun)
            steps.append((true, name, ["true", "firing", *page] if fires == true else ["true", "pending"]))
            if fires not in (None, true):
                steps.append((fires, name, ["firing", *page]))
            if end < len(times):
                steps.append((end, name, ["reset"] if fires is None else ["resolved"]))
            else:
                steps.append((end - 1, name, ["still pending"] if fires is None else ["still firing"]))
    return sorted((int(times[column]), name, words) for column, name, words in steps)


@cache
def twin(name):
    return Twin(name)


@pytest.mark.parametrize(("name", "incident"), CASES)
def test_every_number_comes_out_by_the_obvious_way(name, incident):
    one = twin(name)
    asked = one.incidents[incident]
    told = km.postmortem(one.result, incident).to_json()
    judged = priced = 0
    for rule in told["rules"]:
        values = rule["values"]
        if rule["status"] == "not concerned":
            assert asked.rules
            assert rule["rule"] not in asked.rules
            continue
        false, outcomes, weeks, ratio, pages = one.score(rule["rule"], values)
        window = one.window(asked, values)
        already, first = outcomes[incident]
        fate = "already firing" if already else "missed" if first is None else "paged"
        if fate == "missed":
            assert rule["status"] in ("pending only", "never true", "nothing returned")
            assert (rule["status"] == "pending only") == bool(rule["steps"])
        else:
            early = fate == "paged" and first < asked.interval.start_ms
            assert rule["status"] == fate + " early" * early
        assert (rule["first_firing"] and instant(rule["first_firing"])) == first
        found = one.firing(rule["rule"], values)
        seen = [(instant(step), key(step["alert"]), step["what"]) for step in rule["steps"]]
        assert sorted(seen) == words_of(found, one.times, window, asked, pages)
        rows = one.true(rule["rule"], values)
        for step in rule["steps"]:
            compared = rows[key(step["alert"])][1]
            if step["value"] is not None and compared is not None:
                column = np.searchsorted(one.times, instant(step))
                assert step["value"] == pytest.approx(compared[column], rel=1e-12)
        everything = rule["whole_history"]
        assert (everything["false_pages"], everything["weeks"]) == (false, weeks)
        assert everything["firing_ratio"] == pytest.approx(ratio, rel=1e-12)
        for outcome in everything["outcomes"]:
            since, at_ms = outcomes[outcome["incident"]]
            start = one.incidents[outcome["incident"]].interval.start_ms
            missed = since or at_ms is None
            assert outcome["delay_s"] == (None if missed else max(0, at_ms - start) / 1000)
        must = [each.id for each in one.of_rule(rule["rule"]) if each.must_page]
        finds = {each for each in must if not outcomes[each][0] and outcomes[each][1] is not None}
        assert (everything["incidents"], everything["caught"]) == (len(must), len(finds))
        judged += 1
        for rung in rule["sooner"]:
            deadline = instant(rung["deadline"])
            assert deadline == instant(rule["sooner_than"]) - rung["sooner_s"] * 1000
            for answer in rung["answers"]:
                price = answer["price"]
                if price is None:
                    continue
                false, outcomes, weeks, ratio, _ = one.score(rule["rule"], answer["values"])
                since, at_ms = outcomes[incident]
                assert not since
                assert at_ms <= deadline
                assert instant(price["page"]) == at_ms
                assert (price["false_pages"], price["weeks"]) == (false, weeks)
                assert price["firing_ratio"] == pytest.approx(ratio, rel=1e-12)
                now = {each for each in must if not outcomes[each][0] and outcomes[each][1] is not None}
                assert (set(price["lost"]), set(price["gained"])) == (finds - now, now - finds)
                if price["margin_ratio"] is not None:
                    peak = one.peak(rule["rule"], answer["values"], asked, deadline)
                    threshold = answer["values"]["threshold"]
                    margin = threshold / peak if rule["rule"] == "LowMessageRate" else peak / threshold
                    assert price["margin_ratio"] == pytest.approx(margin, rel=1e-12)
                priced += 1
    assert judged
    assert priced or not told["rules"][0]["sooner"]
