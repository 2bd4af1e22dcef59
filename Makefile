# `make book` builds the site, `make test` checks everything. Both make their own environment in .venv first.
PY := .venv/bin/python
SOURCES := cbam_lite tests tools benchmarks experiments book/_ext
COLAB_VENV ?= _build/colab

.PHONY: help environment book serve test lint unit hygiene nbval strict site alone colab notebooks bench experiment localisation checkpoints speed lock address clean

help:
	@echo "make book             build the HTML book and print where to open it"
	@echo "make serve            build it, serve it on this machine and open it"
	@echo "make test             everything CI runs: lint unit hygiene nbval strict site alone (each is a target, too)"
	@echo "make colab            every notebook alone on Python 3.12 with what the Colab image has"
	@echo "make notebooks        run the notebooks and store their outputs"
	@echo "make bench            time our modules against their peers"
	@echo "make speed            time modules and whole networks, and store it for the chapter on speed"
	@echo "make experiment       make the runs behind the chapter on ablations that are not there yet"
	@echo "make localisation     score the maps of the networks anew, for the chapter on finding defects"
	@echo "make checkpoints      train the networks that come with the package again"
	@echo "make lock             resolve requirements.txt anew from pyproject.toml"
	@echo "make address URL=...  write another repository address everywhere"
	@echo "make clean            remove .venv and everything that was built"
	@echo "PYTHON=/path/to/python3.12 names the Python to use (3.11, 3.12 or 3.13)."

environment:
	@python="$$(sh tools/find_python.sh)" && "$$python" tools/environment.py .venv requirements.txt --editable

book: environment
	@$(PY) tools/build_book.py

serve: book
	@$(PY) tools/serve.py

test: environment
	@$(PY) tools/check.py

lint: environment
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy cbam_lite tools
	$(PY) tools/spelling.py

unit: environment
	$(PY) -m pytest tests --ignore tests/site --ignore tests/test_notebooks.py --ignore tests/test_alone.py \
	  --cov=cbam_lite --cov-report=term-missing:skip-covered

hygiene: environment
	$(PY) -m pytest tests/test_notebooks.py

nbval: environment
	$(PY) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=120 -p no:python book/*.ipynb

strict: environment
	$(PY) tools/build_book.py --fresh

site: book
	BROWSER_PATH="$$($(PY) tools/browser.py)" && export BROWSER_PATH && $(PY) -m pytest tests/site

alone: environment
	$(PY) -m pytest tests/test_alone.py

colab:
	@python="$$(sh tools/find_python.sh 3.12)" && "$$python" tools/environment.py "$(COLAB_VENV)" tools/colab.txt
	"$(COLAB_VENV)/bin/python" tools/alone.py

notebooks: environment
	$(PY) tools/run_notebooks.py

# One file for each kind of device; what the chapter on speed shows.
speed: environment
	device="$$($(PY) -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')" && \
	  file="cbam_lite/results/speed_$$device.json" && rm -f "$$file" && \
	  $(PY) benchmarks/attention.py --batch $$([ $$device = cpu ] && echo 8 || echo 1 32 256) --json "$$file" && \
	  $(PY) benchmarks/networks.py --json "$$file" && $(PY) benchmarks/compiler.py --json "$$file"

bench: environment
	$(PY) benchmarks/attention.py
	$(PY) benchmarks/defects.py
	$(PY) benchmarks/gradcam.py

experiment: environment
	$(PY) experiments/ablation.py

localisation: environment
	$(PY) experiments/localisation.py --seeds 5

checkpoints: environment
	$(PY) experiments/ship.py

# The lines of explanation at the top of requirements.txt stay as they are.
lock: environment
	$(PY) -m venv _build/uv && _build/uv/bin/python -m pip install --quiet uv
	sed '/^[^#]/,$$d' requirements.txt > _build/lock.txt
	_build/uv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-header \
	  --no-annotate --upgrade --quiet >> _build/lock.txt
	mv _build/lock.txt requirements.txt

address:
	@python="$$(sh tools/find_python.sh)" && "$$python" tools/address.py set "$(URL)"

clean:
	rm -rf .venv _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
