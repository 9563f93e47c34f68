"""What a recipe reads: models and tokenizers, parallel text, plain text and test sets, each from a place that the user names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from hyperofa.data.settings import Document, DocumentSettings
from hyperofa_eval.settings.fields import SettingError, Settings

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wheel(Settings):
    """A wheel of the package index, pinned by version and SHA-256; it is read as an archive and never installed."""

    name: str
    version: str
    sha256: str

    def check(self) -> None:
        """Refuse what is not a plain name, version and digest (they become words of a pip command)."""
        for key, pattern, what in (
            ("name", _NAME, "package name"),
            ("version", _VERSION, "version"),
            ("sha256", _SHA256, "SHA-256 (64 hex digits)"),
        ):
            if not pattern.fullmatch(getattr(self, key)):
                raise SettingError(key, f"{getattr(self, key)!r} is not a {what}")

    @property
    def pin(self) -> str:
        """``name==version``, as pip reads it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Source:
    """A source model: a hub id or directory (``model``), or a folder inside a pinned wheel."""

    model: str | None = None
    wheel: Wheel | None = None
    folder: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    """The model's ``config.json`` in short, so that a run can be planned before the model is fetched."""
    published: str | None = None
    """The name under which the published table has this source: ``mono`` or ``multi``."""

    def __post_init__(self) -> None:
        """Exactly one of the two ways must be given."""
        if (self.model is None) == (self.wheel is None):
            raise ValueError("give either model, or wheel and folder")
        if self.wheel is not None and not self.folder:
            raise ValueError("folder must name the model's folder inside the wheel")


@dataclass(frozen=True)
class Target:
    """A target tokenizer that is not trained: a hub id or directory, a folder of a wheel, or a source's own, extended."""

    model: str | None = None
    wheel: Wheel | None = None
    folder: str | None = None
    roles: dict[str, str] = field(default_factory=dict)
    """Special tokens by role, such as ``mask: <mask>``, where a wheel holds a bare ``tokenizer.json``."""
    extend: str | None = None
    """The name of the source whose tokenizer grows by pieces learnt from the text (old ids stay)."""
    size: int | None = None
    """Entries, so that a run can be planned before the tokenizer is fetched."""

    def __post_init__(self) -> None:
        """Exactly one of the three ways must be given."""
        if [self.model, self.wheel, self.extend].count(None) != 2:
            raise ValueError("give one of model, wheel (with folder) and extend")
        if self.wheel is not None and not self.folder:
            raise ValueError("folder must name the tokenizer's folder inside the wheel")


@dataclass(frozen=True)
class Parallel:
    """The parallel text: a directory of ``LANG.txt`` files, or the message catalogues inside a pinned wheel."""

    dir: str | None = None
    wheel: Wheel | None = None
    languages: dict[str, str] = field(default_factory=dict)
    """Language code -> locale folder name in the wheel, for the languages the experiment is about."""
    pivots: dict[str, str] = field(default_factory=dict)
    """The same for languages that only help (trained on, not scored)."""

    def __post_init__(self) -> None:
        """Exactly one of the two ways must be given; a wheel needs languages."""
        if (self.dir is None) == (self.wheel is None):
            raise ValueError("give either dir, or wheel and languages")
        if self.wheel is not None and not self.languages:
            raise ValueError("languages must map language codes to locale folders of the wheel")
        if both := sorted(set(self.languages) & set(self.pivots)):
            raise ValueError(f"{', '.join(both)}: among languages and pivots; scored or not, name it once")


@dataclass(frozen=True)
class Inputs:
    """Data with test sets of its own, in place of parallel text to be split."""

    test: str
    """Folder of test sets, in a layout that ``hyperofa-eval`` reads."""
    languages: list[str]
    """The languages that are scored; the tokenizer is made for them and the model is trained on them, and on English."""
    further_languages: list[str] | Literal["all"] = field(default_factory=list)
    """Languages besides, whose text the tokenizer and the corpus learn from; ``all``: every one that has text.

    The text of other languages is read for word vectors only.
    """
    known_languages: list[str] = field(default_factory=list)
    """Languages that the source knows already: scored too, while neither tokenizer nor corpus learn from their text."""
    parallel: list[str] = field(default_factory=list)
    """Folders or files of parallel text (patterns allowed): ``LANG.txt`` line by line, or ``LANG.tsv`` of id<TAB>text."""
    text: list[str] = field(default_factory=list)
    """Plain text, a document a line, in files whose names begin with the language (patterns allowed)."""
    corpus: dict[str, str] = field(default_factory=dict)
    """Language -> text that goes to pre-training as it is: a file, or ``hub:NAME[:REVISION][@CONFIG][#SPLIT]``."""
    vectors: str | None = None
    """Word vectors that exist: a store, or a file that ``hyperofa vectors import`` reads (None: built from ``parallel``,
    where there is some; most methods need none)."""
    document: Document = DocumentSettings.document
    """A pre-training document of parallel text: each sentence by itself, or a translation with its English side."""
    cap: int | None = None
    """Lines of a language that are kept at most, drawn with seed 0 (plain and parallel text together)."""

    def __post_init__(self) -> None:
        """There must be something to learn from, and something to be scored."""
        if not self.languages:
            raise ValueError("languages must name at least one language to score")
        named = {*self.languages, *(() if self.further_languages == "all" else self.further_languages)}
        if both := sorted(named & {*self.known_languages}):
            raise ValueError(f"{', '.join(both)}: among known_languages and those that are learnt; name it once")
        if not (self.parallel or self.text or self.corpus):
            raise ValueError("give parallel, text or corpus to train on")
        if self.cap is not None and self.cap < 1:
            raise ValueError("cap must be at least 1")

    @property
    def scored(self) -> list[str]:
        """All languages that are scored."""
        return [*self.languages, *self.known_languages]

    @property
    def gathered(self) -> bool:
        """Whether there is text to be brought together and freed of test lines."""
        return bool(self.parallel or self.text)
