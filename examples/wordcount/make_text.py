"""Prints a long text that is the same each time: `make_text.py WORDS`."""

import random
import sys

rng = random.Random(42)
vocabulary = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 8))) for _ in range(5000)]
left = int(sys.argv[1])
while left > 0:
    line = rng.choices(vocabulary, k=min(left, 12))
    left -= len(line)
    print(*line)
