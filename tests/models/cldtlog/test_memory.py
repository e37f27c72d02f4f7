"""Remembered answers: right with any bound, and asked for once while they are kept."""

from models.cldtlog.memory import LONGEST, Memory


def shout(asked: list[list[str]]):  # type: ignore[no-untyped-def]
    def find(texts: list[str]) -> list[str]:
        asked.append(texts)
        return [text.upper() for text in texts]

    return find


def test_each_text_is_found_once() -> None:
    asked: list[list[str]] = []
    memory: Memory[str] = Memory()
    assert memory.answers(["a", "b", "a"], shout(asked)) == ["A", "B", "A"]
    assert memory.answers(["b", "c", "b"], shout(asked)) == ["B", "C", "B"]
    assert memory.answers([], shout(asked)) == []
    assert asked == [["a", "b"], ["c"]]


def test_a_full_memory_starts_over_and_still_answers() -> None:
    asked: list[list[str]] = []
    memory: Memory[str] = Memory(entries=3)
    for start in range(0, 40, 2):
        texts = [str(number) + "x" for number in range(start, start + 4)]
        assert memory.answers(texts, shout(asked)) == [text.upper() for text in texts]
        assert len(memory) <= 3


def test_long_texts_are_answered_and_not_kept() -> None:
    memory: Memory[str] = Memory()
    text = "x" * (LONGEST + 1)
    assert memory.answers([text, "a"], shout([])) == [text.upper(), "A"]
    assert len(memory) == 1
