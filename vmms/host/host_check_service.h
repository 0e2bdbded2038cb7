/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checks that take the service's rights, or what it knows: its own rights, the worker, passt, disk
 * space.
 *
 * Thread: any.
 */
#pragma once

#include "common/host/host.h"

#include <sys/types.h>

#define HOST_FILE_SYSTEMS_MAX 8 /* that are told apart */

/* What writable images could still take of the file systems that they are in. */
struct host_images {
	size_t count; /* of file systems */
	struct {
		dev_t device;
		char place[256]; /* the folder of an image there */
		unsigned images;
		uint64_t growth, available; /* bytes */
	} file_systems[HOST_FILE_SYSTEMS_MAX];
	unsigned unseen; /* images that could not be looked at */
};

/*
 * Looks at an image, with the rights that the caller has taken on. One that is no regular file does
 * not grow.
 */
void host_images_add(struct host_images *images, const char *path);

struct host_service {
	const char *root;         /* before paths of the kernel's; "" but in tests */
	bool is_root;             /* it runs as root */
	const char *passt;        /* its path */
	const char *image_server; /* likewise */
	const char *apparmor; /* why VMs are not confined by it, a static text; NULL: they are */
	bool apparmor_is_required;
	const char *state_directory, *runtime_directory;
	struct json_object *report; /* of vmwp --probe; NULL: there is none, since */
	const char *report_problem;
	struct host_images images;
	char limits[512]; /* of users, and what they have of them */
	bool at_limit;    /* somebody has all of something */
};

/* They take a struct host_service. */
extern const struct host_check host_service_checks[];

/* What so little space on a file system means to the service. */
void host_judge_space(uint64_t available, const char *place, struct host_finding *finding);
