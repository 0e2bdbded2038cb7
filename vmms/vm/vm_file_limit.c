/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One VM: how large the files may become that its worker writes. */
#include "vmms/vm/vm_file_limit.h"

#include "common/base/log.h"
#include "common/dbus_names.h"
#include "common/definition/definition.h"
#include "common/image/image.h"
#include "vmms/image/image.h"
#include "vmms/vm/vm_internal.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_variables.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bytes of a core file, or of a saved VM's file, beyond the memory, at most. */
#define MEMORY_FILE_MORE (UINT64_C(320) << 20)

/* The most that the guest can ever have. */
static uint64_t limit_memory_most(const struct vm *vm)
{
	const struct definition_memory *memory = &vm->definition->memory;

	return MAX(memory->size, memory->dynamic.maximum);
}

static uint64_t limit_image_size(const struct opened_files *opened,
				 const struct definition_disk *disk)
{
	char name[RESOURCES_NAME_MAX];

	/* Others are their server's to write, or nobody's. */
	if (disk->read_only || !image_format_is_native(disk->format))
		return 0;
	resources_disk_name(disk, name);
	for (size_t i = 0; i < opened->count; i++) {
		if (strcmp(opened->items[i].name, name) == 0)
			return opened->items[i].size;
	}
	return 0;
}

/*
 * What cannot be raised is not lowered: larger images would not come, and no core files be written.
 */
static bool limit_can_raise(const struct vm *vm)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return vm->run.user == 0 || (syscall(SYS_capget, &header, data) == 0 &&
				     data[0].effective & 1u << CAP_SYS_RESOURCE);
}

void vm_file_limit_begin(struct vm *vm, const struct opened_files *opened)
{
	uint64_t limit = vm->definition->memory.shared ? limit_memory_most(vm) : 0;
	int r;

	vm->run.file_limit = VM_FILE_LIMIT_NONE;
	if (!limit_can_raise(vm)) {
		log_info("VM %s: its images could grow beyond their sizes, should its worker be "
			 "taken over, since vmms lacks CAP_SYS_RESOURCE",
			 vm->definition->name);
		return;
	}
	for (size_t i = 0; i < vm->definition->disk_count; i++)
		limit = MAX(limit, limit_image_size(opened, &vm->definition->disks[i]));
	if (vm_variables_are_kept(vm))
		limit = MAX(limit, VM_VARIABLES_SIZE_MAX);
	if (vm_backup_has_changes(vm))
		limit = MAX(limit, VM_BACKUP_CHANGES_MAX);
	r = worker_limit_files(vm->run.worker, limit);
	if (r == 0)
		vm->run.file_limit = limit;
	else if (r != -ESRCH)
		vm_log(vm, VM_EVENT_HOST, LOG_LEVEL_WARNING,
		       "how large the files may become that its worker writes cannot be limited: "
		       "%s",
		       strerror(-r));
}

void vm_file_limit_adopt(struct vm *vm)
{
	if (worker_file_limit(vm->run.worker, &vm->run.file_limit) < 0)
		vm->run.file_limit = VM_FILE_LIMIT_NONE;
}

static int limit_set(const struct vm *vm, uint64_t limit, struct failure *failure)
{
	int r = worker_limit_files(vm->run.worker, limit);

	return r < 0 ? failure_set(failure, DBUS_ERROR_RESOURCE,
				   "the worker of VM '%s' cannot be allowed to write a file of "
				   "%llu bytes: %s; vmms needs CAP_SYS_RESOURCE for that",
				   vm->definition->name, (unsigned long long)limit, strerror(-r))
		     : 0;
}

int vm_file_limit_raise(struct vm *vm, uint64_t size, struct failure *failure)
{
	int r;

	if (size <= vm->run.file_limit)
		return 0;
	r = limit_set(vm, size, failure);
	if (r == 0)
		vm->run.file_limit = size;
	return r;
}

int vm_file_limit_begin_memory(struct vm *vm, struct failure *failure)
{
	uint64_t most = limit_memory_most(vm) + MEMORY_FILE_MORE;

	return most <= vm->run.file_limit ? 0 : limit_set(vm, most, failure);
}

void vm_file_limit_end_memory(struct vm *vm)
{
	if (vm->run.worker && vm->run.file_limit != VM_FILE_LIMIT_NONE)
		(void)!worker_limit_files(vm->run.worker, vm->run.file_limit);
}
