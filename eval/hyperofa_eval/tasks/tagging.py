"""Tagging (NER and POS): fine-tune on English, choose by English dev, score every language's test set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

from hyperofa_eval.base.errors import InputError, unknown
from hyperofa_eval.data.layout import DataFolder
from hyperofa_eval.data.readers import Sentence
from hyperofa_eval.languages import PIVOT
from hyperofa_eval.models.protocols import Taggable, TagSentences, Tokenized
from hyperofa_eval.models.words import WordEncoder, cut_at_spaces, cut_long
from hyperofa_eval.scoring.statistics import Items
from hyperofa_eval.tasks.task import Outcome, Task

Scoring = Literal["entity", "token", "entity-lenient"]
Sentences = list[Sentence]


class Fitted(NamedTuple):
    """A tagger, the cutter of words where long sentences may have to be cut, and what it was fitted to."""

    tagger: TagSentences
    words: WordEncoder | None
    most_common: str
    files: dict[str, str]


@dataclass(frozen=True)
class Tagging(Task[Taggable["Tagging"], Fitted]):
    """Zero-shot transfer of a tagger from English; the defaults are the published fine-tuning settings."""

    name: str = "ner"
    corpus: str = "ner"
    scheme: str = "iob2"
    scoring: Scoring = "entity"
    """``entity``: strict IOB2 micro F1; ``token``: accuracy and macro F1; ``entity-lenient``: what seqeval does unasked."""
    prefix_space: bool = True
    rejoin: bool = True
    """Score whole sentences, also those longer than the model; else each piece is an example of its own."""
    keep_tokens: bool = True
    """A token stays one whatever it holds; else it is cut at spaces, non-breaking ones too."""
    average_english: bool = False
    """Whether English, the language of the training data, is in the mean."""
    learning_rate: float = 2e-5
    epochs: int = 10
    train_batch_size: int = 32
    warmup: float = 0.0
    """Share of the steps in which the rate rises; it falls linearly in all others."""
    max_length: int = 256
    weight_decay: float = 0.0
    clip: float = 1.0

    summary: ClassVar[str] = "zero-shot tagging: fine-tuned on English, scored on every language"
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = "percent"
    seeded: ClassVar[bool] = True
    together: ClassVar[bool] = False
    needs = Taggable
    scores_pivot: ClassVar[bool] = True
    reading: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.scoring not in get_args(Scoring):
            raise unknown("scoring", self.scoring, get_args(Scoring))
        if min(self.epochs, self.train_batch_size) < 1 or not 0 < self.learning_rate < 1:
            what = "epochs and batch size must be above 0, the learning rate in (0, 1)"
            raise InputError(what, where=f"task {self.name}")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup {self.warmup:g} is no share in [0, 1)", where=f"task {self.name}")

    @property
    def metric(self) -> str:  # type: ignore[override]
        """Token accuracy for ``token`` scoring, entity F1 otherwise."""
        return "accuracy" if self.scoring == "token" else "f1"

    @property
    def not_in_mean(self) -> tuple[str, ...]:  # type: ignore[override]
        """The languages that have a row but no part in the mean."""
        return () if self.average_english else (PIVOT,)

    def has(self, data: DataFolder, language: str) -> bool:
        """Whether there is a test set, and the English training and development sets that the task needs."""
        return data.has(self.corpus, language) and all(data.has(self.corpus, PIVOT, s) for s in ("train", "dev"))

    def read(self, data: DataFolder, language: str, limit: int | None) -> tuple[Sentences, dict[str, str]]:
        """The test sentences of a language and the hash of their file."""
        return self._read(data, language, "test", limit)

    def read_training(self, data: DataFolder, limit: int | None) -> tuple[Sentences, Sentences, dict[str, str]]:
        """English's training and development sentences and the hashes of their files."""
        train, train_files = self._read(data, PIVOT, "train", limit)
        dev, dev_files = self._read(data, PIVOT, "dev", limit)
        return train, dev, train_files | dev_files

    def prepare(self, model: Taggable[Tagging], data: DataFolder, seed: int, limit: int | None) -> Fitted:
        """The tagger fitted to English, and what it was trained on."""
        train, dev, files = self.read_training(data, limit)
        words = WordEncoder(model.tokenizer, prefix_space=self.prefix_space) if isinstance(model, Tokenized) else None
        train, dev = self._cut(train, words), self._cut(dev, words)
        most_common = Counter(tag for sentence in train for tag in sentence.tags).most_common(1)[0][0]
        return Fitted(model.fine_tune(train, dev, self, seed), words, most_common, files)

    def score(self, prepared: Fitted, data: DataFolder, language: str, seed: int, limit: int | None) -> Outcome:
        """Tag a test set and score it; chance is the accuracy of always saying English's most common tag."""
        sentences, test_files = self.read(data, language, limit)
        sentences = self._cut(sentences, prepared.words)
        predictions = _checked(sentences, prepared.tagger(sentences), f"the tagger of task {self.name}, {language}")
        tags = [tag for sentence in sentences for tag in sentence.tags]
        chance = {"accuracy": 100 * tags.count(prepared.most_common) / len(tags)} if self.scoring == "token" else {}
        from hyperofa_eval.scoring.metrics import reported

        items = self.items(sentences, predictions)
        files = {**test_files, **prepared.files}
        read = {name: [note.text for note in data.notes[name]] for name in files if data.notes.get(name)}
        return Outcome(
            items=items,
            chance=chance,
            files=files,
            values=reported([s.tags for s in sentences], predictions, self.scoring, items),
            details={"tokens": len(tags), "gold_tags": dict(Counter(tags).most_common()), "read": read},
        )

    def items(self, gold: Sequence[Sentence], predictions: Sequence[Sequence[str]]) -> Mapping[str, Items]:
        """Per-sentence scores by metric."""
        from hyperofa_eval.scoring.metrics import accuracy_items, entity_items, macro_items

        references = [sentence.tags for sentence in gold]
        if self.scoring == "token":
            macro = macro_items(references, predictions)
            return {"accuracy": accuracy_items(references, predictions), "macro_f1": macro}
        return {"f1": entity_items(references, predictions, strict=self.scoring == "entity")}

    def _read(self, data: DataFolder, language: str, split: str, limit: int | None) -> tuple[Sentences, dict[str, str]]:
        sentences, files = data.tagged(self.corpus, language, split, self.scheme)
        return (sentences if self.keep_tokens else cut_at_spaces(sentences))[:limit], files

    def _cut(self, sentences: list[Sentence], words: WordEncoder | None) -> list[Sentence]:
        if self.rejoin or words is None:
            return sentences
        return cut_long(sentences, words, min(self.max_length, words.tokenizer.model_max_length))


def _checked(sentences: Sequence[Sentence], predictions: Sequence[Sequence[str]], who: str) -> Sequence[Sequence[str]]:
    """A tagger's answer, if it is one tag per token of every sentence."""
    if len(predictions) != len(sentences):
        raise InputError(f"answered with {len(predictions)} sentences for {len(sentences)}", where=who)
    for number, (sentence, tags) in enumerate(zip(sentences, predictions, strict=True), 1):
        if len(tags) != len(sentence.tokens):
            what = f"answered with {len(tags)} tags for the {len(sentence.tokens)} tokens of sentence {number}"
            raise InputError(what, where=who)
        if not all(isinstance(tag, str) for tag in tags):
            raise InputError(f"answered with a tag that is no string in sentence {number}", where=who)
    return list(predictions)
