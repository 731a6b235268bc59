# SPDX-License-Identifier: MIT
# The tests: programs of Criterion's, stress programs, which need nothing of it, and the sequences alone.

# Which of the unit tests.
ONLY ?= test/*/test_*.c
UNIT := $(patsubst test/%.c,$(BUILD)/test/%,$(wildcard $(ONLY)))
STRESS := $(patsubst test/%.c,$(BUILD)/test/%,$(wildcard test/stress/*.c))
PATHS := $(BUILD)/test/percpu/rseq_paths
# What several of them share.
LIBTEST := $(BUILD)/libtest.a
LIBTEST_OBJECTS := $(patsubst test/%.c,$(BUILD)/test/%.o, \
	$(filter-out test/support/under_filter.c,$(wildcard test/support/*.c)))
# What is installed has no sanitizer in it.
INSTALLED := $(if $(SANITIZE),,test/installed.sh)

TEST_CPPFLAGS = $(CPPFLAGS) -Ilib -Itest/support

ENCODE_TEST := $(BUILD)/test/benchmarks/test_encode_control
$(ENCODE_TEST): CPPFLAGS += -DENCODE_CONTROL='"$(BUILD)/benchmarks/encode_control"'
$(ENCODE_TEST): $(BUILD)/benchmarks/encode_control

$(LIBTEST_OBJECTS): $(BUILD)/test/%.o: test/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) $(CFLAGS) -c $< -o $@

$(LIBTEST): $(LIBTEST_OBJECTS)
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(UNIT): TEST_LIBS = -lcriterion
$(UNIT) $(STRESS): $(BUILD)/test/%: test/%.c $(LIBTEST) $(STATIC)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(LIBTEST) $(STATIC) $(TEST_LIBS) $(LDLIBS) -o $@

$(PATHS): test/percpu/rseq_paths.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< -o $@

.PHONY: test-run test-build stress
test:
	@.ci/deps test
	$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc)) test-build
	$(Q)$(MAKE) --no-print-directory test-run

test-build: all $(UNIT) $(STRESS) $(PATHS) $(BENCH)

test-run: test-build
	$(Q)CC='$(CC)' test/run.sh $(UNIT) $(STRESS) $(PATHS) $(INSTALLED)

stress: all $(STRESS)
	$(Q)test/run.sh $(STRESS)
