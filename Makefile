# Everything a newcomer types. `make run` needs Python >= 3.11 and nothing else.
.PHONY: setup run test test-cluster pictures lint locks
.DEFAULT_GOAL := run

setup:
	@sh requirements/setup.sh hub

run: setup
	@exec .venv/bin/aiplatform run --demo $(ARGS)

test:
	@sh requirements/setup.sh test
	.venv/bin/python -m pytest -n 2 --dist loadfile --ignore=tests/cluster $(ARGS)

# As root: a Kubernetes is built, started and taken down again. tests/cluster/README.md says how to use one of yours.
test-cluster:
	@sh requirements/setup.sh cluster
	.venv/bin/python -m pytest -n 0 -m "not images" --durations 25 tests/cluster $(ARGS)

# Brings a trial through its states and rewrites docs/pictures: each page in each state at 360 and 1280 px, light and dark.
pictures:
	@sh requirements/setup.sh test
	.venv/bin/python -m pytest -n 0 --pictures tests/browser/test_looks.py $(ARGS)

lint:
	@sh requirements/setup.sh test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# Rewrites every lock from its loose requirements; look at the difference before committing it.
COMPILE = .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 $(UPGRADE)
PACKAGE_LOCK = npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund
locks:
	@sh requirements/setup.sh hub
	$(COMPILE) requirements/installer.in -o requirements/installer.lock
	$(COMPILE) pyproject.toml -o requirements/hub.lock
	$(COMPILE) requirements/sbom.in -c requirements/hub.lock -o requirements/sbom.lock
	$(COMPILE) pyproject.toml --extra test -c requirements/hub.lock -c requirements/sbom.lock -o requirements/test.lock
	$(COMPILE) aiplatform_hub/proxy/node.in -o aiplatform_hub/proxy/node.lock
	for image in pytorch tensorflow code-server; do $(COMPILE) images/$$image/requirements.in -o images/$$image/requirements.lock || exit 1; done
	for image in jupyterlab hub; do $(COMPILE) images/$$image/requirements.in -c requirements/hub.lock -o images/$$image/requirements.lock || exit 1; done
	cd aiplatform_hub/proxy && $(PACKAGE_LOCK)
	cd images/code-server && $(PACKAGE_LOCK)
