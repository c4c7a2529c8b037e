# make demo   everything set up, then the whole loop on real photos
# make test   everything set up, then every test
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
HOME_DIR ?= demo
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo demo-quick test test-unit test-long chaos check lint types imports docs eval-render bench bench-serving bench-learning bench-gpu serve dashboard mlflow clean help bench-abtest

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(VENV)/core        ## set up, then the whole loop: photos to a ranker that its gate judged (11 minutes)
	$(BIN)/persona-img demo --home $(HOME_DIR)

demo-quick: $(VENV)/core  ## the same on fewer products and shoppers (3 minutes)
	$(BIN)/persona-img demo --quick --home $(HOME_DIR)

# Each file of tests stays in one process, for its tests share what they made.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25

test: $(VENV)/dev         ## set up, then all tests but the long ones (18 minutes on two cores)
	@tools/system-packages chromium
	$(PYTEST) -m "not long"

test-unit: $(VENV)/dev    ## the tests that take under two minutes together
	$(PYTEST) -m "not slow and not browser and not long"

test-long: $(VENV)/dev    ## the tests that take minutes each; CONTRIBUTING says what they add
	@tools/system-packages chromium
	$(PYTEST) -m long

chaos: $(VENV)/dev        ## kill -9 and slow connections by the thousand, and all that may fail; figures go to docs/serve.md
	PYTHONPATH=tests $(BIN)/python -m chaos.figures

check: lint types imports docs ## style, types, the architecture and the documents

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

imports: $(VENV)/dev
	$(BIN)/lint-imports

docs: $(VENV)/dev         ## the site, in site/; dead links and broken references fail
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

eval-render: $(VENV)/dev  ## masks, styles, proof, defects, speed of every source of backdrops
	$(BIN)/persona-img eval-render --products experiments/render/products \
		--materials experiments/render/materials --judge experiments/render/judge.npz \
		--labels experiments/render/labels.csv --cutouts experiments/render/unseen --families experiments/masker/families.csv \
		$(if $(DATA),--composites $(DATA)/masks/composites) $(if $(KEEP),--keep $(KEEP)) \
		--photos 16 --each 8 -o eval-render

bench: $(VENV)/dev        ## side-by-side benchmarks, ratios printed
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/render.py
	$(BIN)/python benchmarks/interactions.py
	$(BIN)/python benchmarks/feedback.py
	$(BIN)/python benchmarks/rankers.py

bench-serving: $(VENV)/dev ## decisions and events beside a no-op route and a naive service
	@command -v wrk >/dev/null || echo "wrk is not there (apt-get install wrk): a client of ours drives the reads"
	$(BIN)/python benchmarks/serving.py

# What is in results.jsonl is not run again; SEEDS=0-19 are the twenty of the full table (hours).
SEEDS  := 0-2
bench-learning: $(VENV)/dev ## what the loop earns in truth, by ranker and world; SEEDS=0-19 for all
	OMP_NUM_THREADS=1 $(BIN)/python experiments/learning/bench.py --gates --seeds $(SEEDS)

bench-abtest: $(VENV)/dev ## what is said of tests in which nothing differs: 2,000 a cell, minutes; report.md
	OMP_NUM_THREADS=1 $(BIN)/python experiments/abtest/simulated.py

bench-gpu: $(VENV)/dev    ## what a GPU adds, beside large models' shapes; needs one
	$(BIN)/python benchmarks/render_gpu.py
	$(BIN)/python benchmarks/large_models.py

serve: $(VENV)/core       ## serve the demo's variants on 127.0.0.1:8080, with a sample shop
	$(BIN)/persona-img serve --home $(HOME_DIR) --demo-shop

dashboard: $(VENV)/dev    ## the analysts' pages on 127.0.0.1:8501
	PERSONA_IMG_HOME=$(HOME_DIR) $(BIN)/streamlit run dashboards/results.py \
		--server.address 127.0.0.1 --server.port 8501 --server.headless true --browser.gatherUsageStats false

mlflow: $(VENV)/core      ## MLflow's pages over the demo's runs on 127.0.0.1:5000
	$(BIN)/persona-img tracking-ui --home $(HOME_DIR)

clean:                    ## remove the environment, the demo and its keys
	rm -rf $(VENV) $(HOME_DIR) $(HOME_DIR)-keys

# torch first: its CPU build must be there before anything asks for torch.
$(VENV)/core: pyproject.toml constraints.txt
	@tools/system-packages runtime
	@echo "Setting up $(VENV) (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) -e '.[provenance]'
	@touch $@

$(VENV)/dev: $(VENV)/core
	$(PIP) -e '.[dev,dashboard,docs,pretrained,onnx,evaluation,postgres,redis,otel,fingerprints]'
	@touch $@
