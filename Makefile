# make demo   builds Tricot and runs it in front of two small services, on unprivileged ports
# make test   everything that checks the project
# make build  bin/tricot
# make bench  what a request costs, beside the proxies that are installed

GO       ?= go
FUZZTIME ?= 5000x

export CHROMIUM_BIN

.PHONY: build demo test lint unit fuzz bench benchmarks clean consul node chromium

build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -ldflags "-s -w" -o bin/tricot ./cmd/tricot

demo: build
	$(GO) build -o bin/backend ./examples/backend
	$(GO) build -o bin/quickstart ./examples/quickstart
	exec bin/quickstart -tricot bin/tricot -backend bin/backend

test: lint unit fuzz

lint:
	@unformatted=$$(gofmt -l cmd pipeline middleware providers certs examples 2>/dev/null); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) mod tidy -diff
	$(GO) mod verify

unit: consul node chromium
	$(GO) test -race -timeout 20m ./...

# Tests run against a real Consul: CONSUL_BIN, else the one on PATH, else one that is built here once (some minutes).
consul:
	@if [ -z "$(CONSUL_BIN)" ] && ! command -v consul >/dev/null && ! [ -x .cache/consul/consul ]; then \
		echo "building Consul for the tests, once"; mkdir -p .cache/consul && cd providers/consul/consultest/server && \
		GOWORK=off CGO_ENABLED=0 $(GO) build -mod=mod -trimpath -ldflags "-s -w" -o ../../../../.cache/consul/consul.new github.com/hashicorp/consul && \
		mv ../../../../.cache/consul/consul.new ../../../../.cache/consul/consul; \
	fi

# examples/node is tested with a real Node.
node:
	@command -v node >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -q && apt-get install -qy --no-install-recommends nodejs; } || \
		{ echo "make test needs Node 18 or newer: sudo apt-get install nodejs, or what installs it here"; exit 1; }

# The page of the admin address is tested in a real browser.
chromium:
	@[ -n "$(CHROMIUM_BIN)" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		command -v google-chrome >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -q && apt-get install -qy --no-install-recommends chromium; } || \
		{ echo "make test needs Chromium: sudo apt-get install chromium, or what installs it here; CHROMIUM_BIN says where it is"; exit 1; }

# Each fuzz target for a few seconds, one after the other: the fuzzer itself uses every core. The time is given as a number
# of inputs, because a fuzzer that a deadline stops may take the deadline for a failure.
fuzz:
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed 's/func //'); do \
			echo "fuzz $$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$dir; \
		done; \
	done

# For numbers that mean something, on a machine that does nothing else. BENCH are flags, such as -only nginx,tricot.
bench: build
	$(GO) build -o bin/bench ./examples/bench
	bin/bench -tricot bin/tricot $(BENCH)

benchmarks:
	$(GO) test -run '^$$' -bench . -benchmem ./...

clean:
	rm -rf bin .cache
