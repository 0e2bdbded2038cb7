/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system calls of a process that carries a VM: those of a relay, once all that it needs is open. */
#pragma once

#include "common/base/cc.h"

/* From now on any other ends the process. Return: 0; -errno. */
int calls_limit(void) MUST_CHECK;
