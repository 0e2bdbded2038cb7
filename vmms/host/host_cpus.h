/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CPUs of this host, for those who name some.
 */
#pragma once

#include "common/definition/definition.h"
#include "vmms/base/failure.h"

/*
 * This host has all of them, and they run. what: who names them, for the message; error: its name.
 * Return: 0, also where the host does not tell; negative with *failure filled.
 */
int host_cpus_check(const struct cpu_list *cpus, const char *what, const char *error,
		    struct failure *failure) MUST_CHECK;
