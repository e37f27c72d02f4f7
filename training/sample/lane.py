"""What a script works with: a place to connect to, rows of its own, and dice.

Knows no statement and no order of statements.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from training.sample.client import Client, Observer
from training.sample.schema import CUSTOMERS_PER_LANE, HOT_PRODUCTS_PER_LANE, LANES, PRODUCTS_PER_LANE

_FIRST = ("Ada", "Bela", "Chidi", "Dina", "Emre", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kaya", "Lev", "Mina")
_LAST = ("Abara", "Brandt", "Costa", "Dvorak", "Eriksen", "Fontaine", "Garcia", "Haddad", "Ito", "Jansen", "Kovacs")
_WORDS = ("lamp", "chair", "kettle", "desk", "rug", "mirror", "clock", "vase", "shelf", "pillow", "mug", "curtain")
_METHODS = ("card", "transfer", "wallet")


@dataclass(frozen=True, slots=True)
class Lane:
    """What one script works with: a place to connect to, its own rows, its own dice.

    ``number`` is the lane, 0 to ``LANES`` - 1; ``serial`` is unique among the scripts; ``kind`` is the fault that
    every session opened here is part of (empty: normal); ``pause_s`` is the mean think time.
    """

    observer: Observer
    host: Path
    number: int
    serial: int
    rng: random.Random
    pause_s: float
    kind: str = ""

    def open(self, user: str, application: str) -> Client:
        """Connect a session."""
        return Client(self.observer, self.host, user, application, self.rng, self.pause_s, self.kind)

    def customer(self) -> int:
        """A customer of this lane."""
        return 1 + self.number * CUSTOMERS_PER_LANE + self.rng.randrange(CUSTOMERS_PER_LANE)

    def product(self) -> int:
        """A product that only this lane sells."""
        return 1 + self.number * PRODUCTS_PER_LANE + self.rng.randrange(PRODUCTS_PER_LANE)

    def hot_products(self) -> tuple[int, int]:
        """Two products that scripted sessions of this lane compete for, the smaller id first."""
        first = 1 + LANES * PRODUCTS_PER_LANE + self.number * HOT_PRODUCTS_PER_LANE
        one, other = sorted(self.rng.sample(range(first, first + HOT_PRODUCTS_PER_LANE), 2))
        return one, other

    def reference(self) -> str:
        """An order number of this script."""
        return f"ORD-{self.serial:05d}-{self.rng.randrange(10**6):06d}"

    def name(self) -> str:
        """Somebody's name."""
        return f"{self.rng.choice(_FIRST)} {self.rng.choice(_LAST)}"

    def amount(self) -> float:
        """A price."""
        return self.rng.randrange(100, 30000) / 100

    def word(self) -> str:
        """Something to search for."""
        return self.rng.choice(_WORDS)

    def method(self) -> str:
        """A way to pay."""
        return self.rng.choice(_METHODS)


Script: TypeAlias = Callable[[Lane], None]
"""What one or two sessions do, from connecting to leaving."""
