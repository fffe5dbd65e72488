"""Reports as files that go out: written to disk first, then sent piece by piece.

So memory stays flat, a failure is an answer and not half a file, and a slow reader holds no transaction open.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.reports.formats import FORMATS

if TYPE_CHECKING:
    from aiplatform_hub.services.platform.base import PlatformHandler

PIECE_BYTES = 256 * 1024


async def send_report(handler: PlatformHandler, query: ReportQuery) -> None:
    """Answer a request with a report.

    Raises
    ------
    AIPlatformError
        If the question is wrong or the database does not answer; nothing is sent then.
    """
    reporter = handler.platform.factory.charge_reporter
    with await handler.platform.run(written, lambda file: reporter.write(query, file)) as file:
        handler.set_header("Content-Type", FORMATS[query.format].media_type)
        handler.set_header("Content-Disposition", f'attachment; filename="{query.file_name}"')
        await send_pieces(handler, file)


async def send_pieces(handler: PlatformHandler, file: IO[bytes]) -> None:
    """Answer a request with a file that is open, piece by piece."""
    while piece := await handler.platform.run(file.read, PIECE_BYTES):
        handler.write(piece)
        await handler.flush()
    await handler.finish()


def written(write: Callable[[IO[bytes]], object]) -> IO[bytes]:
    """Return a file without a name that was written, to be read from its begin. Blocks; the caller closes it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        write(file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
