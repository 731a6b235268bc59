# SPDX-License-Identifier: MIT
# tierpool. `make help` says what there is; V=1 shows the commands.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DESTDIR ?=
# One folder a variant: `make test VARIANT=asan SANITIZE=address,undefined CC=clang`.
VARIANT ?= release
SANITIZE ?=
# yes: programs are linked with jemalloc, and blocks come from it.
JEMALLOC ?= no
# yes: libtierpool.a also serves programs that are compiled with -flto. Not the default: other versions of gcc then
# cannot link it at all without -fno-lto.
LTO ?= no
# How the per-CPU cache works: each test once in each.
MODES ?= rseq locked
export MODES
ifeq ($(origin CC),default)
CC = gcc
endif

VERSION := $(shell sed -n 's/.*TIERPOOL_VERSION "\(.*\)"/\1/p' include/tierpool/version.h)
BUILD := build/$(VARIANT)$(if $(filter yes,$(LTO)),-lto)

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

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

.DELETE_ON_ERROR:
.PHONY: all demo test bench check lint install uninstall deps clean help

all:

help:
	@echo 'make demo       encode a real file out of pooled buffers, and compare'
	@echo 'make test       the tests;  make check  every variant of them;  make lint'
	@echo 'make check-vm   under other kernels, on aarch64 and on many CPUs, all emulated: half an hour'
	@echo 'make check-package   the Debian packages, in a clean Debian 12'
	@echo 'make all install uninstall   PREFIX=$(PREFIX) LIBDIR= INCLUDEDIR= MANDIR= DESTDIR= LTO=$(LTO)'
	@echo 'make doc        the reference as HTML, by Doxygen;  make dist  a tarball of the last commit'
	@echo 'make bench plots deps clean;  make plots TRACE=FILE draws what replay_trace --advise says'

include lib/lib.mk benchmarks/bench.mk test/test.mk test/checks.mk

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

deps:
	@.ci/deps demo test check lint

clean:
	$(Q)rm -rf build
