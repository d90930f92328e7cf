import asyncio
import threading

import pytest

from kmon_analysis.health.outcome import Outcome, Redaction, body, http_status
from kmon_analysis.health.probe import Prober


class Scripted:
    """A check that waits for a gate."""

    def __init__(self, name="a", deadline_ms=60_000, gate=None, error=None):
        self.name, self.deadline_ms = name, deadline_ms
        self.gate, self.error = gate, error
        self.runs = 0
        self.closed = False

    def run(self):
        self.runs += 1
        if self.gate is not None:
            self.gate.wait()
        if self.error is not None:
            raise self.error
        return Outcome(self.name, True, {"run": self.runs})

    def close(self):
        self.closed = True


def test_simultaneous_requests_share_one_probe():
    gate = threading.Event()
    check = Scripted(gate=gate)
    prober = Prober([check])

    async def many():
        asking = [asyncio.create_task(prober.outcomes()) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*asking)

    answers = asyncio.run(many())
    assert check.runs == 1
    assert {answer[0].details["run"] for answer in answers} == {1}
    assert asyncio.run(prober.outcomes())[0].details["run"] == 2


def test_a_hang_costs_each_request_its_deadline_and_one_thread_in_all():
    gate = threading.Event()
    hung, well = Scripted("hung", 30, gate), Scripted("well")
    prober = Prober([hung, well])
    before = threading.active_count()

    async def again():
        return [await prober.outcomes() for _ in range(20)]

    for outcomes in asyncio.run(again()):
        assert outcomes[0].details == {"message": "timeout of 30ms exceeded"}
        assert not outcomes[0].up
        assert outcomes[1].up
    assert hung.runs == 1
    assert threading.active_count() - before == 1
    gate.set()
    hung.deadline_ms = 60_000
    assert asyncio.run(prober.outcomes())[0].up


def test_a_hang_gathers_nothing_while_it_lasts():
    gate = threading.Event()
    prober = Prober([Scripted("hung", 1, gate)])

    async def again():
        for _ in range(200):
            await prober.outcomes()
        (worker,) = prober._workers
        return len(worker._attempt._done_callbacks)

    assert asyncio.run(again()) == 1
    gate.set()


def test_a_client_that_goes_away_does_not_end_the_probe_for_others():
    gate = threading.Event()
    prober = Prober([Scripted(gate=gate)])

    async def two():
        leaving, staying = (asyncio.create_task(prober.outcomes()) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        gate.set()
        return await staying

    assert asyncio.run(two())[0].up


def test_an_unexpected_error_is_that_checks_down_and_its_secrets_stay_hidden(caplog):
    broken = Scripted("broken", error=ZeroDivisionError("at postgresql://u:pw-1@h and pw-2"))
    prober = Prober([broken, Scripted("well")], Redaction(("pw-2",)))
    first, second = asyncio.run(prober.outcomes())
    assert first.details == {"message": "unexpected error: ZeroDivisionError"}
    assert second.up
    assert "pw-" not in caplog.text
    assert "***" in caplog.text


def test_answers_are_those_of_terminus():
    up, down = Outcome("kafka", True, {"brokers": 3}), Outcome("UserRegistered", False, {"message": "old"})
    entry_up, entry_down = {"status": "up", "brokers": 3}, {"status": "down", "message": "old"}
    assert body([up]) == {"status": "ok", "info": {"kafka": entry_up}, "error": {}, "details": {"kafka": entry_up}}
    assert body([up, down]) == {
        "status": "error",
        "info": {"kafka": entry_up},
        "error": {"UserRegistered": entry_down},
        "details": {"kafka": entry_up, "UserRegistered": entry_down},
    }
    leaving = body([up], shutting_down=True)
    assert leaving == {**body([up]), "status": "shutting_down"}
    assert [http_status(answer) for answer in (body([up]), body([down]), leaving)] == [200, 503, 503]


@pytest.mark.parametrize("said", ["line\nhush second", "", "\x1b[31mred", "x" * 10_000])
def test_words_of_drivers_are_tamed(said):
    told = Redaction(("hush",))(said)
    assert "hush" not in told
    assert "\x1b" not in told
    assert len(told) <= 300
