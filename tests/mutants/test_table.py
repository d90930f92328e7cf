"""The table of planted faults fits the code as it is."""

import pytest

from tests.mutants.table import TABLE
from tests.tools import REPOSITORY


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.what)
def test_the_text_occurs_once(mutant):
    text = (REPOSITORY / "kmon_analysis" / mutant.file).read_text()
    assert text.count(mutant.old) == 1
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")


def test_faults_have_names_of_their_own():
    assert len({mutant.what for mutant in TABLE}) == len(TABLE) >= 30
