"""The examples of pages are found and run in order, and none is left out in silence."""

from __future__ import annotations

import re
from pathlib import Path

import page_examples
import pytest

PAGE = """# Title

<!-- setup
x = 2

y = 3
-->

```python
z = x * y
```

```
z = "no language, no Python"
```

<!-- not run: it would never end. -->

```python
raise AssertionError
```

```python
names = sorted([x, z])
```
"""


def test_examples_run_in_order_in_one_namespace_after_their_setup(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    first, last = page_examples.run(page)
    assert (first["z"], last["names"]) == (6, [2, 6])
    assert "names" not in first


def test_pages_share_no_names(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    page_examples.run(page)
    page.write_text("```python\nz\n```\n")
    with pytest.raises(NameError):
        page_examples.run(page)


def test_an_error_names_the_line_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\nx / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        page_examples.run(page)
    assert caught.traceback[-1].lineno + 1 == 5
    assert caught.traceback[-1].path == page


def test_what_is_left_out_has_a_reason() -> None:
    marked = [example for example in page_examples.examples(PAGE) if example.reason]
    assert [example.reason for example in marked] == ["it would never end."]
    unexplained = "<!-- not run: -->\n\n```python\nx = 1\n```\n"
    assert [example.reason for example in page_examples.examples(unexplained)] == [""]


@pytest.mark.parametrize("page", page_examples.pages(), ids=page_examples.name_of)
def test_every_block_and_mark_of_a_page_is_understood(page: Path) -> None:
    text = page.read_text()
    found = page_examples.examples(text)
    blocks = re.findall(r"^[ \t]*(?:```+|~~~+)[ \t]*\{?(?:code-block\}\s*)?py", text, re.M | re.I)
    assert len(blocks) == sum(example.shown for example in found)
    assert text.count("<!-- setup") == sum(not example.shown for example in found)
    assert text.count("<!-- not run") == sum(bool(example.reason) for example in found)
    for example in found:
        compile(example.code, str(page), "exec")
