# make demo          set up everything and run a real job on this machine
# make test          set up everything and run the tests, all but those of faults
# make test-faults   set up everything and run the tests of crashes and faults; ends with a table of what came of each
# make test-browser  look at the report of a run in headless Chromium (on CI it is installed if it is missing)
# make test-clients  set up Databricks' clients and agent servers apart, and test against them
# make test-spark    set up Apache Spark apart, and run jobs there on sessions of every kind, some killed (needs Java and Maven);
#                    make test-spark-connect, say, is a part of that
# make test-versions set up the lowest and the newest versions of all that is required, and test with each
# make soak          a run under random faults for 10 minutes, killed again and again (SOAK_SECONDS=600)
# make check         lint, types, import layers
# make bench         rowcall beside what one would write instead (BENCH='A C' for some); what adapting and traces cost

NEW_ENOUGH := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
# The first Python on the path that is new enough, or the one that is given: make demo PYTHON=python3.12
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
            $$each -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$each && break; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LOCAL  := '.[local,dev]'
CLIENTS ?= .venv-clients
SPARK   ?= .venv-spark
VERSIONS := .venv-lowest .venv-newest
JARS    := .spark-jars

.PHONY: demo test test-faults test-browser test-clients test-spark test-versions soak check bench format clean
.PHONY: test-spark-kills test-spark-classic test-spark-connect test-spark-local-cluster test-spark-3.5

# How many tests run at once. A worker has a lakehouse and a sandbox of its own, about 2 GB.
WORKERS ?= 2
# Those of faults wait much.
FAULTS  ?= 3
PYTEST  := $(BIN)/python -m pytest --dist worksteal --numprocesses

# Sessions of Apache Spark. Nothing there is interrupted in the middle: that would break its connection to the JVM.
SESSIONS := classic connect local-cluster
SHORT_SUITE := sql_session both_engines sample_jobs
SUITE    := $(SHORT_SUITE) engine recovery rendering row_story tables_of_runs
ON_SPARK := $(SPARK)/bin/python -m pytest --timeout 600

# $(call set-up,FOLDER,CONSTRAINTS,WHAT): a virtual environment FOLDER with WHAT in it, and with nothing that was needed once.
define set-up
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null || { echo "rowcall needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=…"; exit 1; }
	@echo "Setting up $(1) …"
	@"$(PYTHON)" -m venv --clear $(1)
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(2) uv
	@$(1)/bin/python -m uv pip install --quiet --compile-bytecode --python $(1)/bin/python $(3)
	@touch $@
endef

$(READY): pyproject.toml constraints.txt
	$(call set-up,$(VENV),constraints.txt,--constraint constraints.txt --editable $(LOCAL))

# A whole set and no resolving: constraints-clients.txt names every package there is to be.
$(CLIENTS)/.ready: pyproject.toml constraints-clients.txt
	$(call set-up,$(CLIENTS),constraints-clients.txt,--no-deps --requirement constraints-clients.txt --editable .)

$(SPARK)/.ready: pyproject.toml constraints-spark.txt
	$(call set-up,$(SPARK),constraints-spark.txt,--no-deps --requirement constraints-spark.txt --editable .)

# The lowest version; all else is the same.
$(SPARK)-3.5/.ready: pyproject.toml constraints-spark.txt constraints-spark-3.5.txt
	$(call set-up,$(SPARK)-3.5,constraints-spark.txt,--no-deps --requirement constraints-spark.txt --override constraints-spark-3.5.txt --editable .)

# Without Java or Maven the tests are skipped, and say so; on CI they fail.
$(JARS)/.ready $(JARS)-3.5/.ready: tests/spark/pom.xml
	@mvn --batch-mode --quiet --file $< $(DELTA) dependency:copy-dependencies -DoutputDirectory="$(CURDIR)/$(@D)" \
	    && touch $@ || echo "The jars of Delta Lake could not be fetched; that needs Java and Maven."

$(JARS)-3.5/.ready: DELTA = -Dscala=2.12 -Ddelta=3.3.2

demo: $(READY)
	@$(BIN)/rowcall demo

test: $(READY)
	$(PYTEST) $(WORKERS) --ignore tests/faults --ignore tests/browser

test-faults: $(READY)
	$(PYTEST) $(FAULTS) tests/faults

# Without Chromium the tests are skipped, and say so; on CI they fail.
test-browser: $(READY)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || test "$$CI" != true || \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
	$(BIN)/python -m pytest tests/browser

test-clients: $(CLIENTS)/.ready
	$(CLIENTS)/bin/python -m pytest tests/clients

# Two parts at once: a session of Spark leaves half of two cores idle. What a part says comes when it is over.
test-spark: $(SPARK)/.ready $(JARS)/.ready $(SPARK)-3.5/.ready $(JARS)-3.5/.ready
	@$(MAKE) --no-print-directory --jobs $(WORKERS) --keep-going \
	    $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) $(addprefix test-spark-,kills $(SESSIONS) 3.5)

test-spark-kills: $(SPARK)/.ready $(JARS)/.ready
	$(ON_SPARK) -m 'not apache_spark' tests/spark

test-spark-classic: $(SPARK)/.ready $(JARS)/.ready
	$(ON_SPARK) -m apache_spark --spark=classic \
	    tests/spark/test_both_lakehouses.py tests/faults/test_kill_matrix.py $(SUITE:%=tests/conformance/test_%.py)

test-spark-connect test-spark-local-cluster: $(SPARK)/.ready $(JARS)/.ready
	$(ON_SPARK) -m apache_spark --spark=$(@:test-spark-%=%) \
	    $(SHORT_SUITE:%=tests/conformance/test_%.py)

test-spark-3.5: $(SPARK)-3.5/.ready $(JARS)-3.5/.ready
	$(ON_SPARK:$(SPARK)%=$(SPARK)-3.5%) -m apache_spark --spark=classic $(SHORT_SUITE:%=tests/conformance/test_%.py)

# What the lowest versions are, pyproject.toml says; the newest are whatever there is today.
test-versions: $(READY)
	@$(BIN)/python -m uv pip compile pyproject.toml --extra local --extra otlp --extra bundle --resolution lowest-direct \
	    --python-version "$$($(BIN)/python -c 'import sys; print(*sys.version_info[:2], sep=".")')" \
	    --no-annotate --no-header --quiet --output-file $(VENV)/lowest.txt
	@: > $(VENV)/newest.txt
	@set -e; for each in $(VERSIONS); do \
	    echo "Setting up $$each …"; "$(PYTHON)" -m venv --clear $$each; \
	    $(BIN)/python -m uv pip install --quiet --compile-bytecode --python $$each/bin/python \
	        --constraint $(VENV)/$${each#.venv-}.txt --group tests --editable '.[local,otlp,bundle]'; \
	    $$each/bin/python -m pytest --dist worksteal --numprocesses $(WORKERS) tests/unit/core tests/unit/engines \
	        tests/unit/adapters tests/conformance/test_both_engines.py tests/conformance/test_sample_jobs.py; \
	done

soak: $(READY)
	SOAK_SECONDS=$${SOAK_SECONDS:-600} $(BIN)/python -m pytest --capture=no tests/soak

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(READY) $(SPARK)/.ready
	$(BIN)/python tests/bench/run.py --spark $(CURDIR)/$(SPARK)/bin/python $(BENCH)
	$(BIN)/python tests/bench/traces.py
	$(BIN)/python tests/bench/adaptation.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(CLIENTS) $(SPARK) $(SPARK)-3.5 $(VERSIONS) $(JARS) $(JARS)-3.5 .rowcall dist build
