"""Message catalogues: the binary format, the cleaning of messages, the alignment of languages."""

from __future__ import annotations

import gettext
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperofa.data.catalogues import Entry, align, clean, extract_messages, parse_mo
from hyperofa.data.inputs import Wheel
from hyperofa.errors import DataMissingError, InputError
from hyperofa_eval.base.files import read_json

MoBytes = Callable[..., bytes]
WriteWheel = Callable[..., Wheel]
TEXT = st.text(st.characters(exclude_characters="\0\x04", codec="utf-8"), min_size=1)

MESSAGES = {
    "Delete": "Löschen",
    "month\x04May": "Mai",
    "%(n)d hour\0%(n)d hours": "%(n)d Stunde\0%(n)d Stunden",
    "Save changes": "",
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_parse_mo_reads_plain_context_and_plural(mo_bytes: MoBytes, order: str) -> None:
    found = {(entry.english, entry.context, entry.translation) for entry in parse_mo(mo_bytes(MESSAGES, order), "x.mo")}
    assert found == {
        ("Delete", False, "Löschen"),
        ("May", True, "Mai"),
        ("%(n)d hours", False, "%(n)d Stunden"),
        ("Save changes", False, ""),
    }


@settings(max_examples=50, deadline=None)
@given(messages=st.dictionaries(TEXT, TEXT))
def test_parse_mo_agrees_with_the_standard_library(mo_bytes: MoBytes, messages: dict[str, str]) -> None:
    data = mo_bytes(messages)
    reference = gettext.GNUTranslations(io.BytesIO(data))
    for entry in parse_mo(data, "x.mo"):
        assert entry.translation == messages[entry.english] == reference.gettext(entry.english)


def test_damaged_catalogues_give_one_clear_error(mo_bytes: MoBytes) -> None:
    data = mo_bytes(MESSAGES)
    draw = random.Random(0)
    broken = [data[:cut] for cut in range(len(data))]
    for _ in range(300):
        at = draw.randrange(len(data))
        broken.append(data[:at] + draw.randbytes(1) + data[at + 1 :])
    refused = [message for piece in broken if (message := _error(piece))]
    assert len(refused) > len(data)
    assert all(message.startswith("x.mo: ") for message in refused)
    with pytest.raises(InputError, match=r"x\.mo: not a compiled"):
        parse_mo(b"PK\3\4" + bytes(40), "x.mo")
    with pytest.raises(InputError, match="damaged"):
        parse_mo(data[:30], "x.mo")


def _error(data: bytes) -> str | None:
    """What the parser refuses ``data`` with; any other exception fails the test."""
    try:
        parse_mo(data, "x.mo")
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("message", "cleaned"),
    [
        ("The {name} “{obj}” was <b>added</b>.", "The was added."),
        ("Added %(name)s “%(object)s”.", "Added."),
        ("%(size)d bytes", "bytes"),
        ("Tom &amp; Jerry\n  run", "Tom & Jerry run"),
        ("100%% of %s", "100% of"),
        ("50% discount", "50% discount"),
        ("Use {% csrf_token %} in {{ form }}!", "Use in!"),
        ("Seite »%(page)s« fehlt", "Seite fehlt"),
        ("“%(value)s” 必须是 “True”。", "必须是 “True”。"),
        ("Don't ask for x{0}", "Don't ask for x"),
        ('<a href="{url}">{name}</a>: reset', "reset"),
    ],
)
def test_clean(message: str, cleaned: str) -> None:
    assert clean(message) == cleaned


def test_align_drops_untranslated_and_prefers_no_context() -> None:
    text = align(
        {
            "deu": [
                Entry("May", True, "Mai (Monat)"),
                Entry("May", False, "Mai"),
                Entry("Django", False, "DJANGO!"),
                Entry("S", False, "Sonntag"),
                Entry("Go", False, "123"),
            ],
            "tur": [Entry("Delete it", False, "Sil"), Entry("May", False, "Mayıs")],
        }
    )
    assert text.english == ["May", "Delete it"]
    assert text.translations == {"deu": ["Mai", ""], "tur": ["Mayıs", "Sil"]}


def test_extract_messages_from_a_wheel(index: Path, mo_bytes: MoBytes, write_wheel: WriteWheel, tmp_path: Path) -> None:
    german, czech = mo_bytes({"Delete": "Löschen", "Add": "Hinzufügen"}), mo_bytes({"Delete": "Smazat"})
    wheel = write_wheel(
        index,
        {
            "sample/locale/de/LC_MESSAGES/a.mo": german,
            "sample/locale/cs/LC_MESSAGES/a.mo": czech,
            "sample/contrib/x/locale/cs/LC_MESSAGES/b.mo": mo_bytes({"Add": "Přidat"}),
            "sample/locale/de_AT/LC_MESSAGES/a.mo": mo_bytes({"Delete": "falsch"}),
        },
    )
    out = tmp_path / "messages"
    assert extract_messages(wheel, {"deu": "de", "ces": "cs"}, out) == {"deu": 2, "ces": 2}
    lines = {name: (out / f"{name}.txt").read_text().splitlines() for name in ("eng", "deu", "ces")}
    assert list(zip(*lines.values(), strict=True)) == [("Add", "Hinzufügen", "Přidat"), ("Delete", "Löschen", "Smazat")]
    assert read_json(out / "messages.json")["translated"] == {"deu": 2, "ces": 2}

    with pytest.raises(DataMissingError, match="no message catalogue 'tlh' for tlh"):
        extract_messages(wheel, {"tlh": "tlh"}, tmp_path / "other")
    assert not (tmp_path / "other").exists()
