# SPDX-License-Identifier: MIT
# Every variant of the tests, each as `make check-NAME`. `make -j2 check` runs two of them at a time.

# What make is given for each variant, after what it finds that no other does (lib/DESIGN.md has the table).
# Time is spent where a run can find something: benchmarks are built by two compilers once; the modes differ in
# lib/percpu only, so both are run where that is built anew; a stress program without injected delays finds in
# 2 seconds what it finds in 4 (controls.sh: most faults show within one).
QUICK := ALSO_BUILT= SCRIPTS=
# What is learned from a workload is the same in each variant.
LEARNED := WITHOUT=test/benchmarks/test_replay_verdicts.c
# Tests of what lies below percpu/, and of reports and programs above the pool, run once in each.
APART := ONCE='$(notdir $(basename $(wildcard $(addsuffix /test_*.c,$(addprefix test/,base memory process profile \
	report benchmarks)))))'

# All with gcc as it is installed. TESTED: by a caller who has just run them.
run-gcc := $(if $(TESTED),test-build,test-run)
# What stands in the way of rseq mode, and one CPU.
run-environments := environments $(LEARNED)
# The instructions of get and put.
run-fastpath := fastpath
run-fastpath-clang := fastpath VARIANT=clang CC=clang
# Each interleaving of the protocol; the other architecture; that stress programs find what is wrong.
run-model := model
run-aarch64 := aarch64
run-controls := controls
# Threads, migrations and ticks with nothing wrong: check and poison report none.
run-debug := stress STRESS=$(BUILD)/test/stress/stress_pool TIERPOOL_DEBUG=check,poison SECONDS_EACH=4
# What Prometheus makes of the metrics.
run-metrics := metrics
# A server with buffers and connections in pools, under load.
run-server := server
# The profile, as pprof, google-pprof and jeprof show it.
run-viewers := viewers
# The Debian packages are built, without their tests.
run-package-build := package-build
# With real libraries: the same bytes as by their own ways, with no more allocations.
run-libraries := libraries
# Detectors of races, in programs whose library is the ordinary one.
run-races := races
# Blocks from jemalloc, in both modes.
run-jemalloc := test-run VARIANT=jemalloc JEMALLOC=yes $(QUICK) $(LEARNED) $(APART)
run-clang := test-run VARIANT=clang CC=clang $(LEARNED) $(APART)
run-asan := test-run VARIANT=asan OPT='-O1 -g' SANITIZE=address,undefined ALSO_BUILT= $(LEARNED) $(APART)
# What a compiler makes of the surroundings of the sequences, which are in percpu/ and compiled into each call of
# a cache or pool. test_traced holds a thread at each instruction of each copy. Logic is the same at each level.
# Without warnings at -O3: with all of the program before it, gcc complains of what tests do on purpose.
LEVEL := MODES=rseq $(QUICK) ONLY='test/percpu/test_*.c test/cache/test_cache*.c'
run-gcc-O0 := test-run VARIANT=gcc-O0 OPT=-O0 $(LEVEL)
run-gcc-O3 := test-run VARIANT=gcc-O3 OPT='-O3 -flto' AR=gcc-ar WARN=-w $(LEVEL)
run-clang-O0 := test-run VARIANT=clang-O0 CC=clang OPT=-O0 $(LEVEL)
run-clang-O3 := test-run VARIANT=clang-O3 CC=clang OPT='-O3 -flto' AR=llvm-ar WARN=-w $(LEVEL)
# Races; what is read uninitialised; a C library without rseq. None of them has rseq mode. The thread sanitizer
# sees a race only if the run comes by it, and is ten times slower: it has more time.
run-tsan := stress VARIANT=tsan OPT='-O1 -g' SANITIZE=thread MODES=locked SECONDS_EACH=4
run-valgrind := valgrind MODES=locked
run-musl := stress VARIANT=musl CC=musl-gcc LDFLAGS=-static MODES=locked

# After the build that several use the longest ones, so that none of these is left alone at the end.
CHECKS := gcc model asan clang environments controls jemalloc gcc-O0 gcc-O3 clang-O0 clang-O3 aarch64 tsan valgrind \
	debug musl metrics server viewers libraries races fastpath fastpath-clang package-build
.PHONY: check-deps check-package check-vm environments model aarch64 controls metrics server viewers libraries package-build \
	races valgrind $(addprefix check-,$(CHECKS))
check: $(addprefix check-,$(CHECKS))

check-deps:
	@.ci/deps check

$(addprefix check-,$(CHECKS)): check-%: check-deps
	+$(Q)echo "== $@" && $(MAKE) --no-print-directory --output-sync=none $(run-$*)

# The same build is used by several, so one of them makes it.
check-debug check-environments check-fastpath check-libraries check-metrics check-races check-server check-valgrind check-viewers: \
	check-gcc
check-fastpath-clang: check-clang

environments: $(UNIT) $(STRESS)
	$(Q)test/environments.sh $^
# 77: skipped, and it has said why.
model:
	$(Q)test/model/run.sh || [ $$? = 77 ]
aarch64:
	$(Q)test/aarch64.sh || [ $$? = 77 ]
controls:
	$(Q)test/controls.sh
# SCRAPED: for so many seconds, not only for as long as it takes.
metrics: $(STATIC)
	$(Q)CC='$(CC)' test/metrics.sh $(STATIC) $(SCRAPED) || [ $$? = 77 ]
server:
	+$(Q)MAKE='$(MAKE)' SERVER_PACKAGES='$(SERVER_PACKAGES)' test/server.sh $(SERVERS) || [ $$? = 77 ]
viewers: $(STATIC)
	$(Q)CC='$(CC)' LIBRARY='$(STATIC)' test/viewers.sh || [ $$? = 77 ]
# MEASURE=--measure prints the table of test/examples/libraries/README.md.
libraries: all
	$(Q)CC='$(CC)' test/libraries.sh $(BUILD) $(MEASURE)
races: all
	$(Q)test/races.sh $(BUILD)
package-build:
	$(Q)test/package.sh build || [ $$? = 77 ]
# Installed in a new Debian 12, used, and removed. Not one of CHECKS: some four minutes, and it wants root and a mirror.
check-package:
	@.ci/deps test package
	$(Q)test/package.sh install || [ $$? = 77 ]
# Other kernels, in emulators. Not one of CHECKS: half an hour.
check-vm:
	$(Q)test/vm.sh || [ $$? = 77 ]
valgrind: $(STRESS)
	$(Q)WRAP='valgrind -q --error-exitcode=1 --leak-check=full --fair-sched=yes' test/run.sh $(STRESS)

SOURCES := $(wildcard include/*.h include/*/*.h include/*/*.hpp lib/*/*.[ch] test/*/*.[ch] test/*/*.[ch]pp \
	test/examples/*/*.[ch] benchmarks/*/*.[ch])

lint:
	@.ci/deps lint
	$(Q)CC='$(CC)' .ci/lint $(SOURCES)
