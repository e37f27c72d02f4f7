"""Parameters of a raw message by its template."""

from hypothesis import given
from hypothesis import strategies as st

from models.template.parameters import Parameter, extract
from models.template.tokens import CUT, MAX_CHARACTERS, tokenize


def values(template: str, message: str) -> list[str]:
    return [parameter.value for parameter in extract(template.split(), message)]


def test_masks_and_wildcards_are_named_and_placed():
    template = [*tokenize("Receiving block <BLK> src: /<IP>:<PORT> dest:"), "<*>"]
    message = "Receiving  block blk_-1 src: /10.0.0.1:50 dest: /10.0.0.2:80\n"
    assert extract(template, message) == [
        Parameter(0, "BLK", "blk_-1", 2),
        Parameter(1, "IP", "10.0.0.1", 4),
        Parameter(2, "PORT", "50", 4),
        Parameter(3, "*", "/10.0.0.2:80", 6),
    ]


def test_constants_are_taken_literally():
    assert values("cost (<NUM>) [a+b] $<*>.", "cost (5) [a+b] $1.25.") == ["5", "1.25"]
    assert values("cost (<NUM>) [a+b]", "cost (5) [aab]") == []


def test_value_of_a_mask_may_span_white_space():
    assert values("at <DATE> by <USER>", "at Nov  9 20:35 by root") == ["Nov 9 20:35", "root"]


def test_values_are_as_short_as_the_constants_allow_and_never_empty():
    assert values("<A> <B>", "1 2 3") == ["1", "2 3"]
    assert values("<A>=<B>", "x=y=z") == ["x", "y=z"]
    assert values("a <*> b", "a b") == []
    assert values("<A><B>", "xyz") == ["x", "yz"]


def test_nothing_where_template_and_message_do_not_align():
    assert values("open <*>", "close x") == []
    assert values("<*> open", "x close") == []
    assert values("a <*> b <*> c", "a 1 x 2 c") == []
    assert values("no parameters", "no parameters") == []
    assert values("", "") == []


def test_messages_own_wildcards_are_constants():
    tokens = tokenize("<*> is <NUM>")
    assert [parameter.value for parameter in extract(tokens, "<*> is 7")] == ["7"]


def test_rest_of_a_cut_message_is_one_value():
    message = "head " + "y" * (2 * MAX_CHARACTERS)
    tokens = tokenize(message)
    assert tokens == ["head", CUT]
    assert extract(tokens, message) == [Parameter(0, "...", "y" * (2 * MAX_CHARACTERS), 1)]


@given(st.lists(st.sampled_from(["a", "b", "ab", "<*>", "x<N>"]), max_size=6), st.data())
def test_values_put_back_give_the_message(tokens, data):
    word = st.text(alphabet="abx", min_size=1, max_size=3)
    raw = [token.replace("<*>", data.draw(word)).replace("<N>", data.draw(word)) for token in tokens]
    text = " ".join(tokens)
    found = extract(tokens, " ".join(raw))
    for parameter in found:
        text = text.replace("<*>" if parameter.mask == "*" else "<N>", parameter.value, 1)
    assert text == " ".join(raw)


def test_thousands_of_wildcards_in_a_long_message_align():
    assert len(values("<*> " * 2000, "a " * 30_000)) == 2000
