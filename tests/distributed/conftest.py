"""A tiny tied encoder and untied decoders, a packed corpus, and real ``accelerate launch`` processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import warm

ROOT = Path(__file__).parents[2]
LANGUAGES = ("swh_Latn", "ell_Grek", "kab_Latn")
LENGTH = 16
STEPS = 40
"""Of every run unless it says otherwise: long enough to be met in the middle, a second or two."""
EPSILON = 1e-6
"""AdamW's, in the runs and in plain torch: some gradients are zero but for rounding (an attention's key bias), and with 1e-8
such a weight would move by the rate in a direction that differs from one processor to the next."""
SECONDS = 420.0
"""How long any launch may take before the test gives up on it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.distributed)


@dataclass
class Launch:
    """One started ``accelerate launch``; ``wait`` gives its exit code and leaves its output in ``output``."""

    process: Any
    run: Path
    output: str = ""

    def wait(self, seconds: float = SECONDS) -> int:
        try:
            self.output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the launch did not end in {seconds} s")
        return self.process.returncode

    def kill(self) -> None:
        for pid in [*self.workers(), self.process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.communicate()

    def workers(self) -> list[int]:
        """Process ids of the ranks, in the order of ranks."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = []
        for pid in path.read_text().split() if path.exists() else []:
            try:
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                name = Path(f"/proc/{pid}/comm").read_bytes().strip().replace(b"rank ", b"RANK=")
            except OSError:
                continue
            ranks = [int(item[5:]) for item in [name, *environment] if item.startswith(b"RANK=")]
            found += [(rank, int(pid)) for rank in ranks]
        return [pid for _, pid in sorted(found)]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl`` written so far."""
        from hyperofa.train.metrics import METRICS_FILE, read_metrics

        path = self.run / METRICS_FILE
        return read_metrics(path) if path.exists() else []

    def losses(self) -> list[float]:
        """The losses of all steps; they must be there once each and in order."""
        rows = self.rows()
        assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
        return [row["loss"] for row in rows]

    def facts(self) -> dict[str, Any]:
        return json.loads((self.run / "run.json").read_text())

    def checkpoints(self) -> list[int]:
        """The committed steps, newest first."""
        from hyperofa.train.checkpoint.manifest import committed, step_of

        return [step_of(folder) for folder in committed(self.run)]

    def weights(self) -> dict[str, Any]:
        """The trained model's tensors."""
        from safetensors.torch import load_file

        return load_file(self.run / "final" / "model.safetensors")

    def same_weights(self, other: Launch) -> bool:
        """Whether two runs ended with the same bits."""
        one, two = self.weights(), other.weights()
        return one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)

    def wait_for_step(self, step: int, seconds: float = SECONDS) -> None:
        """Return as soon as the metrics hold ``step``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rows = self.rows()
            if rows and rows[-1]["step"] >= step:
                return
            if self.process.poll() is not None:
                self.output, _ = self.process.communicate()
                pytest.fail(f"ended with {self.process.returncode} before step {step}:\n{self.output}")
            time.sleep(0.02)
        self.kill()
        pytest.fail(f"no step {step} in {seconds} s")


@dataclass
class Trainer:
    """Starts training runs of one model on one corpus."""

    model: Path
    corpus: Path
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def start(
        self,
        name: str,
        *,
        ranks: int = 2,
        port: str = "0",
        prefix: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        cold: bool = False,
        **settings: Any,
    ) -> Launch:
        """Start a launch: a warm one (see :mod:`support.warm`), or ``cold``, as a user's is."""
        run = self.folder / name
        values = {
            "model": self.model,
            "corpus": self.corpus,
            "run": run,
            "steps": STEPS,
            "global_batch_size": 8,
            "micro_batch_size": 2,
            "learning_rate": 1e-2,
            "epsilon": EPSILON,
            "save_every": 100,
            "timeout": 60,
            **self.settings,
            **settings,
        }
        config = self.folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump({key: str(v) if isinstance(v, Path) else v for key, v in values.items()}))
        accelerate = [str(Path(sys.executable).with_name("accelerate")), "launch"]
        topology = ["--config_file", str(ROOT / "launch" / "cpu_pair.yaml"), "--num_processes", str(ranks)]
        words = [*topology, "--main_process_port", port, *arguments, "-m", "hyperofa.train", str(config)]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        start = subprocess.Popen if cold else warm.Popen
        process = start(
            [*prefix, *accelerate, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=variables,
            cwd=self.folder,
        )
        return Launch(process, run)

    def train(self, name: str, *, code: int = 0, **settings: Any) -> Launch:
        """Start, wait, and check the exit code."""
        launch = self.start(name, **settings)
        assert launch.wait() == code, launch.output
        return launch


def sentences(language: str, count: int = 60) -> list[str]:
    words = {
        "swh_Latn": "mtoto anasoma kitabu shuleni leo",
        "ell_Grek": "το παιδί διαβάζει ένα βιβλίο",
        "kab_Latn": "aqcic yeɣra adlis",
    }
    parts = words[language].split()
    return [" ".join(parts[(i + j) % len(parts)] for j in range(2 + i % len(parts))) for i in range(count)]


def write_tokenizer(path: Path, lines: list[str], vocab_size: int = 120) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    roles = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    names = {f"{role}_token": token for role, token in roles.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(path)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizer, corpus and the three models, made once."""
    folder = tmp_path_factory.mktemp("distributed")
    lines = [line for language in LANGUAGES for line in sentences(language)]
    write_tokenizer(folder / "tokenizer", lines)
    texts = {}
    for language in LANGUAGES:
        path = folder / f"{language}.txt"
        path.write_text("\n".join(sentences(language)) + "\n", encoding="utf-8")
        texts[language] = [str(path)]
    from hyperofa.corpus.prepare import prepare
    from hyperofa.corpus.settings import CorpusSettings

    prepare(folder / "tokenizer", texts, folder / "corpus", CorpusSettings(length=LENGTH))
    write_encoder(folder / "encoder", folder / "tokenizer")
    write_decoder(folder / "decoder", folder / "tokenizer")
    write_factorised_decoder(folder / "factorised-decoder", folder / "decoder")
    return folder


def write_encoder(out: Path, tokenizer: Path) -> None:
    """A factorised BERT of two layers with a tied head, as ``hyperofa init`` writes one."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    from hyperofa.model import assemble, load_source

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=90,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=LENGTH,
    )
    source = out.with_name("bert")
    BertForMaskedLM(config).save_pretrained(source)
    write_tokenizer(source, [line for language in LANGUAGES for line in sentences(language)], vocab_size=80)
    target = AutoTokenizer.from_pretrained(tokenizer)
    model = assemble(
        load_source(str(source), head="mlm"),
        target,
        coordinates=torch.randn(len(target), 8) * 0.3,
        primitives=torch.randn(8, 32) * 0.3,
        head_bias=torch.zeros(len(target)),
    )
    model.save_pretrained(out)
    target.save_pretrained(out)
    (out / "init.json").write_text("{}")


def write_decoder(out: Path, tokenizer: Path) -> None:
    """A plain Llama of two layers with a head of its own."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    target = AutoTokenizer.from_pretrained(tokenizer)
    config = LlamaConfig(
        vocab_size=len(target),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(out)
    target.save_pretrained(out)


def write_factorised_decoder(out: Path, source: Path) -> None:
    """The same Llama with factors of its own, of different ranks, at both ends."""
    import torch
    from transformers import AutoTokenizer

    from hyperofa.model import assemble, load_source

    torch.manual_seed(0)
    target = AutoTokenizer.from_pretrained(source)
    model = assemble(
        load_source(str(source), head="causal"),
        target,
        coordinates=torch.randn(len(target), 8) * 0.3,
        primitives=torch.randn(8, 32) * 0.3,
        output_coordinates=torch.randn(len(target), 6) * 0.3,
        output_primitives=torch.randn(6, 32) * 0.3,
    )
    model.save_pretrained(out)
    target.save_pretrained(out)
    (out / "init.json").write_text("{}")


@pytest.fixture
def trainer(home: Path, tmp_path: Path) -> Callable[..., Trainer]:
    """``trainer("encoder", zero_stage=2)`` makes a :class:`Trainer` whose runs lie in the test's own folder."""

    def make(model: str = "encoder", **settings: Any) -> Trainer:
        return Trainer(home / model, home / "corpus", tmp_path, settings)

    return make


@pytest.fixture(scope="session")
def straight(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Launch]:
    """``straight("encoder", 2)`` is an undisturbed run, made once for all tests that compare with it."""
    folder = tmp_path_factory.mktemp("straight")
    done: dict[tuple[str, int], Launch] = {}

    def get(model: str, stage: int) -> Launch:
        if (model, stage) not in done:
            trainer = Trainer(home / model, home / "corpus", folder, {"zero_stage": stage})
            done[model, stage] = trainer.train(f"{model}-{stage}")
        return done[model, stage]

    return get


@pytest.fixture(scope="session")
def plain_losses(home: Path) -> Callable[..., list[float]]:
    """The losses of the same run in one process of plain torch: one batch a step, AdamW, clipping, nothing sharded."""
    done: dict[tuple[Any, ...], list[float]] = {}

    def get(model: str, mask_rate: float = 0.15, **settings: Any) -> list[float]:
        key = (model, mask_rate, *sorted(settings.items()))
        if key not in done:
            done[key] = train_plainly(home / model, home / "corpus", mask_rate, **settings)
        return done[key]

    return get


def train_plainly(
    path: Path,
    corpus: Path,
    mask_rate: float = 0.15,
    clip: float = 1.0,
    phase: str = "all",
    phase_steps: int = 0,
    adapter: int = 0,
) -> list[float]:
    """The loss of every step; one whose gradient is not finite changes nothing, and what a phase holds is not clipped by."""
    import torch

    from hyperofa.corpus.batches import Batches
    from hyperofa.corpus.masking import Masking
    from hyperofa.corpus.packed import PackedCorpus
    from hyperofa.model import load_for_training, parameter_groups
    from hyperofa.model.phases import frozen_parts, part_of

    model = load_for_training(path)
    if adapter:
        from hyperofa.corpus.order import stream_key
        from hyperofa.model.adapter import add_adapter

        add_adapter(model, rank=adapter, alpha=2.0 * adapter, seed=stream_key(0, "adapter"))
    masking = None if model.objective == "causal" else Masking(rate=mask_rate)
    batches = Batches(PackedCorpus.open(corpus), global_batch=8, seed=0, masking=masking)
    optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay=0.01), lr=1e-2, eps=EPSILON)
    found = []
    for step in range(STEPS):
        still = frozen_parts(phase) if step < phase_steps else frozenset()
        learning = []
        for group in optimizer.param_groups:
            group["lr"] = 0.0 if part_of(group["name"]) in still else 1e-2 * (1 - step / STEPS)
            learning += group["params"] if group["lr"] else []
        output = model(**batches.for_rank(step, 0, 1, 8)[0].inputs)
        loss = output.loss_sum / output.n_targets.clamp(min=1)
        found.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), clip, norm)
        if norm.isfinite():
            optimizer.step()
    return found
