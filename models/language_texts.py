#!/usr/bin/env python3
"""Makes texts to learn languages from, out of word frequencies.

    pip install wordfreq==3.1.1
    python3 models/language_texts.py > language-texts.tsv
    hearken train --languages language-texts.tsv ...

Each line is a language, a tab and a few words drawn at random with their frequency in that language.
They are no sentences, but the spelling features that tell languages apart do not mind. The word
frequencies are of the Python package wordfreq (Robyn Speer and others; data CC BY-SA 4.0). The same
version of the package gives the same lines.
"""

import itertools
import random
import sys

import wordfreq

# Languages that share their script with others; the rest is told by the script alone.
LANGUAGES = (
    "ar bg ca cs da de en es fa fi fil fr hu id is it lt lv mk ms nb nl pl pt ro ru sh sk sl sv tr uk ur vi".split()
)
TEXTS = 4_000
WORDS = 20_000


def main() -> None:
    for language in LANGUAGES:
        frequencies = wordfreq.get_frequency_dict(language, "small")
        words = sorted(frequencies, key=lambda word: (-frequencies[word], word))[:WORDS]
        words = [word for word in words if not any(character.isdigit() for character in word)]
        weights = list(itertools.accumulate(frequencies[word] for word in words))
        draw = random.Random(language)
        for _ in range(TEXTS):
            text = draw.choices(words, cum_weights=weights, k=draw.randint(4, 16))
            sys.stdout.write(f"{language}\t{' '.join(text)}\n")


if __name__ == "__main__":
    main()
