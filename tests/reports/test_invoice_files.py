"""An invoice as PDF, page and CSV: the lines, to the digit, and the same bytes from any process at any time."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest
from pypdf import PdfReader

from aiplatform_hub.domain.invoice_document import InvoiceDocument, document_of
from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.reports.invoice_html import html_policy, invoice_html
from aiplatform_hub.reports.invoice_pdf import UNKNOWN, invoice_pdf
from tests.support.invoices import LAB, SELLER, credited, draft, invoice, picture

HASHES = """
import hashlib, time
now = time.time
time.time = lambda: now() + {later}
from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from tests.support.invoices import credited, invoice
for one in (invoice(), credited()):
    for each in INVOICE_FORMATS.values():
        print(each.ending, hashlib.sha256(each.write(one)).hexdigest())
"""


def pages(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


def dense(text: str) -> str:
    return re.sub(r"\s", "", text)


def words(document: InvoiceDocument):
    """Yield what a reader has to find, in order."""
    yield from (document.seller.name, *document.seller.lines, document.buyer.name, *document.buyer.lines)
    for fact in document.facts:
        yield from fact
    yield document.title
    for group in document.groups:
        yield from (group.heading, group.amount)
        for line in group.lines:
            yield from (line.position, line.what, line.detail, line.quantity, line.unit, line.list_price, line.discount, line.price, line.amount)
    for pair in (*document.sums, (f"{document.total_word}, {document.currency}", document.total)):
        yield from pair
    yield from document.notes


def in_order(text: str, wanted) -> None:
    at = 0
    for word in map(dense, wanted):
        found = text.find(word, at)
        assert found >= 0, f"{word} is not after {text[max(at - 60, 0) : at]}"
        at = found + len(word)


@pytest.mark.parametrize("make", [invoice, credited, draft, lambda: invoice(months=12)])
def test_a_pdf_says_every_word_and_number_in_order(make):
    one = make()
    content = invoice_pdf(one)
    in_order(dense("".join(pages(content))), words(document_of(one)))
    assert content == invoice_pdf(one)


def test_each_page_of_a_long_one_has_headings_and_says_which_it_is():
    found = pages(invoice_pdf(invoice(months=12)))
    assert len(found) > 3
    for number, text in enumerate(found, 1):
        assert f"Page {number} of {len(found)}" in text
        assert "Invoice UE-2026-00017 · University of Example" in text
    assert all("Unit price" in text for text in found[:-1])


def test_only_a_draft_is_marked_as_one():
    assert "DRAFT" in pages(invoice_pdf(draft()))[0]
    assert "DRAFT" not in "".join(pages(invoice_pdf(invoice())))
    assert b"Draft: it has no number" in invoice_html(draft())
    assert b"Draft" not in invoice_html(invoice())


def test_its_date_is_that_of_the_issue_and_its_fonts_are_inside():
    reader = PdfReader(io.BytesIO(invoice_pdf(invoice())))
    assert reader.metadata["/CreationDate"] == "D:20261201093000+00'00'"
    assert (reader.metadata.title, reader.metadata.author) == ("Invoice UE-2026-00017", "University of Example")
    fonts = reader.pages[0]["/Resources"]["/Font"].values()
    used = {font.get_object()["/BaseFont"]: "/FontFile2" in font.get_object().get("/FontDescriptor", {}) for font in fonts}
    assert {name.partition("+")[2] for name, is_inside in used.items() if is_inside} == {"NotoSans-Regular", "NotoSans-Bold"}


def test_letters_that_the_font_lacks_are_marked_and_mark_up_is_text():
    odd = replace(LAB, display_name="Łódź <b>&amp; Ωμέγα Дубна 研", address=("x" * 200,))
    text = dense("".join(pages(invoice_pdf(invoice(buyer=odd)))))
    assert dense(f"Łódź <b>&amp; Ωμέγα Дубна {UNKNOWN}") in text
    assert "x" * 200 in text


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_logo_is_in_the_pdf_and_in_the_page(kind):
    one = invoice(replace(SELLER, logo=picture(kind)))
    assert len(PdfReader(io.BytesIO(invoice_pdf(one))).pages[0].images) == 1
    assert f"data:image/{kind.lower()};base64,{b64encode(picture(kind)).decode()}".encode() in invoice_html(one)
    assert b"<img" not in invoice_html(invoice(replace(SELLER, logo=b"")))


def test_a_page_says_the_same_and_runs_nothing():
    odd = replace(LAB, display_name="<script>alert(1)</script>")
    html = invoice_html(invoice(buyer=odd)).decode()
    assert "<script" not in html
    text = dense(re.sub(r"<[^>]+>", "", re.sub(r"<style>.*?</style>", "", html[html.index("<body>") :], flags=re.DOTALL)).replace("&#39;", "'"))
    in_order(text, (word.replace("<", "&lt;").replace(">", "&gt;") for word in words(document_of(invoice(buyer=odd)))))
    (style,) = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in html_policy()
    assert "style=" not in html, "which the policy forbids"


def test_files_are_the_same_from_another_process_a_year_later_and_elsewhere():
    made = []
    for later, seed, zone, epoch in ((0, "1", "UTC", ""), (366 * 86400, "2", "Asia/Tokyo", "1000000000")):
        around = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "SOURCE_DATE_EPOCH": epoch}
        program = [sys.executable, "-c", HASHES.format(later=later)]
        made.append(subprocess.run(program, env=around, capture_output=True, text=True, check=True).stdout)
    assert made[0] == made[1]
    assert made[0].count("\n") == 2 * len(INVOICE_FORMATS)


def test_files_are_called_by_their_number():
    assert [each.file_name(invoice()) for each in INVOICE_FORMATS.values()] == [f"UE-2026-00017.{ending}" for ending in ("pdf", "html", "xml", "csv", "json")]
    assert INVOICE_FORMATS["pdf"].file_name(draft()) == "draft-lab-2026-11.pdf"
