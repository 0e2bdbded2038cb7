/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPUs of this host. */
#include "vmms/host/host_cpus.h"

int host_cpus_check(const struct cpu_list *cpus, const char *what, const char *error,
		    struct failure *failure)
{
	char missing_text[CPU_LIST_TEXT], online_text[CPU_LIST_TEXT];
	struct cpu_list online, missing;

	if (cpu_list_is_empty(cpus) || cpu_list_online(&online) < 0)
		return 0;
	cpu_list_subtract(cpus, &online, &missing);
	if (cpu_list_is_empty(&missing))
		return 0;
	cpu_list_format(&missing, missing_text);
	cpu_list_format(&online, online_text);
	return failure_set(failure, error,
			   "%s names CPU %.200s, which this host does not have, or which is "
			   "offline; it has %.200s",
			   what, missing_text, online_text);
}
