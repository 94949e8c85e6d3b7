# Two commands on a bare Debian (python3, make, git), as root or not:
#   make demo   a remote OME-Zarr from a local S3 server, in napari
#   make test   all tests, on a virtual screen of their own
# The rest is for developers: test-oldest, test-all, bench, check, clean, distclean.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check
# More arguments for pytest: make test PYTEST_ARGS="-k location". One process is the default, since
# tests count round trips, which need a processor when an answer comes; where there are several:
# PYTEST_ARGS="-n 4 --dist loadfile".
PYTEST_ARGS ?=

.DEFAULT_GOAL := test
.PHONY: demo test test-oldest test-all bench check clean distclean system-demo system-test system-bench
# The machine's libraries come before the environment (python3-venv is one of them).
.NOTPARALLEL:

demo: system-demo $(VENV)/.installed
	$(RUN) demo/demo.py

# Without arguments, on the newest versions of everything and then, some of it, on the oldest.
test: system-test $(VENV)/.installed
	$(RUN) -m pytest $(PYTEST_ARGS)
	$(if $(PYTEST_ARGS),,$(RUN) scripts/test_oldest.py --brief)

test-oldest: system-test | $(RUN)
	$(RUN) scripts/test_oldest.py $(PYTEST_ARGS)

test-all: system-test | $(RUN)
	$(RUN) scripts/test_all.py $(PYTEST_ARGS)

bench: system-bench $(VENV)/.installed-bench
	$(RUN) -m benchmarks

check: system-test $(VENV)/.installed-dev
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) scripts/check_wheel.py

system-demo:
	@$(PYTHON) scripts/system_libraries.py demo

system-test:
	@$(PYTHON) scripts/system_libraries.py test

system-bench:
	@$(PYTHON) scripts/system_libraries.py bench

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.installed: pyproject.toml | $(RUN)
	$(PIP) --editable '.[all,test,demo]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) --editable '.[all,test,demo,bench]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[all,test,demo,dev]'
	@touch $@

clean:
	rm -rf build dist demo.png .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-3.* .venv-oldest
