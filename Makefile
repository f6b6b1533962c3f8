# Everything a fresh clone needs: `make demo`, `make ui`, `make test`. The environment lies in .venv.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

DEMO := $(CURDIR)/demo
DATASET := $(DEMO)/trade_cumulus
CONVML := $(BIN)/convml-data

.PHONY: setup demo ui test coverage test-cluster test-memory test-sensors test-browser test-scale test-torch bench bench-torch screenshots lint format constraints pictures clean-demo
.DELETE_ON_ERROR:

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0] + "; name another by `make PYTHON=python3.12 …`" or 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -c constraints.txt -e '.[dev]'
	@touch $@

demo ui: export DAGSTER_HOME = $(DEMO)/.dagster
demo ui: export CONVML_DATASETS = $(DEMO)
demo: export CONVML_GOES_ARCHIVE =

demo: $(READY)
	@mkdir -p $(DATASET)
	@cp examples/trade_cumulus/meta.yaml $(DATASET)/meta.yaml
	@echo "== A simulated archive in the layout of the public one"
	@$(CONVML) simulate $(DEMO)/archive --data-path $(DATASET)
	@echo "== Scene IDs"
	@$(CONVML) scene-ids --data-path $(DATASET)
	@echo "== Cropped and regridded scenes"
	@$(CONVML) regrid --data-path $(DATASET)
	@echo "== Triplet tiles"
	@$(CONVML) tiles --data-path $(DATASET)
	@echo
	@echo "Pictures of scenes:  $(DATASET)/rect/*.png"
	@echo "Triplet tiles:       $(DATASET)/triplets/train/ and $(DATASET)/triplets/study/"
	@echo "Dagster's UI:        make ui, then http://localhost:3000"

ui: $(READY)
	@mkdir -p $(DAGSTER_HOME) && cp -n convml_data_dagster/dagster.yaml $(DAGSTER_HOME)/
	$(BIN)/dagster dev -w workspace.yaml

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The same with the lines that no test reaches, a fifth slower.
coverage: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --cov=convml_data --cov=convml_data_dagster --cov-report=term:skip-covered

# A team's installation on this machine: Postgres, S3, Dask, webserver and daemon; workers and runs are killed.
test-cluster: $(READY)
	$(BIN)/python -m pytest -m cluster -v tests/integration/test_cluster.py

# Scans of a real sequence arrive in a bucket while Dagster runs, which takes its daemon minutes.
test-sensors: $(READY)
	$(BIN)/python -m pytest -m live tests/integration/test_sensor_server.py

# The UI in a browser: the graph, a range of scenes materialized by clicking, a picture. Needs Chromium.
test-browser: $(READY)
	$(BIN)/python -m pytest -m browser -v tests/integration/test_browser.py

# What docs/dagster.md shows of the UI.
screenshots: export CONVML_SCREENSHOTS = $(CURDIR)/docs/pictures
screenshots: test-browser

# 100,000 scenes in the UI, and what Dagster adds to the work on 2,000; ten minutes. Needs Chromium.
test-scale: $(READY)
	$(BIN)/python -m pytest -m scale -s tests/integration/test_scale.py

# How fast all this is, beside satpy on the same files: a table, kept in benchmarks/results; a quarter of an hour, on a
# machine that does nothing else. `make bench ONLY="scene reading"` measures some of it and keeps nothing.
bench: $(READY)
	$(BIN)/python -m benchmarks $(ONLY)

# What needs PyTorch, in an environment of its own that has all of .venv besides: `make test` stays without.
TORCH := .venv-torch
TORCH_READY := $(TORCH)/.ready

$(TORCH_READY): $(READY)
	rm -rf $(TORCH)
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python -c 'import pathlib, sys, sysconfig; \
		pathlib.Path(sysconfig.get_path("purelib"), "base.pth").write_text("import site; site.addsitedir(%r)" % sys.argv[1]) \
		' "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	$(TORCH)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 onnxscript==0.7.2
	@touch $@

# Windows a second of a network, by PyTorch and without it.
bench-torch: $(TORCH_READY)
	$(TORCH)/bin/python -m benchmarks embeddings

test-torch: $(TORCH_READY)
	$(TORCH)/bin/python -m pytest -m torch tests/unit tests/integration

# Peaks of memory of a run and of workers, over thousands of scenes; ten minutes.
test-memory: $(READY)
	$(BIN)/python -m pytest -m memory -s tests/integration/test_memory.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# After a change of the dependencies: the newest versions that fit, for every Python and platform.
constraints: $(READY)
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --extra kubernetes --upgrade --no-header --no-annotate \
		--no-emit-index-url pyproject.toml -o constraints.txt

# Those of level 2 products, of composites at night and of models need the files that the tests on real data need.
pictures: $(READY)
	$(BIN)/python docs/pictures/make.py

clean-demo:
	rm -rf $(DEMO)
