"""Fresh processes with Numba, which no kernel of ours was loaded into: forks, since Numba takes a second."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

SERVER = """
import json, os, sys, tempfile, traceback
import numba, numpy
import zstruct.jit.compiler

numba.njit(lambda x: x + 1)(1)
assert "zstruct.layouts.kernels" not in sys.modules

def begun(code, environment):
    file = tempfile.TemporaryFile()
    child = os.fork()
    if child == 0:
        os.dup2(file.fileno(), 2)
        status = 1
        try:
            os.environ.update(environment)
            exec(code, {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)
    return child, file

for line in sys.stdin:
    answers = []
    for child, file in [begun(*each) for each in json.loads(line)]:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        file.seek(0)
        answers.append((status, file.read().decode()))
    print(json.dumps(answers), flush=True)
"""


@dataclass
class Fresh:
    """Runs code in fresh processes."""

    server: subprocess.Popen

    def errors(self, code, n=1, **environment):
        """Return what code prints to its error stream in each of `n` processes at once."""
        asked = [(textwrap.dedent(code), {**os.environ, **environment})] * n
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        answers = json.loads(self.server.stdout.readline())
        for status, said in answers:
            assert status == 0, said
        return [said for _, said in answers]


@pytest.fixture(scope="session")
def fresh():
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Fresh(server)
