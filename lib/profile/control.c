/* SPDX-License-Identifier: MIT */
#include "profile/control.h"

#include <errno.h>
#include <pthread.h>

#include <tierpool/profile.h>

#include "base/atomic.h"
#include "base/debug.h"
#include "base/inject.h"
#include "base/lock.h"
#include "process/atfork.h"
#include "process/registry.h"
#include "profile/advice.h"
#include "profile/rate.h"
#include "profile/samples.h"
#include "profile/stacktrace.h"
#include "profile/write.h"

/* Held while the profile is started or stopped; it may wait for locks of the registry and of pools. */
static struct tp_lock control_lock = TP_LOCK_INIT;
static bool control_ever;

/* Pools that exist have gaps that were drawn without the profile. */
static void control_expire_all(void)
{
	for (struct tp_registered *entry = NULL; (entry = tp_registry_next(entry));)
		if (entry->kind->expire)
			entry->kind->expire(entry);
}

int tierpool_profile_start(size_t sample_bytes)
{
	/* There may be no pool yet, which would have done so. */
	int error = tp_atfork_start();

	if (error)
		return error;
	tp_stacktrace_warm();
	tp_lock_take(&control_lock);
	if (tp_load_relaxed(&tp_rate_running)) {
		error = -EALREADY;
	} else {
		tp_advice_lock();
		tp_advice_clear();
		tp_advice_unlock();
		error = tp_samples_begin(sample_bytes) ? 0 : -ENOMEM;
	}
	if (!error) {
		tp_store_relaxed(&control_ever, true);
		if (!tp_fault(TP_FAULT_LATE_START))
			control_expire_all();
	}
	tp_lock_give(&control_lock);
	return error;
}

void tierpool_profile_stop(void)
{
	tp_lock_take(&control_lock);
	/* What is out at the end is to be found, whatever profile the program makes of itself. */
	if (tp_load_relaxed(&tp_rate_running) && !tp_debug.leaks)
		tp_samples_end();
	tp_lock_give(&control_lock);
}

int tierpool_profile_write(FILE *out, enum tierpool_profile_format format)
{
	static int (*const write[])(FILE *, const struct tp_snapshot *) = {
		[TIERPOOL_PROFILE_TEXT] = tp_profile_write_text,
		[TIERPOOL_PROFILE_PPROF] = tp_profile_write_pprof,
		[TIERPOOL_PROFILE_FOLDED] = tp_profile_write_folded,
		[TIERPOOL_PROFILE_JSON] = tp_profile_write_json,
		[TIERPOOL_PROFILE_PROTO] = tp_profile_write_proto,
	};
	struct tp_snapshot *snapshot;
	int error, cancel;

	if (!out || (unsigned)format >= sizeof write / sizeof *write)
		return -EINVAL;
	if (!tp_load_relaxed(&control_ever))
		return -ENODATA;
	snapshot = tp_snapshot_take();
	if (!snapshot)
		return -ENOMEM;
	/* Else the snapshot would be lost. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	error = write[format](out, snapshot);
	pthread_setcancelstate(cancel, NULL);
	tp_snapshot_free(snapshot);
	return error;
}

/* ---- fork ---- */

void tp_profile_fork(enum tp_fork phase)
{
	tp_samples_fork(phase);
	tp_advice_fork(phase);
}

/* Before the registry and pools prepare, for which the start of a profile waits. */
static void control_fork(enum tp_fork phase)
{
	if (phase == TP_FORK_PREPARE)
		tp_lock_take(&control_lock);
	tp_stacktrace_fork(phase);
	if (phase == TP_FORK_CHILD)
		tp_profile_environment_forked();
	if (phase == TP_FORK_PARENT || phase == TP_FORK_CHILD)
		tp_lock_give(&control_lock);
}

TP_ATFORK_ADD_PROFILE static void control_fork_add(void)
{
	static struct tp_atfork_handler handler = {.handle = control_fork};

	tp_atfork_add(&handler);
}
