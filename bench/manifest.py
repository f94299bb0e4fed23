"""The manifest of the invoices `pages.py` serves, with their types; xetl-runtime and airbyte-cdk read the same."""

from pages import PAGE

STRING, NUMBER, BOOLEAN = {"type": ["null", "string"]}, {"type": ["null", "number"]}, {"type": ["null", "boolean"]}
MOMENT = {"type": ["null", "string"], "format": "date-time"}


def record(properties: dict) -> dict:
    return {"type": ["null", "object"], "properties": properties}


LINE = record(
    dict.fromkeys(["LineItemID", "Description", "AccountCode", "TaxType"], STRING)
    | dict.fromkeys(["Quantity", "UnitAmount", "LineAmount", "TaxAmount"], NUMBER)
)
CONTACT = record(dict.fromkeys(["ContactID", "Name", "EmailAddress"], STRING) | {"HasValidationErrors": BOOLEAN})
TEXTS = ["Type", "InvoiceID", "InvoiceNumber", "Reference", "DateString", "DueDateString", "Status", "LineAmountTypes"]
AMOUNTS = ["SubTotal", "TotalTax", "Total", "AmountDue", "AmountPaid", "AmountCredited", "CurrencyRate"]
INVOICE = record(
    dict.fromkeys([*TEXTS, "CurrencyCode", "BrandingThemeID"], STRING)
    | dict.fromkeys(AMOUNTS, NUMBER)
    | dict.fromkeys(["HasAttachments", "IsDiscounted", "SentToContact"], BOOLEAN)
    | {"UpdatedDateUTC": MOMENT, "Contact": CONTACT, "LineItems": {"type": ["null", "array"], "items": LINE}}
)


def manifest(url: str) -> dict:
    requester = {"type": "HttpRequester", "url": f"{url}/invoices", "http_method": "GET"}
    paginator = {
        "type": "DefaultPaginator",
        "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"},
        "pagination_strategy": {"type": "PageIncrement", "start_from_page": 1, "page_size": PAGE},
    }
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["Invoices"]}}
    retriever = {"type": "SimpleRetriever", "requester": requester, "paginator": paginator, "record_selector": selector}
    stream = {
        "type": "DeclarativeStream",
        "name": "invoices",
        "primary_key": ["InvoiceID"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": INVOICE},
        "retriever": retriever,
    }
    return {
        "version": "7.39.1",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["invoices"]},
        "streams": [stream],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }
