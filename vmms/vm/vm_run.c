/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The run of a VM. */
#include "vmms/vm/vm_run.h"

#include "common/base/text.h"
#include "vmms/vm/vm_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_SET UINT64_C(1000000) /* microseconds */

static void run_copy(char *room, size_t size, const char *text)
{
	if (!text)
		text = "";
	text_repair(room, size, text, strlen(text));
}

/* ---- Beginning ---- */

void vm_run_begin(struct vm *vm)
{
	struct vm_run *run = &vm->run;

	run->end_reason[0] = run->end_message[0] = '\0';
	run->start_failure = (struct failure){ 0 };
	run->resets = run->renewals = 0;
	vm->crash = (struct vm_crash){ 0 };
	vm_notify(vm, "Resets", "CrashParameters", "CrashText", NULL);
}

void vm_run_set_failure(struct vm *vm, const struct failure *failure)
{
	vm->run.start_failure = *failure;
}

void vm_run_note_start(struct vm *vm)
{
	vm->run.started_at = vm_clock(CLOCK_REALTIME);
	vm->run.started_boot = vm_clock(CLOCK_BOOTTIME);
	vm->run.up_since = vm_clock(CLOCK_MONOTONIC);
	vm_meter_begin(vm);
}

void vm_run_adopt(struct vm *vm, uid_t user, uint64_t started_at, uint64_t started_boot)
{
	vm->run.user = user;
	vm->run.started_at = started_at;
	vm->run.started_boot = started_boot;
	vm->run.up_since = vm_clock(CLOCK_MONOTONIC);
	vm_meter_begin(vm);
}

void vm_run_adopt_end(struct vm *vm, uint64_t started_at)
{
	vm->run.started_at = started_at;
}

void vm_run_set_name(struct vm *vm, const char *name)
{
	snprintf(vm->run.name, sizeof(vm->run.name), "%s", name);
}

/* ---- What the worker tells ---- */

void vm_run_note_quiet(struct vm *vm)
{
	vm->run.quiet_since = vm_clock(CLOCK_MONOTONIC);
}

void vm_run_set_engine(struct vm *vm, const char *text, size_t size)
{
	text_repair(vm->run.engine, sizeof(vm->run.engine), text, size);
}

void vm_run_set_heartbeat(struct vm *vm, const char *text)
{
	run_copy(vm->run.heartbeat, sizeof(vm->run.heartbeat), text);
}

void vm_run_set_vmbus_version(struct vm *vm, const char *text)
{
	run_copy(vm->run.vmbus_version, sizeof(vm->run.vmbus_version), text);
}

static const struct {
	const char *word, *sentence;
} firmware_problems[] = {
	[VM_FIRMWARE_OK] = { "", NULL },
	[VM_FIRMWARE_NO_BOOT_DEVICE] = { "no-boot-device", "no boot device found: no disk or DVD "
							   "of the VM has what its "
							   "firmware can start" },
	[VM_FIRMWARE_REFUSED_LOADER] = { "refused-loader", "secure boot refused the boot loader: "
							   "nobody whom the firmware "
							   "trusts has signed it" },
};

const char *vm_run_firmware_problem(const struct vm *vm)
{
	return firmware_problems[vm->run.firmware_problem].sentence;
}

const char *vm_run_set_firmware(struct vm *vm, const char *word)
{
	vm->run.firmware_problem = VM_FIRMWARE_OK;
	for (size_t i = 0; word && i < ARRAY_SIZE(firmware_problems); i++)
		if (strcmp(word, firmware_problems[i].word) == 0)
			vm->run.firmware_problem = (enum vm_firmware_problem)i;
	return vm_run_firmware_problem(vm);
}

void vm_run_set_end(struct vm *vm, const char *reason, const char *message)
{
	run_copy(vm->run.end_reason, sizeof(vm->run.end_reason), reason);
	run_copy(vm->run.end_message, sizeof(vm->run.end_message), message);
}

void vm_run_set_resets(struct vm *vm, unsigned resets)
{
	vm->run.resets = resets;
}

void vm_run_crashed(struct vm *vm, struct json_object *parameters, const char *text)
{
	size_t count = parameters ? json_object_array_length(parameters) : 0;

	vm->crash = (struct vm_crash){ .happened = true };
	for (size_t i = 0; i < count; i++)
		vm->crash.parameters[i] = strtoull(
			json_object_get_string(json_object_array_get_idx(parameters, i)), NULL, 16);
	run_copy(vm->crash.text, sizeof(vm->crash.text), text);
}

/* ---- The end ---- */

void vm_run_forget_guest(struct vm *vm)
{
	vm->run.engine[0] = '\0';
	vm->run.vmbus_version[0] = '\0';
	vm->run.firmware_problem = VM_FIRMWARE_OK;
	vm_run_set_heartbeat(vm, "unknown");
}

void vm_run_end(struct vm *vm)
{
	vm->run.started_at = 0;
}

/* ---- Time ---- */

/* Clocks that nobody sets drift apart by less, and the two are read one after the other. */
uint64_t vm_started_at(const struct vm *vm)
{
	uint64_t epoch = vm_clock(CLOCK_REALTIME) - vm_clock(CLOCK_BOOTTIME);
	uint64_t set = epoch - (vm->run.started_at - vm->run.started_boot);

	if (vm->run.started_at == 0 || vm->run.started_boot == 0 || set + CLOCK_SET < 2 * CLOCK_SET)
		return vm->run.started_at;
	return vm->run.started_at + set;
}

uint64_t vm_run_time(const struct vm *vm)
{
	return vm->run.started_at ? vm_clock(CLOCK_MONOTONIC) - vm->run.up_since : 0;
}
