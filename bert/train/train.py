"""Fine-tunes the base model on labelled sets: LoRA in the upper layers, pooler and classifier.

    nice -n 19 python3 train.py BASE SETS OUTPUT --minutes 80

BASE is what base.py wrote, SETS a directory of `NAME.train.tsv` and `NAME.dev.tsv` files (label TAB
text). OUTPUT gets `delta.safetensors` (what join.py adds to the base), `log.jsonl`, and `state.pt`,
from which an interrupted run goes on. The minutes are of processor time, so that a busy machine makes
it longer and not worse; a core learns from about 20 short texts a second. GOMP_SPINCOUNT=0 keeps
threads that wait for each other from counting as work.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification
from safetensors.torch import load_file

from texts import NEUTRAL, is_two_class, load_sets, plain

RANK, SCALE = 16, 2.0
ADAPTED = ("query", "key", "value", "dense")
# The base was not trained in these languages.
UNKNOWN_TO_BASE = ("ig", "yo", "pcm")
MAX_TOKENS = 64
BATCH = 32
POOL = 32 * BATCH
# The rate rises over the first steps and falls over the last part of the time.
PEAK_RATE, WARM_UP_STEPS, DECAY = 7e-4, 60, 0.35


class Lora(torch.nn.Module):
    """y = Wx + b + scale * B A x, with W and b frozen."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.a = torch.nn.Parameter(torch.randn(RANK, linear.in_features) / linear.in_features**0.5)
        self.b = torch.nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, x):
        return self.linear(x) + F.linear(F.linear(x, self.a), self.b * SCALE)


def load_model(base, first_layer):
    """The base with a fresh head, and LoRA from a layer upwards."""
    settings = json.loads((base / "config.json").read_text())
    settings |= {"num_labels": 3, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForSequenceClassification(BertConfig(**settings))
    parameters = {f"bert.{name}": values for name, values in load_file(base / "model.safetensors").items()}
    missing, unexpected = model.load_state_dict(parameters, strict=False)
    assert not unexpected and all("pooler" in name or "classifier" in name for name in missing), (missing, unexpected)
    model.requires_grad_(False)
    for layer in model.bert.encoder.layer[first_layer:]:
        for module in list(layer.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(module, name, Lora(child))
    with torch.no_grad():
        # The pooler begins as the identity, which leaves the base's meaning as it is.
        model.bert.pooler.dense.weight.copy_(torch.eye(settings["hidden_size"]) * 2)
        model.bert.pooler.dense.bias.zero_()
        model.classifier.weight.normal_(0, 0.05)
        model.classifier.bias.zero_()
    model.bert.pooler.requires_grad_(True)
    model.classifier.requires_grad_(True)
    return model


def delta(model):
    """What training changed, in fp16: for each adapted matrix the factors `NAME.a` and `NAME.b` (with
    the scale in b), and the head as it is."""
    tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, Lora):
            tensors[f"{name}.a"], tensors[f"{name}.b"] = module.a, module.b * SCALE
    for name in ("bert.pooler.dense", "classifier"):
        head = model.get_submodule(name)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = head.weight, head.bias
    return {name: values.detach().half().contiguous() for name, values in tensors.items()}


class Encoder:
    """Texts -> token ids, cut."""

    def __init__(self, base):
        self.tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.pad = json.loads((base / "config.json").read_text())["pad_token_id"]

    def __call__(self, texts):
        encodings = self.tokenizer.encode_batch_fast([plain(text) for text in texts])
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def batch(self, rows):
        ids = np.full((len(rows), max(map(len, rows))), self.pad, np.int64)
        for line, row in zip(ids, rows):
            line[: len(row)] = row
        ids = torch.from_numpy(ids)
        return ids, (ids != self.pad).long()


class Sampler:
    """Rows of all sets: a set by its weight, a class evenly, a row in shuffled turn."""

    def __init__(self, sets, seed):
        self.random = random.Random(seed)
        self.sources, self.weights = [], []
        for name, (train, _, has_dev_file) in sets.items():
            two_class = is_two_class(train)
            by_class = [[text for label, text in train if label == wanted] for wanted in range(3)]
            self.sources.append((two_class, [(label, texts, []) for label, texts in enumerate(by_class) if texts]))
            self.weights.append(len(train) ** 0.5 * self.share(name, two_class, has_dev_file))

    @staticmethod
    def share(name, two_class, has_dev_file):
        if name.split("_")[0] in UNKNOWN_TO_BASE or two_class:
            return 0.1
        if not has_dev_file:
            return 0.3
        return 1.5 if name.endswith("_xlmt") else 1.0

    def draw(self):
        two_class, classes = self.random.choices(self.sources, self.weights)[0]
        label, texts, turn = self.random.choice(classes)
        if not turn:
            turn.extend(self.random.sample(texts, len(texts)))
        return turn.pop(), label, two_class

    def batches(self, encode):
        """Rows (token ids, label, whether of a two-class set) of like length, in no order."""
        while True:
            drawn = [self.draw() for _ in range(POOL)]
            ids = encode([text for text, _, _ in drawn])
            pool = sorted(((row, label, two) for row, (_, label, two) in zip(ids, drawn)), key=lambda row: len(row[0]))
            batches = [pool[at : at + BATCH] for at in range(0, POOL, BATCH)]
            self.random.shuffle(batches)
            yield from batches


@torch.inference_mode()
def predict(model, encode, texts):
    """Logits of the three classes."""
    rows = encode(texts)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    logits = np.zeros((len(rows), 3), np.float32)
    for at in range(0, len(order), 32):
        part = order[at : at + 32]
        ids, mask = encode.batch([rows[index] for index in part])
        logits[part] = model(input_ids=ids, attention_mask=mask).logits.float().numpy()
    return logits


def macro_recall(labels, logits):
    labels, logits = np.array(labels), logits.copy()
    if set(labels) == {0, 2}:
        logits[:, NEUTRAL] = -np.inf
    guesses = logits.argmax(1)
    return float(np.mean([(guesses[labels == label] == label).mean() for label in sorted(set(labels))]))


def measure(model, encode, dev, rows):
    """Macro recall by set, on the first rows."""
    return {
        name: macro_recall([label for label, _ in part[:rows]], predict(model, encode, [text for _, text in part[:rows]]))
        for name, part in dev.items()
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--first-layer", type=int, default=6, help="LoRA from this layer upwards")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=PEAK_RATE)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(7)

    encode = Encoder(options.base)
    sets = {
        name: (train, dev, (options.sets / f"{name}.dev.tsv").exists())
        for name, (train, dev) in load_sets(options.sets).items()
    }
    probe = {name: dev for name, (_, dev, has_file) in sets.items() if has_file and name.endswith("_xlmt")}
    model = load_model(options.base, options.first_layer)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.rate, weight_decay=0.01, betas=(0.9, 0.98))
    state = {"steps": 0, "seconds": 0.0}
    state_file = options.output / "state.pt"
    if state_file.exists():
        saved = torch.load(state_file, weights_only=True)
        model.load_state_dict(saved["model"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["progress"]

    def save():
        parameters = {name: values for name, values in model.named_parameters() if values.requires_grad}
        part = state_file.with_suffix(".part")
        torch.save({"model": parameters, "optimizer": optimizer.state_dict(), "progress": state}, part)
        part.rename(state_file)
        save_file(delta(model), options.output / "delta.safetensors")

    def log(**figures):
        line = json.dumps(state | figures)
        print(line, flush=True)
        with (options.output / "log.jsonl").open("a") as file:
            file.write(line + "\n")

    # A run that goes on draws other rows than before.
    sampler = Sampler(sets, state["steps"])
    budget, begin = options.minutes * 60, time.process_time() - state["seconds"]
    losses, saved_at, probed_at = [], state["seconds"], state["seconds"]
    for batch in sampler.batches(encode):
        done = state["seconds"] / budget
        if done >= 1:
            break
        rate = options.rate * min(1, (state["steps"] + 1) / WARM_UP_STEPS, (1 - done) / DECAY)
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, mask = encode.batch([row for row, _, _ in batch])
        logits = model(input_ids=ids, attention_mask=mask).logits
        # Nobody was asked for neutral texts in a two-class set.
        two_class = torch.tensor([two for _, _, two in batch])
        logits[two_class, NEUTRAL] = -1e9
        loss = F.cross_entropy(logits, torch.tensor([label for _, label, _ in batch]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        state["steps"] += 1
        state["seconds"] = round(time.process_time() - begin, 1)
        if state["steps"] % 20 == 0:
            log(loss=round(sum(losses) / len(losses), 4), rate=rate)
            losses = []
        if state["seconds"] - saved_at > 180:
            saved_at = state["seconds"]
            save()
        if state["seconds"] - probed_at > 900:
            probed_at = state["seconds"]
            figures = measure(model, encode, probe, 100)
            log(probe={name: round(value, 3) for name, value in figures.items()}, mean=round(float(np.mean(list(figures.values()))), 4))
    save()
    log(end=True)


if __name__ == "__main__":
    main()
