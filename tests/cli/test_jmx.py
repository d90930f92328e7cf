"""``kmon jmx init`` and ``kmon jmx lint``."""

import json
import os

import pytest

from kmon_analysis.kafka.jmx_init import jmx_configuration
from kmon_analysis.kafka.mbeans import kafka_table
from tests.cli.conftest import spawned, tree
from tests.kafka.configs import FOUNDING


@pytest.mark.parametrize("options", [(), ("--idiomatic",)])
def test_what_init_writes_passes_lint(kmon, tmp_path, options):
    target = tmp_path / "new" / "jmx.yml"
    done = kmon("jmx", "init", *options, "-o", target)
    assert (done.status, done.out, done.err) == (0, "", f"written: {target}\n")
    assert target.read_text() == jmx_configuration(idiomatic=bool(options))
    assert kmon("jmx", "init", *options).out == target.read_text()
    checked = kmon("jmx", "lint", target)
    assert checked.status == 0
    assert checked.out.endswith("no faults, no notes\n")


def test_init_overwrites_nothing_and_leaves_nothing_half(kmon, tmp_path):
    target = tmp_path / "jmx.yml"
    target.write_text("mine")
    for taken in (target, tmp_path):
        before = tree(tmp_path)
        assert "is there already" in kmon("jmx", "init", "-o", taken).refused()
        assert tree(tmp_path) == before
    below = target / "jmx.yml"
    assert "cannot be written" in kmon("jmx", "init", "-o", below).refused()
    assert "null" in kmon("jmx", "init", "-o", tmp_path / "\0").refused()
    assert tree(tmp_path) == before


def test_init_without_links(kmon, tmp_path, monkeypatch):
    def none(*names):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", none)
    target = tmp_path / "jmx.yml"
    assert kmon("jmx", "init", "-o", target).status == 0
    assert "is there already" in kmon("jmx", "init", "--idiomatic", "-o", target).refused()
    assert tree(tmp_path) == {target.relative_to(tmp_path): jmx_configuration().encode()}


def test_lint_tells_faults_by_line_and_exits_with_1(kmon, tmp_path):
    file = tmp_path / "jmx.yml"
    file.write_text(FOUNDING)
    done = kmon("jmx", "lint", file)
    assert done.status == 1
    assert f"fault: {file}:5:14: rule 2 is never reached" in done.out
    assert "  Move it before line 3." in done.out
    assert done.out.endswith("9 faults, 1 note\n")
    data = json.loads(kmon("jmx", "lint", file, "--json").out)
    assert data["exporter"] == "1.0"
    assert sorted(data) == ["exporter", "file", "findings", "lost", "series"]
    assert sum(each["severity"] == "fault" for each in data["findings"]) == 9
    assert {"name": "kafka_server_ReplicaManager_LeaderCount", "type": "untyped", "line": 3}.items() <= next(
        row.items() for row in data["series"] if row["name"].endswith("LeaderCount")
    )
    assert sum(row["count"] for row in data["series"]) + sum(loss["count"] for loss in data["lost"]) == sum(
        len(bean.attributes) for bean in kafka_table().beans
    )


def test_lint_refuses_with_one_error(kmon, tmp_path):
    file = tmp_path / "jmx.yml"
    file.write_text("rules: [{pattern: '(', name: x}, {name: y}]\n")
    words = kmon("jmx", "lint", file).refused()
    assert ":1:20: rule 1: unclosed group" in words
    assert "rule 2 has a name and no pattern" in words
    assert "there is no such file" in kmon("jmx", "lint", tmp_path / "none").refused()
    assert "this is a directory" in kmon("jmx", "lint", tmp_path).refused()
    assert "--exporter-version" in kmon("jmx", "lint", file, "--exporter-version", "0.20").refused()
    assert "\\x1b[31m" in kmon("jmx", "lint", tmp_path / "\x1b[31m").refused()


def test_names_in_a_configuration_cannot_steer_a_terminal(kmon, tmp_path):
    file = tmp_path / "jmx.yml"
    file.write_text('rules: [{pattern: "name=LeaderCount><>V", name: x, labels: {a: "\\e[31m"}, "\\e[0m": 1}]\n')
    done = kmon("jmx", "lint", file)
    assert done.status == 1
    assert "\x1b" not in done.out + done.err
    assert "\x1b" not in kmon("jmx", "lint", file, "--json").out


def test_the_verbs_as_a_real_process():
    done = spawned("jmx", "--help")
    assert done.status == 0
    assert "init" in done.out
    assert "lint" in done.out
    assert spawned("jmx", "init").out == jmx_configuration()
