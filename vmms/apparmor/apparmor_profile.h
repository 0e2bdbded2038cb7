/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of the AppArmor profile of one run of a VM: the worker's, and in it one for its image
 * servers and one for its passt(1). What all VMs' have in common is in packaged abstractions
 * (packaging/apparmor/).
 *
 * No path that an owner of a VM names is in it: the files of a VM come to its processes as
 * descriptors that the daemon's processes have opened, who are unconfined, and AppArmor lets those
 * pass. What the profile does name are programs, which the administrator has set.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/guid.h"

#include <stdbool.h>
#include <stdint.h>

#define APPARMOR_NAME_SIZE    80   /* bytes, with the NUL */
#define APPARMOR_PROFILE_SIZE 4096 /* likewise */

/* What is behind the profile's name for a process of that kind. */
#define APPARMOR_IMAGE_SERVER "//image-server"
#define APPARMOR_NETWORK      "//network"
#define APPARMOR_SCREEN       "//screen"

/* Paths of programs, and of the library that image servers are started with. */
struct apparmor_programs {
	const char *worker, *image_server, *image_guard, *passt, *screen;
};

/* number: of the run: another one each time, and a later run has a higher one. */
void apparmor_profile_name(const struct guid *vm, uint64_t number, char name[APPARMOR_NAME_SIZE]);

/* Return: 0; -EINVAL: that is no name of ours. */
int apparmor_profile_number(const char *name, uint64_t *ret_number) MUST_CHECK;

/*
 * The path is absolute, and holds nothing that means something else in a profile, or might in one
 * of a later parser: of ASCII, only letters, digits and "/._+-=~ ".
 */
bool apparmor_path_is_plain(const char *path);

/* Return: 0; -EINVAL: a path is not plain; -ENAMETOOLONG: it does not fit. */
int apparmor_profile_write(const char *name, const struct apparmor_programs *programs,
			   char text[APPARMOR_PROFILE_SIZE]) MUST_CHECK;
