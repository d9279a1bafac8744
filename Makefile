# Every target works as the first command on a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TORCH := torch==2.13.0
BASELINES := uniform-empty uniform-beside bigram

.PHONY: compare test test-interop slow lint bench clean

# The trained model, which the others are compared with, where the project holds one.
MODELS := $(if $(wildcard comparison/trained/reference_model/manifest.json),reference)
MODELS += calibrated logic $(BASELINES)

compare: $(INSTALLED)  ## the table, the report and the figures, on 600 random games
	$(BIN)/handbuilt compare $(MODELS) --games 600 --seed 1 --out out/compare

test: lint  ## what CI runs
	$(BIN)/pytest

test-interop: $(INSTALLED)  ## against TransformerLens, nnsight and huggingface_hub, which it installs
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[interop]'
	$(BIN)/pytest tests/trained/test_interop.py

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
