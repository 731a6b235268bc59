/* SPDX-License-Identifier: MIT */
#include "process/fork.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* Weak: a statically linked program has no use for them, and its linker warns about them. */
#pragma weak dladdr
#pragma weak dlopen

static pthread_once_t fork_registered = PTHREAD_ONCE_INIT;

/* Held from before a fork to after it: no handler joins in between, with its locks taken or not. */
static pthread_mutex_t fork_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tp_fork_handler *fork_handlers;

/* In the lock. In any order: no thread waits for a lock of one handler with a lock of another. */
static void fork_call(enum tp_fork phase)
{
	for (struct tp_fork_handler *handler = fork_handlers; handler; handler = handler->next)
		handler->handle(phase);
}

static void fork_prepare(void)
{
	pthread_mutex_lock(&fork_lock);
	fork_call(TP_FORK_PREPARE);
}

static void fork_parent(void)
{
	fork_call(TP_FORK_PARENT);
	pthread_mutex_unlock(&fork_lock);
}

static void fork_child(void)
{
	fork_call(TP_FORK_CHILD);
	pthread_mutex_unlock(&fork_lock);
}

static void fork_register(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void tp_fork_join(struct tp_fork_handler *handler)
{
	pthread_once(&fork_registered, fork_register);
	pthread_mutex_lock(&fork_lock);
	if (!handler->joined) {
		handler->joined = true;
		handler->next = fork_handlers;
		fork_handlers = handler;
	}
	pthread_mutex_unlock(&fork_lock);
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
