# SPDX-License-Identifier: MIT
# The benchmarks, and the main job. benchmarks/README.md says what each measures.

# A program is all .c of its folder and libbench.a, which is all .c of support/ but the floor's.
BENCH := $(patsubst benchmarks/%/main.c,$(BUILD)/benchmarks/%,$(wildcard benchmarks/*/main.c))
BENCH_OBJECTS := $(patsubst %.c,$(BUILD)/objects/%.o,$(wildcard benchmarks/*/*.c))
LIBBENCH := $(BUILD)/libbench.a
FLOOR := $(BUILD)/benchmarks/libfloor.so
FLOOR_OBJECT := $(BUILD)/objects/benchmarks/support/floor.o

# The place of a loop in its cache line is worth 3 %: both sides of a comparison begin on a line.
$(BENCH_OBJECTS): private override CFLAGS += -falign-functions=64 -falign-loops=64
$(BENCH_OBJECTS): private CPPFLAGS += -Ibenchmarks \
	-DSAMPLE_FILE='"$(CURDIR)/benchmarks/encode_control/sample.control"' \
	-DBURST_PLOT='"$(CURDIR)/benchmarks/burst_decay/burst_decay.gnuplot"'
# They count in the library itself, with its prices, or escape with its functions.
$(BUILD)/objects/benchmarks/fastpath/main.o $(BUILD)/objects/benchmarks/hand_over/slow_gets.o \
$(BUILD)/objects/benchmarks/cost_model/growths.o $(BUILD)/objects/benchmarks/replay_trace/advise.o \
$(BUILD)/objects/benchmarks/encode_control/ways.o $(BUILD)/objects/benchmarks/online_advice/main.o $(BUILD)/objects/benchmarks/online_advice/workload.o: private CPPFLAGS += -Ilib
$(FLOOR_OBJECT): private override CFLAGS += -ftls-model=initial-exec

$(BENCH_OBJECTS): $(BUILD)/objects/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(LIBBENCH): $(filter-out $(FLOOR_OBJECT),$(filter $(BUILD)/objects/benchmarks/support/%,$(BENCH_OBJECTS)))
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# The measured programs get the pool as programs do, from the shared library, and the floor from one
# too, so each call of either goes through the PLT. The floor goes only to those that call it;
# jemalloc goes to all, since the library knows it weakly and as-needed would leave it out.
BENCH_LIBRARIES = -Wl,--as-needed $(FLOOR) $(SHARED) -Wl,-rpath,'$$ORIGIN:$$ORIGIN/..' -Wl,--no-as-needed
$(BUILD)/benchmarks/encode_control $(BUILD)/benchmarks/fastpath $(BUILD)/benchmarks/replay_trace $(BUILD)/benchmarks/online_advice: private BENCH_LIBRARIES = $(STATIC)

$(BUILD)/benchmarks/replay_trace: private LDLIBS += -lm

$(foreach b,$(BENCH),$(eval $b: $(filter $(BUILD)/objects/benchmarks/$(notdir $b)/%,$(BENCH_OBJECTS))))
$(BENCH): $(LIBBENCH) $(FLOOR) $(SHARED) $(STATIC)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(LIBBENCH) $(BENCH_LIBRARIES) $(LDLIBS) -o $@

$(FLOOR): $(FLOOR_OBJECT)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -ftls-model=initial-exec -shared -Wl,-soname,libfloor.so $(LDFLAGS) $< -o $@

# The other sides in Go: a peer.go. Built for a run only, as tests do without Go; with nothing but
# what is here and Debian's Go packages: no module, no network.
GO_PEERS := $(patsubst benchmarks/%/peer.go,$(BUILD)/benchmarks/%_go,$(wildcard benchmarks/*/peer.go))
$(GO_PEERS): $(BUILD)/benchmarks/%_go: benchmarks/%/peer.go benchmarks/support/partner/partner.go
	$(call say,GO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)export GO111MODULE=off GOFLAGS= GOTOOLCHAIN=local CGO_ENABLED=0 GOCACHE='$(CURDIR)/build/go-cache' \
		GOPATH='$(CURDIR)/build/go:/usr/share/gocode'; \
	if ! command -v go >/dev/null || ! go list -deps $< >/dev/null; then \
		echo 'No Go, or not all packages of $<: that comparison will be skipped.'; else \
		go build -o $@ $<; fi

demo:
	@.ci/deps demo
	$(Q)$(MAKE) --no-print-directory demo-run VARIANT=jemalloc JEMALLOC=yes

.PHONY: demo-run bench-run fastpath
demo-run: $(BUILD)/benchmarks/encode_control
	$(Q)$(BUILD)/benchmarks/encode_control

bench:
	@.ci/deps bench
	$(Q)$(MAKE) --no-print-directory bench-run

# replay_trace measures nothing, and wants a trace.
bench-run: $(BENCH) $(GO_PEERS)
	$(Q)for b in $(filter-out %/replay_trace,$(BENCH)); do $$b || [ $$? = 77 ] || exit 1; done

# Pictures of what programs say that measure nothing. TRACE: of a trace, in place of a workload. PROFILE: of a profile
# in JSON.
TRACE ?=
PROFILE ?=
ADVISED ?= $(if $(TRACE),'$(TRACE)',--workload lognormal --out 64 --retain 256K)
ADVICE := $(BUILD)/advice.csv
.PHONY: plots plots-run
plots:
	@.ci/deps plots
	$(Q)$(MAKE) --no-print-directory plots-run

plots-run: $(if $(PROFILE),,$(BUILD)/benchmarks/replay_trace)
	$(Q)mkdir -p $(BUILD)
	$(Q)$(if $(PROFILE),jq -r -f benchmarks/replay_trace/advise.jq '$(PROFILE)',$< --advise --csv $(ADVISED)) >$(ADVICE)
	$(Q)gnuplot -c benchmarks/replay_trace/advise.gnuplot $(ADVICE) benchmarks/results/advise.png \
		$(if $(PROFILE),interval)
	$(call say,PLOT,benchmarks/results/advise.png)

# The instructions of a get and a put are no more than they were.
fastpath: $(BUILD)/benchmarks/fastpath
	$(Q)for mode in rseq locked; do \
		TIERPOOL_PERCPU=$$mode $< benchmarks/fastpath/fastpath.golden || [ $$? = 77 ] || exit 1; done
