# `make book` builds the site, `make test` checks everything. Both make their own environment in .venv first.
PY := .venv/bin/python
SOURCES := cbam_lite tests tools benchmarks experiments book/_ext
COLAB_VENV ?= _build/colab
FLOOR_VENV ?= _build/floor
GRADERS_VENV := _build/graders

.PHONY: help environment book serve test quick lint unit nbval site colab floor notebooks bench experiment localisation \
  detection confusion assignments graders checkpoints speed mutants types lock address clean

help:
	@echo "make book             build the HTML book and print where to open it"
	@echo "make serve            build it, serve it on this machine and open it"
	@echo "make quick            style, types and the tests of what changed, in a minute"
	@echo "make test             what CI runs on each Python: lint unit nbval site (each is a target, too)"
	@echo "make notebooks        run the notebooks whose pictures are out of date, and store their outputs"
	@echo "make colab            every notebook alone on Python 3.12 with what the Colab image has"
	@echo "make floor            the package's tests on the oldest Python and PyTorch that it allows"
	@echo "make mutants          plant small bugs in the package and count those that no test notices"
	@echo "make bench            time our modules against their peers"
	@echo "make speed            time modules and whole networks, and store it for the chapter on speed"
	@echo "make experiment       make the runs behind the chapter on ablations that are not there yet"
	@echo "make localisation     score the maps of the networks anew, for the chapter on finding defects"
	@echo "make detection        train the detectors of the chapter on detection that are not there yet, and score maps of boxes"
	@echo "make confusion        ask the checker of implementations about all of the collection, and store its confusion matrix"
	@echo "make assignments      make the coursework, or CHAPTERS=\"cbam networks\", into notebooks for nbgrader and Otter-Grader"
	@echo "make graders          give three submissions of the coursework to both graders, and compare the marks"
	@echo "make checkpoints      train the networks that come with the package again"
	@echo "make types            check the types of the live figures' scripts; needs Node, which nothing else does"
	@echo "make lock             resolve requirements.txt anew from pyproject.toml"
	@echo "make address URL=...  write another repository address everywhere; REF=... another branch or tag"
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

quick: environment
	@$(PY) tools/quick.py

lint: environment
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy cbam_lite tools
	$(PY) tools/spelling.py

# The package, the tools, and the rules for notebooks that running them does not check.
unit: environment
	$(PY) -m pytest tests --ignore tests/book/site -n auto --dist worksteal \
	  --cov=cbam_lite --cov-report=term-missing:skip-covered

# Each notebook once, in an empty folder, with the built wheel only; what it gives must be what it stores.
nbval: environment
	$(PY) tools/alone.py --nbval

site: book
	BROWSER_PATH="$$($(PY) tools/browser.py)" && export BROWSER_PATH && $(PY) -m pytest tests/book/site -n auto

colab:
	@python="$$(sh tools/find_python.sh 3.12)" && "$$python" tools/environment.py "$(COLAB_VENV)" tools/colab.txt
	"$(COLAB_VENV)/bin/python" tools/alone.py

# The package's own tests on the oldest versions that pyproject.toml allows. Its exporter and Triton are left out.
floor:
	@python="$$(sh tools/find_python.sh 3.10)" && "$$python" tools/environment.py "$(FLOOR_VENV)" tools/floor.txt
	PYTHONPATH=. OMP_NUM_THREADS=1 "$(FLOOR_VENV)/bin/python" -m pytest tests/attention tests/explaining tests/networks \
	  tests/speed tests/training tests/test_plot.py tests/test_samples.py -k "not onnx and not test_the_kernels_compile" \
	  -o addopts=-q

notebooks: environment
	$(PY) tools/run_notebooks.py

# One file for each kind of device; what the chapter on speed shows.
speed: environment
	device="$$($(PY) -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')" && \
	  file="cbam_lite/results/speed_$$device.json" && rm -f "$$file" && \
	  $(PY) benchmarks/attention.py --batch $$([ $$device = cpu ] && echo 8 || echo 1 32 256) --json "$$file" && \
	  $(PY) benchmarks/networks.py --json "$$file" && $(PY) benchmarks/compiler.py --json "$$file"

# PART=networks/cost plants them in one file, SAMPLE=40 draws so many of each file.
mutants: environment
	$(PY) tools/mutants.py $(PART) --sample $(or $(SAMPLE),0)

types:
	npx --yes --package typescript@5.9.3 tsc --project tools/tsconfig.json

bench: environment
	$(PY) benchmarks/attention.py
	$(PY) benchmarks/defects.py
	$(PY) benchmarks/gradcam.py

experiment: environment
	$(PY) experiments/ablation.py

localisation: environment
	$(PY) experiments/localisation.py --seeds 5

detection: environment
	$(PY) experiments/detection.py
	$(PY) experiments/box_maps.py

confusion: environment
	OMP_NUM_THREADS=1 $(PY) experiments/confusion.py --store

# The two graders have an environment of their own: the book needs none of what they bring.
assignments: environment
	@$(PY) tools/environment.py $(GRADERS_VENV) tools/graders.txt
	$(PY) tools/assignments.py $(CHAPTERS)

graders: environment
	@$(PY) tools/environment.py $(GRADERS_VENV) tools/graders.txt
	$(PY) tools/graders.py

checkpoints: environment
	$(PY) experiments/ship.py
	$(PY) experiments/ship_detector.py

# The lines of explanation at the top of requirements.txt stay as they are.
lock: environment
	mkdir -p _build && sed '/^[^#]/,$$d' requirements.txt > _build/lock.txt
	.venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-header \
	  --no-annotate --upgrade --quiet >> _build/lock.txt
	mv _build/lock.txt requirements.txt

address:
	@python="$$(sh tools/find_python.sh)" && "$$python" tools/address.py set "$(URL)" $(REF)

clean:
	rm -rf .venv _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
