# SPDX-License-Identifier: MIT
# The tests: unit tests, which use Criterion; stress programs and the sequences alone, which do not.

# Which of the unit tests.
ONLY ?= test/*/test_*.c
WITHOUT ?=
UNIT := $(patsubst test/%.c,$(BUILD)/test/%,$(filter-out $(WITHOUT),$(wildcard $(ONLY))))
STRESS := $(patsubst test/%.c,$(BUILD)/test/%,$(wildcard test/stress/*.c))
# The sequences alone: a program of two files.
PATHS := $(BUILD)/test/percpu/rseq_paths
PATHS_MEMORY := test/support/sequence_memory.c
# What several tests share. What stress programs use is an archive of its own, and does not use Criterion, which
# does not exist for every C library (musl). test/controls.sh has the same list.
LIBSTRESS := $(BUILD)/libstress.a
LIBSTRESS_SOURCES := $(wildcard test/support/stress_*.c) $(addprefix test/support/,counting_backing.c random.c)
LIBTEST := $(BUILD)/libtest.a
# Stands in place of functions of the C library, so only programs that want it may have it: from an archive each
# program would get it that calls one of them.
SYSTEM := test/support/reaper_system.c
MAPPINGS := test/support/mappings.c
# A hook, which no test calls: from an archive none would get it.
PATIENCE := test/support/patience.c
# A program with mistakes, in which tools find them.
MISUSER := $(BUILD)/test/support/misuser
# Programs by themselves, which scripts build.
PROGRAMS := $(addprefix test/support/,constructed.c every_call.c handing_over.c misuser.c under_filter.c)
ALLOCATIONS := $(addprefix test/support/,allocations.c profile_fixture.c proto_reader.c)
LIBTEST_SOURCES := $(filter-out $(LIBSTRESS_SOURCES) $(PATHS_MEMORY) $(SYSTEM) $(MAPPINGS) $(ALLOCATIONS) $(PATIENCE) \
	$(PROGRAMS), $(wildcard test/support/*.c))
support_objects = $(patsubst test/%.c,$(BUILD)/test/%.o,$(1))
# What is installed, and what tools look into, has no sanitizer in it.
SCRIPTS := $(if $(SANITIZE),,test/installed.sh test/cplusplus.sh test/probes.sh test/system_calls.sh)

TEST_CPPFLAGS = $(CPPFLAGS) -Ilib -Itest/support

ENCODE_TEST := $(BUILD)/test/benchmarks/test_encode_control
$(ENCODE_TEST): CPPFLAGS += -DENCODE_CONTROL='"$(BUILD)/benchmarks/encode_control"'
$(ENCODE_TEST): $(BUILD)/benchmarks/encode_control

REPLAY_TESTS := $(addprefix $(BUILD)/test/benchmarks/test_replay_,trace program peers verdicts advise advice)
$(REPLAY_TESTS): CPPFLAGS += -DREPLAY_TRACE='"$(BUILD)/benchmarks/replay_trace"'
$(REPLAY_TESTS): $(BUILD)/benchmarks/replay_trace

UNPOOLED_TEST := $(BUILD)/test/pool/test_debug_unpooled
$(UNPOOLED_TEST): CPPFLAGS += -DMISUSER='"$(MISUSER)"'
$(UNPOOLED_TEST): $(MISUSER)

# What is bound at the first call leaves all registers on the stack, with what was copied last.
$(BUILD)/test/pool/test_secret: private LDFLAGS += -Wl,-z,now

# Is loaded as a plugin is; and a plugin that uses it, with an ending of its own, as it is no part of the archive.
ENVIRONMENT_TEST := $(BUILD)/test/profile/test_environment
PLUGIN := $(BUILD)/test/support/constructed.so
$(ENVIRONMENT_TEST): CPPFLAGS += -DSHARED_LIBRARY='"$(abspath $(SHARED))"' -DPLUGIN='"$(abspath $(PLUGIN))"'
$(ENVIRONMENT_TEST): | $(SHARED) $(PLUGIN)
$(PLUGIN): test/support/constructed.c $(SHARED)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) $(CFLAGS) $(LDFLAGS) -shared $< $(abspath $(SHARED)) $(LDLIBS) \
		-Wl,-rpath,$(abspath $(BUILD)) -o $@

$(call support_objects,$(LIBTEST_SOURCES) $(LIBSTRESS_SOURCES) $(PATHS_MEMORY) $(SYSTEM) $(MAPPINGS) $(ALLOCATIONS) \
	$(PATIENCE)): \
	$(BUILD)/test/%.o: test/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) $(CFLAGS) -c $< -o $@

$(LIBTEST): $(call support_objects,$(LIBTEST_SOURCES))
$(LIBSTRESS): $(call support_objects,$(LIBSTRESS_SOURCES))
$(LIBTEST) $(LIBSTRESS):
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(PATHS): $(call support_objects,$(PATHS_MEMORY))
$(addprefix $(BUILD)/test/process/test_,pressure reaper_failures reaper_files reaper_pressure): \
	$(call support_objects,$(SYSTEM))
WRAPPED := -Wl,--wrap=mmap,--wrap=munmap,--wrap=mremap
MAPPED := $(addprefix $(BUILD)/test/,cache/test_cache_memory idle/test_age idle/test_tiers \
	memory/test_blocks memory/test_pages pool/test_debug_check pool/test_first_create pool/test_out_of_memory)
$(MAPPED): $(call support_objects,$(MAPPINGS))
# The profile's writers and samples; one test reads what is gzipped.
ALLOCATED := $(addprefix $(BUILD)/test/profile/test_,advice folded json leaks pprof proto text symbols samples)
$(ALLOCATED): $(call support_objects,$(ALLOCATIONS))
ALLOCATED_LIBS := -lz -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
ERRNO_TEST := $(BUILD)/test/pool/test_errno
ERRNO_LIBS := -Wl,--wrap=free,--wrap=pthread_mutex_unlock,--wrap=sched_getcpu
$(UNIT): $(call support_objects,$(PATIENCE)) $(LIBTEST)
$(UNIT) $(STRESS): $(LIBSTRESS) $(STATIC)
$(MISUSER): $(STATIC)
$(UNIT): private TEST_LIBS = -lcriterion -lm $(if $(filter $(MAPPED),$@),$(WRAPPED)) $(if $(filter $(ALLOCATED),$@),$(ALLOCATED_LIBS)) \
	$(if $(filter $(ERRNO_TEST),$@),$(ERRNO_LIBS))
$(UNIT) $(STRESS) $(PATHS) $(MISUSER): $(BUILD)/test/%: test/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CPPFLAGS) $(CFLAGS) $(LDFLAGS) $< $(filter %.o %.a,$^) $(TEST_LIBS) $(LDLIBS) -o $@

# The example server, and the same with malloc. Built for test/server.sh only: no other test wants these libraries.
SERVERS := $(addprefix $(BUILD)/test/examples/,server server_malloc)
SERVER_PACKAGES := apr-1 apr-util-1 glib-2.0 libcurl libmemcached sqlite3 yajl
$(BUILD)/test/examples/server_malloc: private override CFLAGS += -include test/examples/server/buffers_malloc.h
$(SERVERS): $(wildcard test/examples/server/*.[ch]) $(STATIC)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -Iinclude $(CFLAGS) $$(pkg-config --cflags $(SERVER_PACKAGES)) $(LDFLAGS) $(filter %.c,$^) $(STATIC) \
		$$(pkg-config --libs $(SERVER_PACKAGES)) -lhttp_parser $(LDLIBS) -o $@

.PHONY: test-run test-build stress
test:
	@.ci/deps test
	$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc)) test-build
	$(Q)$(MAKE) --no-print-directory test-run

# What is computed there is the same in each mode.
export ONCE := test_advisor test_replay_verdicts

# So that benchmarks compile: with two compilers once (checks.mk).
ALSO_BUILT ?= $(BENCH)
test-build: all $(UNIT) $(STRESS) $(PATHS) $(ALSO_BUILT)

test-run: test-build
	$(Q)CC='$(CC)' BUILD='$(BUILD)' test/run.sh $(UNIT) $(STRESS) $(PATHS) $(SCRIPTS)

stress: all $(STRESS)
	$(Q)test/run.sh $(STRESS)
