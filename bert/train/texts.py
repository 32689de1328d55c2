"""Labelled texts, split as `hearken train` splits them (src/score/dataset.rs), so that both tiers
learn from and are measured on the same rows."""

import re
from pathlib import Path

LABELS = {"neg": 0, "neu": 1, "pos": 2}
NEUTRAL = 1
HELD_OUT = 10

# What a link and an account become; bert/src/text.rs does the same.
LINK = re.compile(r"(?:https?://|www\.)\S+")
ACCOUNT = re.compile(r"(?<!\w)@\w+")


def plain(text):
    """A text as the model reads it."""
    return ACCOUNT.sub("@user", LINK.sub("http", text))


def text_hash(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value ^ value >> 32


def read(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = (line.rstrip("\r").split("\t", 1) for line in lines if line)
    return [(LABELS[label], text) for label, text in rows]


def load_sets(directory):
    """Name -> (rows to learn from, held-out rows); a row is (label, text)."""
    sets = {}
    for path in sorted(Path(directory).glob("*.train.tsv")):
        name = path.name.removesuffix(".train.tsv")
        train, dev = read(path), path.with_name(f"{name}.dev.tsv")
        if dev.exists():
            sets[name] = train, read(dev)
        else:
            held_out = [text_hash(text) % HELD_OUT == 0 for _, text in train]
            sets[name] = (
                [row for row, held in zip(train, held_out) if not held],
                [row for row, held in zip(train, held_out) if held],
            )
    return sets


def is_two_class(rows):
    return {label for label, _ in rows} == {0, 2}
