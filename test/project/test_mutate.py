# SPDX-License-Identifier: Apache-2.0
"""The script that plants mistakes tells what the tests make of them."""

import fnmatch
import re
import subprocess

import pytest

TABLE = """
[[mutation]]
what = "another status"
file = "cnode/main.c"
old = "return STATUS_USAGE;"
new = "return STATUS_OTHER;"
tests = ["test_node.py::test_a_bad_option_is_told_with_status_2"]

[[mutation]]
what = "no C"
file = "cnode/main.c"
old = "return STATUS_USAGE;"
new = "return STATUS_USAGE"

[[mutation]]
what = "nowhere"
file = "cnode/main.c"
old = "no such text"
new = ""
"""
HARMLESS = """\
tests: test_node.py::test_a_bad_option_is_told_with_status_2
--- a/cnode/main.c
+++ b/cnode/main.c
@@ -1,2 +1,2 @@
 /* SPDX-License-Identifier: Apache-2.0 */
-/* Options -> node -> exit status. */
+/* From options to a node, and to its exit status. */
"""


@pytest.fixture(scope="module")
def done(srcdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mutate")
    (folder / "table.toml").write_text(TABLE)
    (folder / "diffs").mkdir()
    (folder / "diffs" / "a harmless change.diff").write_text(HARMLESS)
    run = [srcdir / "test" / "mutate" / "run", "-d", folder, "--report", folder / "report"]
    done = subprocess.run(
        [*run, folder / "table.toml", folder / "diffs"], capture_output=True, text=True
    )
    print(done.stdout, done.stderr)
    return done.stdout, done.returncode, (folder / "report").read_text()


@pytest.mark.parametrize(
    "what, outcome, by",
    [
        ("another status", "caught", "node/test_node.py::test_a_bad_option_is_told"),
        ("a harmless change", "survived", "node/test_node.py::test_a_bad_option_is_told"),
        ("no C", "did not build", ""),
        ("nowhere", "does not apply", "0 times in cnode/main.c"),
    ],
)
def test_each_mistake_has_its_outcome(what, outcome, by, done):
    text, _, report = done
    assert re.search(rf"^{outcome} +\d+ s  {what}$", text, re.M)
    assert f"| {what} | cnode/main.c | {outcome} | {by}" in report


def test_what_was_caught_is_counted_last_and_what_could_not_be_tried_told(done):
    text, status, _ = done
    assert text.endswith("\n1 of 2 were caught\n")
    assert status == 2


@pytest.fixture(scope="module")
def nearest(srcdir):
    """[(pattern of sources, names of tests)], as the script has them."""
    text = (srcdir / "test" / "mutate" / "run").read_text()
    rows = re.findall(r'^    \(\s*"(\S+)",\s*"([\w ]+)",?\s*\),$', text, re.M)
    assert len(rows) > 50
    return rows


def test_the_tests_that_are_near_are_there(nearest, srcdir):
    named = {name for _, names in nearest for name in names.split()}
    files = (srcdir / "test").glob("*/test_*.py")
    assert named - {path.stem.removeprefix("test_") for path in files} == set()


def test_each_pattern_is_that_of_some_source(nearest, srcdir):
    kinds = ("cnode/**/*.[ch]", "cnode/*.8", "erlang/*.3", "erlang/src/*.erl")
    found = [path for kind in kinds for path in srcdir.glob(kind)]
    files = [str(path.relative_to(srcdir)) for path in found]
    patterns = [pattern for pattern, _ in nearest]
    assert [p for p in patterns if not fnmatch.filter(files, p)] == []
