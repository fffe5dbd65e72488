"""An invoice as PDF, the same bytes from any process at any time: nothing in it is the time at which it was written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias
from unicodedata import normalize
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import CondPageBreak, Image, KeepTogether, Paragraph, SimpleDocTemplate, Spacer, Table

from aiplatform_hub.domain.invoice_document import DocumentGroup, DocumentLine, DocumentParty, InvoiceDocument, document_of
from aiplatform_hub.domain.invoices import Invoice

FONTS = Path(__file__).parent / "fonts"
REGULAR, BOLD = "NotoSans", "NotoSans-Bold"
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a character that the font does not have."""
SIDE, TOP, BOTTOM = 20 * mm, 18 * mm, 20 * mm
WIDTH = A4[0] - 2 * SIDE
LOGO = (60 * mm, 18 * mm)
"""Largest width and height of a logo."""
COLUMNS = tuple(share * WIDTH for share in (0.055, 0.295, 0.165, 0.115, 0.095, 0.12, 0.155))
"""Widths of the table's columns."""
HEADINGS = ("", "What", "Quantity", "List price", "Discount", "Unit price", "Amount")
INK, FAINT, LINE, BAND = (HexColor(colour) for colour in ("#1f2328", "#59636e", "#c5ccd3", "#f3f5f7"))
_ONE_AT_A_TIME = Lock()
"""ReportLab's fonts are shared by all documents of a process."""
_Flowables: TypeAlias = Iterator[Any]


def invoice_pdf(invoice: Invoice) -> bytes:
    """Return the PDF; of an invoice that was issued always the same bytes, whatever became of it since."""
    document, stream = document_of(invoice), BytesIO()
    with _ONE_AT_A_TIME:
        _register_fonts()
        template = SimpleDocTemplate(
            stream,
            pagesize=A4,
            leftMargin=SIDE - 6,
            rightMargin=SIDE - 6,
            topMargin=TOP,
            bottomMargin=BOTTOM,
            title=document.title,
            author=document.seller.name,
            subject=f"{document.title}, {document.buyer.name}",
            creator="AI Platform Hub",
            lang="en",
            invariant=1,
            pageCompression=1,
        )
        below = _draft_mark if document.is_draft else _nothing
        template.build(list(_story(document)), below, below, canvasmaker=lambda *args, **kwargs: _Pages(document, *args, **kwargs))
    return stream.getvalue()


class _Pages(Canvas):  # type: ignore[misc]  # ReportLab has no types
    """Counts its pages first, so that each says of how many it is one."""

    def __init__(self, document: InvoiceDocument, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._document, self._states = document, list[dict[str, Any]]()
        # It has no other way to say when a document is from, and makes the file's id of the time and the environment otherwise.
        self._doc.signature = sha256(document.title.encode())
        stamp = self._doc._timeStamp  # noqa: SLF001
        stamp.t, stamp.lt = document.dated_at.timestamp(), document.dated_at.timetuple()
        stamp.YMDhms, stamp.dhh, stamp.dmm, stamp.tzname = stamp.lt[:6], 0, 0, "UTC"

    def showPage(self) -> None:  # noqa: N802 - ReportLab's
        self._states.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, state in enumerate(self._states, 1):
            self.__dict__.update(state)
            self._foot(number, len(self._states))
            super().showPage()
        super().save()

    def _foot(self, number: int, count: int) -> None:
        self.setFillColor(FAINT)
        self.setFont(REGULAR, 7.5)
        self.drawString(SIDE, 11 * mm, _known(f"{self._document.title} · {self._document.seller.name}")[:110])
        self.drawRightString(A4[0] - SIDE, 11 * mm, f"Page {number} of {count}")


def _draft_mark(canvas: Canvas, template: Any) -> None:  # noqa: ARG001 - ReportLab's
    canvas.saveState()
    canvas.setFillColor(BAND)
    canvas.setFont(BOLD, 100)
    canvas.translate(A4[0] / 2, A4[1] / 2 - 60 * mm)
    canvas.rotate(40)
    canvas.drawCentredString(0, 0, "DRAFT")
    canvas.restoreState()


def _nothing(canvas: Canvas, template: Any) -> None:
    pass


def _story(document: InvoiceDocument) -> _Flowables:
    yield _head(document)
    yield Spacer(1, 9 * mm)
    yield Table([[_buyer(document.buyer), _facts(document)]], colWidths=[WIDTH * 0.55, WIDTH * 0.45], style=_BARE)
    yield Spacer(1, 9 * mm)
    yield Paragraph(_text(document.title), _style(size=17, font=BOLD, leading=22))
    yield Spacer(1, 4 * mm)
    yield _lines(document)
    yield Spacer(1, 3 * mm)
    yield KeepTogether([_sums(document), Spacer(1, 8 * mm)])
    yield CondPageBreak(30 * mm)
    for note in document.notes:
        yield Paragraph(_text(note), _style(size=8.5, leading=12, after=3, colour=FAINT))


def _head(document: InvoiceDocument) -> Table:
    seller = document.seller
    name = [Paragraph(_text(seller.name), _style(size=10, font=BOLD, align=TA_RIGHT))]
    below = [Paragraph(_text(line), _style(size=8.5, leading=11.5, align=TA_RIGHT, colour=FAINT)) for line in seller.lines]
    return Table([[_logo(seller.logo), [*name, *below]]], colWidths=[WIDTH * 0.45, WIDTH * 0.55], style=_BARE)


def _logo(content: bytes) -> Any:
    if not content:
        return ""
    picture = Image(BytesIO(content), hAlign="LEFT")
    scale = min(LOGO[0] / picture.imageWidth, LOGO[1] / picture.imageHeight)
    picture.drawWidth, picture.drawHeight = picture.imageWidth * scale, picture.imageHeight * scale
    return picture


def _buyer(buyer: DocumentParty) -> list[Paragraph]:
    to = Paragraph("To", _style(size=7.5, leading=11, colour=FAINT))
    return [to, Paragraph(_text(buyer.name), _style(font=BOLD)), *(Paragraph(_text(line), _style()) for line in buyer.lines)]


def _facts(document: InvoiceDocument) -> Table:
    rows = [[Paragraph(_text(name), _style(size=8.5, colour=FAINT)), Paragraph(_text(value), _style(size=9))] for name, value in document.facts]
    return Table(rows, colWidths=[WIDTH * 0.15, WIDTH * 0.30], style=[*_BARE, ("BOTTOMPADDING", (0, 0), (-1, -1), 1)])


def _lines(document: InvoiceDocument) -> Table:
    right, small = _style(size=8.5, align=TA_RIGHT), _style(size=7.5, leading=10, font=BOLD, align=TA_RIGHT, colour=FAINT)
    left = _style(size=7.5, leading=10, font=BOLD, colour=FAINT)
    amount = f"Amount, {document.currency}"
    rows: list[list[Any]] = [[Paragraph(_text(word), left if at < 2 else small) for at, word in enumerate((*HEADINGS[:-1], amount))]]  # noqa: PLR2004
    style: list[Any] = [*_BARE, ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK), ("TOPPADDING", (0, 1), (-1, -1), 3), ("BOTTOMPADDING", (0, 0), (-1, -1), 4)]
    for group in document.groups:
        style += [
            ("BACKGROUND", (0, len(rows)), (-1, len(rows)), BAND),
            ("SPAN", (0, len(rows)), (5, len(rows))),
            ("NOSPLIT", (0, len(rows)), (0, len(rows) + 1)),
        ]
        rows.append(_heading(group))
        for line in group.lines:
            rows.append(_line(line, right))
            style.append(("LINEBELOW", (0, len(rows) - 1), (-1, len(rows) - 1), 0.4, LINE))
    return Table(rows, colWidths=COLUMNS, repeatRows=1, style=style)


def _heading(group: DocumentGroup) -> list[Any]:
    amount = Paragraph(group.amount, _style(size=8.5, font=BOLD, align=TA_RIGHT))
    return [Paragraph(_text(group.heading), _style(size=8.5, font=BOLD)), "", "", "", "", "", amount]


def _line(line: DocumentLine, right: ParagraphStyle) -> list[Any]:
    what = [Paragraph(_text(line.what), _style(size=8.5)), Paragraph(_text(line.detail), _style(size=7, leading=9.5, colour=FAINT))]
    quantity = [Paragraph(line.quantity, right), Paragraph(line.unit, _style(size=7, leading=9.5, colour=FAINT, align=TA_RIGHT))]
    rest = [Paragraph(text, right) for text in (line.list_price, line.discount, line.price, line.amount)]
    return [Paragraph(line.position, _style(size=8.5, colour=FAINT)), what, quantity, *rest]


def _sums(document: InvoiceDocument) -> Table:
    rows = [[Paragraph(_text(word), _style(size=9)), Paragraph(amount, _style(size=9, align=TA_RIGHT))] for word, amount in document.sums]
    total = f"{document.total_word}, {document.currency}"
    rows.append([Paragraph(_text(total), _style(size=11, font=BOLD)), Paragraph(document.total, _style(size=11, font=BOLD, align=TA_RIGHT))])
    style = [*_BARE, ("LINEABOVE", (0, -1), (-1, -1), 0.8, INK), ("TOPPADDING", (0, -1), (-1, -1), 4), ("BOTTOMPADDING", (0, 0), (-1, -1), 3)]
    return Table(rows, colWidths=[WIDTH * 0.27, WIDTH * 0.18], hAlign="RIGHT", style=style)


_BARE: tuple[Any, ...] = (
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (0, -1), 0),
    ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 0),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
)


@cache
def _style(  # noqa: PLR0913  keyword-only
    *, size: float = 9.5, leading: float | None = None, font: str = REGULAR, align: int = 0, colour: Any = INK, after: float = 0
) -> ParagraphStyle:
    return ParagraphStyle("", fontName=font, fontSize=size, leading=leading or size * 1.35, alignment=align, textColor=colour, spaceAfter=after)


@cache
def _register_fonts() -> None:
    for name, file in ((REGULAR, "NotoSans-Regular.ttf"), (BOLD, "NotoSans-Bold.ttf")):
        pdfmetrics.registerFont(TTFont(name, FONTS / file))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)


def _text(text: str) -> str:
    """Return a text as a paragraph takes it: no mark-up in it counts."""
    return escape(_known(text))


def _known(text: str) -> str:
    glyphs = pdfmetrics.getFont(REGULAR).face.charToGlyph
    return "".join(letter if ord(letter) in glyphs else UNKNOWN for letter in normalize("NFC", text))
