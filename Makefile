# SPDX-License-Identifier: MIT
# tierpool. `make help` says what there is; V=1 shows the commands.

PREFIX ?= /usr/local
DESTDIR ?=
# One folder a variant: `make test VARIANT=asan SANITIZE=address,undefined CC=clang`.
VARIANT ?= release
SANITIZE ?=
# yes: programs are linked with jemalloc, and blocks come from it.
JEMALLOC ?= no
# How the per-CPU cache works: each test once in each.
MODES ?= rseq locked
export MODES
ifeq ($(origin CC),default)
CC = gcc
endif

VERSION := $(shell sed -n 's/.*TIERPOOL_VERSION "\(.*\)"/\1/p' include/tierpool/version.h)
BUILD := build/$(VARIANT)

OPT ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wconversion -Werror
CFLAGS ?=
override CFLAGS += -std=gnu11 -D_GNU_SOURCE $(OPT) $(WARN) -pthread -fPIC
CPPFLAGS += -Iinclude -MMD -MP
LDFLAGS += -pthread
ifneq ($(SANITIZE),)
override CFLAGS += -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SANITIZE)
endif
ifeq ($(JEMALLOC),yes)
LDLIBS += -ljemalloc
endif

LIB_SOURCES := $(wildcard lib/*.c)
LIB_OBJECTS := $(LIB_SOURCES:lib/%.c=$(BUILD)/lib/%.o)
STATIC := $(BUILD)/libtierpool.a
SHARED := $(BUILD)/libtierpool.so.0
# Which of the unit tests.
ONLY ?= test/test_*.c
UNIT := $(patsubst test/%.c,$(BUILD)/test/%,$(wildcard $(ONLY)))
STRESS := $(patsubst test/%.c,$(BUILD)/test/%,$(wildcard test/stress_*.c))
PATHS := $(BUILD)/test/sequence_paths
# The floor is a library of pair_latency's, not a program.
BENCH := $(patsubst benchmarks/%.c,$(BUILD)/benchmarks/%, \
	$(filter-out benchmarks/floor_stack.c,$(wildcard benchmarks/*.c)))
FLOOR := $(BUILD)/benchmarks/libfloor.so
# What is installed has no sanitizer in it.
INSTALLED := $(if $(SANITIZE),,test/installed.sh)
HEADERS := $(wildcard include/*.h include/tierpool/*.h)
SOURCES := $(wildcard include/*.h include/*/*.h lib/*.[ch] lib/*/*.h test/*.[ch] \
	test/examples/*.[ch] test/examples/*.cpp benchmarks/*.[ch])

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

.DELETE_ON_ERROR:
.PHONY: all demo test check fastpath bench lint install uninstall deps clean help stress

all: $(STATIC) $(SHARED)

help:
	@echo 'make demo       encode a real file out of pooled buffers, and compare'
	@echo 'make test       the tests;  make check  every variant of them;  make lint'
	@echo 'make all install uninstall   PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make bench deps clean'

# ---- library ----

$(BUILD)/lib/%.o: lib/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fvisibility=hidden -c $< -o $@

$(STATIC): $(LIB_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(SHARED): $(LIB_OBJECTS) lib/tierpool.map
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -shared -Wl,-soname,libtierpool.so.0 -Wl,--version-script=lib/tierpool.map \
		-Wl,-z,nodelete $(if $(SANITIZE),,-Wl,-z,defs) $(LDFLAGS) -o $@ $(LIB_OBJECTS)
	$(Q)ln -sf libtierpool.so.0 $(BUILD)/libtierpool.so

# ---- programs ----

ENCODE_TESTS := $(BUILD)/test/test_encode_control $(BUILD)/test/test_encode_control_io
$(ENCODE_TESTS): CPPFLAGS += -DENCODE_CONTROL='"$(BUILD)/benchmarks/encode_control"'
$(ENCODE_TESTS): $(BUILD)/benchmarks/encode_control
# Where a loop happens to lie is worth 3 % of it: both sides of a comparison begin on a line.
$(BUILD)/benchmarks/%: private override CFLAGS += -falign-functions=64 -falign-loops=64
$(BUILD)/benchmarks/%: private CPPFLAGS += -DSAMPLE_FILE='"$(CURDIR)/benchmarks/sample.control"' \
	-DBURST_PLOT='"$(CURDIR)/benchmarks/burst_decay.gnuplot"'

$(BUILD)/test/test_%: test/test_%.c $(STATIC)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ilib $(CFLAGS) $(LDFLAGS) $< $(STATIC) -lcriterion $(LDLIBS) -o $@

$(BUILD)/test/stress_%: test/stress_%.c $(STATIC)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ilib $(CFLAGS) $(LDFLAGS) $< $(STATIC) $(LDLIBS) -o $@

$(PATHS): test/sequence_paths.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ilib $(CFLAGS) $(LDFLAGS) $< -o $@

$(BUILD)/benchmarks/%: benchmarks/%.c $(STATIC)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(STATIC) $(LDLIBS) -o $@

$(BUILD)/benchmarks/fastpath_count: private CPPFLAGS += -Ilib

# As programs get it, from the shared library; and the floor from one too, so each call of either is
# one through the PLT. The floor goes only to those that call it; jemalloc, which the library knows
# weakly, to all, where as-needed would leave it out.
MEASURED := burst_decay cache_latency pair_latency tick_tail
$(MEASURED:%=$(BUILD)/benchmarks/%): $(BUILD)/benchmarks/%: benchmarks/%.c $(SHARED) $(FLOOR)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -Wl,--as-needed $(FLOOR) $(SHARED) \
		-Wl,-rpath,'$$ORIGIN:$$ORIGIN/..' -Wl,--no-as-needed $(LDLIBS) -o $@

$(FLOOR): benchmarks/floor_stack.c
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -ftls-model=initial-exec -shared -Wl,-soname,libfloor.so \
		$(LDFLAGS) $< -o $@

# The other side of cache_latency. Built for a run only, as tests do without Go; with nothing but
# what is here: no module, no network.
SYNC_POOL := $(BUILD)/benchmarks/cache_latency_go
$(SYNC_POOL): benchmarks/cache_latency.go
	$(call say,GO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)if ! command -v go >/dev/null; then echo 'No Go: cache_latency will be skipped.'; else \
		GO111MODULE=off GOFLAGS= GOTOOLCHAIN=local CGO_ENABLED=0 GOPATH='$(CURDIR)/build/go' \
		GOCACHE='$(CURDIR)/build/go-cache' go build -o $@ $<; fi

-include $(wildcard $(BUILD)/*/*.d)

# ---- the two commands ----

demo:
	@.ci/deps demo
	$(Q)$(MAKE) --no-print-directory demo-run VARIANT=jemalloc JEMALLOC=yes

.PHONY: demo-run test-run test-build
demo-run: $(BUILD)/benchmarks/encode_control
	$(Q)$(BUILD)/benchmarks/encode_control

test:
	@.ci/deps test
	$(Q)$(MAKE) --no-print-directory test-run

test-build: all $(UNIT) $(STRESS) $(PATHS) $(BENCH)

test-run: test-build
	$(Q)CC='$(CC)' test/run.sh $(UNIT) $(STRESS) $(PATHS) $(INSTALLED)

stress: all $(STRESS)
	$(Q)test/run.sh $(STRESS)

# The instructions of a get and a put are no more than they were.
fastpath: $(BUILD)/benchmarks/fastpath_count
	$(Q)for mode in rseq locked; do \
		TIERPOOL_PERCPU=$$mode $< benchmarks/fastpath.golden || [ $$? = 77 ] || exit 1; done

bench:
	@.ci/deps bench
	$(Q)$(MAKE) --no-print-directory bench-run

.PHONY: bench-run
bench-run: $(BENCH) $(SYNC_POOL)
	$(Q)for b in $(BENCH); do $$b || [ $$? = 77 ] || exit 1; done

# ---- every variant; -j2: two at a time ----

CHECKS := gcc environments fastpath model aarch64 controls jemalloc clang asan levels tsan valgrind musl
.PHONY: check-deps valgrind $(addprefix check-,$(CHECKS))
check: $(addprefix check-,$(CHECKS))

check-deps:
	@.ci/deps check

# The same build is used by four of them, so one makes it.
$(addprefix check-,$(filter-out environments fastpath valgrind,$(CHECKS))): check-deps
check-environments check-fastpath check-valgrind: check-gcc

SUB = +$(Q)echo "== $@" && $(MAKE) --no-print-directory --output-sync=none
# TESTED: by who has just run these, and wants the others.
check-gcc:
	$(SUB) $(if $(TESTED),test-build,test-run)
check-environments:
	$(Q)echo "== $@" && test/environments.sh $(UNIT) $(STRESS)
check-fastpath:
	$(SUB) fastpath
	$(SUB) fastpath VARIANT=clang-fastpath CC=clang
check-model:
	$(Q)echo "== $@" && { test/model/run.sh || [ $$? = 77 ]; }
check-aarch64:
	$(Q)echo "== $@" && { test/aarch64.sh || [ $$? = 77 ]; }
check-controls:
	$(Q)echo "== $@" && test/controls.sh
check-jemalloc:
	$(SUB) test-run VARIANT=jemalloc JEMALLOC=yes INSTALLED= SECONDS_EACH=2
check-clang:
	$(SUB) test-run VARIANT=clang CC=clang SECONDS_EACH=2
check-asan:
	$(SUB) test-run VARIANT=asan OPT='-O1 -g' SANITIZE=address,undefined
# What the compiler makes of the sequences' surroundings, in those tests that have most to do with them.
# Without warnings: with all of the program before it, gcc complains of what tests do on purpose.
LEVELS := ONLY='$(foreach t,cpucache* cache* pool_* traced decay* busy_cpus fence_lost,test/test_$(t).c)' \
	MODES=rseq INSTALLED= SECONDS_EACH=2
check-levels:
	$(SUB) test-run VARIANT=gcc-O0 OPT=-O0 $(LEVELS)
	$(SUB) test-run VARIANT=gcc-O3 AR=gcc-ar OPT='-O3 -flto' WARN=-w $(LEVELS)
	$(SUB) test-run VARIANT=clang-O0 CC=clang OPT=-O0 $(LEVELS)
	$(SUB) test-run VARIANT=clang-O3 CC=clang OPT='-O3 -flto' AR=llvm-ar WARN=-w $(LEVELS)
# Nothing of rseq is there for these.
check-tsan:
	$(SUB) stress VARIANT=tsan OPT='-O1 -g' SANITIZE=thread MODES=locked
check-valgrind:
	$(SUB) valgrind MODES=locked
check-musl:
	$(SUB) stress VARIANT=musl CC=musl-gcc LDFLAGS=-static MODES=locked

valgrind: $(STRESS)
	$(Q)WRAP='valgrind -q --error-exitcode=1 --leak-check=full --fair-sched=yes' SECONDS_EACH=2 \
		test/run.sh $(STRESS)

lint:
	@.ci/deps lint
	$(Q)CC='$(CC)' .ci/lint $(SOURCES)

# ---- installing ----

LIBDIR = $(DESTDIR)$(PREFIX)/lib
INCLUDEDIR = $(DESTDIR)$(PREFIX)/include

install: all
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -d $(LIBDIR)/pkgconfig $(INCLUDEDIR)/tierpool
	$(Q)install -m 644 include/tierpool.h $(INCLUDEDIR)
	$(Q)install -m 644 include/tierpool/*.h $(INCLUDEDIR)/tierpool
	$(Q)install -m 644 $(STATIC) $(LIBDIR)
	$(Q)install -m 755 $(SHARED) $(LIBDIR)
	$(Q)ln -sf libtierpool.so.0 $(LIBDIR)/libtierpool.so
	$(Q)for pc in tierpool tierpool-jemalloc; do \
		sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' lib/$$pc.pc.in \
			>$(LIBDIR)/pkgconfig/$$pc.pc || exit; done

uninstall:
	$(Q)rm -f $(LIBDIR)/libtierpool.a $(LIBDIR)/libtierpool.so $(LIBDIR)/libtierpool.so.0 \
		$(LIBDIR)/pkgconfig/tierpool.pc $(LIBDIR)/pkgconfig/tierpool-jemalloc.pc \
		$(HEADERS:include/%=$(INCLUDEDIR)/%)
	$(Q)rmdir $(INCLUDEDIR)/tierpool 2>/dev/null || true

deps:
	@.ci/deps demo test check lint

clean:
	$(Q)rm -rf build
