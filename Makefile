# Two commands: "make demo" and "make test". The rest is for people who work on bitloom.
RELEASE := build/release
BITLOOM := $(RELEASE)/bitloom

# make demo MODEL=smollm2 uses the real 135M model.
MODEL ?= demo

# make results SUITE_FLAGS=--any-build takes what an earlier build has finished.
SUITE_FLAGS ?=

# make oracle ORACLES="tokenize eval_ppl" runs these alone.
ORACLES ?=

.PHONY: demo test build packages smollm2 results check tidy format oracle page-check clean

demo: build $(if $(filter smollm2,$(MODEL)),smollm2)
	@$(BITLOOM) demo --model $(MODEL)

test: packages
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build $(RELEASE)
	@tools/get_smollm2.sh || echo "SmolLM2 could not be fetched: the tests that need it will be skipped"
	@ctest --preset release

build: packages
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build $(RELEASE) --target bitloom bitloom_api

packages:
	@mkdir -p build
	@tools/install_packages.sh

smollm2:
	@tools/get_smollm2.sh

# The tables of README.md and docs/: every suite that they mark. Finished cells are not run again.
results: build smollm2
	@mkdir -p docs/plots
	@test -d build/outliers || tools/make_outlier_model.py ../shared/models/english-3m build/outliers
	@for suite in suites/*.yaml; do \
	  documents=$$(grep -ls "^<!-- $$suite" README.md docs/*.md | sed 's/^/--markdown /'); \
	  echo "$$suite" >&2; \
	  $(BITLOOM) suite $$suite $(SUITE_FLAGS) --plots docs/plots $$documents >/dev/null || exit 1; \
	done

check:
	@python3 tools/check_layers.py --self-test
	@python3 tools/check_layers.py
	@python3 tools/check_budgets.py

tidy: packages
	@tools/tidy.sh

format:
	@find src -name '*.cc' -o -name '*.h' | xargs clang-format -i

oracle:
	@tools/run_oracles.sh $(ORACLES)

page-check:
	@tools/check_pages.sh

clean:
	@rm -rf build
