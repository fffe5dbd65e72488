import shutil

import pytest

from tests.support.machine import Machine


@pytest.fixture
def machine():
    made = Machine()
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)
