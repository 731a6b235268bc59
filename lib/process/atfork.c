/* SPDX-License-Identifier: MIT */
#include "process/atfork.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* Weak: a statically linked program has no use for them, and its linker warns about them. */
#pragma weak dladdr
#pragma weak dlopen

static pthread_once_t atfork_registered = PTHREAD_ONCE_INIT;

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
 * The reaper's locks first: a start of it holds them while it opens files, and a fork that waits for
 * that must not hold the locks of pools meanwhile. Nobody waits for one kind with the other: so the
 * order in which they are given back is free.
 */
static void atfork_prepare(void)
{
	atfork_call(TP_FORK_PREPARE);
}

static void atfork_parent(void)
{
	atfork_call(TP_FORK_PARENT);
}

static void atfork_child(void)
{
	atfork_call(TP_FORK_CHILD);
}

static void atfork_register(void)
{
	pthread_atfork(atfork_prepare, atfork_parent, atfork_child);
}

void tp_atfork_start(void)
{
	pthread_once(&atfork_registered, atfork_register);
}

/*
 * Keeps a plugin that the library is linked into from being unloaded: buffers may still be
 * borrowed, and the handlers of fork are registered. The shared library is linked -z nodelete.
 */
__attribute__((constructor)) static void atfork_stay_loaded(void)
{
	Dl_info self;

	/* A name without a slash is a program's, found by PATH; dlopen would search libraries. */
	if (dladdr && dlopen && dladdr((void *)&atfork_registered, &self) && self.dli_fname &&
		strchr(self.dli_fname, '/'))
		dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
