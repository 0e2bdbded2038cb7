/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A puppet as the state of a test, which is skipped where there is no KVM to be had. */
#pragma once

#include "tests/unit/unit.h"
#include "tests/unit/vid/puppet.h"

/* *state: the puppet in 64-bit kernel mode, or NULL. config: as puppet_make(). */
static inline int puppet_setup(void **state, struct vid_partition_config *config)
{
	static struct puppet puppet;

	*state = NULL;
	if (!puppet_open(&puppet))
		return 0;
	puppet_make(&puppet, config);
	puppet_set_cpuid(&puppet);
	puppet_start(&puppet);
	*state = &puppet;
	return 0;
}

static inline int puppet_teardown(void **state)
{
	if (*state)
		puppet_close(*state);
	return 0;
}

#define PUPPET(state)                      \
	({                                 \
		if (!*(state))             \
			skip();            \
		(struct puppet *)*(state); \
	})
