/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: who looks at its guest's screen, and who types there. */
#include "vmms/vm/vm_screen.h"

#include "common/base/error.h"
#include "common/control_contract.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PICTURE_TIMEOUT 60                       /* seconds; for a worker that hangs */
#define TYPING_INTERVAL (UINT64_C(60) * 1000000) /* microseconds */

struct picture {
	struct vm *vm;
	int fd;
	vm_picture_fn done;
	void *data;
};

/* Return: a descriptor; -errno. */
static int picture_open(void)
{
	AUTO_CLOSE int fd = memfd_create("vmms-picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, CONTROL_PICTURE_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_origin(-errno);
	return TAKE_FD(fd);
}

static uint32_t picture_number(struct json_object *result, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(result, name, &value);
	return (uint32_t)json_object_get_int64(value);
}

/* The worker is believed no more than that its numbers fit the memory. */
static void picture_taken(void *data, struct json_object *result, const struct failure *failure)
{
	struct picture *picture = data;
	struct failure misfit = { 0 };
	uint32_t width = 0, height = 0;

	if (!failure) {
		width = picture_number(result, "width");
		height = picture_number(result, "height");
		if ((uint64_t)width * height > CONTROL_PICTURE_SIZE / 4) {
			failure_set(&misfit, DBUS_ERROR_WORKER_FAILED,
				    "VM '%s': its worker tells of a screen that there cannot be",
				    picture->vm->definition->name);
			failure = &misfit;
		}
	}
	picture->done(picture->data, failure ? -1 : TAKE_FD(picture->fd), width, height, failure);
	if (picture->fd >= 0)
		close(picture->fd);
	free(picture);
}

int vm_take_picture(struct vm *vm, const char *who, vm_picture_fn done, void *data,
		    struct failure *failure)
{
	struct picture *picture = malloc(sizeof(*picture));
	int fd = picture_open(), r = -ENOMEM;

	if (picture && fd >= 0) {
		*picture = (struct picture){ vm, fd, done, data };
		r = vm_guest_ask(vm, "take_picture", NULL, fd, PICTURE_TIMEOUT, picture_taken,
				 picture, failure);
		if (r == 0) {
			vm_log(vm, VM_EVENT_SCREEN, LOG_LEVEL_INFO, "%s looks at the screen", who);
			return 0;
		}
	} else {
		failure_no_memory(failure);
	}
	if (fd >= 0)
		close(fd);
	free(picture);
	return r;
}

void vm_screen_note_typing(struct vm *vm, const char *who)
{
	struct vm_screen *screen = &vm->screen;
	uint64_t now = vm_clock(CLOCK_BOOTTIME);
	bool same = strncmp(screen->typist, who, sizeof(screen->typist) - 1) == 0;

	if (same && screen->typed_at && now - screen->typed_at < TYPING_INTERVAL)
		return;
	snprintf(screen->typist, sizeof(screen->typist), "%s", who);
	screen->typed_at = now;
	vm_log(vm, VM_EVENT_SCREEN, LOG_LEVEL_INFO, "%s types on the keyboard", who);
}
