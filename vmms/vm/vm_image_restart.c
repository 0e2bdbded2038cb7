/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: image servers that have died are started again.
 *
 * How that goes is told as events of restarts: events of disks have a rate limit, which the deaths
 * before can use up, and the one about the end must not be left out. The number of restarts bounds
 * these.
 */
#include "vmms/vm/vm_image_restart.h"

#include "common/image/image.h"
#include "vmms/image/image.h"
#include "vmms/vm/manager.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <string.h>

#define ANSWER_TIMEOUT 30 /* seconds; the worker speaks with the server before it answers */

struct restart {
	struct list link; /* in its VM's list, from the first time on */
	struct vm *vm;
	unsigned controller, lun;
	unsigned count;                  /* in a row */
	uint64_t begun;                  /* when the last server was started, CLOCK_MONOTONIC */
	sd_event_source *timer;          /* NULL: none is waited for */
	struct open_helper *open_helper; /* NULL: nothing is being opened */
	struct file_holder *files; /* that were opened, until the worker is connected; or NULL */
	bool connects;             /* its worker was asked to */
	bool given_up;             /* and that was told; a worker can ask for more at any time */
};

static void restart_failed(struct restart *restart, const char *why);

static struct restart *restart_find(const struct vm *vm, unsigned controller, unsigned lun)
{
	list_for_each (link, (struct list *)&vm->images.restarts) {
		struct restart *restart = container_of(link, struct restart, link);

		if (restart->controller == controller && restart->lun == lun)
			return restart;
	}
	return NULL;
}

static struct restart *restart_need(struct vm *vm, unsigned controller, unsigned lun)
{
	struct restart *restart = restart_find(vm, controller, lun);

	if (restart)
		return restart;
	restart = calloc(1, sizeof(*restart));
	if (!restart)
		return NULL;
	restart->vm = vm;
	restart->controller = controller;
	restart->lun = lun;
	list_append(&vm->images.restarts, &restart->link);
	return restart;
}

static bool restart_is_under_way(const struct restart *restart)
{
	return restart->timer || restart->open_helper || restart->connects;
}

/* The disk, if the VM still runs with it; else NULL. */
static const struct definition_disk *restart_disk(const struct restart *restart)
{
	const struct vm *vm = restart->vm;
	const struct definition_disk *disk =
		definition_find_disk(vm->definition, restart->controller, restart->lun);

	if (!vm->run.worker || vm->run.exit || vm->state == VM_STOPPING || !disk || !disk->path ||
	    image_format_is_native(disk->format))
		return NULL;
	return disk;
}

static struct json_object *restart_make_place(const struct restart *restart)
{
	return json_make("controller", json_object_new_int64(restart->controller), "lun",
			 json_object_new_int64(restart->lun), NULL);
}

/* ---- With the worker ---- */

static void restart_given_up(void *data, struct json_object *result, const char *code,
			     const char *text)
{
}

/* That the disk is lost its worker tells. */
static void restart_give_up(struct restart *restart)
{
	AUTO_JSON struct json_object *place = restart_make_place(restart);
	struct vm *vm = restart->vm;

	if (!restart->given_up)
		vm_log(vm, VM_EVENT_RESTART, LOG_LEVEL_ERROR,
		       "the image server of the disk at controller %u, lun %u has ended too often, "
		       "and is not started again",
		       restart->controller, restart->lun);
	restart->given_up = true;
	if (place)
		(void)!worker_request(vm->run.worker, "reconnect", place, NULL, 0, ANSWER_TIMEOUT,
				      restart_given_up, vm);
}

/* Who was asked, as the restart may be gone by the answer. */
struct connecting {
	struct vm *vm;
	unsigned controller, lun;
};

static void restart_connected(void *data, struct json_object *result, const char *code,
			      const char *text)
{
	struct connecting connecting = *(struct connecting *)data;
	struct restart *restart;

	free(data);
	if (!result && strcmp(code, WORKER_ENDED) == 0)
		return;
	restart = restart_find(connecting.vm, connecting.controller, connecting.lun);
	if (!restart)
		return;
	restart->connects = false;
	file_holder_free(TAKE_PTR(restart->files));
	if (!result)
		restart_failed(restart, text);
	else
		vm_log(connecting.vm, VM_EVENT_RESTART, LOG_LEVEL_INFO,
		       "the image server of the disk at controller %u, lun %u was started again, "
		       "for "
		       "the %u. time",
		       restart->controller, restart->lun, restart->count);
}

static int restart_connect(struct restart *restart, int fd, struct failure *failure)
{
	AUTO_JSON struct json_object *place = restart_make_place(restart);
	struct connecting *connecting = calloc(1, sizeof(*connecting));
	int r;

	if (!place || !connecting) {
		free(connecting);
		return failure_no_memory(failure);
	}
	*connecting = (struct connecting){ restart->vm, restart->controller, restart->lun };
	r = worker_request(restart->vm->run.worker, "reconnect", place, &fd, 1, ANSWER_TIMEOUT,
			   restart_connected, connecting);
	if (r >= 0) {
		restart->connects = true;
		return 0;
	}
	free(connecting);
	return failure_set(failure, DBUS_ERROR_WORKER_FAILED, "%s", strerror(-r));
}

/* ---- Starting it ---- */

static void opened(void *data, struct opened_files *opened, const struct failure *failure)
{
	struct restart *restart = data;
	CLEANUP(resources_deinit)
	struct resources served = { .helpers = restart->vm->manager->helpers,
				    .whose = vm_owner(restart->vm) };
	struct failure why;
	int r;

	restart->open_helper = NULL;
	if (opened->warning[0] != '\0')
		vm_log(restart->vm, VM_EVENT_HOST, LOG_LEVEL_WARNING, "%s", opened->warning);
	if (!restart_disk(restart))
		return;
	if (failure) {
		restart_failed(restart, failure->message);
		return;
	}
	r = vm_images_serve(restart->vm, restart->vm->definition, opened, &served, &why);
	file_holder_free(restart->files);
	restart->files = TAKE_PTR(opened->holder);
	if (r == 0 && served.count == 0)
		r = failure_set(&why, DBUS_ERROR_RESOURCE, "its image was not opened");
	if (r == 0)
		r = restart_connect(restart, served.items[0].fd, &why);
	if (r < 0)
		restart_failed(restart, why.message);
}

static int restart_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct restart *restart = data;
	const struct definition_disk *disk = restart_disk(restart);
	struct vm *vm = restart->vm;
	struct resources_request request = manager_files_request(vm);
	struct failure failure;

	request.disk = disk;
	request.owner_uses = manager_owner_uses_disk_elsewhere; /* its own server has ended */
	restart->timer = sd_event_source_disable_unref(restart->timer);
	restart->begun = vm_clock(CLOCK_MONOTONIC);
	restart->given_up = false;
	if (disk && open_helper_new(vm->manager->helpers, vm->manager->settings.open_timeout,
				    &request, opened, restart, &restart->open_helper, &failure) < 0)
		restart_failed(restart, failure.message);
	return 0;
}

static void restart_later(struct restart *restart)
{
	uint64_t ran = restart->begun ? vm_clock(CLOCK_MONOTONIC) - restart->begun : 0;
	unsigned delay = vm_restart_delay(&restart->count, ran);

	if (delay == 0 ||
	    sd_event_add_time_relative(restart->vm->manager->loop, &restart->timer, CLOCK_MONOTONIC,
				       delay * UINT64_C(1000000), 0, restart_due, restart) < 0)
		restart_give_up(restart);
}

static void restart_failed(struct restart *restart, const char *why)
{
	vm_log(restart->vm, VM_EVENT_RESTART, LOG_LEVEL_WARNING,
	       "the image server of the disk at controller %u, lun %u cannot be started again: %s",
	       restart->controller, restart->lun, why);
	if (restart_disk(restart) && !restart_is_under_way(restart))
		restart_later(restart);
}

void vm_image_restart(struct vm *vm, unsigned controller, unsigned lun)
{
	struct restart *restart = restart_need(vm, controller, lun);

	if (restart && restart_disk(restart) && !restart_is_under_way(restart))
		restart_later(restart);
}

bool vm_image_is_restarting(const struct vm *vm, unsigned controller, unsigned lun)
{
	const struct restart *restart = restart_find(vm, controller, lun);

	return restart && restart_is_under_way(restart);
}

void vm_image_restart_forget(struct vm *vm)
{
	list_for_each (link, &vm->images.restarts) {
		struct restart *restart = container_of(link, struct restart, link);

		list_unlink(&restart->link);
		sd_event_source_disable_unref(restart->timer);
		if (restart->open_helper)
			open_helper_free(restart->open_helper);
		file_holder_free(restart->files);
		free(restart);
	}
}
