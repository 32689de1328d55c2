"""Learns a head on the frozen base: what can be had where there is no time to fine-tune.

    python3 head.py BASE SETS OUTPUT

Each text is encoded once, which is what takes long (about 35 texts a second and core); OUTPUT keeps the
encodings, so that an interrupted run goes on. The head is the pooler and the classifier of a BERT that is cut
after LAYERS layers: the last two of e5 turn towards similarity of meaning, and away from sentiment. OUTPUT gets
`delta.safetensors`, which join.py adds to the base.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from texts import NEUTRAL, is_two_class, load_sets, plain

LAYERS = 10
MAX_TOKENS = 56
CHUNK, BATCH = 512, 32
# The base was not trained in these languages.
UNKNOWN_TO_BASE = ("ig", "yo", "pcm")
SEED = 5


def choose(sets, directory):
    """(label, set, text) of the rows to learn from, the classes of a set evenly; in an order in which every
    beginning is a fair sample."""
    source, rows = random.Random(SEED), []
    for name, (train, _) in sets.items():
        if name.split("_")[0] in UNKNOWN_TO_BASE:
            continue
        source.shuffle(train)
        has_dev_file = (directory / f"{name}.dev.tsv").exists()
        wanted = 1500 if name.endswith("_xlmt") else 1100 if has_dev_file else 250
        if is_two_class(train):
            wanted = 100
        classes = sorted({label for label, _ in train})
        for wanted_label in classes:
            part = [text for label, text in train if label == wanted_label]
            rows += [(wanted_label, name, text) for text in part[: wanted // len(classes)]]
    source.shuffle(rows)
    return rows


@torch.inference_mode()
def encode(model, tokenizer, pad, texts):
    """What the last layer holds of the first token of each text."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast([plain(text) for text in texts])]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    result = np.zeros((len(ids), model.config.hidden_size), np.float32)
    for at in range(0, len(order), BATCH):
        part = order[at : at + BATCH]
        batch = torch.full((len(part), len(ids[part[-1]])), pad)
        for row, index in enumerate(part):
            batch[row, : len(ids[index])] = torch.tensor(ids[index])
        mask = (batch != pad).long()
        result[part] = model(input_ids=batch, attention_mask=mask).last_hidden_state[:, 0].numpy()
    return result


def load_encodings(base, rows, output):
    settings = json.loads((base / "config.json").read_text()) | {"num_hidden_layers": LAYERS}
    model = BertModel(BertConfig(**settings), add_pooling_layer=False).eval()
    model.load_state_dict(load_file(base / "model.safetensors"), strict=False)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    chunks = []
    for at in range(0, len(rows), CHUNK):
        file = output / f"encodings-{at:06}.npy"
        if not file.exists():
            texts = [text for _, _, text in rows[at : at + CHUNK]]
            np.save(file, encode(model, tokenizer, settings["pad_token_id"], texts))
            print(f"{at + len(texts)} of {len(rows)} texts", flush=True)
        chunks.append(np.load(file))
    return torch.from_numpy(np.concatenate(chunks).astype(np.float32))


class Head(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.pooler, self.classifier = torch.nn.Linear(size, size), torch.nn.Linear(size, 3)

    def forward(self, x):
        return self.classifier(F.dropout(torch.tanh(self.pooler(x)), 0.4, self.training))


def learn(encodings, labels, two_class, epochs):
    """A head for standardised encodings, then for encodings as they are."""
    mean, deviation = encodings.mean(0), encodings.std(0) + 1e-6
    x = (encodings - mean) / deviation
    torch.manual_seed(SEED)
    head = Head(x.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.2)
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in range(0, len(x) - 63, 64):
            part = order[at : at + 64]
            logits = head(x[part])
            # Nobody was asked for neutral texts in a two-class set.
            logits[two_class[part], NEUTRAL] = -1e9
            loss = F.cross_entropy(logits, labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        # W (x - m) / d + b = (W / d) x + (b - W (m / d))
        weight = head.pooler.weight / deviation
        head.pooler.bias -= weight @ mean
        head.pooler.weight.copy_(weight)
    return head.eval()


def main():
    parser = argparse.ArgumentParser(description="Learns a head on the frozen base.")
    parser.add_argument("base", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, help="learn from so many rows only")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    sets = load_sets(options.sets)
    rows = choose(sets, options.sets)[: options.rows]
    encodings = load_encodings(options.base, rows, options.output)
    labels = torch.tensor([label for label, _, _ in rows])
    two_class_sets = {name for name, (train, _) in sets.items() if is_two_class(train)}
    two_class = torch.tensor([name in two_class_sets for _, name, _ in rows])
    head = learn(encodings, labels, two_class, options.epochs)
    tensors = {
        "bert.pooler.dense.weight": head.pooler.weight,
        "bert.pooler.dense.bias": head.pooler.bias,
        "classifier.weight": head.classifier.weight,
        "classifier.bias": head.classifier.bias,
    }
    tensors = {name: values.detach().contiguous() for name, values in tensors.items()}
    save_file(tensors, options.output / "delta.safetensors", {"layers": str(LAYERS)})
    print(f"learnt from {len(rows)} rows")


if __name__ == "__main__":
    main()
