# The usual tasks. Everything that makes network namespaces needs root, and stays out of the host's own.

PREFIX ?= /usr/local
CNI_BIN_DIR ?= /opt/cni/bin
CARGO ?= cargo
# How long each storm of `make soak` lasts, in seconds.
SOAK_S ?= 600
CARGO_TARGET_DIR ?= target
RELEASE := $(CARGO_TARGET_DIR)/release

# What is started often starts 0.3 to 0.5 ms faster if nothing has to be linked at run time.
STATIC := -C target-feature=+crt-static -C relocation-model=static

.PHONY: help build demo test test-vm soak bench install
.DEFAULT_GOAL := help

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

build: need-cargo ## build weftd, weft, weft-bench, weft-cni and the lab
	scripts/packages build
	$(CARGO) build --locked --release --package weft-agent --package weft-bench --package weft-lab --bins
	$(CARGO) rustc --locked --release --package weft --bin weft -- $(STATIC)
	$(CARGO) rustc --locked --release --package weft-cni --bin weft-cni -- $(STATIC) -C strip=symbols

demo: need-root need-cargo ## bring up a host of containers and show them talk (root)
	scripts/packages demo
	$(MAKE) build
	$(RELEASE)/weft demo

test: need-root need-cargo ## run every suite (root)
	scripts/packages test
	$(CARGO) build --locked --workspace --bins
	$(CARGO) xtask test

test-vm: need-root need-cargo ## run suites on Debian's kernels under qemu, and the unit under systemd (root)
	scripts/test-vm

soak: need-root need-cargo ## run for a long time under load and faults (root)
	scripts/packages test
	$(CARGO) build --locked --workspace --bins
	WEFT_SOAK_S=$(SOAK_S) $(CARGO) xtask test lab

bench: need-root need-cargo ## measure what attaching a container and its packets cost (root)
	scripts/packages test
	$(MAKE) build
	$(RELEASE)/weft bench attach --out bench/results/attach.txt
	$(RELEASE)/weft bench path --out bench/results/path.txt
	$(RELEASE)/weft bench limit --out bench/results/limit.txt
	$(RELEASE)/weft bench sight --out bench/results/sight.txt
	$(RELEASE)/weft bench policy --out bench/results/policy.txt
	$(RELEASE)/weft bench service --out bench/results/service.txt
	$(RELEASE)/weft bench run --out bench/results/run.txt
	$(CARGO) test --quiet --package weft-dataplane --test story programs_load -- --nocapture | \
		grep -o 'hook .*instructions' > bench/results/programs.txt

install: build ## install below DESTDIR and PREFIX
	install -D -m 0755 $(RELEASE)/weftd $(DESTDIR)$(PREFIX)/sbin/weftd
	install -D -m 0755 $(RELEASE)/weft $(DESTDIR)$(PREFIX)/bin/weft
	install -D -m 0755 $(RELEASE)/weft-bench $(DESTDIR)$(PREFIX)/bin/weft-bench
	install -D -m 0755 $(RELEASE)/weft-cni $(DESTDIR)$(CNI_BIN_DIR)/weft-cni
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	sed 's|/usr/local/sbin|$(PREFIX)/sbin|' dist/weftd.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/weftd.service
	$(RELEASE)/weft completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/weft
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(RELEASE)/weft man --dir $(DESTDIR)$(PREFIX)/share/man/man1

.PHONY: need-root need-cargo

need-root:
	@test "$$(id -u)" = 0 || { \
		echo "make $(MAKECMDGOALS) needs root: it makes network namespaces; run it as root or with sudo" >&2; exit 1; }

need-cargo:
	@command -v $(CARGO) >/dev/null || { \
		echo "make $(MAKECMDGOALS) needs cargo, which is not in PATH: see https://rustup.rs" >&2; exit 1; }
