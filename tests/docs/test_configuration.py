"""docs/configuration.md and .env.example say what the code does."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from tests.docs.generated import DOCS, REPOSITORY, pages
from tests.docs.markdown import rows, section
from tests.tokens import PUBLIC_PEM
from tusd_py import setting_types
from tusd_py.config import Config, load_config
from tusd_py.setting_types import SettingError

ENV_EXAMPLE = REPOSITORY / ".env.example"
REQUIRED = {
    "MAIN_SERVICE_JWT_PUBLIC_KEY": PUBLIC_PEM.replace("\n", "\\n"),
    "EXPECTED_JWT_ISSUER": "main-service",
    "EXPECTED_JWT_AUDIENCE": "upload-service",
}
S3 = {
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "secret",
    "S3_BUCKET_NAME": "bucket",
    "S3_REGION_NAME": "eu-1",
}


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_settings_are_those_of_the_code(page: str) -> None:
    """The table of settings is the one that `make docs` writes."""
    path = REPOSITORY / page

    assert path.read_text() == pages()[path], "run `make docs`"


def test_examples_of_values_are_true() -> None:
    """The table of sizes and times says what the settings make of them."""
    table = section((DOCS / "configuration.md").read_text(), "## Values")
    told = [
        (kind, example.strip("`"), int(meaning.split()[0]))
        for kind, example, meaning in rows(table)
    ]

    assert told == [(kind, example, value(kind, example)) for kind, example, _ in told]
    assert {kind for kind, _, _ in told} == {"size", "time"}


def value(kind: str, example: str) -> float | None:
    """What a setting of this kind makes of a text: bytes or seconds."""
    if kind == "size":
        return setting_types.size(example)
    return setting_types.duration(example).total_seconds()


def uncommented(*names: str) -> str:
    """.env.example with the lines of these settings switched on."""
    text = ENV_EXAMPLE.read_text()
    for name in names:
        text, count = re.subn(rf"^# ({name}=)", r"\1", text, flags=re.M)
        assert count == 1, f".env.example has no line for {name}"
    return text


def filled(text: str, **values: str) -> str:
    """The file with these placeholders replaced; no other is left in the lines that count."""
    for name, new in values.items():
        text, count = re.subn(rf"^{name}=.*<.*$", lambda _: f"{name}={new}", text, flags=re.M)  # noqa: B023
        assert count == 1, f".env.example has no placeholder for {name}"
    assert re.search(r"^\w+=.*<", text, re.M) is None
    return text


def loaded(text: str, folder: Path) -> Config:
    """The settings of a file .env with this text, and of nothing else."""
    (folder / ".env").write_text(text)
    return load_config({}, {}, folder / ".env")


def test_env_example_works_once_filled_in(tmp_path: Path) -> None:
    """Copied, with its placeholders replaced, .env.example starts a server on local storage."""
    config = loaded(filled(ENV_EXAMPLE.read_text(), **REQUIRED), tmp_path)

    assert config.main_service_jwt_public_key == PUBLIC_PEM.strip()
    assert config.expected_jwt_issuer == "main-service"
    assert config == load_config({}, REQUIRED, None)


def test_env_example_is_refused_before_it_is_filled_in(tmp_path: Path) -> None:
    """A placeholder that was left is no key."""
    with pytest.raises(SettingError, match="MAIN_SERVICE_JWT_PUBLIC_KEY: give an RSA public key"):
        loaded(ENV_EXAMPLE.read_text(), tmp_path)


def test_env_example_names_every_setting_once() -> None:
    """No setting is missing in .env.example and none is unknown."""
    named = re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", ENV_EXAMPLE.read_text(), re.M)

    assert sorted(set(named)) == sorted(field.name.upper() for field in fields(Config))
    assert [name for name in named if named.count(name) > 1] == ["STORAGE_BACKEND"] * 2


OFF = re.findall(r"^# ([A-Z][A-Z0-9_]+)=", ENV_EXAMPLE.read_text(), re.M)
NOTIFIED = {"MAIN_SERVICE_NOTIFY_URL", "MAIN_SERVICE_NOTIFY_SECRET"}
APART = {"STORAGE_BACKEND", "MAIN_SERVICE_JWT_PUBLIC_KEY_FILE", *S3, *NOTIFIED}


@pytest.mark.parametrize("name", sorted(set(OFF) - APART))
def test_lines_that_are_off_show_a_value_that_works(tmp_path: Path, name: str) -> None:
    """A line switched on sets what the comment promises: the default where there is one."""
    [field] = [field for field in fields(Config) if field.name.upper() == name]

    config = loaded(filled(uncommented(name), **REQUIRED), tmp_path)

    shown = getattr(config, field.name)
    assert field.default is not MISSING
    assert (shown == field.default) == (
        field.default not in (None, ()) or name == "MAX_UPLOAD_SIZE"
    )


def test_s3_of_env_example_works_once_filled_in(tmp_path: Path) -> None:
    """Its S3 lines switched on and their placeholders replaced, it is a configuration for S3."""
    text = uncommented("STORAGE_BACKEND", "S3_ENDPOINT_URL", *S3)

    config = loaded(filled(text, **REQUIRED, **S3), tmp_path)

    assert config.storage_backend is setting_types.Backend.S3
    assert config.s3_endpoint_url == "https://s3.example.org"
    assert {name: getattr(config, name.lower()) for name in S3} == S3
