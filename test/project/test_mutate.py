# SPDX-License-Identifier: Apache-2.0
"""The script that plants mistakes tells what the tests make of them."""

import re
import runpy
import subprocess
from fnmatch import fnmatch

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
SURVIVOR = """
[[mutation]]
what = "it never starts"
file = "cnode/main.c"
old = "return (int)node_run(&options);"
new = "return STATUS_OTHER;"
tests = ["test_layout.py"]
"""
SOURCES = (
    "cnode/**/*.[ch]",
    "cnode/*.8",
    "cnode/systemd/**/*.*",
    "erlang/*.3",
    "erlang/**/*.escript",
    "erlang/**/*.erl",
    "erlang/**/*.app.src",
)
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
def folder(tmp_path_factory):
    """Its scratch copy stays there for the next run."""
    return tmp_path_factory.mktemp("mutate")


@pytest.fixture(scope="module")
def done(srcdir, folder):
    (folder / "table.toml").write_text(TABLE)
    (folder / "diffs").mkdir()
    (folder / "diffs" / "a harmless change.diff").write_text(HARMLESS)
    run = [srcdir / "test" / "mutate" / "run", "-d", folder, "--report", folder / "report"]
    done = subprocess.run(
        [*run, folder / "table.toml", folder / "diffs"], capture_output=True, text=True
    )
    print(done.stdout, done.stderr)
    return done.stdout, done.returncode, (folder / "report").read_text()


@pytest.fixture(scope="module")
def whole(srcdir, folder, done):
    (folder / "survivor.toml").write_text(SURVIVOR)
    run = [srcdir / "test" / "mutate" / "run", "--whole", "-d", folder]
    whole = subprocess.run([*run, folder / "survivor.toml"], capture_output=True, text=True)
    print(whole.stdout, whole.stderr)
    return whole.stdout, whole.returncode


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
    assert text.endswith("\n1 of 2 were caught, 1 by the nearest tests\n")
    assert status == 2


@pytest.mark.slow
def test_what_no_near_test_notices_is_put_to_the_rest_of_the_suite(whole):
    text, status = whole
    assert re.match(r"caught by the rest +\d+ s  it never starts\n +\w+/test_", text)
    assert text.endswith("\n1 of 1 were caught, 0 by the nearest tests\n")
    assert status == 0


@pytest.fixture(scope="module")
def script(srcdir):
    """What the script defines."""
    return runpy.run_path(str(srcdir / "test" / "mutate" / "run"))


def test_the_tests_that_are_named_are_there(script, srcdir):
    files = [path.relative_to(srcdir / "test") for path in srcdir.glob("test/*/test_*.py")]
    near = {f"test_{name}.py" for _, names in script["NEAREST"] for name in names.split()}
    assert near - {path.name for path in files} == set()
    assert set(script["LEFT_OUT"]) - {str(path) for path in files} == set()


def test_each_source_has_a_row_and_each_row_is_the_first_of_some_source(script, srcdir):
    found = [path for kind in SOURCES for path in srcdir.glob(kind)]
    patterns = [pattern for pattern, _ in script["NEAREST"]]
    first = {}
    for path in found:
        file = str(path.relative_to(srcdir))
        first[file] = next((p for p in patterns if fnmatch(file, p)), None)
    assert [file for file, pattern in first.items() if pattern is None] == []
    assert set(patterns) - set(first.values()) == set()


def test_no_row_is_for_all_of_a_layer(script):
    """Or a new file would have tests that know nothing of it."""
    rows = [pattern for pattern, _ in script["NEAREST"]]
    assert [p for p in rows if p in ("*", "cnode/*", "erlang/*", "erlang/src/*")] == []
