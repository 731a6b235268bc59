/* SPDX-License-Identifier: MIT */
#include "process/atfork.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/lock.h"

/* Weak: a statically linked program has no use for them, and its linker warns about them. */
#pragma weak dladdr
#pragma weak dlopen

static uint32_t atfork_registered;

/* Forks by handlers of the program's that run amid ours. */
static unsigned atfork_nested;

/* Written while the library is loaded only. */
static struct tp_atfork_handler *atfork_handlers;

void tp_atfork_add(struct tp_atfork_handler *handler)
{
	handler->next = atfork_handlers;
	atfork_handlers = handler;
}

static void atfork_call(enum tp_fork phase)
{
	for (struct tp_atfork_handler *handler = atfork_handlers; handler; handler = handler->next)
		handler->handle(phase);
}

/*
 * The locks of the profile and of the reaper first: they are held while files are read, and a fork that
 * waits for that must not hold the locks of pools meanwhile. Nobody waits for one kind with the other: so the
 * order in which they are given back is free.
 */
static void atfork_prepare(void)
{
	if (tp_lock_all_held()) {
		atfork_nested++;
		return;
	}
	atfork_call(TP_FORK_PREPARE);
	tp_lock_fork_begin();
}

static void atfork_parent(void)
{
	if (!tp_lock_all_held())
		return;
	if (atfork_nested) {
		atfork_nested--;
		return;
	}
	tp_lock_fork_give(false);
	atfork_call(TP_FORK_PARENT);
}

/* Of nested forks the child of the innermost one does all; there the others find nothing held. */
static void atfork_child(void)
{
	if (!tp_lock_all_held())
		return;
	atfork_nested = 0;
	tp_lock_fork_give(true);
	atfork_call(TP_FORK_CHILD);
	tp_lock_fork_give(false);
}

int tp_atfork_start(void)
{
	int error;

	if (tp_load_relaxed(&atfork_registered))
		return 0;
	/* Of two threads that come here both may register: the handlers of the second find all held. */
	error = pthread_atfork(atfork_prepare, atfork_parent, atfork_child);
	if (!error)
		tp_store_relaxed(&atfork_registered, 1u);
	return -error;
}

/*
 * Before the program's handlers, if it has any: then those prepare first, while no lock of ours is
 * held; their threads may have locks that they wait for and call us. But after those of the
 * allocator, which registers them in its first call.
 */
TP_ATFORK_REGISTER static void atfork_register(void)
{
	void *volatile first = malloc(1);

	free(first);
	/* If there is no memory for it now, the first create tries again. */
	(void)tp_atfork_start();
}

/*
 * Keeps a plugin that the library is linked into from being unloaded: buffers may still be
 * borrowed, and the handlers of fork are registered. The shared library is linked -z nodelete.
 */
__attribute__((constructor)) static void atfork_stay_loaded(void)
{
	Dl_info self;

	/* A name without a slash is a program's, found by PATH; dlopen would search libraries. */
	if (dladdr && dlopen && dladdr((void *)&atfork_handlers, &self) && self.dli_fname &&
		strchr(self.dli_fname, '/'))
		dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
