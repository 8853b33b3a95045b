import dataclasses
from pathlib import Path

import pytest

from storage.errors import InvalidInput
from storage.settings import Secret, Settings, reference, variable

_SECRET = "postgresql://owner:hunter2@db/inopsio"
_READABLE = (type(Path()), Secret, int, str)


def test_variables_are_read_with_their_types() -> None:
    given = {"INOPSIO_DATA_DIR": "/srv/x", "INOPSIO_HTTP_PORT": "9000", "PATH": "/bin"}
    settings = Settings.read(given)
    assert (settings.data_dir, settings.http_port) == (Path("/srv/x"), 9000)
    assert dataclasses.replace(settings, data_dir=Path(".inopsio"), http_port=8600) == Settings()


@pytest.mark.parametrize("text", ["", "8k", "1.5", "0x10", "\x00"])
def test_a_number_that_is_none_names_the_variable(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"INOPSIO_HTTP_PORT is .* must be a whole number"):
        Settings.read({"INOPSIO_HTTP_PORT": text})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    assert Settings.read({"INOPSIO_SERVICE_HOST": "10.0.0.1", "INOPSIO_DEBUG": "1"}) == Settings()


def test_every_setting_has_a_type_that_can_be_read() -> None:
    odd = [f.name for f in dataclasses.fields(Settings) if type(f.default) not in _READABLE]
    assert odd == []


def test_a_secret_is_never_shown() -> None:
    settings = Settings.read({"INOPSIO_DATABASE_URL": _SECRET})
    shown = [repr(settings), str(settings.database_url), f"{settings.database_url}", reference()]
    assert not any("hunter2" in text for text in shown)
    assert settings.database_url.reveal() == _SECRET


def test_a_secret_that_is_not_given_is_false() -> None:
    assert (bool(Settings().database_url), bool(Secret("x"))) == (False, True)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(Settings(), "http_port", 1)  # noqa: B010  an assignment would not type


def test_every_setting_is_on_the_reference_page_with_a_meaning() -> None:
    page = reference()
    for field in dataclasses.fields(Settings):
        assert f"| `{variable(field.name)}` |" in page
        assert field.metadata["meaning"]
