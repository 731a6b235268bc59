/* SPDX-License-Identifier: MIT */
#include "process/fork.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* Weak: a statically linked program has no use for them, and its linker warns about them. */
#pragma weak dladdr
#pragma weak dlopen

static pthread_once_t fork_registered = PTHREAD_ONCE_INIT;

/* Written while the library is loaded only. */
static struct tp_fork_handler *fork_handlers;

void tp_fork_add(struct tp_fork_handler *handler)
{
	handler->next = fork_handlers;
	fork_handlers = handler;
}

static void fork_call(enum tp_fork phase)
{
	for (struct tp_fork_handler *handler = fork_handlers; handler; handler = handler->next)
		handler->handle(phase);
}

/*
 * The reaper's locks first: a start of it holds them while it opens files, and a fork that waits for
 * that must not hold the locks of pools meanwhile. Nobody waits for one kind with the other: so the
 * order in which they are given back is free.
 */
static void fork_prepare(void)
{
	fork_call(TP_FORK_PREPARE);
}

static void fork_parent(void)
{
	fork_call(TP_FORK_PARENT);
}

static void fork_child(void)
{
	fork_call(TP_FORK_CHILD);
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
