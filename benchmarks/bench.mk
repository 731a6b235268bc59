# SPDX-License-Identifier: MIT
# The benchmarks, and the main job.

# The floor is a library of pair_latency's, not a program.
BENCH := $(patsubst benchmarks/%.c,$(BUILD)/benchmarks/%, \
	$(filter-out benchmarks/floor_stack.c,$(wildcard benchmarks/*.c)))
FLOOR := $(BUILD)/benchmarks/libfloor.so

# Where a loop happens to lie is worth 3 % of it: both sides of a comparison begin on a line.
$(BUILD)/benchmarks/%: private override CFLAGS += -falign-functions=64 -falign-loops=64
$(BUILD)/benchmarks/%: private CPPFLAGS += -DSAMPLE_FILE='"$(CURDIR)/benchmarks/sample.control"' \
	-DBURST_PLOT='"$(CURDIR)/benchmarks/burst_decay.gnuplot"'

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

demo:
	@.ci/deps demo
	$(Q)$(MAKE) --no-print-directory demo-run VARIANT=jemalloc JEMALLOC=yes

.PHONY: demo-run bench-run fastpath
demo-run: $(BUILD)/benchmarks/encode_control
	$(Q)$(BUILD)/benchmarks/encode_control

bench:
	@.ci/deps bench
	$(Q)$(MAKE) --no-print-directory bench-run

bench-run: $(BENCH) $(SYNC_POOL)
	$(Q)for b in $(BENCH); do $$b || [ $$? = 77 ] || exit 1; done

# The instructions of a get and a put are no more than they were.
fastpath: $(BUILD)/benchmarks/fastpath_count
	$(Q)for mode in rseq locked; do \
		TIERPOOL_PERCPU=$$mode $< benchmarks/fastpath.golden || [ $$? = 77 ] || exit 1; done
