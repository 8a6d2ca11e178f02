"""The JSONPath subset of DataProcessing, against the examples of SageMaker's developer guide."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_ll.local.jsonpath import JsonPath, JsonPathError

DOCUMENT = {"id": 7, "field1": {"child1": 1, "child2": [10, 20]}, "rows": [{"a": 1}, {"a": 2}]}
ROW = ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("path", "document", "expected"),
    [
        ("$", DOCUMENT, DOCUMENT),
        ("$.id", DOCUMENT, 7),
        ("$['id']", DOCUMENT, 7),
        ("$.field1.*", DOCUMENT, [1, [10, 20]]),
        ("$['id','field1']", DOCUMENT, {"id": 7, "field1": DOCUMENT["field1"]}),
        ("$.field1.['child1','child2']", DOCUMENT, DOCUMENT["field1"]),
        ("$.field1['child2'][-1]", DOCUMENT, 20),
        ("$.rows[*].a", DOCUMENT, [1, 2]),
        ("$.rows[0:].a", DOCUMENT, [1, 2]),
        ("$[1]", ROW, "1"),
        ("$[-1]", ROW, "5"),
        ("$[1,3,5]", ROW, ["1", "3", "5"]),
        ("$[1:4]", ROW, ["1", "2", "3", "4"]),  # the second through the fifth column
        ("$[:4]", ROW, ["0", "1", "2", "3", "4"]),
        ("$[4:]", ROW, ["4", "5"]),
        ("$[-2:]", ROW, ["4", "5"]),
        ("$[0,4:]", ROW, ["0", "4", "5"]),
        ("$[4:9]", ROW, ["4", "5"]),
    ],
)
def test_a_path_selects_what_the_guide_says(path: str, document: Any, expected: Any) -> None:
    assert JsonPath(path).select(document) == expected


@pytest.mark.parametrize("path", ["", "id", "$id", "$..id", "$[?(@.a)]", "$['a', 1]", "$[", "$[]", "$.a b", "$[1:2:3]"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(JsonPathError):
        JsonPath(path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("$.none", "there is no 'none'"),
        ("$['id','none']", "there is no 'none'"),
        ("$.rows[2]", "the index 2 is outside an array of 2"),
        ("$.rows[-3]", "the index -3 is outside an array of 2"),
        ("$[0]", "an index names an element of an array, not of an object"),
        ("$.rows.a", "names a child of an object, not of an array"),
        ("$.id.*", "but a number, boolean or null has none"),
    ],
)
def test_a_document_without_it_is_an_error(path: str, text: str) -> None:
    with pytest.raises(JsonPathError, match=text):
        JsonPath(path).select(DOCUMENT)
