"""Random crashes are repeatable: the seed is printed, and ``AIPLATFORM_FAULT_SEED`` sets it."""

import os
import random
import shutil
import sys

import pytest

from tests.support.machine import Machine


@pytest.fixture
def seed():
    value = int(os.environ.get("AIPLATFORM_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed: AIPLATFORM_FAULT_SEED={value}", file=sys.__stderr__)
    return value


@pytest.fixture
def machine():
    made = Machine(gpus=8)
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)
