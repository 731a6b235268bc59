/* SPDX-License-Identifier: MIT */
#include "process/fork.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "process/reaper.h"
#include "process/registry.h"

/* Weak: a statically linked program has no use for them, and its linker warns about them. */
#pragma weak dladdr
#pragma weak dlopen

static pthread_once_t fork_registered = PTHREAD_ONCE_INIT;

/* The reaper's locks first: no thread waits for them with a lock that tp_registry_fork takes. */
static void fork_prepare(void)
{
	tp_reaper_fork(TP_FORK_PREPARE);
	tp_registry_fork(TP_FORK_PREPARE);
}

static void fork_parent(void)
{
	tp_registry_fork(TP_FORK_PARENT);
	tp_reaper_fork(TP_FORK_PARENT);
}

static void fork_child(void)
{
	tp_registry_fork(TP_FORK_CHILD);
	tp_reaper_fork(TP_FORK_CHILD);
}

static void fork_register(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void tp_fork_start(void)
{
	pthread_once(&fork_registered, fork_register);
}

/*
 * Keeps a plugin that the library is linked into from being unloaded: buffers may still be
 * borrowed, and the handlers of fork are registered. The shared library is linked -z nodelete.
 */
__attribute__((constructor)) static void fork_stay_loaded(void)
{
	Dl_info self;

	/* A name without a slash is a program's, found by PATH; dlopen would search libraries. */
	if (dladdr && dlopen && dladdr((void *)&fork_registered, &self) && self.dli_fname &&
		strchr(self.dli_fname, '/'))
		dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
