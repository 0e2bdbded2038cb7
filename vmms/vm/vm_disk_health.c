/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: how its disks are. */
#include "vmms/vm/vm_disk_health.h"

#include "common/base/text.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sentences ---- */

/* "a write at byte 4096 failed: No space left on device" */
static void health_format_failure(const struct control_event_data *report, char text[384])
{
	char error[280];

	text_repair(error, sizeof(error), report->error ? report->error : "unknown error",
		    report->error ? strlen(report->error) : strlen("unknown error"));
	snprintf(text, 384, "a %s at byte %" PRIu64 " failed: %s",
		 control_operation_names[report->operation], report->offset, error);
}

static void health_format_text(const struct control_event_data *report, char text[VM_DISK_TEXT_MAX])
{
	char failure[384];

	health_format_failure(report, failure);
	switch ((enum control_health)report->health) {
	case CONTROL_HEALTH_OK:
		snprintf(text, VM_DISK_TEXT_MAX, "all requests are carried out again");
		break;
	case CONTROL_HEALTH_ERRORS:
		snprintf(text, VM_DISK_TEXT_MAX,
			 "requests have failed, which the guest was told (%" PRIu64
			 " until now): %s",
			 report->errors, failure);
		break;
	case CONTROL_HEALTH_FULL:
		snprintf(text, VM_DISK_TEXT_MAX,
			 "the host's file system is full, and the VM waits; it goes on by itself "
			 "when there is room: %s",
			 failure);
		break;
	case CONTROL_HEALTH_HELD:
		snprintf(text, VM_DISK_TEXT_MAX, "the VM waits; 'vmctl resume' tries again: %s",
			 failure);
		break;
	case CONTROL_HEALTH_NO_SERVER:
		snprintf(text, VM_DISK_TEXT_MAX,
			 "its image server has ended, and is being started again; requests wait");
		break;
	case CONTROL_HEALTH_LOST:
		snprintf(text, VM_DISK_TEXT_MAX,
			 "its image server has ended for good: requests fail until the disk is "
			 "detached and attached again, which is a new disk to the guest, or the VM "
			 "is started again");
		break;
	}
}

/* ---- Events ---- */

static struct vm_disk_health *health_find(const struct vm *vm, unsigned controller, unsigned lun)
{
	list_for_each (link, (struct list *)&vm->images.healths) {
		struct vm_disk_health *health = container_of(link, struct vm_disk_health, link);

		if (health->controller == controller && health->lun == lun)
			return health;
	}
	return NULL;
}

const struct vm_disk_health *vm_disk_health_find(const struct vm *vm, unsigned controller,
						 unsigned lun)
{
	return health_find(vm, controller, lun);
}

static void health_forget(struct vm_disk_health *health)
{
	list_unlink(&health->link);
	free(health);
}

static void health_remember(struct vm *vm, const struct control_event_data *report,
			    const char *text)
{
	struct vm_disk_health *health = health_find(vm, report->controller, report->lun);

	if (report->health == CONTROL_HEALTH_OK) {
		if (health)
			health_forget(health);
		return;
	}
	if (!health) {
		health = calloc(1, sizeof(*health));
		if (!health)
			return;
		health->controller = report->controller;
		health->lun = report->lun;
		list_append(&vm->images.healths, &health->link);
	}
	health->health = control_health_names[report->health];
	health->errors = report->errors;
	snprintf(health->text, sizeof(health->text), "%s", text);
}

void vm_disk_health_on_disk(struct vm *vm, const struct control_event_data *report)
{
	const struct definition_disk *disk =
		definition_find_disk(vm->definition, report->controller, report->lun);
	char text[VM_DISK_TEXT_MAX];

	if (!disk)
		return;
	health_format_text(report, text);
	text[text_utf8_prefix(text, strlen(text))] = '\0';
	health_remember(vm, report, text);
	vm_log(vm, VM_EVENT_DISK,
	       report->health == CONTROL_HEALTH_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
	       "the disk at controller %u, lun %u ('%s'): %s", report->controller, report->lun,
	       disk->path ? disk->path : "", text);
	vm_notify(vm, "DiskProblems", NULL);
	if (report->health == CONTROL_HEALTH_NO_SERVER)
		vm_images_lost(vm, report->controller, report->lun);
}

void vm_disk_health_prune(struct vm *vm)
{
	bool changed = false;

	list_for_each (link, &vm->images.healths) {
		struct vm_disk_health *health = container_of(link, struct vm_disk_health, link);
		const struct definition_disk *disk =
			definition_find_disk(vm->definition, health->controller, health->lun);

		if (disk && disk->path)
			continue;
		health_forget(health);
		changed = true;
	}
	if (changed)
		vm_notify(vm, "DiskProblems", NULL);
}

void vm_disk_health_free(struct vm *vm)
{
	list_for_each (link, &vm->images.healths)
		health_forget(container_of(link, struct vm_disk_health, link));
}

void vm_disk_health_forget_all(struct vm *vm)
{
	if (list_empty(&vm->images.healths))
		return;
	vm_disk_health_free(vm);
	vm_notify(vm, "DiskProblems", NULL);
}
