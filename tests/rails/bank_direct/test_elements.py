"""Frozen words and XML elements: what is written is read back, what is unknown is forgotten."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import field

from caiwutong.rails import xml
from caiwutong.rails.bank_direct.elements import Word, drop_unknown, read, write

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn", "Co")),
    max_size=12,
).map(lambda text: text.strip(" "))


class Inner(Word, frozen=True, kw_only=True):
    value: str = field(name="v")
    maybe: str = field(name="m", default="")


class Outer(Word, frozen=True, kw_only=True):
    first: str = field(name="A")
    one: Inner = field(name="B")
    perhaps: Inner | None = field(name="C", default=None)
    many: tuple[Inner, ...] = field(name="D", default=())
    last: str = field(name="E", default="")


INNER = st.builds(Inner, value=TEXT, maybe=TEXT)
OUTER = st.builds(
    Outer,
    first=TEXT,
    one=INNER,
    perhaps=st.none() | INNER,
    many=st.lists(INNER, max_size=3).map(tuple),
    last=TEXT,
)


@settings(deadline=None)
@given(OUTER)
def test_a_word_comes_back_as_it_was_written(word: Outer) -> None:
    assert read(xml.parse(write("W", word).encode()), Outer) == word


def test_elements_stand_in_order_and_empty_ones_are_left_out() -> None:
    word = Outer(first="", one=Inner(value="<&>"), many=(Inner(value="1"), Inner(value="2")))
    assert write("W", word) == (
        "<W><A></A><B><v>&lt;&amp;&gt;</v></B><D><v>1</v></D><D><v>2</v></D></W>"
    )


def test_what_a_word_does_not_know_is_forgotten_however_deep() -> None:
    raw = (
        b"<W><new><A>9</A></new><A> 1 </A><B><v>2</v><x/><m> </m></B><E></E>"
        b"<D><v>3</v><v2>4</v2></D></W>"
    )
    element = xml.parse(raw)
    drop_unknown(element, Outer)
    expected = Outer(first="1", one=Inner(value="2"), many=(Inner(value="3"),))
    assert read(element, Outer) == expected
    tags = [str(each.tag) for each in element.iter()]
    assert tags == ["W", "A", "B", "v", "D", "v"]
