# make demo    convert the bundled net, map the bundled picture; the results are in demo/
#              (by the embedded engine; ENGINE=caffe gets real Caffe and has it do both)
# make test    the whole test suite, against real Caffe where the machine can have it, JOBS at a time
#              (one more than there are cores: browsers, processes and leases are waited for)
# make bench   speed and memory against real Caffe, 10 to 20 minutes; into docs/performance.md
# make bench-huge  maps of pictures of up to 40,000 x 40,000: memory and time, a quarter of an hour
# make bench-gpu  a GPU against the CPU, where there is one; into docs/performance.md
# make bench-page  the page of a large map in Chromium: time between frames, work a frame
# make fuzz    every reader and whole command lines on mutated files, for SECONDS=60
# make torture conversions of 1 GiB killed at a hundred moments
# make kills   maps in tiles killed at twenty random moments, and gone on with
# make lines   lines of code that are run for every pair of layers: every command on every shape of nets
# make sweeps every command with every fault and every net that would harm, of which the suite has a share
# make cluster a job on a Ray cluster of three nodes, its workers, nodes and drivers killed; one at a URL
# make attacks every idea of tests/attacks, with its verdict
# make signals  commands ended by signals at random moments, ROUNDS=60 of each signal and command
# make mutants answers taken away from the records of layer types: a test must fail each time
# make reference  docs/commands.md and the man pages, from the commands
# make types-table  the tables of layer types in docs/formats.md, from the records
# make gallery the pictures of docs/gallery.md, from the commands, and docs/finer_maps.webp
# make bench-jobs  pictures a second and memory of jobs, by workers; docs/scale.md has the table
# make train-demo  the demo net fine-tuned over sheets of digits, judged before and after
# make train-nets  training nets of CaffeNet, VGG16, GoogLeNet, SqueezeNet and the demo, a hundred steps
# make docs    the documentation as a site, into build/site; a warning is an error
# make schema  the descriptors and index of Caffe's and its forks' fields, from the tables in schema/
# make lock    what a release depends on, pinned by hash, into requirements/ (LOCK_ARGS=--upgrade: newest)
# make audit   known weaknesses of what is pinned there (needs the network, as `make lock` does)
# make dist    sdist, wheel, SBOM and checksums of a release, by what is pinned, into dist/
# make check   lint, types and tests: what has to hold before a change goes in

PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime
STAMP := .venv/.installed
PYTEST_ARGS ?=
JOBS ?= $(shell expr $$(nproc 2>/dev/null || echo 1) + 1)
ENGINE ?= embedded
ROUNDS ?= 60
SECONDS ?= 60
MUTANTS ?= 60
FUZZ_ARGS ?=

# Tests start the commands thousands of times: let Python keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test bench bench-gpu bench-huge bench-page bench-jobs train-demo train-nets docs schema reference gallery types-table conformance mutants fuzz torture kills lines sweeps cluster signals attacks check lock audit dist lint types caffe keys programs collected atheris clean

# setuptools warns of every editable installation.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check

# A package, as root where there is apt-get.
got = { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
  && apt-get install -q -y --no-install-recommends $(1); }

$(BIN)/python:
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "no working venv module in $(PYTHON); on Debian: apt-get install python3-venv" >&2; \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -q \
	  && apt-get install -q -y python3-venv && $(PYTHON) -m venv .venv; }

# What the commands need; the rest of .venv is for tests and releases.
$(RUNTIME): pyproject.toml | $(BIN)/python
	@echo 'Setting up .venv'
	@$(PIP) --upgrade pip
	@$(PIP) -e .
	@touch $@

# Commands run meanwhile (`make -j`), so netsurgery itself is not installed once more. Python
# compiles what is imported of all this; compiling the rest takes as long as unpacking it.
$(STAMP): $(RUNTIME)
	@$(PIP) --no-compile 'netsurgery[dev]'
	@touch $@

# Real Caffe is optional: without it the commands and tests that run it say so. Where apt knows no
# Debian archive, as Ubuntu's, MIRROR names one, and its keys are a package of their own.
caffe: $(RUNTIME) | keys
	@$(BIN)/netsurgery caffe info -q 2>/dev/null \
	  || $(BIN)/netsurgery caffe install $(if $(MIRROR),--mirror '$(MIRROR)') \
	  || echo "going on without real Caffe"

# One target after the other, as one apt-get locks out another.
keys: | $(BIN)/python
	@ls /usr/share/keyrings/debian-archive-keyring.* >/dev/null 2>&1 || $(call got,debian-archive-keyring) \
	  || echo "going on without Debian's keys"

demo: $(if $(filter caffe auto,$(ENGINE)),caffe,$(RUNTIME))
	@NETSURGERY_ENGINE=$(ENGINE) $(BIN)/python examples/demo.py

# Shells, readers of manuals and the browser that tests run; without them those tests say so.
# After .venv, which may want apt-get too.
programs: | keys
	@missing=$$(for each in bash fish zsh man:man-db mandoc chromium; do \
	    command -v $${each%:*} >/dev/null || echo $${each#*:}; done); \
	  test -z "$$missing" || $(call got,$$missing) \
	  || for each in $$missing; do $(call got,$$each) || echo "going on without $$each"; done

# Imports each test file once, so that what pytest makes of it is compiled for all processes.
collected: $(STAMP)
	@said=$$($(BIN)/python -m pytest --collect-only -qq) || { echo "$$said"; exit 1; }

test: $(STAMP) caffe programs
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

bench: $(STAMP) caffe
	$(BIN)/python -m benchmarks.bench --write docs/performance.md

bench-huge: $(STAMP)
	$(BIN)/python -m benchmarks.huge --write docs/performance.md

bench-gpu: $(STAMP)
	$(BIN)/python -m benchmarks.gpu --write docs/performance.md

bench-page: $(STAMP) programs
	$(BIN)/python -m benchmarks.page

bench-jobs: $(STAMP)
	$(BIN)/python -m benchmarks.jobs

# The table of docs/conformance.md: every layer type, 200 drawn configurations, against real Caffe.
conformance: $(STAMP) caffe
	$(BIN)/python tests/parity/conformance.py 200

# atheris has no wheel for some Pythons; hypothesis alone does then, and says so.
atheris: $(STAMP)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) 'netsurgery[fuzz]' || true

fuzz: $(STAMP) atheris
	cd tests && ../$(BIN)/python -m fuzz --seconds $(SECONDS) $(FUZZ_ARGS)

torture: $(STAMP)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	  && $(BIN)/python tests/torture.py "$$folder" --megabytes 1024 --rounds 100

kills: $(STAMP)
	NETSURGERY_KILLS=20 $(BIN)/python -m pytest tests/test_resume.py -k killed

lines: $(STAMP)
	NETSURGERY_LINES=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/test_linear.py

sweeps: $(STAMP) caffe
	NETSURGERY_SWEEPS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal \
	  tests/test_attacks.py tests/test_faults.py tests/test_memory_limits.py tests/parity/test_effects.py

# Ray's sockets are in the folder, and their names must be short.
cluster: $(STAMP)
	@folder=$$(mktemp -d /tmp/jobs-XXXXXX) && trap 'rm -rf "$$folder"' EXIT \
	  && PYTHONPATH=. $(BIN)/python tests/killed_jobs.py "$$folder/a" --pictures 200 --side 6000 \
	  && PYTHONPATH=. $(BIN)/python tests/killed_jobs.py "$$folder/b" --pictures 60 --side 3000 --s3

attacks: $(STAMP) caffe
	cd tests && NETSURGERY_SWEEPS=1 ../$(BIN)/python -m attacks

signals: $(STAMP) caffe
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
	  && PYTHONPATH=. $(BIN)/python tests/signalled.py "$$folder" --rounds $(ROUNDS)

mutants: $(STAMP)
	$(BIN)/python tests/mutate_types.py $(MUTANTS)

docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'build/site/index.html'

reference: $(STAMP)
	$(BIN)/python docs/command_reference.py

train-demo: $(STAMP) caffe
	$(BIN)/python -m benchmarks.train_demo

train-nets: $(STAMP) caffe
	$(BIN)/python -m benchmarks.train_nets

gallery: $(STAMP)
	$(BIN)/python docs/gallery.py
	$(BIN)/python docs/finer_maps.py

types-table: $(STAMP)
	$(BIN)/python docs/type_tables.py

schema: $(STAMP)
	$(BIN)/python schema/make.py

# Versions that are there already are kept where they still fit. No index is named in what is made.
LOCK := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.10 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(LOCK_ARGS)

lock: $(STAMP)
	$(PIP) 'uv>=0.9'
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) --group release -c requirements/runtime.txt -o requirements/release.txt

# What makes releases has a Python of its own: nothing in it is without a hash.
TOOLS := build/release/tools
CLEAN := build/release/clean

$(TOOLS)/.installed: requirements/release.txt
	rm -rf $(TOOLS)
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q --no-deps --require-hashes -r requirements/release.txt
	@touch $@

audit: $(TOOLS)/.installed
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/runtime.txt
	$(TOOLS)/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/release.txt

dist: $(TOOLS)/.installed
	rm -rf dist $(CLEAN)
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/python -m build --no-isolation
	$(PYTHON) -m venv --without-pip $(CLEAN)
	$(TOOLS)/bin/python -m pip --python $(CLEAN)/bin/python install -q --require-hashes \
	  --only-binary :all: -r requirements/runtime.txt
	$(TOOLS)/bin/python -m pip --python $(CLEAN)/bin/python install -q --no-deps \
	  --no-index --find-links dist netsurgery
	$(CLEAN)/bin/netsurgery --version
	$(TOOLS)/bin/cyclonedx-py environment $(CLEAN) --output-reproducible --output-format JSON \
	  -o dist/netsurgery.cdx.json
	cp requirements/runtime.txt dist/requirements.txt
	cd dist && sha256sum * > SHA256SUMS

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf .venv demo out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
