"""The card of an extended or trained model: ``README.md`` with metadata for the hub, made of what ``init.json`` records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperofa.base.wordkeys import is_language
from hyperofa.errors import InputError
from hyperofa.init.quality.verdict_words import table_of
from hyperofa.init.registry import renamed
from hyperofa_eval.base.files import read_json, write_text

_CODES = """
aar:aa abk:ab afr:af aka:ak amh:am ara:ar arb:ar arg:an asm:as ava:av ave:ae aym:ay ayr:ay azb:az aze:az azj:az bak:ba bam:bm
bel:be ben:bn bis:bi bod:bo bos:bs bre:br bul:bg cat:ca ces:cs cha:ch che:ce chu:cu chv:cv cmn:zh cor:kw cos:co cre:cr cym:cy
dan:da deu:de div:dv dzo:dz ekk:et ell:el eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fry:fy ful:ff
gla:gd gle:ga glg:gl glv:gv grn:gn gug:gn guj:gu hat:ht hau:ha hbs:sh heb:he her:hz hin:hi hmo:ho hrv:hr hun:hu hye:hy ibo:ig
ido:io iii:ii iku:iu ile:ie ina:ia ind:id ipk:ik isl:is ita:it jav:jv jpn:ja kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk khk:mn
khm:km kik:ki kin:rw kir:ky kmr:ku kom:kv kon:kg kor:ko kua:kj kur:ku lao:lo lat:la lav:lv lim:li lin:ln lit:lt ltz:lb lub:lu
lug:lg lvs:lv mah:mh mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn mri:mi msa:ms mya:my nau:na nav:nv nbl:nr nde:nd ndo:ng nep:ne
nld:nl nno:nn nob:nb nor:no npi:ne nya:ny oci:oc oji:oj ori:or orm:om ory:or oss:os pan:pa pbt:ps pes:fa pli:pi plt:mg pol:pl
por:pt pus:ps que:qu quy:qu roh:rm ron:ro run:rn rus:ru sag:sg san:sa sin:si slk:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so
sot:st spa:es sqi:sq als:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv swh:sw tah:ty tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th
tir:ti ton:to tsn:tn tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk urd:ur uzb:uz uzn:uz ven:ve vie:vi vol:vo wln:wa wol:wo xho:xh
ydd:yi yid:yi yor:yo zha:za zho:zh zsm:ms zul:zu
"""
"""ISO 639-3 codes with those of ISO 639-1; a language of a macro-language has its code. The harness's table is asked first."""
_SHORT = dict(pair.split(":") for pair in _CODES.split())
_MOST = 25
"""Languages of the table, the largest first."""
_USE = """```python
import hyperofa
from transformers import AutoTokenizer, {auto}

model = {auto}.from_pretrained("FOLDER")  # or the name of this repository
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
{factorised}```"""
_DENSE = "dense = hyperofa.export_dense(model)  # a plain transformers model, which loads without hyperofa\n"


def hub_language(code: str) -> str:
    """The hub's code of a language: two letters where there are such, else three; ``aze_Latn`` is ``az``."""
    from hyperofa_eval.languages import bare, language

    return language(code).short or _SHORT.get(bare(code), bare(code))


def write_card(folder: Path, record: Mapping[str, Any], scores: Mapping[str, Any] | None = None) -> None:
    """Write ``README.md`` into a model directory, from the ``record`` that its ``init.json`` holds.

    ``scores`` are a ``summary.json`` of the harness; by default the one in the folder, if there is one. Of a trained model the
    record also says ``trained_steps``, and ``dense`` where its factors were multiplied out.

    Raises:
        InputError: the record is of an earlier version, whose method may have another name now.
    """
    if "schema" not in record:
        name = renamed(record)
        what = "init.json is of an earlier version" + (f", and its method is now called {name}" if name else "")
        raise InputError(what, where=folder, todo="run hyperofa init again")
    if scores is None and (folder / "summary.json").is_file():
        scores = read_json(folder / "summary.json")
    write_text(folder / "README.md", card(record, scores))


def card(record: Mapping[str, Any], scores: Mapping[str, Any] | None = None) -> str:
    """The text of a model card; see :func:`write_card`."""
    from huggingface_hub import ModelCardData

    source, made_by, quality = record["source"], record["made_by"], record["quality"]
    known = {name: row for name, row in quality["languages"].items() if row["copied"] or row["predicted"]}
    metadata = ModelCardData(
        base_model=source["name"],
        language=sorted({hub_language(name) for name in known if is_language(name)}) or None,
        library_name="transformers",
        license=source["license"],
        tags=["hyperofa", "vocabulary-extension"],
    )
    to_dense = _DENSE if record["rank"] and not record.get("dense") else ""
    counts = {name: rows for name, rows in record["counts"].items() if rows}
    total = sum(counts.values())
    parts = [
        f"---\n{metadata.to_yaml()}\n---",
        f"# {source['name']}, extended to {total:,} tokens",
        _what_it_is(record),
        f"## Use\n\n{_USE.format(auto=record['auto_class'], factorised=to_dense)}",
        "## Where the rows come from",
        _table(("provenance", "rows", "%"), [(name, f"{n:,}", f"{100 * n / total:.1f}") for name, n in counts.items()]),
    ]
    if known:
        columns = ("words", "copied", "predicted", "drawn")
        rows = [(name, *(f"{row[column]:,}" for column in columns)) for name, row in [*known.items()][:_MOST]]
        more = f"\n\nThe largest {_MOST} of {len(known)} languages." if len(known) > _MOST else ""
        parts.append(f"Tokens of the languages of the word vectors:\n\n{_table(('language', *columns), rows)}{more}")
    if verdict := record.get("verdict"):
        title, head, lines = table_of(verdict)
        figures = f"\n\n{title}:\n\n{_table(head, lines)}" if lines else ""
        parts.append(f"## Beside the source\n\nOn text kept out of the making: {verdict['line']}.{figures}")
    if figures := _figures(quality, scores):
        parts.append(f"## Figures\n\n{figures}")
    versions = ", ".join(f"{name} {version}" for name, version in made_by["versions"].items())
    parts.append(
        f"## How it was made\n\nSeed {made_by['settings']['seed']}. `init.json` records all inputs and settings. {versions}."
    )
    return "\n\n".join(parts) + "\n"


def _what_it_is(record: Mapping[str, Any]) -> str:
    method = Path(record["method"]).name  # a user's own is FILE.py:NAME
    options = record["made_by"]["settings"]["options"].items()
    options_text = ", ".join(f"{name} {value}" for name, value in options if value is not None)
    steps, dense = record.get("trained_steps"), record["rank"] and record.get("dense")
    size = f"factorised to rank {record['rank']}" if record["rank"] else "not factorised"
    size += ", and were multiplied out later" if dense else ""
    sentences = [
        f"`{record['source']['name']}` with a larger vocabulary. hyperofa wrote the embeddings of the new tokens.",
        f"The method is `{method}`{f' ({options_text})' if options_text else ''}. The embeddings are {size}.",
    ]
    if done := record["refine"]:
        learned = (
            f"{done['tokens_learned']:,} new rows learned through the frozen source model in {done['steps_done']} steps"
        )
        sentences.append(f"{learned} (from {done['objective']}); held-out text chose step {done['chosen_step']}.")
    if record["head"]["is_new"]:
        state = "was trained too" if steps else "must be trained"
        sentences.append(f"The source has no language-model head: one was made new, and {state}.")
    if steps:
        sentences.append(f"Then the model was trained for {steps:,} steps (`train.json`).")
    return " ".join(sentences)


def _figures(quality: Mapping[str, Any], scores: Mapping[str, Any] | None) -> str:
    parts = []
    if held := quality["held_out"]:
        parts.append(
            f"Of {held['tokens']:,} source tokens predicted as if they were new, the true row is at place {held['rank']:.0f} of "
            f"{held['among']:,} (median), and among the first ten for {100 * held['top10']:.1f} %."
        )
    if scores:
        tasks = scores["tasks"].items()
        scored = [(name, row["metric"], f"{row['mean']:.1f}", str(row["n_languages"])) for name, row in tasks]
        table = _table(("task", "metric", "mean", "languages"), scored)
        parts.append(f"Scores (protocol `{scores['protocol']}`):\n\n{table}")
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
