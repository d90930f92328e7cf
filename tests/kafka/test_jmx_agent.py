"""The real agent judges what the replay says: names, types, labels, values and help."""

import functools
import random
import re

import pytest

from kmon_analysis.errors import DataFileError
from kmon_analysis.kafka.jmx_config import parse_jmx_config
from kmon_analysis.kafka.jmx_replay import replay
from kmon_analysis.kafka.mbeans import kafka_table
from tests.kafka.agent import Agent, parse_exposition
from tests.kafka.configs import ODD, OURS, random_config

RANDOM = {f"random {seed}": random_config(random.Random(seed)) for seed in range(30)}
OWN = ("jmx_", "jvm_", "process_")


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    running = Agent(tmp_path_factory.mktemp("agent"))
    yield running
    running.close()


@functools.cache
def predicted(text):
    """Return what the replay expects of the agent: a kind of outcome, and the families."""
    try:
        config = parse_jmx_config(text)
    except DataFileError:
        return "refused", None
    done = replay(config, kafka_table().beans)
    families = {
        family.name: (
            family.kind,
            {sample.help for _, sample in family.rows},
            {(family.name, labels): sample.value for labels, sample in family.rows},
        )
        for family in done.families
    }
    # After an exception in a rule, what had been read before is exported: that hangs on the order of a hash table.
    if any(not each.whole for each in done.breaks):
        return "broken", families
    return ("error" if done.breaks else "fine"), families


def judged(agent, text):
    answer = agent.load(text)
    if answer is None:
        return "refused", None
    status, body = answer
    if status != 200:
        return "error", None
    families = {name: each for name, each in parse_exposition(body).items() if not name.startswith(OWN)}
    broken = re.search(r"^jmx_scrape_error (\S+)$", body, re.MULTILINE)[1] != "0.0"
    return ("broken" if broken else "fine"), families


@pytest.mark.parametrize("name", [*OURS, *ODD, *RANDOM])
def test_the_replay_says_what_the_agent_does(agent, name):
    text = {**OURS, **ODD, **RANDOM}[name]
    outcome, ours = predicted(text)
    found, theirs = judged(agent, text)
    if outcome == "broken":
        assert found in ("broken", "error")
        return
    assert found == outcome
    if outcome != "fine":
        return
    assert {name: (kind, rows) for name, (kind, _, rows) in ours.items()} == {
        name: (kind, rows) for name, (kind, _, rows) in theirs.items()
    }
    for name, (_, helps, _) in ours.items():
        # Which attribute's help a family gets hangs on the order of a hash table.
        if None not in helps:
            assert theirs[name][1] in helps


def test_the_random_ones_are_of_every_kind():
    outcomes = [predicted(text)[0] for text in RANDOM.values()]
    assert set(outcomes) >= {"fine", "broken", "error"}
    assert outcomes.count("fine") >= 15


def test_the_agent_has_no_metrics_that_the_table_does_not_know(agent):
    agent.load("rules: []")
    names = set()
    for name, (kind, _, _) in parse_exposition(agent.get()[1]).items():
        names.add(re.sub("_(?:total|info|created)$", "", name) if kind == "counter" or name.endswith("_info") else name)
    assert {re.sub("_created$", "", name) for name in names} - kafka_table().own == set()
