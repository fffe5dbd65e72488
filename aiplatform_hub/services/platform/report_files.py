"""Reports as files that go out: written to disk first, then sent piece by piece.

So memory stays flat, a failure is an answer and not half a file, and a slow reader holds no transaction open.
"""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.reports.formats import FORMATS

if TYPE_CHECKING:
    from aiplatform_hub.factory import Factory
    from aiplatform_hub.services.platform.base import PlatformHandler

PIECE_BYTES = 256 * 1024


async def send_report(handler: PlatformHandler, query: ReportQuery) -> None:
    """Answer a request with a report.

    Raises
    ------
    AIPlatformError
        If the question is wrong or the database does not answer; nothing is sent then.
    """
    run = handler.platform.run
    with await run(_written, handler.platform.factory, query) as file:
        handler.set_header("Content-Type", FORMATS[query.format].media_type)
        handler.set_header("Content-Disposition", f'attachment; filename="{query.file_name}"')
        while piece := await run(file.read, PIECE_BYTES):
            handler.write(piece)
            await handler.flush()
    await handler.finish()


def _written(factory: Factory, query: ReportQuery) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        factory.charge_reporter.write(query, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
