"""A CSV text that is read in blocks, of whatever size, has the records and lines that it has when read at once."""

from __future__ import annotations

import io
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from evergreen.errors import DataError
from evergreen.ingest import csvfile
from evergreen.spec.dataset import FileSource

FIELD = st.one_of(
    st.text("aé€😀 ", max_size=4),
    st.text('aé"\n\r,', max_size=4).map(lambda text: '"' + text.replace('"', '""') + '"'),
    st.sampled_from(['a"b', '"a"b', "x" * 30]),
)
LINE_END = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    records = draw(st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=8))
    text = draw(st.sampled_from(["", "", "\n", "\r\n"])) + "h0,h1" + draw(LINE_END)
    for record in records:
        text += ",".join(record) + draw(LINE_END)
    return text + draw(st.sampled_from(["", "", "1,2", "1", '"open']))


def parsed(content: bytes, encoding: str, block: int) -> Any:
    rows, malformed, at = [], [], 0
    try:
        for sheet in csvfile.parse("f", io.BytesIO(content), FileSource(path="f", encoding=encoding), None, block):
            numbers = sheet.records.tolist()
            lines = [sheet.line_of(number) for number in numbers]
            rows += zip([at + number for number in numbers], lines, sheet.table.to_pylist(), strict=True)
            malformed += [(at + each.record, sheet.line_of(each.record), each.text) for each in sheet.malformed]
            at += sheet.count
    except DataError as error:
        return str(error)
    return rows, malformed


@settings(max_examples=150, deadline=None)
@given(text=texts(), encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]), block=st.integers(1, 60))
@example(text='h0,h1\n1,2\r\n\r3,4\r\n"5",6\n', encoding="utf-8", block=12)
@example(text='h0,h1\n1,"2\n3', encoding="utf-8", block=5)
@example(text="h0,h1\n" + "\n" * 20 + "1,2\n", encoding="utf-8", block=3)
def test_blocks_hold_what_the_whole_holds(text: str, encoding: str, block: int) -> None:
    content = text.encode(encoding)
    assert parsed(content, encoding, block) == parsed(content, encoding, 1 << 20)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "é"),
        ("cp1252", "€"),
        ("shift_jis", "あ漢"),
        ("gb18030", "中😀"),
        ("euc_kr", "한글"),
        ("big5", "中文"),
    ],
)
def test_a_character_is_never_cut(encoding: str, text: str) -> None:
    content = ("h0,h1\n" + "".join(f'{text * number},"{text}\n"\n' for number in range(9))).encode(encoding)
    whole = parsed(content, encoding, 1 << 20)
    assert len(whole[0]) == 9
    for block in range(1, 12):
        assert parsed(content, encoding, block) == whole
