"""Texts that are apt to be taken for something else, and small changes of any text."""

from hypothesis import strategies as st

# All that PostgreSQL can hold, but its NUL.
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])

TEXTS = st.sampled_from(
    [
        *("", " ", "'", '"', "''", '""', "\\", "\\'", "$", "$$", "$a$", "%", "%s", "{}", "{x}"),
        *("null", "NULL", "true", "0", "-1", "1e999", "NaN", "\n", "\t", "\r\n", "\x01", "\x7f"),
        *("\u0085", "\u2028", "\ufeff", "\ufffd", "\U0001f600", "e\u0301", "İ", "ß", "ﬃ"),
        *("\u05d0\u05d1", "\u202eabc", "\u4f60\u597d", "Ωμέγα", "a b", "a.b", "a;b", "a--b", "/*"),
        *("x" * 63, "x" * 64, "é" * 32, "x" * 1000, "../../etc/passwd", "public", "pg_catalog"),
        *("\\u0000", "\\ud800", "[", "[[[[", '{"a":1}', '{"node_type":"SQL"}', "sys_instance_id"),
    ]
) | st.text(CHARACTERS, max_size=20)


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[str]) -> str:
    """A text with a few pieces left out, doubled, swapped or put in."""
    text = draw(originals)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(at + draw(st.integers(0, 8)), len(text))
        middle = draw(
            st.sampled_from(["", text[at:end] * 2, text[at:end][::-1], text[at:end].upper()])
            | TEXTS
        )
        text = text[:at] + middle + text[end:]
    return text
