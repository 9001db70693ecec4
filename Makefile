# The book and its tests. `make help` lists the targets. Works with GNU make 3.81 and later.

PROFILE ?= pocket
VENV    ?= .venv
WORKERS ?= 2
LIMIT   ?= 560
MINE    ?= my-exercises
# What is given is taken as it stands, a $ in it too; a ~ that the shell has left is the home folder.
given    = $(subst <start>,,$(subst <start>~/,$(or $(value HOME),~)/,<start>$(value $(1))))
override VENV := $(call given,VENV)
override MINE := $(call given,MINE)
# Containers often forbid it; every process of a build and of the tests would then compile the code anew.
export PYTHONDONTWRITEBYTECODE :=
# The first Python on the PATH that is new enough; `make PYTHON=/path/to/python` overrides it.
NEW     := import sys; sys.exit(sys.version_info < (3, 11))
ifneq ($(filter command,$(origin PYTHON))$(value PYTHON),)
  override PYTHON := $(call given,PYTHON)
else
  override PYTHON := $(shell for p in python3 python python3.14 python3.13 python3.12 python3.11; do \
             command -v $$p >/dev/null 2>&1 && $$p -c '$(NEW)' >/dev/null 2>&1 && echo $$p && break; done)
endif

# Paths may have spaces and quotes: quoted for the shell, escaped for make.
EMPTY   :=
TAB     := $(shell printf '\t')
quoted   = '$(subst ','\'',$(1))'
ifeq ($(strip $(VENV)),)
  PY    := $(call quoted,$(PYTHON))
  READY := current-environment
else
  PY    := $(call quoted,$(VENV)/bin/python)
  READY := $(subst $(EMPTY) ,\ ,$(VENV))/.ready
  ifneq ($(strip $(foreach letter,: ; | \ * ? [,$(findstring $(letter),$(VENV)))$(if $(findstring $(TAB),$(VENV)),tab)$(filter -% ~%,$(firstword $(VENV)))),)
    $(error VENV=$(VENV): make reads no path with : ; | \ * ? [ or a tab in it, or one that begins with - or ~; name another folder)
  endif
endif

.DEFAULT_GOAL := help
.PHONY: help read book lab pdf links exercises check-exercises reference card test lint unit notebooks pages venv pins clean distclean current-environment python

help: ## list the targets
	@echo "To begin: make read, the whole book in minutes; then make book, which trains its runs on your own machine."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=smoke | pocket | photographs | rtx2060   how much of the study to run (now: "$(call quoted,$(PROFILE))")"
	@echo "  MINE=FOLDER                        the reader's exercises (now: "$(call quoted,$(MINE))")"
	@echo "  VENV=                              use the current environment, conda's for instance, instead of .venv"

read: $(READY) ## the whole pocket book from the committed records, nothing trained; prints the path of the first page
	@$(PY) -m yolo_core read

book: $(READY) ## environment, data, every notebook, the HTML; prints the path of the first page
	@$(PY) -m yolo_core book --profile $(call quoted,$(PROFILE))

lab: $(READY) ## the notebooks in JupyterLab, which is fetched the first time
	@$(PY) -c 'import jupyterlab' 2>/dev/null || $(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[lab]'
	@$(PY) -m jupyterlab notebooks

pdf: book ## the book as one PDF, printed by Chromium
	@$(PY) -m yolo_core pdf --profile $(call quoted,$(PROFILE))

links: $(READY) ## ask every address that the book cites whether it answers; needs a network
	@$(PY) -m yolo_core links

exercises: $(READY) ## the exercises as notebooks without their solutions, into my-exercises; what is there is kept
	@$(PY) -m yolo_core exercises --out=$(call quoted,$(MINE))

check-exercises: $(READY) ## grade those notebooks: fails if one that is filled in is wrong
	@$(PY) -m yolo_core exercises --out=$(call quoted,$(MINE)) --check

# What trains keeps the memory that it frees: see book/press/notebook.py.
KEEP    := MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_TOP_PAD_=67108864

# Two processes of half the cores each: on two cores half as fast again as one process with two threads.
reference: $(READY) ## every arm over its seeds, hours; records go to records/, and it goes on where it was
	@$(KEEP) $(PY) -m yolo_core reference --profile $(call quoted,$(PROFILE)) --workers $(call quoted,$(WORKERS))

# Parts, results and their limits: scripts/on_a_card.py. REHEARSE=1 asks a CPU instead, with tiny numbers.
card: $(READY) ## on a CUDA card: memory, correctness, speed, the study; LIMIT=560 seconds, most valuable first
	@$(PY) scripts/on_a_card.py --seconds $(call quoted,$(LIMIT)) $(if $(filter-out 0 no false,$(REHEARSE)),--rehearse)

test: lint unit notebooks pages ## all tests, in the order of their cost

lint: $(READY) ## style and imports, by ruff
	@$(PY) -m ruff check --quiet .

# The notebooks and the smoke book share their trained runs (_build/runs, by key): whichever comes first trains.
# One thread a process: two processes of two threads each would wait for one another on two cores.
SPREAD := -n logical --maxprocesses 4
unit: $(READY) ## unit tests, a process a core, at most four
	@$(KEEP) OMP_NUM_THREADS=1 $(PY) -m pytest -q $(SPREAD) --dist worksteal -m "not browser" tests

notebooks: $(READY) ## every notebook re-run under the smoke profile, marked outputs compared
	@YOLO_PROFILE=smoke YOLO_NUMBERS="$$PWD/_build/smoke/nbval" JUPYTER_PLATFORM_DIRS=1 $(KEEP) OMP_NUM_THREADS=1 \
	  $(PY) -m pytest -q $(SPREAD) --dist loadfile -p no:cacheprovider --nbval-lax --nbval-current-env --nbval-cell-timeout=600 notebooks

BROWSER := $(addprefix tests/test_,pages.py front_pages.py accessibility.py code_beside.py flow_page.py grid_page.py memory_page.py readings_page.py cuts_page.py narrow_page.py pdf.py)
pages: $(READY) ## the strict build of the smoke book, opened in Chromium, which is fetched where there is none
	@$(PY) -m yolo_core book --profile smoke
	@$(PY) -m book.press.browser --fetch
	@$(PY) -m pytest -q $(SPREAD) --dist worksteal -m browser $(BROWSER)
	@$(PY) -m book.press.browser

venv: $(READY) ## the environment alone

pins: $(READY) ## move to the newest versions the ranges allow and write constraints.txt anew
	@$(PY) -m pip install -q --disable-pip-version-check -U --upgrade-strategy eager -e '.[book,test,openmoji,lab]'
	@$(PY) -m pip list --format=freeze --exclude-editable --disable-pip-version-check \
	  | grep -ivE '^(nvidia-|cuda-|triton=|pip=)' > constraints.new && mv constraints.new constraints.txt

# By their names: whatever else lies in _build is somebody's, a reference run that is under way for instance.
BOOKS   := smoke pocket photographs rtx2060 long read
clean: ## remove pages and caches; trained runs, data and what was packed for a card stay
	@for book in $(BOOKS:%=_build/%); do [ -e $$book/record.json ] || [ -e $$book/VOCdevkit ] || rm -rf $$book; done
	@rm -rf .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## also remove all else in _build, trained runs and data among it, and the environment
	@rm -rf _build .venv

python:
	@test -n $(call quoted,$(PYTHON)) || { echo "error: Python 3.11 or newer is needed and none was found on the PATH;" \
	  "install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(call quoted,$(PYTHON)) -c '$(NEW)' || { echo "error: Python 3.11 or newer is needed, and" $(call quoted,$(PYTHON)) "is" \
	  "$$($(call quoted,$(PYTHON)) --version 2>&1); name another: make PYTHON=/path/to/python3.11" >&2; exit 2; }

current-environment: python
	@$(PY) -c 'from importlib.metadata import version as v; v("yolo-core"), v("papermill"), v("torch")' 2>/dev/null || { echo "error: this environment lacks the project's packages;" \
	  "install them:" $(PY) "-m pip install -c constraints.txt -e '.[book,test]', or leave VENV= out" >&2; exit 2; }

# pip drops packages that pyproject.toml no longer asks for only in a new environment: `make distclean` for that.
ifneq ($(strip $(VENV)),)
$(READY): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory python PYTHON=$(call quoted,$(PYTHON))
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo making $(call quoted,$(VENV)) "with $$($(call quoted,$(PYTHON)) --version)"; $(call quoted,$(PYTHON)) -m venv $(call quoted,$(VENV)); }
	@echo "installing the pinned packages into" $(call quoted,$(VENV)): "a few minutes, and about 6 GB of disk on Linux"
	@$(PY) -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[book,test]'
	@touch -- $(call quoted,$@)
endif
