"""The keeper as it is, with a clock that is wrong by so many seconds: ``jumping_keeper.py SECONDS [options of the keeper]``."""

import sys
from datetime import timedelta

from aiplatform_hub import factory
from aiplatform_hub.services.keeper.__main__ import main

if __name__ == "__main__":
    offset = timedelta(seconds=int(sys.argv.pop(1)))
    honest = factory.utc_now
    factory.Factory.__init__.__defaults__ = (lambda: honest() + offset,)
    sys.exit(main())
