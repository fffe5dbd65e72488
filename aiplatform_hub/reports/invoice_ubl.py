"""An invoice as UBL 2.1 by EN 16931, the European e-invoice. The numbers ``BT-…`` are the standard's business terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.invoice_document import detail_of, heading_of, payment_terms, unit_of, what_of
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, Kind, Party, places_of
from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.errors import ConflictError

CUSTOMIZATION = "urn:cen.eu:en16931:2017"
SPACES = {
    "xmlns:cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "xmlns:cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
MOST_PLACES = 2
"""Decimal places that EN 16931 gives an amount at most."""
HOUR = "HUR"
UNITS = {Sku.STORAGE_GIB_MONTH: "MON", Sku.CREDIT: "C62"}
"""Units of UN/ECE recommendation 20 (a month, and just a number) that are not :data:`HOUR`."""
NOT_SUBJECT = ("VATEX-EU-O", "Not subject to value added tax")
_VAT_ID = re.compile(r"[A-Z]{2}[A-Z0-9+*]{2,13}")
_SEPA, _TRANSFER = "58", "30"


def invoice_ubl(invoice: Invoice) -> bytes:
    """Return the XML, the same bytes each time.

    Raises
    ------
    ConflictError
        If it lacks what the standard demands, with every field that is missing.
    """
    faults = missing(invoice)
    if faults:
        raise ConflictError(f"{invoice.title[0].upper()}{invoice.title[1:]} cannot be written as UBL: {'; '.join(faults)}.")
    return _Writer(invoice).written()


def missing(invoice: Invoice) -> tuple[str, ...]:
    """Return what an invoice lacks that the standard demands, each with its field."""
    return tuple(_missing(invoice))


def _missing(invoice: Invoice) -> Iterator[str]:
    again = "set it, take the invoice back and draft it anew"
    if invoice.number is None:
        yield "it is a draft; issue it first"
    if not re.fullmatch("[A-Z]{3}", invoice.currency):
        yield f"its currency {invoice.currency} is no code of ISO 4217"
    elif places_of(invoice.currency) > MOST_PLACES:
        yield f"amounts in {invoice.currency} have {places_of(invoice.currency)} decimal places, and EN 16931 knows {MOST_PLACES} at most"
    if not invoice.lines:
        yield "it has no lines"
    if not invoice.buyer.country:
        yield f"country of the cost centre {invoice.cost_centre} was missing in cost_centres.yaml ({again})"
    if invoice.tax_percent is not None and not invoice.seller.tax_id:
        yield f"tax_id of {invoice.legal_entity} was missing in legal_entities.yaml, which charges tax ({again})"


class _Writer:
    """Writes one document; elements stand in the order that the schema demands."""

    def __init__(self, invoice: Invoice) -> None:
        self._invoice = invoice
        self._name = "Invoice" if invoice.kind is Kind.INVOICE else "CreditNote"
        spaces = {"xmlns": f"urn:oasis:names:specification:ubl:schema:xsd:{self._name}-2", **SPACES}
        self._root = Element(self._name, spaces)

    def written(self) -> bytes:
        self._head()
        self._party("AccountingSupplierParty", self._invoice.seller, self._invoice.legal_entity)
        self._party("AccountingCustomerParty", self._invoice.buyer, self._invoice.cost_centre)
        if self._invoice.kind is Kind.INVOICE:
            self._payment()
        self._text(self._inside(self._root, "PaymentTerms"), "Note", self._terms())  # BT-20
        self._totals()
        for line in self._invoice.lines:
            self._line(line)
        indent(self._root)
        content: bytes = tostring(self._root, encoding="utf-8", xml_declaration=True)
        return content + b"\n"

    def _head(self) -> None:
        invoice, root = self._invoice, self._root
        self._text(root, "CustomizationID", CUSTOMIZATION)  # BT-24
        self._text(root, "ID", invoice.number or "")  # BT-1
        self._text(root, "IssueDate", _day(invoice.issued_at))  # BT-2
        if invoice.kind is Kind.INVOICE:
            self._text(root, "DueDate", _day(invoice.due_at))  # BT-9
            self._text(root, "InvoiceTypeCode", "380")  # BT-3
        else:
            self._text(root, "CreditNoteTypeCode", "381")
            self._text(root, "Note", invoice.reason)  # BT-22
        self._text(root, "DocumentCurrencyCode", invoice.currency)  # BT-5
        self._text(root, "AccountingCost", invoice.buyer.code)  # BT-19
        self._text(root, "BuyerReference", invoice.buyer.code or invoice.cost_centre)  # BT-10
        self._period(root, invoice.period_start, invoice.period_end)  # BG-14
        if invoice.credits:
            reference = self._inside(self._inside(root, "BillingReference"), "InvoiceDocumentReference")
            self._text(reference, "ID", invoice.credits)  # BT-25

    def _terms(self) -> str:
        invoice = self._invoice
        return (
            payment_terms(invoice)
            if invoice.kind is Kind.INVOICE
            else f"{'Gives back part of' if invoice.is_partial else 'Takes back'} invoice {invoice.credits}."
        )

    def _party(self, role: str, party: Party, name: str) -> None:
        found = self._inside(self._inside(self._root, role), "Party")
        self._text(found, "EndpointID", party.email, schemeID="EM")  # BT-34, BT-49
        self._text(self._inside(found, "PartyIdentification"), "ID", name)  # BT-29, BT-46
        self._text(self._inside(found, "PartyName"), "Name", party.name)  # BT-28, BT-45
        self._address(found, party)
        tax_id = party.tax_id.replace(" ", "")
        if tax_id and self._invoice.tax_percent is not None:  # BR-O-02: none where no tax is charged
            scheme = self._inside(found, "PartyTaxScheme")
            self._text(scheme, "CompanyID", tax_id)  # BT-31, BT-48; BT-32 where it is a local number
            self._text(self._inside(scheme, "TaxScheme"), "ID", "VAT" if _VAT_ID.fullmatch(tax_id) else "FC")
        entity = self._inside(found, "PartyLegalEntity")
        self._text(entity, "RegistrationName", party.name)  # BT-27, BT-44
        self._text(entity, "CompanyID", party.registration_id)  # BT-30
        if party.email:
            self._text(self._inside(found, "Contact"), "ElectronicMail", party.email)  # BT-43, BT-58

    def _address(self, parent: Element, party: Party) -> None:
        address = self._inside(parent, "PostalAddress")
        first, second, rest = (*party.address, "", "")[0], (*party.address, "", "")[1], ", ".join(party.address[2:])
        self._text(address, "StreetName", first)  # BT-35, BT-50
        self._text(address, "AdditionalStreetName", second)  # BT-36, BT-51
        if rest:
            self._text(self._inside(address, "AddressLine"), "Line", rest)  # BT-162, BT-163
        self._text(self._inside(address, "Country"), "IdentificationCode", party.country)  # BT-40, BT-55

    def _payment(self) -> None:
        invoice = self._invoice
        if not invoice.iban:
            return
        means = self._inside(self._root, "PaymentMeans")
        self._text(means, "PaymentMeansCode", _SEPA if invoice.currency == "EUR" else _TRANSFER)  # BT-81
        self._text(means, "PaymentID", invoice.number or "")  # BT-83
        account = self._inside(means, "PayeeFinancialAccount")
        self._text(account, "ID", invoice.iban)  # BT-84
        self._text(account, "Name", invoice.seller.name)  # BT-85
        if invoice.bic:
            self._text(self._inside(account, "FinancialInstitutionBranch"), "ID", invoice.bic)  # BT-86

    def _totals(self) -> None:
        invoice = self._invoice
        tax = self._inside(self._root, "TaxTotal")
        self._amount(tax, "TaxAmount", invoice.tax)  # BT-110
        subtotal = self._inside(tax, "TaxSubtotal")
        self._amount(subtotal, "TaxableAmount", invoice.net)  # BT-116
        self._amount(subtotal, "TaxAmount", invoice.tax)  # BT-117
        self._category(self._inside(subtotal, "TaxCategory"), with_reason=True)
        total = self._inside(self._root, "LegalMonetaryTotal")
        self._amount(total, "LineExtensionAmount", invoice.net)  # BT-106
        self._amount(total, "TaxExclusiveAmount", invoice.net)  # BT-109
        self._amount(total, "TaxInclusiveAmount", invoice.total)  # BT-112
        self._amount(total, "PayableAmount", invoice.total)  # BT-115

    def _category(self, parent: Element, *, with_reason: bool) -> None:
        percent = self._invoice.tax_percent
        self._text(parent, "ID", "O" if percent is None else "S" if percent else "Z")  # BT-118, BT-151
        if percent is not None:
            self._text(parent, "Percent", format(percent, "f"))  # BT-119, BT-152
        elif with_reason:
            self._text(parent, "TaxExemptionReasonCode", NOT_SUBJECT[0])  # BT-121
            self._text(parent, "TaxExemptionReason", NOT_SUBJECT[1])  # BT-120
        self._text(self._inside(parent, "TaxScheme"), "ID", "VAT")

    def _line(self, line: InvoiceLine) -> None:
        found = self._inside(self._root, f"{self._name}Line")
        self._text(found, "ID", str(line.position))  # BT-126
        quantity = "InvoicedQuantity" if self._invoice.kind is Kind.INVOICE else "CreditedQuantity"
        self._text(found, quantity, format(line.quantity, "f"), unitCode=UNITS.get(line.sku, HOUR))  # BT-129, BT-130
        self._amount(found, "LineExtensionAmount", line.amount)  # BT-131
        self._text(found, "AccountingCost", line.project)  # BT-133
        self._period(found, line.month, next_month(line.month))  # BG-26
        item = self._inside(found, "Item")
        self._text(item, "Description", f"{heading_of(line)}, {detail_of(line)}")  # BT-154
        self._text(item, "Name", what_of(line))  # BT-153
        self._text(self._inside(item, "SellersItemIdentification"), "ID", line.sku.value)  # BT-155
        self._category(self._inside(item, "ClassifiedTaxCategory"), with_reason=False)
        card = "" if line.sku is Sku.CREDIT else line.rate_card
        more = {"Project": line.project, "Unit": unit_of(line, self._invoice.currency), "Rate card": card, "GPU type": line.gpu_type or ""}
        for name, value in more.items():
            if value:
                self._property(item, name, value)
        self._price(found, line)

    def _property(self, item: Element, name: str, value: str) -> None:
        found = self._inside(item, "AdditionalItemProperty")
        self._text(found, "Name", name)  # BT-160
        self._text(found, "Value", value)  # BT-161

    def _price(self, parent: Element, line: InvoiceLine) -> None:
        price = self._inside(parent, "Price")
        self._amount(price, "PriceAmount", line.price)  # BT-146
        if line.price < line.list_price:
            discount = self._inside(price, "AllowanceCharge")
            self._text(discount, "ChargeIndicator", "false")
            self._amount(discount, "Amount", line.list_price - line.price)  # BT-147
            self._amount(discount, "BaseAmount", line.list_price)  # BT-148

    def _period(self, parent: Element, start: datetime, end: datetime) -> None:
        period = self._inside(parent, "InvoicePeriod")
        self._text(period, "StartDate", _day(start))
        self._text(period, "EndDate", _day(end - timedelta(days=1)))  # the standard's periods include their last day

    def _amount(self, parent: Element, name: str, amount: Decimal) -> None:
        self._text(parent, name, format(amount, "f"), currencyID=self._invoice.currency)

    @staticmethod
    def _inside(parent: Element, name: str) -> Element:
        return SubElement(parent, f"cac:{name}")

    @staticmethod
    def _text(parent: Element, name: str, text: str, **attributes: str) -> None:
        """Add a value; what is empty is left out, as the standard demands."""
        if text:
            SubElement(parent, f"cbc:{name}", attributes).text = text


def _day(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d}"
