"""Simulated histories: the same bits every time, every kind of trouble in them, and answers that can be found."""

import dataclasses
import itertools
import json
import subprocess
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmon_analysis.errors import OutputError, SettingError
from kmon_analysis.incidents import read_incidents
from kmon_analysis.labels import Labels
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.series import is_stale
from kmon_analysis.sources.files import open_history
from kmon_analysis.sources.simulation import artefacts, faults, store
from kmon_analysis.sources.simulation.kernels import deal_out, drain
from kmon_analysis.sources.simulation.scenarios import SCENARIOS, parameters_of
from kmon_analysis.sources.simulation.service import SUBSCRIPTIONS, TOPICS
from kmon_analysis.sources.simulation.traffic import arrivals, coarse_exp
from kmon_analysis.sources.simulation.world import run_world
from kmon_analysis.sources.simulator import load_scenario, simulate
from kmon_analysis.timing import HOUR_MS, MINUTE_MS, WEEK_MS
from tests.sources import replay
from tests.tools import REPOSITORY, require

SHIPPED = REPOSITORY / "data" / "user-service"
STATISTICS_4_4 = {
    "slow consumer": "slow-consumer",
    "consumer down": "consumer-down",
    "consumer down, series vanishes": "group-vanished",
    "stuck partition": "stuck-partition",
    "hot partition": "hot-partition",
    "rebalance storm": "rebalance-storm",
    "producer outage": "producer-outage",
    "partial producer loss": "partial-producer-loss",
    "silent topic": "silent-topic",
    "broker loss": "broker-loss",
    "leader loss": "leader-loss",
    "backlog beyond retention": "backlog-beyond-retention",
}


@pytest.fixture(scope="module")
def service():
    return simulate("user-service")


@pytest.fixture(scope="module")
def later():
    return simulate("user-service-later")


# The same bits every time


def test_what_is_shipped_is_what_the_seed_gives(service):
    assert store.differences(service, SHIPPED) == []


def test_a_changed_file_is_noticed(service, tmp_path):
    place = tmp_path / "copy"
    store.write_scenario(service, place)
    assert store.differences(service, place) == []
    text = (place / "incidents.yml").read_text(encoding="utf-8")
    (place / "incidents.yml").write_text(text.replace("INC-03", "INC-33"), encoding="utf-8")
    assert len(store.differences(service, place)) == 1


def test_two_runs_are_equal_and_two_seeds_are_not():
    first, again, other = (run_world(seed, (), weeks=1).series for seed in (5, 5, 6))
    assert first.labels == again.labels
    assert np.array_equal(first.values.view(np.int64), again.values.view(np.int64))
    assert np.array_equal(first.times, again.times)
    assert first.sample_count != other.sample_count


def test_the_later_weeks_are_the_continuation(service, later):
    plan = SCENARIOS["user-service"]
    assert later.interval.start_ms == service.interval.end_ms
    assert SCENARIOS["user-service-later"].faults == plan.faults
    assert SCENARIOS["user-service-later"].seed == plan.seed
    after = {part.labels: part for part in later.series}
    counters = [part for part in service.series if part.labels in after and "PerSec" in part.labels["__name__"]]
    assert len(counters) > 30
    for part in counters:
        next_times, next_values = after[part.labels].times, after[part.labels].values
        assert next_times[0] - part.times[-1] == 30_000
        assert 0 <= next_values[0] - part.values[-1] < part.values[-1]
    ids = [incident.id for incident in (*service.incidents, *later.incidents)]
    assert ids == [f"INC-{number:02d}" for number in range(1, len(ids) + 1)]


def test_exponentials_lie_on_a_coarse_grid():
    exponents = np.random.default_rng(1).uniform(-3, 3, 10_000)
    nudged = np.nextafter(exponents, np.inf)
    assert np.array_equal(coarse_exp(exponents), coarse_exp(nudged))
    assert np.allclose(coarse_exp(exponents), np.exp(exponents), rtol=1 / 500, atol=1 / 65536)


# Incidents


@pytest.mark.parametrize(
    ("scenario", "count"),
    [("user-service", 20), ("no-incidents", 0), ("one-incident", 1), ("three-incidents", 3), ("eight-incidents", 8)],
)
def test_counts_of_incidents(scenario, count):
    planned = [each for each in SCENARIOS[scenario].faults if each.labelled and faults.ARCHETYPES[each.kind][1]]
    kept = SCENARIOS[scenario].interval
    assert sum(each.interval.start_ms in kept for each in planned) == count


def test_every_archetype_is_there(service, later):
    assert len(service.incidents) == 20
    assert 6 <= len(later.incidents) <= 8
    kinds = {incident.kind for incident in service.incidents}
    assert kinds == {*STATISTICS_4_4.values(), "unrelated"}


def test_the_incidents_serve_the_three_rules(service):
    must = [incident for incident in service.incidents if incident.must_page]
    rules = Counter(rule for incident in must for rule in incident.rules)
    assert rules["HighConsumerLag"] >= 9
    assert rules["LowMessageRate"] >= 4
    assert rules["KafkaNoLeader"] >= 2
    lag_weeks = [
        (incident.interval.start_ms - service.interval.start_ms) // WEEK_MS + 1
        for incident in must
        if "HighConsumerLag" in incident.rules
    ]
    assert len(set(lag_weeks)) >= 7
    assert sum(week >= 7 for week in lag_weeks) >= 3
    low_starts = np.array([each.interval.start_ms for each in must if "LowMessageRate" in each.rules])
    assert replay.traffic_hours(low_starts).all()


def test_reports_are_late_and_lie_inside_the_history(service, later):
    for simulation in (service, later):
        known = {(each.group, each.topic) for each in SUBSCRIPTIONS}
        topics, groups = {topic for _, topic in known}, {group for group, _ in known}
        for incident in simulation.incidents:
            late_ms = incident.interval.start_ms - incident.fault.start_ms
            assert 2 * MINUTE_MS <= late_ms <= 20 * MINUTE_MS
            assert incident.interval.end_ms >= incident.fault.end_ms
            assert simulation.interval.start_ms <= incident.fault.start_ms
            assert incident.interval.end_ms + 2 * HOUR_MS <= simulation.interval.end_ms
            assert incident.labels.get("topic", "user.registered") in topics
            assert incident.labels.get("consumergroup", "email-sender") in groups
            if "KafkaNoLeader" not in incident.rules:
                assert incident.labels


def test_reports_end_when_the_backlog_is_gone(service):
    times = replay.evaluations(service.interval)
    lags = {part.labels: replay.latest(part, times) for part in replay.of_metric(service.series, replay.LAG)}
    for incident in service.incidents:
        if incident.must_page and "HighConsumerLag" in incident.rules:
            after = (times >= incident.interval.end_ms) & (times < incident.interval.end_ms + 10 * MINUTE_MS)
            concerned = [lag for labels, lag in lags.items() if replay.concerns(incident, "HighConsumerLag", labels)]
            assert concerned
            assert all(np.median(lag[after]) < 2_000 for lag in concerned)


def test_the_files_are_read_by_the_toolkit(service):
    read = read_incidents(SHIPPED / "incidents.yml")
    assert [each.id for each in read.incidents] == [each.id for each in service.incidents]
    assert [each.interval for each in read.incidents] == [each.interval for each in service.incidents]
    assert [each.must_page for each in read.incidents] == [each.must_page for each in service.incidents]
    assert len(read.excluded) == 2
    rules = read_rules(SHIPPED / "rules.yml")
    assert [rule.name for rule in rules.alerts] == ["HighConsumerLag", "KafkaNoLeader", "LowMessageRate"]
    assert [rule.for_ms for rule in rules.alerts] == [5 * MINUTE_MS, MINUTE_MS, 10 * MINUTE_MS]
    assert rules.groups[0].interval_ms == MINUTE_MS


def test_promtool_accepts_the_rules():
    checked = subprocess.run(
        [require("promtool"), "check", "rules", SHIPPED / "rules.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "3 rules found" in checked.stdout


# The answers can be found


def test_one_lag_threshold_separates(service, later):
    times, signals = replay.lag_signals(service, 5)
    peaks = replay.peaks(service, "HighConsumerLag", times, signals, delay_minutes=15)
    caught_early = replay.peaks(service, "HighConsumerLag", times, signals, delay_minutes=10)

    def false_pages(threshold):
        return replay.false_pages_per_week(service, "HighConsumerLag", times, signals, threshold, 5)

    quiet = next(t for t in range(1000, 30_000, 100) if all(false_pages(u) <= 1 for u in range(t, 30_000, 500)))
    assert min(peaks.values()) > 3 * quiet
    assert min(caught_early.values()) > 2 * quiet
    assert 5 <= false_pages(1000) <= 40
    middle = quiet * (min(caught_early.values()) / quiet) ** (1 / 3)
    times, signals = replay.lag_signals(later, 5)
    assert min(replay.peaks(later, "HighConsumerLag", times, signals, delay_minutes=15).values()) > middle
    assert replay.false_pages_per_week(later, "HighConsumerLag", times, signals, middle, 5) <= 1


@pytest.mark.parametrize("scenario", ["three-incidents", "eight-incidents"])
def test_one_lag_threshold_separates_small_scenarios(scenario):
    simulation = simulate(scenario)
    times, signals = replay.lag_signals(simulation, 5)
    weakest = min(replay.peaks(simulation, "HighConsumerLag", times, signals, delay_minutes=15).values())
    assert replay.false_pages_per_week(simulation, "HighConsumerLag", times, signals, weakest / 3, 5) <= 1


def test_the_deployed_rate_rule_is_noisy_and_a_lower_one_is_not(service, later):
    for simulation in (service, later):
        times, signals = replay.rate_signals(simulation, 10)
        assert replay.false_pages_per_week(simulation, "LowMessageRate", times, signals, -1.0, 10) >= 5
        assert replay.false_pages_per_week(simulation, "LowMessageRate", times, signals, -0.01, 10) <= 1
        peaks = replay.peaks(simulation, "LowMessageRate", times, signals, delay_minutes=20)
        assert min(peaks.values()) > -0.005


def test_lost_leaders_show(service):
    times = replay.evaluations(service.interval)
    parts = replay.of_metric(service.series, "kafka_controller_KafkaController_OfflinePartitionsCount")
    offline = replay.firing_signal(np.max([replay.latest(part, times) for part in parts], axis=0), 1) > 0
    lost = np.zeros(len(times), dtype=bool)
    for incident in service.incidents:
        if incident.kind == "leader-loss":
            during = (times >= incident.fault.start_ms) & (times < incident.fault.end_ms)
            assert offline[during].sum() > 10
            lost |= (times >= incident.fault.start_ms) & (times < incident.interval.end_ms)
    assert offline[~lost].sum() < 5  # the announced maintenance


# Artefacts of measurement


def test_gaps(service):
    part = replay.of_metric(service.series, replay.LAG, consumergroup="email-sender")[0]
    assert np.count_nonzero(np.diff(part.times) > 60_000) >= 5


def test_prometheus_itself_was_down(service):
    window = next(each.interval for each in service.excluded if "Prometheus" in each.reason)
    assert service.series.between(window.start_ms + 30_000, window.end_ms).sample_count == 0


def test_counters_start_again(service):
    for part in replay.of_metric(service.series, replay.MESSAGES, topic="user.session.refreshed"):
        values = part.values[~is_stale(part.values)]
        if part.labels["instance"] != "broker-4:7071":
            resets = np.flatnonzero(np.diff(values) < 0)
            assert len(resets) >= 1
            assert (values[resets + 1] < values[resets] / 100).all()


def test_stale_markers_and_a_vanished_group(service):
    part = replay.of_metric(service.series, replay.LAG, consumergroup="billing-sync", topic="billing.invoice.issued")[0]
    vanished = next(each.fault for each in service.incidents if each.kind == "group-vanished")
    inside = (part.times >= vanished.start_ms) & (part.times < vanished.end_ms)
    assert is_stale(part.values[inside]).sum() == 1
    assert np.diff(part.times[part.times < vanished.end_ms + HOUR_MS]).max() > 45 * MINUTE_MS


def test_negative_and_bogus_lag(service):
    [part] = replay.of_metric(service.series, replay.LAG, consumergroup="email-sender")
    assert 100 < np.count_nonzero(part.values < 0) < len(part.values) / 20
    [part] = replay.of_metric(service.series, replay.LAG, consumergroup="search-indexer", topic="user.registered")
    bogus = np.flatnonzero(part.values > 10**6)
    assert len(bogus) >= 1
    assert part.values[bogus - 1].max() < 10**5
    assert part.values[bogus + 1].max() < 10**5


def test_instances_change(service):
    pods = [part for part in service.series if part.labels.value("job") == "kafka-exporter"]
    assert len(pods) >= 3
    spans = sorted((part.times[0], part.times[-1]) for part in pods)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    [old] = replay.of_metric(service.series, "up", instance="broker-3:7071")
    [new] = replay.of_metric(service.series, "up", instance="broker-4:7071")
    assert old.times[-1] <= new.times[0]


def test_a_topic_is_born(service):
    for name in (replay.LAG, replay.MESSAGES):
        parts = replay.of_metric(service.series, name, topic="developer.badge.awarded")
        assert min(part.times[0] for part in parts) > service.interval.start_ms + 3 * WEEK_MS
    [lag] = replay.of_metric(service.series, replay.LAG, topic="developer.badge.awarded")
    assert lag.values[:12].max() > 1000


def test_values_are_whole_numbers(service):
    values = service.series.values[~is_stale(service.series.values)]
    assert np.array_equal(values, np.trunc(values))


def with_zeros(part, times):
    """What a careless resampling makes of a series: every missing scrape becomes 0."""
    slot = (part.times - times[0]) // 30_000
    filled = np.zeros(len(times))
    filled[slot] = np.where(is_stale(part.values), 0.0, part.values)
    return filled


def test_treating_gaps_as_zero_fails(service):
    times = np.arange(service.interval.start_ms, service.interval.end_ms, 30_000)
    topic = "user.session.refreshed"
    careless = sum(with_zeros(part, times) for part in replay.of_metric(service.series, replay.MESSAGES, topic=topic))
    steps = np.diff(careless, prepend=careless[0])
    increases = np.where(steps < 0, careless, steps)
    careless_rate = np.convolve(increases, np.ones(10), mode="full")[: len(times)] / 300
    careful = replay.topic_rate(service.series, topic, replay.evaluations(service.interval))[10:]
    assert np.nanmin(careful) > 5
    assert np.nanmax(careful) < 1000
    assert careless_rate[20:].min() == 0  # would page: low message rate
    assert careless_rate.max() > 100_000  # and no panel could show it
    [lag] = replay.of_metric(service.series, replay.LAG, topic=topic)
    storm = next(each.fault for each in service.incidents if each.kind == "rebalance-storm")
    high = (times > storm.start_ms + 10 * MINUTE_MS) & (times < storm.end_ms)
    gaps = with_zeros(lag, times) == 0
    assert np.count_nonzero(gaps) > 20
    assert replay.latest(lag, times)[gaps].min() == -np.inf
    assert replay.latest(lag, times)[high].max() > 10_000


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=40),
)
def test_stale_markers_follow_the_scrapes(rows):
    """Naive twin: walk through the scrapes one by one."""
    recorded, answered, exists = (np.array(column) for column in zip(*rows, strict=True))
    target = artefacts.Target(np.arange(len(rows)) * 30_000, recorded, answered)
    expected, alive = [], False
    for index, (seen, up, there) in enumerate(rows):
        if seen:
            if up and there:
                expected.append((index * 30_000, float(index)))
            elif alive:
                expected.append((index * 30_000, None))
            alive = up and there
    part = artefacts.observed(Labels({"__name__": "x"}), target, np.arange(len(rows)), exists)
    if part is None:
        assert not any(value is not None for _, value in expected)
        return
    stale = is_stale(part.values)
    made = [(int(t), None if s else v) for t, v, s in zip(part.times, part.values.tolist(), stale, strict=True)]
    assert made == expected


# Traffic


@pytest.fixture(scope="module")
def traffic():
    steps = 10 * WEEK_MS // 10_000
    return {topic.name: arrivals(topic, 77, steps, np.ones(steps)) for topic in TOPICS}


@pytest.mark.parametrize(
    "topic", [each for each in TOPICS if each.shape == "people" and each.rate > 1], ids=lambda each: each.name
)
def test_people_have_days(traffic, topic):
    counts = traffic[topic.name][topic.created_ms // 10_000 :]
    hours = counts[: len(counts) // 360 * 360].reshape(-1, 360).sum(axis=1) / 3600
    low, high = np.quantile(hours, [0.05, 0.95])
    assert 3.5 <= high / low <= 8.5
    assert hours.mean() == pytest.approx(topic.rate, rel=0.25)


@pytest.mark.parametrize(
    "topic", [each for each in TOPICS if each.shape == "people" and each.rate > 10], ids=lambda each: each.name
)
def test_minutes_are_noisy_as_measured(traffic, topic):
    minutes = traffic[topic.name].reshape(-1, 6).sum(axis=1).astype(float)
    smooth = np.convolve(minutes, np.ones(61) / 61, mode="same")
    rest = (minutes / smooth - 1)[100:-100]
    assert 0.04 <= rest.std() <= 0.11
    assert 0.25 <= np.corrcoef(rest[:-1], rest[1:])[0, 1] <= 0.6
    assert abs(np.corrcoef(rest[:-10], rest[10:])[0, 1]) < 0.3
    dispersion = np.median(((minutes - smooth) ** 2)[100:-100] / smooth[100:-100]) / 0.455
    assert 3 <= dispersion <= 60


def test_counts_are_more_dispersed_than_poisson():
    for topic in TOPICS[:4]:
        steps = 8640
        flat = np.zeros(steps) + 1.0
        counts = arrivals(topic, 3, steps, flat)
        pairs = counts[: steps // 2 * 2].reshape(-1, 2).astype(float)
        # Neighbouring steps share their rate, so half the squared difference is the variance of the draw alone.
        ratio = ((pairs[:, 0] - pairs[:, 1]) ** 2 / 2).sum() / pairs.mean(axis=1).sum()
        assert ratio == pytest.approx(topic.dispersion, rel=0.25)


def test_office_hours_and_a_nearly_dead_topic(traffic):
    local_hour = (np.arange(10 * WEEK_MS // HOUR_MS) + 1) % 24
    invoices = traffic["billing.invoice.issued"].reshape(-1, 360).sum(axis=1) / 3600
    weekday = np.arange(len(invoices)) // 24 % 7 < 5
    assert np.median(invoices[weekday & (local_hour == 10)]) > 3
    assert np.median(invoices[weekday & (local_hour == 22)]) < 0.2
    assert np.median(invoices[~weekday]) < 0.6
    assert 0.02 < traffic["user.account.deleted"].mean() / 10 < 0.05


# The queue


def naive_drain(accepted, capacity, effort, blocked, members, gain, knee, retention, uncommitted, noise, every, start):
    steps, partitions = accepted.shape
    backlog, carry, lag = [0] * partitions, [0] * members, []
    for t in range(steps):
        taken = [0] * partitions
        backlog = [backlog[i] + int(accepted[t, i]) for i in range(partitions)]
        if effort[t] > 0 and t >= start:
            for member in range(members):
                mine = range(member, partitions, members)
                if retention:
                    for i in mine:
                        backlog[i] = min(backlog[i], int(accepted[max(0, t - retention + 1) : t + 1, i].sum()))
                free = [i for i in mine if not int(blocked[t]) >> i & 1]
                waiting = sum(backlog[i] for i in free)
                strength = int(capacity[t // 6]) * int(effort[t]) // 256
                strength += strength * gain * min(waiting, knee) // (knee * 256)
                budget, carry[member] = divmod(carry[member] + strength, 256)
                for i in free:
                    taken[i] = backlog[i] if waiting <= budget else backlog[i] * budget // waiting
                    backlog[i] -= taken[i]
        if t % every == 0:
            late = sum(taken[i] * uncommitted * int(noise[t // every, i]) // 65536 for i in range(partitions))
            lag.append(sum(backlog) + late)
    return lag


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    partitions=st.integers(1, 7),
    members=st.integers(1, 3),
    gain=st.integers(0, 300),
    retention=st.sampled_from([0, 1, 5, 30]),
    start=st.sampled_from([0, 9]),
)
def test_the_queue_is_its_naive_twin(seed, partitions, members, gain, retention, start):
    random, steps, every = np.random.default_rng(seed), 60, 3
    arguments = (
        random.poisson(20, (steps, partitions)).astype(np.int32),
        random.integers(0, 60 * 256, steps // 6),
        random.choice([0, 20, 256, 256], steps),
        random.choice([0, 0, 0, 5], steps),
        members,
        gain,
        50,
        retention,
        128,
        random.integers(0, 256, (steps // every, partitions), dtype=np.uint8),
        every,
        start,
    )
    assert drain(*arguments).tolist() == naive_drain(*arguments)


def test_messages_are_dealt_out_without_loss():
    random = np.random.default_rng(4)
    steps, partitions = 5000, 6
    counts = random.poisson(40, steps)
    shares = np.array([900, 800, 700, 600, 600, 496])
    jitter = random.integers(0, 256, (steps, partitions), dtype=np.uint8)
    none = np.zeros(steps, dtype=np.int64)
    plain = deal_out(counts, shares, jitter, none, -1, none)
    assert plain.sum() == pytest.approx(counts.sum(), rel=0.01)
    assert plain.sum(axis=0) / plain.sum() == pytest.approx(shares / 4096, rel=0.02)
    hot, dead = none + 1024, none + 0b10
    mixed = deal_out(counts, shares, jitter, hot, 0, dead)
    assert mixed[:, 0].sum() == pytest.approx(5 * plain[:, 0].sum(), rel=0.001)
    assert mixed[:, 1].sum() == 0
    assert np.array_equal(mixed[:, 2:], plain[:, 2:])


# Faults and scenarios


def test_unknown_names_are_named():
    with pytest.raises(SettingError, match="no such scenario: 'user-servise'"):
        simulate("user-servise")
    with pytest.raises(SettingError, match="no such scenario"):
        load_scenario("nothing")
    now = faults.Conditions(6 * 60 * 24 * 7)
    with pytest.raises(SettingError, match="no such kind of fault: 'gremlin'"):
        faults.apply_fault(now, faults.Fault("gremlin", "w1 Mon 10:00", 5))
    with pytest.raises(SettingError, match="outside the simulated weeks"):
        faults.apply_fault(now, faults.Fault("producer-outage", "w2 Mon 10:00", 5, "user.registered"))


def test_the_shipped_scenario_is_at_hand():
    assert load_scenario("user-service") == SHIPPED
    assert open_history(load_scenario("user-service")).series.sample_count > 10**7


def test_scenarios_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []
    small = simulate_small()
    monkeypatch.setattr(store, "simulate", lambda name: calls.append(name) or small)
    place = load_scenario("one-incident")
    assert place == tmp_path / "kmon" / "scenarios" / f"one-incident-{parameters_of('one-incident')['hash']}"
    assert sorted(file.name for file in place.iterdir()) == [
        "incidents.yml",
        "manifest.json",
        "rules.yml",
        "samples-0001.parquet",
    ]
    assert load_scenario("one-incident") == place
    assert load_scenario("one-incident", tmp_path / "kmon" / "scenarios") == place
    assert calls == ["one-incident"]
    assert sorted(place.parent.iterdir()) == [place]
    assert open_history(place).provenance.source == "simulator one-incident"
    assert read_incidents(place / "incidents.yml").incidents[0].id == "INC-01"


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Give another cache directory"):
        load_scenario("one-incident", tmp_path / "file")


def test_without_a_source_tree_the_shipped_scenario_is_simulated(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "__file__", str(tmp_path / "site" / "kmon_analysis" / "sources" / "simulation" / "x.py"))
    small = simulate_small()
    monkeypatch.setattr(store, "simulate", lambda name: small)
    place = load_scenario("user-service")
    assert tmp_path in place.parents


def test_outdated_shipped_data_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "__file__", str(tmp_path / "kmon_analysis" / "sources" / "simulation" / "store.py"))
    place = tmp_path / "data" / "one-incident"
    place.mkdir(parents=True)
    manifest = {"provenance": {"extra": {"parameters": parameters_of("one-incident")}}}
    (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert store.shipped("one-incident", parameters_of("one-incident")) == place
    manifest["provenance"]["extra"]["parameters"]["generator_version"] = 0
    (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert store.shipped("one-incident", parameters_of("one-incident")) is None


def simulate_small():
    """Return the one-incident scenario with few of its series."""
    whole = simulate("one-incident")
    return dataclasses.replace(whole, series=whole.series.take(range(2)))
