# `make book` builds the site, `make test` checks everything. Both make their own environment in .venv first.
PY := .venv/bin/python
SOURCES := cbam_lite tests tools benchmarks book/_ext

.PHONY: help book serve test lint unit hygiene nbval alone site colab notebooks bench lock address clean

help:
	@echo "make book             build the HTML book and print where to open it"
	@echo "make serve            build it, serve it on this machine and open it"
	@echo "make test             everything CI runs: lint unit hygiene nbval alone site (each is a target, too)"
	@echo "make colab            every notebook alone on Python 3.12 with what the Colab image has"
	@echo "make notebooks        run the notebooks and store their outputs"
	@echo "make bench            time our modules against their peers"
	@echo "make lock             resolve requirements.txt anew from pyproject.toml"
	@echo "make address URL=...  write another repository address everywhere"
	@echo "make clean            remove .venv and everything that was built"

# The stamp is written last, so an interrupted installation is done again.
.venv/installed: requirements.txt pyproject.toml
	python=$$(sh tools/find_python.sh) && "$$python" -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

book: .venv/installed
	$(PY) tools/build_book.py

serve: book
	(sleep 1; $(PY) -m webbrowser http://localhost:8000) & $(PY) -m http.server 8000 --directory _build/html

test: lint unit hygiene nbval alone site
	@echo "All checks of make test have run."

lint: .venv/installed
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m mypy cbam_lite tools
	$(PY) -m codespell_lib cbam_lite tests tools benchmarks book *.md

unit: .venv/installed
	$(PY) -m pytest tests --ignore tests/site --ignore tests/test_notebooks.py \
	  --cov=cbam_lite --cov-report=term-missing:skip-covered

hygiene: .venv/installed
	$(PY) -m pytest tests/test_notebooks.py

nbval: .venv/installed
	$(PY) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=120 -p no:python book/*.ipynb

alone: .venv/installed
	$(PY) tools/alone.py --dependencies-of $(PY)

site: .venv/installed
	rm -rf _build/html _build/.doctrees
	$(PY) tools/build_book.py
	BROWSER_PATH="$$($(PY) tools/browser.py)" $(PY) -m pytest tests/site

colab: .venv/installed _build/colab/installed
	$(PY) tools/alone.py --dependencies-of _build/colab/bin/python

_build/colab/installed: tools/colab.txt
	PYTHON="$${PYTHON312:-python3.12}" sh tools/find_python.sh > /dev/null
	"$${PYTHON312:-python3.12}" -m venv _build/colab
	_build/colab/bin/python -m pip install --quiet --disable-pip-version-check --requirement tools/colab.txt
	touch $@

notebooks: .venv/installed
	$(PY) tools/run_notebooks.py

bench: .venv/installed
	$(PY) benchmarks/attention.py

lock: .venv/installed
	$(PY) -m venv _build/uv && _build/uv/bin/pip install --quiet uv
	head -2 requirements.txt > _build/requirements.txt
	_build/uv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --no-header \
	  --no-annotate --upgrade --quiet --output-file _build/lock.txt
	cat _build/requirements.txt _build/lock.txt > requirements.txt

address:
	python3 tools/address.py set "$(URL)"

clean:
	rm -rf .venv _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
