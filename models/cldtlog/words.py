"""What CLDTLog reads of a masked message: its words, and nothing that changes from line to line.

Owns the preparation of texts, the same in training and in the service. Does not know tokenisers.
"""

import re

MAX_WORDS = 50
MAX_CHARACTERS = 512
"""Both hold more than the tokens that count of ordinary text; a hostile line is cut here."""
_LOOKED_AT = 4_096

# Where a number stood, dropped digits leave nothing. What other masks say (an address, a path, a block) is a word.
_NUMBERS = re.compile(r"<(?:NUM|HEX)>")


def prepared(masked: str) -> str:
    """The words of a masked message in lower case, one blank between them: letters only, of any script; digits,
    punctuation and the masks of numbers are dropped, other masks stay as their names. Empty where there is no word."""
    text = _NUMBERS.sub(" ", masked[:_LOOKED_AT])
    letters = "".join(character if character.isalpha() else " " for character in text)
    return " ".join(letters.split()[:MAX_WORDS]).lower()[:MAX_CHARACTERS].rstrip()
