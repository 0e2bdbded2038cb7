/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: the servers of its disk images that are not raw (vmms/image/image_server.h), one each.
 *
 * A server ends with the connection that the worker has to it: when the disk is detached, and when
 * the worker ends. Then it writes down what it has in memory, and only after that is the image's
 * lock gone: a VM is off when its servers have ended, too.
 */
#pragma once

#include "common/base/json.h"
#include "common/base/list.h"
#include "vmms/base/failure.h"
#include "vmms/image/image.h"
#include "vmms/worker/worker.h"

struct vm;

struct vm_images {
	struct list list;     /* of struct vm_image */
	struct list healths;  /* of struct vm_disk_health; vm_disk_health.c */
	struct list restarts; /* vm_image_restart.c */
};

#define VM_IMAGE_END_TIMEOUT 60 /* seconds after which a server that does not end is killed */

/*
 * Starts a server, with what vm->opening.files holds, as the user of the VM's worker, of each image
 * that was opened and, by the definition, is not raw: it and what it names go there, and a
 * connection to it, of the image's name, comes to the resources. Return: 0; negative with *failure
 * filled.
 */
int vm_images_serve(struct vm *vm, const struct definition *definition, struct opened_files *opened,
		    struct resources *resources, struct failure *failure) MUST_CHECK;

/* The processes of those that the VM has started with, at most so many. Return: how many. */
size_t vm_images_processes(const struct vm *vm, pid_t *processes, size_t most);

/* The worker has lost its connection to the server of that disk's image. */
void vm_images_lost(struct vm *vm, unsigned controller, unsigned lun);

/* The process that serves the image of that disk; 0: none does. */
pid_t vm_images_find(const struct vm *vm, unsigned controller, unsigned lun);

/*
 * Those that have come later have units of their own (vmms/units/units.h), with the definition's
 * limits.
 */
void vm_images_update_units(struct vm *vm);

/* What the next daemon has to know of them, and them as that daemon finds them. */
struct json_object *vm_images_to_json(const struct vm *vm);
void vm_images_adopt(struct vm *vm, struct json_object *records);

/*
 * The worker has ended. Return: whether some servers have not: then vm_worker_ended() is called
 * with a copy of that when they have.
 */
bool vm_images_outlive(struct vm *vm, const struct worker_exit *exit);

/* Kills those that still run. */
void vm_images_forget(struct vm *vm);
