import pytest

from tests.health import postgres
from tests.health.boxes import Outbox


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    with postgres.running(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def box(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'out box?.db'}"
    else:
        url = request.getfixturevalue("postgres_server").url
    made = Outbox(url, request.param)
    made.run(
        "DROP TABLE IF EXISTS outbox",
        f"CREATE TABLE outbox (event_type varchar(200), payload text, created_at {made.timestamp()}, "
        f"processed_at {made.timestamp()}, attempts int)",
    )
    yield made
    made.close()
