# qconv: build, test, install. `make quickstart` is the place to start.

SWIFT ?= swift
PREFIX ?= /usr/local
DESTDIR ?=

UNAME := $(shell uname -s)
# On Linux all libraries go into the binary, which then runs on any Linux with such a processor and starts in half the time; or at
# least Swift's, where others are not at hand. lld does not warn of what Foundation calls of name services, which qconv never asks.
# Looked up when it is needed, as `dependencies` may have installed zlib by then.
STATIC_LIBRARIES := libc.a libm.a libstdc++.a libz.a
FOUND = $(filter /%,$(foreach library,$(STATIC_LIBRARIES),$(shell cc -print-file-name=$(library) 2>/dev/null)))
ALL_STATIC := -Xswiftc -static-executable -Xswiftc -use-ld=lld
LINKING = $(if $(filter $(words $(STATIC_LIBRARIES)),$(words $(FOUND))),$(ALL_STATIC),--static-swift-stdlib)
STATIC = $(if $(filter Linux,$(UNAME)),$(LINKING))
# Generic code of one module is made for the types of the others, which saves a fiftieth of the time of a merge.
BUILD = $(SWIFT) build -c release -Xswiftc -cross-module-optimization $(STATIC) --product qconv
BINARY = $(shell $(BUILD) --show-bin-path)/qconv

.PHONY: quickstart build test format lint schema install clean dependencies

## Builds qconv and merges a QLoRA adapter into the 4-bit model in examples/.
quickstart: build
	@rm -rf examples/out
	@echo "qconv pipeline examples/merge-in-4bit.json"
	@$(BINARY) pipeline examples/merge-in-4bit.json

## Builds the release binary.
build: dependencies
	$(BUILD)

## Runs all tests, on the release build.
test: build
	QCONV_BINARY="$(BINARY)" $(SWIFT) test -c release --scratch-path .build/tests

## Lays out the sources as .swift-format says.
format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests

## Checks the layout.
lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests

## Writes formats/pipeline.schema.json from the declarations that check specs.
schema: build
	$(BINARY) pipeline --schema > formats/pipeline.schema.json

## Installs the binary under PREFIX.
install: build
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/qconv"

clean:
	rm -rf .build examples/out

## zlib's headers, which Foundation's static libraries need on Linux.
dependencies:
	@sh scripts/require-zlib.sh
