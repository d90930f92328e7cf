"""`kmon health serve` as a process."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


class Process:
    """`kmon health serve` as a process of its own."""

    def __init__(self, folder, config):
        path = folder / "integrations.yml"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "kmon_analysis.cli", "health", "serve", "--config", str(path)]
        self.log = folder / "serve.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.url = self._address()

    def _address(self):
        began = time.monotonic()
        while "listening on" not in (said := self.log.read_text()):
            assert self.process.poll() is None, said
            assert time.monotonic() - began < 120, said
            time.sleep(0.05)
        return re.search(r"listening on (http://\S+): ", said)[1]

    def get(self, path="/health/integrations"):
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def until(self, status):
        """Ask until the answer has this status: the first connection may take long on a busy machine."""
        began = time.monotonic()
        while (answer := self.get())[0] != status:
            assert time.monotonic() - began < 60, answer
        return answer[1]

    def threads(self):
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
