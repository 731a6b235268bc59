# SPDX-License-Identifier: MIT
# Every variant of the tests; -j2: two at a time.

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
LEVELS := ONLY='$(foreach t,stack* cache* pool_* traced decay* busy_cpus fence_lost,test/*/test_$(t).c)' \
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

SOURCES := $(wildcard include/*.h include/*/*.h lib/*/*.[ch] test/*/*.[ch] test/examples/*.cpp \
	benchmarks/*/*.[ch])

lint:
	@.ci/deps lint
	$(Q)CC='$(CC)' .ci/lint $(SOURCES)
