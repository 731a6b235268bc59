/* SPDX-License-Identifier: MIT */
#include "process/fork.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "process/reaper.h"
#include "process/registry.h"

/* Weak: a statically linked program has no use for them, and its linker warns of them. */
#pragma weak dladdr
#pragma weak dlopen

static pthread_once_t fork_registered = PTHREAD_ONCE_INIT;

/* The reaper's locks first: a thread that has one of them may wait for the registry's. */
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
 * The library stays where it is when a plugin that it was linked into is unloaded: buffers may
 * still be out, and fork's handlers are registered. The shared library says so itself (-z
 * nodelete).
 */
__attribute__((constructor)) static void fork_stay_loaded(void)
{
	Dl_info self;

	/* Without a slash it is a program found through PATH, and would be searched for as a
	 * library. */
	if (dladdr && dlopen && dladdr((void *)&fork_registered, &self) && self.dli_fname &&
		strchr(self.dli_fname, '/'))
		dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
