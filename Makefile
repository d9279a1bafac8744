# Every target works as the first command on a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH := torch==2.13.0
BASELINES := uniform-empty uniform-beside bigram

.PHONY: compare properties test reproduce reproduce-quick test-interop report-test docs slow lint bench clean

# The trained model, which the others are compared with, and its transcript, where the project holds
# them.
HELD := comparison/training/reference_model
TRAINED := $(if $(wildcard $(HELD)/manifest.json),reference)
EXTRACTED := $(if $(wildcard $(HELD)/transcript.safetensors),extracted)
MODELS := calibrated logic

compare: $(INSTALLED)  ## the tables first, then a report and figures, on 300 random games
	$(BIN)/handbuilt compare $(TRAINED) $(EXTRACTED) $(MODELS) $(BASELINES) --games 300 --seed 1 --out out/compare

# On other games than those that the known rates come from.
properties: $(INSTALLED)  ## the rules of the game, asked of the project's models; known rates are the bounds
	$(BIN)/handbuilt check $(TRAINED) $(MODELS) pooled --examples 50 --seed 2 \
		--against tests/properties/known.json.gz

# Modules are dealt to one process a core, each with one thread.
test: lint  ## what CI runs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

reproduce: $(INSTALLED)  ## the figures of README and docs that are out of date
	$(BIN)/handbuilt reproduce

reproduce-quick: $(INSTALLED)  ## a fiftieth of each, to see that it runs
	$(BIN)/handbuilt reproduce --quick

test-interop: $(INSTALLED)  ## against TransformerLens, SAELens, nnsight and huggingface_hub, which it installs
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[interop,testbed]'
	$(BIN)/pytest tests/network/test_interop.py tests/testbed/test_tools.py

report-test: $(INSTALLED)  ## the page in headless Chromium, which is installed where Debian's packages can be
	command -v chromium || { [ "$$(id -u)" = 0 ] && apt-get install --yes --quiet chromium; } || true
	$(BIN)/pytest tests/reporting/page -rs

docs: $(INSTALLED)  ## run the notebooks of docs/ and keep their outputs
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[docs,testbed]'
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace docs/tour.ipynb docs/testbed.ipynb

slow: $(INSTALLED)  ## studies too long for `make test`
	$(BIN)/pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## speed and memory
	$(BIN)/handbuilt study speed

clean:
	rm -rf $(VENV) out build *.egg-info

# torch is installed first and pinned, to the version that the figures were measured with; any torch
# from 2.11 on satisfies the project. Where pip offers a CPU build of it, nothing of CUDA comes along.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@
