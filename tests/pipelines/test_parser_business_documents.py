import pytest

from pipelines.parsers.business_documents import parse

HEAD = b"type,invoice_id,amount,currency\n"


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [
        ("90071992547409.93", "EUR", 9007199254740993),
        ("-0.05", "USD", -5),
        ("0.290", "EUR", 29),
        ("7", "JPY", 7),
        ("1.234", "KWD", 1234),
    ],
)
def test_amount_is_exact(amount: str, currency: str, cents: int) -> None:
    (found,) = parse([HEAD + f"invoice,I-1,{amount},{currency}\n".encode()])
    assert found.frame["amount_cents"].to_list() == [cents]


@pytest.mark.parametrize("amount", ["0.005", "1e3", "NaN", "1,5", "", "0x10", "9" * 16])
def test_amount_that_would_be_guessed_is_refused(amount: str) -> None:
    (found,) = parse([HEAD + f'invoice,I-1,"{amount}",EUR\n'.encode()])
    assert found.frame.height == 0
    assert found.rejects[0].reason.startswith("amount is no exact decimal number")
