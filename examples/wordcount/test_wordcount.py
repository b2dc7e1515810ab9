import unittest

from wordcount import count_words


class CountWords(unittest.TestCase):
    def test_an_empty_text_has_no_words(self) -> None:
        self.assertEqual(count_words([]).total(), 0)

    def test_words_are_counted_across_lines(self) -> None:
        self.assertEqual(count_words(["a b", "b"])["b"], 2)

    def test_any_white_space_separates(self) -> None:
        self.assertEqual(count_words(["a\tb  c\n"]).total(), 3)


if __name__ == "__main__":
    unittest.main()
