"""When groups are evaluated, against running servers of two releases."""

import time

import pytest

from kmon_analysis.backtest.phases import served_phase_ms
from kmon_analysis.rules.phases import group_hash, group_offset_ns, hash_form, xxh64
from kmon_analysis.sources.connection import Connection, connect
from kmon_analysis.sources.served import ServedGroup, ask_groups, from_json, to_json
from tests.prometheus_server import running_prometheus


# Digests that the specification's reference program gives.
@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_digests(data, digest):
    assert xxh64(data) == digest


def test_the_form_of_the_hash_follows_the_release():
    assert [hash_form(version) for version in ("2.42", "2.43.1", "2.44.0", "2.55", "3.0", "3.16.0", "?")] == [
        "separated",
        "separated",
        "varint",
        "varint",
        "counted",
        "counted",
        "counted",
    ]
    long = "x" * 300
    assert len({group_hash(long, "g", form) for form in ("separated", "varint", "counted")}) == 3
    short = "r.yml"
    assert group_hash(short, "g", "varint") == group_hash(short, "g", "counted")


GROUPS = "\n".join(
    [
        "groups:",
        *(
            f"- {{name: g{n}, interval: {s}s, rules: [{{record: 'r{n}', expr: '1'}}]}}"
            for n, s in enumerate((1, 2, 3, 2, 1))
        ),
    ]
)


@pytest.mark.parametrize(("program", "version"), [("prometheus", "2.42"), ("prometheus3", "3.16")])
def test_real_servers_evaluate_at_the_computed_instants(tmp_path, program, version):
    rules = tmp_path / "rules of a service.yml"
    rules.write_text(GROUPS)
    with running_prometheus(rule_files=[rules], program=program) as server:
        connection = Connection(connect(server.url))
        began = time.monotonic()
        while not (groups := ask_groups(connection)) or any(group.evaluated_ms is None for group in groups):
            assert time.monotonic() - began < 60, groups
            time.sleep(0.2)
        answer = connection.ask("/api/v1/query", {"query": '{__name__=~"r\\\\d"}[1m]'})
    assert {group.name for group in groups} == {f"g{n}" for n in range(5)}
    for group in groups:
        assert group == from_json(to_json(group))
        phase_ms = served_phase_ms(group, hash_form(version))
        assert phase_ms == group_offset_ns(group.file, group.name, group.interval_ms, hash_form(version)) // 10**6
        (written,) = [part for part in answer.series if part.labels["__name__"] == f"r{group.name[1:]}"]
        # The samples that a group wrote carry the instants of its slots, however late it was.
        assert {int(at) % group.interval_ms for at in written.times} == {phase_ms}


def test_a_group_whose_evaluations_fit_no_hash_has_no_known_phase():
    offset_ms = group_offset_ns("r.yml", "g", 60_000, "counted") // 10**6
    fits = ServedGroup("r.yml", "g", 60_000, ("A",), 1_800_000_000_000.0 // 60_000 * 60_000 + offset_ms + 30)
    assert served_phase_ms(fits, "counted") == offset_ms
    others = [group_offset_ns("r.yml", "g", 60_000, form) // 10**6 for form in ("separated", "varint", "counted")]
    nowhere = next(ms for ms in range(0, 60_000, 500) if all((ms - other) % 60_000 > 2_500 for other in others))
    lost = ServedGroup("r.yml", "g", 60_000, ("A",), 1_800_000_000_000.0 // 60_000 * 60_000 + nowhere)
    assert served_phase_ms(lost, "counted") is None
    assert served_phase_ms(ServedGroup("r.yml", "g", 60_000, ("A",)), "counted") == offset_ms
