/* SPDX-License-Identifier: MIT */
#include "base/probe.h"

#ifdef TP_PROBES

/* used: the notes of the probes name them in assembly, which link-time optimization does not read. */
#define SEMAPHORE(name) \
	__attribute__((section(".probes"), used)) unsigned short tierpool_##name##_semaphore

SEMAPHORE(get_miss);
SEMAPHORE(drop);
SEMAPHORE(grow);
SEMAPHORE(tick);
SEMAPHORE(learn);
SEMAPHORE(misuse);

const char *tp_probe_text(const char *text)
{
	for (const volatile char *c = text; *c; c++)
		;
	return text;
}

#endif
