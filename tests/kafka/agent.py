"""The real JMX exporter: one virtual machine with the agent, which is given one configuration after the other."""

import http.client
import os
import re
import subprocess
import time
from pathlib import Path

from kmon_analysis.kafka.mbeans import kafka_table
from tests.prometheus_server import free_port
from tests.tools import require

HERE = Path(__file__).parent
SECONDS = 300

LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)\Z")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|\Z)')
RELOADS = "jmx_config_reload_success_total", "jmx_config_reload_failure_total"


def table_text(beans):
    """Write MBeans as Beans.java reads them."""
    lines = [
        "\t".join(
            [
                bean.object_name,
                "/".join([*attribute.keys, attribute.name]),
                type(attribute.value).__name__,
                str(attribute.value),
            ]
        )
        for bean in beans
        for attribute in bean.attributes
    ]
    return "\n".join(lines) + "\n"


def unescape(text):
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


def parse_exposition(text):
    """Return {name: (type, help, {labels: value})}; repeated series fail."""
    families, name = {}, None
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            family = families.setdefault(name, [None, None, {}])
            family[word == "HELP"] = unescape(rest) if word == "HELP" else rest
        else:
            found = LINE.match(line)
            labels = tuple(sorted((key, unescape(value)) for key, value in LABEL.findall(found[2] or "")))
            rows = families[name][2]
            key = (found[1], labels)
            assert key not in rows, line
            rows[key] = float(found[3])
    return families


class Agent:
    """A running agent."""

    def __init__(self, folder):
        self.config = folder / "jmx.yml"
        self.config.write_text("rules: []\n", encoding="utf-8")
        self.stamp = time.time()
        table = folder / "table.tsv"
        table.write_text(table_text(kafka_table().beans), encoding="utf-8")
        jar = require("jmx")
        self.log = (folder / "agent.log").open("w+", encoding="utf-8")
        for _ in range(5):
            self.port = free_port()
            self.process = subprocess.Popen(
                [
                    str(require("java")),
                    "-XX:TieredStopAtLevel=1",
                    "-XX:+UseSerialGC",
                    f"-javaagent:{jar}=127.0.0.1:{self.port}:{self.config}",
                    str(HERE / "Beans.java"),
                    str(table),
                    str(SECONDS),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
            )
            # The port may have been taken in between: then the agent ends and prints nothing.
            if self.process.stdout.readline().strip() == "ready":
                break
            self.close_process()
        else:
            self.log.seek(0)
            raise AssertionError(self.log.read())
        self.counts = self.reloads(self.get()[1])

    def get(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    @staticmethod
    def reloads(text):
        return [float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1]) for name in RELOADS]

    def load(self, text):
        """Give it a configuration; return the HTTP status and the answer, or None where it refuses to load."""
        self.write(text)
        status, answer = self.get()
        if status != 200:
            return status, answer
        # What a scrape finds out about itself shows in the next one.
        answer = self.get()[1]
        before, self.counts = self.counts, self.reloads(answer)
        if self.counts[1] == before[1]:
            return status, answer
        # It would try again at every scrape.
        self.write("rules: []\n")
        self.get()
        self.counts = self.reloads(self.get()[1])
        return None

    def write(self, text):
        self.config.write_text(text, encoding="utf-8")
        self.stamp += 5
        os.utime(self.config, (self.stamp, self.stamp))

    def close_process(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def close(self):
        self.close_process()
        self.log.close()
