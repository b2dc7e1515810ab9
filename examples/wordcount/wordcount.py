"""Counts the words of a text: `wordcount.py FILE [HOW_MANY]` prints the most frequent ones."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def count_words(lines: Iterable[str]) -> Counter[str]:
    """Return how often each word stands in the text; a word is what white space surrounds."""
    words: Counter[str] = Counter()
    for line in lines:
        words.update(line.split())
    return words


def main(argv: list[str]) -> int:
    path, how_many = argv[0], int(argv[1]) if len(argv) > 1 else 5
    with Path(path).open(encoding="utf-8") as text:
        words = count_words(text)
    print(f"{words.total()} words, {len(words)} different")
    for word, times in words.most_common(how_many):
        print(f"{times:8} {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
