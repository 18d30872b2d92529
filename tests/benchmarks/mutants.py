"""Mutation testing: how many small faults, put into a module one at a time, its tests find: `figures/mutation.csv`.

    python tests/benchmarks/mutants.py [--modules operators …] [--sample 120] [--seed 0] [--survivors FILE]

`mutations.py` says what a fault, a mutant, is. A process forked for each runs the tests that call the function around
it, the quickest first: those of its module, then the rows of bad input and of numerics that are about it. The mutant is
killed if one fails, or if they take five times the CPU time that they should. As many mutants at a time as there are
cores, one thread each; Linux and macOS only. The modules that are run replace their rows; the others stay.
"""

import argparse
import importlib.machinery
import importlib.util
import os
import pickle
import random
import resource
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
import hypothesis
import pytest
from mutations import mutants
from timing import kept

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "operators": ("operators/*.py", ["operators", "operators_projections", "operators_transforms"], "data_term"),
    "regularizers": ("regularizers/*.py", ["regularizers"], "regularizers"),
    "solvers": ("solvers/*.py", ["solvers", "solvers_greedy", "solvers_proximal"], "solver or precision or algebra"),
    "metrics": ("metrics.py", ["metrics"], "metrics"),
    "models.glow": ("models/*low[._]*py", ["glow", "reversible"], "flow_far"),
    "reconstruction": (
        "reconstruction/*.py",
        ["reconstruction", "joint", "posterior", "patch_prior"],
        "estimate or posterior or laplace or noise or chains",
    ),
}
"""The files of a module in course_lib (of Glow, also its layers) and in tests, without `test_`; and what the names of
its tests among those of numerics have in common. Those of bad input bear the module's own name."""

APART = ("__init__.py", "selection.py", "plug_and_play.py")
"""Files of these folders that belong to no module here: they were folders' neighbours when the table began."""

ALSO = ["bad_input", "numerics"]
COLUMNS = ("module", "mutants", "run", "killed", "share", "seed")


class Recorder:
    """A plugin of pytest: the functions of course_lib that each test calls, and its CPU seconds."""

    def __init__(self):
        self.calls, self.seconds = defaultdict(set), {}
        self.follow("")

    def follow(self, key):
        """From now on calls belong to a test, to a file (the set-up of its tests), or to '' (what imports call)."""
        into = self.calls[key]

        def trace(frame, event, arg):
            if "course_lib" in frame.f_code.co_filename:
                into.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

        sys.settrace(trace)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        for module in [module for name, module in sys.modules.items() if name.startswith("course_lib")]:
            for function in [value for value in vars(module).values() if hasattr(value, "cache_clear")]:
                function.cache_clear()  # A test that finds a value in a cache depends on what has computed it.
        self.seconds[item.nodeid] = time.process_time()
        self.follow(item.location[0])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        self.follow(item.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item):
        self.follow("")
        self.seconds[item.nodeid] = time.process_time() - self.seconds[item.nodeid]


class Chooser:
    """A plugin of pytest: some tests only, the quickest first."""

    def __init__(self, seconds):
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items):
        chosen = [item for item in items if item.nodeid in self.seconds]
        items[:] = sorted(chosen, key=lambda item: (item.location[0], self.seconds[item.nodeid]))


class Finder(importlib.machinery.SourceFileLoader):
    """Finds a module, and loads it from other code."""

    def __init__(self, path, code):
        super().__init__(".".join(path.relative_to(ROOT).with_suffix("").parts), str(path))
        self.code = code

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, name):
        return self.code


def run_pytest(files, plugin, words=""):
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:nbval", "-o", "addopts=", "--rootdir", str(ROOT)]
    return int(pytest.main([*options, "-k", words, *files], plugins=[plugin]))


def forked(function, seconds=None):
    """The exit status of function() in a process of its own, silent, which ends after so many seconds of CPU time."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    with suppress(BaseException):
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        if seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        status = function()
    os._exit(status)


def record(files, words=""):
    """(calls, seconds) of a `Recorder`, of the tests whose names fit the words.

    What they import, but for the course, is imported here as well.
    """
    with tempfile.NamedTemporaryFile() as file:

        def run():
            status = run_pytest(files, recorder := Recorder(), words)
            sys.settrace(None)
            Path(file.name).write_bytes(pickle.dumps((dict(recorder.calls), recorder.seconds, list(sys.modules))))
            return status

        if forked(run) != 0:
            raise RuntimeError(f"the tests fail before anything is changed: {' '.join(files)}")
        calls, seconds, names = pickle.loads(Path(file.name).read_bytes())
    for name in names:
        if not name.startswith(("course_lib", "test", "conftest", "bad_calls", "turning", "__")):
            with suppress(BaseException):
                importlib.import_module(name)
    return defaultdict(set, calls), seconds


def file_of(test):
    return test.partition("::")[0]


def is_killed(mutant, calls, seconds, groups):
    """Whether a test finds the mutant; the groups of test files run one after the other."""
    key = str(mutant.path), mutant.function
    everywhere = mutant.function is None or key in calls[""]
    calling = [test for test in seconds if everywhere or key in calls[test] or key in calls[file_of(test)]]
    for files in groups:
        chosen = {test: seconds[test] for test in calling if file_of(test) in files}

        def run(chosen=chosen):
            sys.meta_path.insert(0, Finder(mutant.path, mutant.code()))
            return run_pytest(sorted({file_of(test) for test in chosen}), Chooser(chosen))

        if chosen and forked(run, 10 + 5 * sum(chosen.values())) != 0:
            return True
    return False


def in_processes(function, values, count):
    """[function(value) for each value], in so many forks of this process: each takes every count-th value."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for k in range(count):
            if not (child := os.fork()):
                with suppress(BaseException):
                    Path(folder, str(k)).write_bytes(pickle.dumps([function(value) for value in values[k::count]]))
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        results = [None] * len(values)
        for k in range(count):
            results[k::count] = pickle.loads(Path(folder, str(k)).read_bytes())
        return results


def measure(name, sample, seed):
    """(number of mutants of a module, [(mutant, killed), …] of a random sample of them)."""
    pattern, tests, words = MODULES[name]
    paths = [path for path in sorted((ROOT / "course_lib").glob(pattern)) if path.name not in APART]
    found = [mutant for path in paths for mutant in mutants(path)]
    drawn = random.Random(seed).sample(found, min(sample, len(found)))
    groups = [[f"tests/test_{test}.py" for test in part] for part in (tests, ALSO)]
    calls, seconds = record(groups[0])
    more_calls, more_seconds = record(groups[1], f"{name} or {words}")
    for test, called in more_calls.items():
        calls[test] |= called  # What the imports of either group call stands under one name.
    seconds |= more_seconds
    drawn.sort(key=lambda mutant: (mutant.path, mutant.index))

    def judge(mutant):
        killed = is_killed(mutant, calls, seconds, groups)
        print(".x"[killed], end="", flush=True)
        return killed

    return len(found), list(zip(drawn, in_processes(judge, drawn, os.cpu_count()), strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--sample", type=int, default=120, help="mutants of a module to run (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--survivors", type=Path, help="a file for the mutants that no test finds")
    parser.add_argument("--out", type=Path, default=ROOT / "figures" / "mutation.csv")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    # A failing example need not be shrunk, nor kept, and each run draws the same ones.
    phases = hypothesis.Phase.explicit, hypothesis.Phase.generate
    hypothesis.settings.register_profile("mutants", database=None, deadline=None, derandomize=True, phases=phases)
    hypothesis.settings.load_profile("mutants")
    rows, survivors = [list(row.values()) for row in kept(options.out, "module", options.modules)], []
    for name in options.modules:
        count, outcomes = measure(name, options.sample, options.seed)
        killed = sum(dead for _, dead in outcomes)
        rows.append([name, count, len(outcomes), killed, killed / len(outcomes), options.seed])
        survivors += [f"{m.path.relative_to(ROOT)}:{m.line}: {m.change}" for m, dead in outcomes if not dead]
        print(f" {name}: {killed} of {len(outcomes)}", flush=True)
    from course_lib.common import write_text  # Not before: a fork must import the course with its fault.
    from course_lib.studies.store import write_table

    write_table(options.out, sorted(rows, key=lambda row: list(MODULES).index(row[0])), COLUMNS)
    if options.survivors:
        write_text(options.survivors, "\n".join([*survivors, ""]))


if __name__ == "__main__":
    main()
