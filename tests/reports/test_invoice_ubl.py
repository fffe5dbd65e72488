"""An e-invoice holds to the schemas of UBL 2.1 and to the published rules of EN 16931."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import saxonche
from lxml import etree

from aiplatform_hub.domain.partial_credits import Part
from aiplatform_hub.errors import ConflictError
from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.reports.invoice_ubl import SPACES, invoice_ubl
from tests.support.invoices import LAB, SELLER, credited, draft, invoice

DATA = Path(__file__).parents[1] / "data" / "e-invoice"
NAMES = {name.removeprefix("xmlns:"): uri for name, uri in SPACES.items()}
FAILED = "{http://purl.oclc.org/dsdl/svrl}failed-assert"


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """What is wrong with a document: the schema's first complaint, else the numbers of the rules that it breaks."""
    folder = tmp_path_factory.mktemp("rules")
    for archive in DATA.glob("*.zip"):
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
    schemas = {name: etree.XMLSchema(etree.parse(folder / "maindoc" / f"UBL-{name}-2.1.xsd")) for name in ("Invoice", "CreditNote")}
    processor = saxonche.PySaxonProcessor(license=False)
    sheet = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(folder / "EN16931-UBL-validation.xslt"))

    def broken(content: bytes) -> list[str]:
        root = etree.fromstring(content)
        schema = schemas[etree.QName(root).localname]
        if not schema.validate(root):
            return [str(schema.error_log[0])]
        found = sheet.transform_to_string(xdm_node=processor.parse_xml(xml_text=content.decode()))
        return [failed.get("id") for failed in etree.fromstring(found.encode()).iter(FAILED)]

    return broken


@pytest.mark.parametrize(
    "make",
    [
        invoice,
        credited,
        lambda: credited(parts=(Part(1, Decimal("3.33")), Part(2))),
        lambda: invoice(replace(SELLER, tax_percent=None)),
        lambda: credited(replace(SELLER, tax_percent=None, tax_id="")),
        lambda: invoice(replace(SELLER, tax_percent=Decimal(0), tax_id="21/815/08150")),
        lambda: invoice(replace(SELLER, iban="", bic="", email="", registration_id="", address=("a", "b", "c", "d"), tax_percent=Decimal("7.7"))),
        lambda: invoice(replace(SELLER, currency="JPY")),
        lambda: invoice(buyer=replace(LAB, tax_id="DE987654321", email="lab@example.org", code="", address=(), display_name="A & <B>")),
    ],
)
def test_what_is_written_breaks_no_rule(rules, make):
    content = invoice_ubl(make())
    assert rules(content) == []
    assert content == invoice_ubl(make())


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("<cbc:ID>UE-2026-00017</cbc:ID>", "", "This element is not expected"),
        ('<cbc:PayableAmount currencyID="EUR">', '<cbc:PayableAmount currencyID="EUR">1', "BR-CO-16"),
        ("<cbc:IdentificationCode>DE<", "<cbc:IdentificationCode>XX<", "BR-CL-14"),
        ("<cbc:CompanyID>DE123456789</cbc:CompanyID>", "<cbc:CompanyID>123456789</cbc:CompanyID>", "BR-CO-09"),
        ('unitCode="HUR"', 'unitCode="GPUHOUR"', "BR-CL-23"),
        ("<cbc:DueDate>", "<cbc:DeuDate>", "DeuDate"),
    ],
)
def test_the_rules_that_we_ask_see_what_is_wrong(rules, old, new, rule):
    content = invoice_ubl(invoice()).decode()
    assert old in content
    changed = content.replace(old, new).replace("</cbc:DueDate>", "</cbc:DeuDate>" if "Deu" in new else "</cbc:DueDate>")
    assert any(rule in each for each in rules(changed.encode()))


def test_its_numbers_are_the_invoices():
    one = invoice()
    root = etree.fromstring(invoice_ubl(one))

    def texts(path: str) -> list[str]:
        return [found.text for found in root.iterfind(path, NAMES)]

    assert [Decimal(text) for text in texts("cac:InvoiceLine/cbc:LineExtensionAmount")] == [line.amount for line in one.lines]
    assert [Decimal(text) for text in texts("cac:InvoiceLine/cbc:InvoicedQuantity")] == [line.quantity for line in one.lines]
    assert [Decimal(text) for text in texts("cac:InvoiceLine/cac:Price/cbc:PriceAmount")] == [line.price for line in one.lines]
    assert texts("cac:LegalMonetaryTotal/cbc:PayableAmount") == [str(one.total)]
    assert texts("cac:InvoiceLine/cbc:AccountingCost") == [line.project for line in one.lines]
    assert texts("cbc:AccountingCost") == ["4711"]
    note = etree.fromstring(invoice_ubl(credited()))
    assert note.findtext("cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID", namespaces=NAMES) == "UE-2026-00017"
    assert note.findtext("cac:LegalMonetaryTotal/cbc:PayableAmount", namespaces=NAMES) == str(one.total)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (draft, "it is a draft; issue it first"),
        (lambda: invoice(replace(SELLER, currency="credits")), "its currency credits is no code of ISO 4217"),
        (lambda: invoice(replace(SELLER, currency="KWD")), "amounts in KWD have 3 decimal places, and EN 16931 knows 2 at most"),
        (lambda: invoice(buyer=replace(LAB, country="")), "country of the cost centre lab was missing in cost_centres.yaml"),
        (lambda: invoice(replace(SELLER, tax_id="")), "tax_id of university was missing in legal_entities.yaml, which charges tax"),
    ],
)
def test_what_the_standard_demands_and_is_not_there_is_named(make, said):
    with pytest.raises(ConflictError, match="cannot be written as UBL: ") as refused:
        invoice_ubl(make())
    assert said in str(refused.value)


def test_only_what_can_be_written_is_offered():
    assert INVOICE_FORMATS["ubl"].missing(invoice()) == ()
    assert len(INVOICE_FORMATS["ubl"].missing(invoice(replace(SELLER, tax_id=""), replace(LAB, country="")))) == 2
    assert not any(each.missing(draft()) for name, each in INVOICE_FORMATS.items() if name != "ubl")


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(ConflictError, match=r"country of .*; tax_id of "):
        invoice_ubl(invoice(replace(SELLER, tax_id=""), replace(LAB, country="")))
