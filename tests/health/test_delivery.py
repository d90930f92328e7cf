import json
import threading
import time

import pytest
from sqlalchemy import text

from kmon_analysis.errors import HealthConfigError
from kmon_analysis.health.application import make_checks
from kmon_analysis.health.reader import parse_settings

MADE = []


@pytest.fixture(autouse=True)
def closing():
    yield
    while MADE:
        MADE.pop().close()


def checks(box, *events, timeout="30s"):
    configuration = {"databases": {"main": {"url": box.url, "statement_timeout": timeout}}, "events": list(events)}
    MADE.extend(made := make_checks(parse_settings(json.dumps(configuration), "integrations.yml", {}, None)))
    return made


def check(box, **event):
    (only,) = checks(box, {"name": "UserRegistered", "max_age": "5m", **event})
    return only


def test_no_rows_are_up(box):
    found = check(box).run()
    assert found.up
    assert found.details == {"pending": 0, "oldest_age_seconds": 0.0, "max_age_seconds": 300.0}
    assert found.backlog.pending == 0


def test_young_rows_are_up_and_their_age_is_by_the_databases_clock(box):
    box.add("UserRegistered", 60)
    box.add("UserRegistered", 30)
    found = check(box).run()
    assert found.up
    assert found.details["pending"] == 2
    assert 60 <= found.backlog.oldest_age_s < 120


def test_only_the_event_with_an_old_row_is_down(box):
    box.add("UserRegistered", 301)
    box.add("DeveloperProfileUpdated", 30)
    stale, fresh = checks(
        box,
        {"name": "UserRegistered", "max_age": "5m"},
        {"name": "DeveloperProfileUpdated", "max_age": "5m"},
    )
    found = stale.run()
    assert not found.up
    assert "the limit is 5 min" in found.details["message"]
    assert found.details["pending"] == 1
    assert fresh.run().up
    box.run("UPDATE outbox SET processed_at = created_at")
    assert stale.run().up


def test_exhausted_attempts_are_down_at_any_age(box):
    box.add("UserRegistered", 1, attempts=4)
    assert check(box, max_attempts=5).run().up
    box.add("UserRegistered", 1, attempts=5)
    found = check(box, max_attempts=5).run()
    assert not found.up
    assert found.details["exhausted"] == 1
    assert check(box).run().up


@pytest.mark.parametrize("event", ["O'Brien", 'a"b', "x'; DROP TABLE outbox; --", "naïve ☃", ":bound", "%s"])
def test_names_of_events_are_values_not_sql(box, event):
    with box.engine.begin() as connection:
        insert = text(f"INSERT INTO outbox (event_type, created_at) VALUES (:event, {box.ago(600)})")
        connection.execute(insert, {"event": event})
    found = check(box, name=event).run()
    assert found.details["pending"] == 1
    box.run("SELECT * FROM outbox")


@pytest.mark.parametrize(
    "name", ['outbox"; DROP TABLE outbox; --', "outbox; DROP TABLE outbox", "outbox WHERE 1=1", "(SELECT 1)"]
)
@pytest.mark.parametrize("where", ["table", "schema", "created", "type", "pending"])
def test_names_of_tables_and_columns_are_quoted(box, name, where):
    box.add("UserRegistered", 600)
    changed = {
        "table": {"table": name},
        "schema": {"schema": name},
        "created": {"columns": {"created": name}},
        "type": {"columns": {"type": name}},
        "pending": {"pending": {"column": name}},
    }[where]
    found = check(box, **changed).run()
    assert not found.up
    assert "has no" in found.details["message"] or "cannot be read" in found.details["message"]
    assert check(box).run().details["pending"] == 1


def test_strange_names_work_when_they_are_there(box):
    box.run(
        'DROP TABLE IF EXISTS "Order ""Outbox"""',
        f'CREATE TABLE "Order ""Outbox""" ("Kind" varchar(20), "select" {box.timestamp()}, "done?" int)',
        f'INSERT INTO "Order ""Outbox""" VALUES (\'UserRegistered\', {box.ago(600)}, 0)',
    )
    found = check(
        box,
        table='Order "Outbox"',
        columns={"type": "Kind", "created": "select"},
        pending={"column": "done?", "in": ["0"]},
    ).run()
    assert found.details["pending"] == 1, found.details
    box.run('DROP TABLE "Order ""Outbox"""')


def test_what_is_missing_is_named_at_start_and_later_and_found_again(box):
    absent = check(box, table="out_box").run()
    assert "no table 'out_box'" in absent.details["message"]
    column = check(box, columns={"created": "createdat"}).run()
    assert "no column 'createdat'" in column.details["message"]
    assert "created_at" in column.details["message"]
    kept = check(box)
    assert kept.run().up
    box.run("ALTER TABLE outbox RENAME TO moved")
    assert not kept.run().up
    assert "no table 'outbox'" in kept.run().details["message"]
    box.run("ALTER TABLE moved RENAME TO outbox")
    assert kept.run().up


def test_presets(box):
    stamp = box.timestamp()
    box.run(
        "DROP TABLE IF EXISTS event_publication",
        f"CREATE TABLE event_publication (event_type text, publication_date {stamp}, completion_date {stamp}, "
        "completion_attempts int)",
        f"INSERT INTO event_publication VALUES ('com.example.UserRegistered', {box.ago(400)}, NULL, 1)",
        "DROP TABLE IF EXISTS message",
        "CREATE TABLE message (destination text, published smallint, creation_time bigint)",
        f"INSERT INTO message VALUES ('users', 0, {int(time.time() * 1000) - 400_000})",
        f"INSERT INTO message VALUES ('users', 1, {int(time.time() * 1000) - 900_000})",
    )
    modulith = check(box, outbox="spring-modulith", event_type="com.example.UserRegistered", max_attempts=3).run()
    assert not modulith.up
    assert 400 <= modulith.backlog.oldest_age_s < 460
    tram = check(box, outbox="eventuate-tram", event_type="users").run()
    assert tram.details["pending"] == 1
    assert 395 <= tram.backlog.oldest_age_s < 460


def test_rows_without_a_readable_time_are_said(box):
    box.run("INSERT INTO outbox (event_type) VALUES ('UserRegistered')")
    found = check(box).run()
    assert not found.up
    assert found.details["without_time"] == 1
    assert found.backlog is None


def test_a_status_column_tells_what_is_pending(box):
    box.run("ALTER TABLE outbox ADD COLUMN status varchar(20)")
    box.add("UserRegistered", 600)
    box.run("UPDATE outbox SET status = 'FAILED'")
    pending = {"column": "status", "in": ["NEW", "FAILED"]}
    assert check(box, pending=pending).run().details["pending"] == 1
    assert check(box, pending={"column": "status", "in": ["NEW"]}).run().details["pending"] == 0


def test_timestamps_without_zone_are_utc(postgres_server):
    from tests.health.boxes import Outbox

    box = Outbox(postgres_server.url, "postgresql")
    MADE.append(box)
    box.run(
        "DROP TABLE IF EXISTS naive",
        "CREATE TABLE naive (event_type text, created_at timestamp, processed_at timestamp)",
        "INSERT INTO naive VALUES ('UserRegistered', (now() AT TIME ZONE 'UTC') - interval '10 minutes', NULL)",
    )
    found = check(box, table="naive").run()
    assert 600 <= found.backlog.oldest_age_s < 660
    wrong = check(box, table="naive", columns={"created": "event_type"}).run()
    assert "created_as" in wrong.details["message"]


def test_a_statement_that_takes_too_long_is_ended_by_the_database(postgres_server):
    from tests.health.boxes import Outbox

    box = Outbox(postgres_server.url, "postgresql")
    MADE.append(box)
    box.run(
        "DROP TABLE IF EXISTS busy",
        "CREATE TABLE busy (event_type text, created_at timestamptz, processed_at timestamptz)",
    )
    (asked,) = checks(box, {"name": "UserRegistered", "max_age": "5m", "table": "busy"}, timeout="2s")
    assert asked.run().up
    with box.engine.begin() as holder:
        holder.execute(text("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE"))
        assert "longer than 2 s" in asked.run().details["message"]
    assert asked.run().up


def test_credentials_are_in_no_answer(postgres_server, tmp_path):
    wrong = postgres_server.url.replace("hush-hush", "wr0ng-secret")
    closed = "postgresql+psycopg://kmon:s3cret-word@127.0.0.1:1/postgres?password=other-s3cret"
    for url in (wrong, closed, f"sqlite:///{tmp_path}/absent.db"):
        configuration = {
            "databases": {"main": {"url": {"env": "DATABASE_URL"}}},
            "events": [{"name": "UserRegistered", "max_age": "5m"}],
        }
        settings = parse_settings(json.dumps(configuration), "integrations.yml", {"DATABASE_URL": url}, tmp_path)
        (only,) = make_checks(settings)
        MADE.append(only)
        found = only.run()
        assert not found.up
        assert "main" in found.details["message"]
        for secret in ("wr0ng-secret", "s3cret"):
            assert secret not in json.dumps(found.details)
            assert secret not in repr(settings)
    assert not (tmp_path / "absent.db").exists()


def test_a_database_of_another_kind_is_refused_with_its_place():
    text_ = "databases: {main: {url: 'oracle://h/x'}}\nevents: [{name: A, max_age: 5m}]\n"
    with pytest.raises(HealthConfigError, match=r"integrations.yml:1:19: .*'oracle'"):
        parse_settings(text_, "integrations.yml", {}, None)


def test_connections_do_not_pile_up(postgres_server):
    from tests.health.boxes import Outbox

    box = Outbox(postgres_server.url, "postgresql")
    MADE.append(box)
    box.run(
        "DROP TABLE IF EXISTS outbox",
        "CREATE TABLE outbox (event_type text, created_at timestamptz, processed_at timestamptz)",
    )
    pair = checks(box, *({"name": name, "max_age": "5m"} for name in ("A", "B")))
    threads = [threading.Thread(target=lambda one=one: [one.run() for _ in range(20)]) for one in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with box.engine.connect() as connection:
        count = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kmon-health'")
        ).scalar_one()
    assert count <= 2 + 18  # those of other tests of this session are idle in their pools
