/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of the AppArmor profile of one run of a VM. */
#include "vmms/apparmor/apparmor_profile.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREFIX        "vmms-"
#define NUMBER_DIGITS 16

/* ---- Names ---- */

void apparmor_profile_name(const struct guid *vm, uint64_t number, char name[APPARMOR_NAME_SIZE])
{
	char uuid[GUID_TEXT_SIZE];

	guid_format(vm, uuid);
	snprintf(name, APPARMOR_NAME_SIZE, PREFIX "%s-%016" PRIx64, uuid, number);
}

int apparmor_profile_number(const char *name, uint64_t *ret_number)
{
	const size_t before = strlen(PREFIX) + GUID_TEXT_SIZE - 1;
	char uuid[GUID_TEXT_SIZE], again[APPARMOR_NAME_SIZE];
	struct guid guid;

	if (strlen(name) != before + 1 + NUMBER_DIGITS)
		return -EINVAL;
	memcpy(uuid, name + strlen(PREFIX), sizeof(uuid) - 1);
	uuid[sizeof(uuid) - 1] = '\0';
	if (guid_parse(uuid, &guid) < 0 || sscanf(name + before, "-%16" SCNx64, ret_number) != 1)
		return -EINVAL;
	apparmor_profile_name(&guid, *ret_number, again);
	return strcmp(name, again) == 0 ? 0 : -EINVAL;
}

/* ---- Text ---- */

bool apparmor_path_is_plain(const char *path)
{
	if (path[0] != '/')
		return false;
	for (; *path; path++) {
		unsigned char byte = (unsigned char)*path;

		if (byte >= 0x80 || (!isalnum(byte) && !strchr("/._+-=~ ", byte)))
			return false;
	}
	return true;
}

/*
 * The abi is that of the oldest parser there is: what a kernel asks for beyond it, as namespaces of
 * users, is left to the sandboxes that the processes build themselves. Paths in those lead to no
 * root any more, and are matched as if they did.
 *
 * passt(1) is a second program where the CPU has AVX2.
 */
static const char template[] =
	"# Of one run of a VM: made by vmms, and removed when that has ended.\n"
	"abi <abi/3.0>,\n"
	"\n"
	"profile %1$s flags=(attach_disconnected) {\n"
	"  include <abstractions/vmms-worker>\n"
	"  signal (send, receive) peer=%1$s,\n"
	"  \"%2$s\" mr,\n"
	"\n"
	"  profile image-server flags=(attach_disconnected) {\n"
	"    include <abstractions/vmms-image-server>\n"
	"    signal (send, receive) peer=%1$s" APPARMOR_IMAGE_SERVER ",\n"
	"    \"%3$s\" mr,\n"
	"    \"%4$s\" mr,\n"
	"  }\n"
	"\n"
	"  profile network flags=(attach_disconnected) {\n"
	"    include <abstractions/vmms-network>\n"
	"    signal (send, receive) peer=%1$s" APPARMOR_NETWORK ",\n"
	"    \"%5$s{,.avx2}\" mrix,\n"
	"  }\n"
	"\n"
	"  profile screen flags=(attach_disconnected) {\n"
	"    include <abstractions/vmms-process>\n"
	"    signal (send, receive) peer=%1$s" APPARMOR_SCREEN ",\n"
	"    \"%6$s\" mr,\n"
	"  }\n"
	"}\n";

int apparmor_profile_write(const char *name, const struct apparmor_programs *programs,
			   char text[APPARMOR_PROFILE_SIZE])
{
	int size;

	if (!apparmor_path_is_plain(programs->worker) ||
	    !apparmor_path_is_plain(programs->image_server) ||
	    !apparmor_path_is_plain(programs->image_guard) ||
	    !apparmor_path_is_plain(programs->passt) || !apparmor_path_is_plain(programs->screen))
		return -EINVAL;
	size = snprintf(text, APPARMOR_PROFILE_SIZE, template, name, programs->worker,
			programs->image_server, programs->image_guard, programs->passt,
			programs->screen);
	return size < APPARMOR_PROFILE_SIZE ? 0 : -ENAMETOOLONG;
}
