"""The bundled service with its false pages, replayed once."""

import pytest

from kmon_analysis.incidents import read_incidents
from kmon_analysis.labelling.review import questions
from kmon_analysis.rules.reader import read_rules
from kmon_analysis.sources.files import open_history
from kmon_analysis.workflow import backtest
from tests.tools import REPOSITORY

SERVICE = REPOSITORY / "data" / "user-service"


@pytest.fixture(scope="session")
def service():
    return backtest(read_rules(SERVICE / "rules.yml"), open_history(SERVICE), read_incidents(SERVICE / "incidents.yml"))


@pytest.fixture(scope="session")
def asked(service):
    return questions(service)
