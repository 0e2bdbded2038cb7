/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What 'vmctl doctor' finds out about a host: tables of checks, of which each looks at one thing
 * and says what it has found, how good that is, and what mends it.
 *
 * The service runs those that take its rights, vmctl those that take the caller's place, and those
 * of the kernel whoever can: vmctl where there is no service to ask.
 *
 * Thread: any.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum host_verdict {
	HOST_OK,
	HOST_WARNING, /* something does not work, or not well */
	HOST_FAULT,   /* VMs do not start, or cannot be managed */
	HOST_UNKNOWN, /* that could not be found out, and why */
};

/* "ok" and so on; their names in JSON. */
extern const char *const host_verdict_names[];

struct host_finding {
	enum host_verdict verdict;
	char found[1024]; /* "": the check does not apply here */
	char mend[1024];  /* commands and settings; "": nothing to do */
};

void host_found(struct host_finding *finding, enum host_verdict verdict, const char *format, ...)
	PRINTF_LIKE(3, 4);
void host_mend(struct host_finding *finding, const char *format, ...) PRINTF_LIKE(2, 3);

struct host_check {
	const char *name;
	void (*look)(const void *view, struct host_finding *finding);
};

/*
 * Runs a table, closed by a NULL name, and appends to *array an object for each check that applies:
 * {"name", "verdict", "found", "mend"}. view: what the checks of that table take. *array: as
 * json_append() takes it.
 */
void host_checks_run(const struct host_check *checks, const void *view, struct json_object **array);

/* "512 MiB", "1.5 TiB". */
#define HOST_SIZE_TEXT 32
void host_format_size(uint64_t bytes, char text[HOST_SIZE_TEXT]);

/* ---- The kernel: host_check_kernel.c ---- */

/* What the checks of the kernel take. */
struct host_kernel {
	const char *root;       /* before every path; "" but in tests */
	const char *hypervisor; /* /dev/kvm */
	bool is_service;        /* who looks is who opens it */
	uint64_t hugetlb_bytes; /* that VMs ask for which do not run */
};

extern const struct host_check host_kernel_checks[];

/* Of a table of the caller's: the service cannot see the modules that could be loaded. */
void host_look_at_modules(const void *kernel, struct host_finding *finding);

/*
 * Reads a small file below root as text, without the newline at its end; what is beyond the buffer
 * is left out. Return: 0, -errno.
 */
int host_read(const char *root, const char *path, char *text, size_t size) MUST_CHECK;
