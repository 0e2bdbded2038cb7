/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its run, from the worker's beginning to its end, and what the worker told of it.
 *
 * Read by whoever knows the VM; changed by the functions below alone. Strings that come from a
 * worker or a guest are cut at their room, and are valid UTF-8 afterwards.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/control_contract.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/worker/worker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vm;

#define VM_RUN_TEXT_MAX         32
#define VM_REASON_MAX           CONTROL_REASON_MAX
#define VM_CRASH_PARAMETERS_MAX CONTROL_CRASH_PARAMETERS_MAX
#define VM_CRASH_TEXT_MAX       (CONTROL_CRASH_TEXT_MAX + 1)

/* Why its firmware boots nothing. */
enum vm_firmware_problem {
	VM_FIRMWARE_OK,
	VM_FIRMWARE_NO_BOOT_DEVICE,
	VM_FIRMWARE_REFUSED_LOADER,
};

struct vm_run {
	struct worker *worker;              /* NULL: there is none */
	uid_t user;                         /* that it has become; 0: none */
	unsigned renewals;                  /* of workers before it */
	char name[DEFINITION_NAME_MAX + 1]; /* at its start: by which its units are known */
	struct failure start_failure;       /* name NULL: none yet */
	uint64_t started_at;                /* CLOCK_REALTIME, microseconds; 0: not started */
	uint64_t started_boot;              /* the same moment by CLOCK_BOOTTIME; 0: not known */
	uint64_t up_since;                  /* the same moment, CLOCK_MONOTONIC */
	uint64_t quiet_since; /* CLOCK_MONOTONIC, microseconds; until the guest finds VMBus */
	char engine[VM_RUN_TEXT_MAX], heartbeat[VM_RUN_TEXT_MAX], vmbus_version[VM_RUN_TEXT_MAX];
	enum vm_firmware_problem firmware_problem;
	unsigned resets;
	char end_reason[VM_RUN_TEXT_MAX], end_message[VM_REASON_MAX]; /* its last words */
	struct worker_exit *exit; /* it waits for the end of its image servers (vm_images.c) */
	uint64_t file_limit;      /* bytes; vmms/vm/vm_file_limit.h */
};

/* The last crash of the guest, also when it is over. */
struct vm_crash {
	uint64_t parameters[VM_CRASH_PARAMETERS_MAX];
	char text[VM_CRASH_TEXT_MAX];
	bool happened;
};

/* A worker is about to be started: what was true of the run before is no more. */
void vm_run_begin(struct vm *vm);

/* What it needs cannot be had; the first failure of a start is the one that is told. */
void vm_run_set_failure(struct vm *vm, const struct failure *failure);

/* The guest begins to run, by all clocks. */
void vm_run_note_start(struct vm *vm);

/* The worker of an earlier daemon goes on, as its record says. */
void vm_run_adopt(struct vm *vm, uid_t user, uint64_t started_at, uint64_t started_boot);

/* It ended while nobody looked: for as long as its end is being told, it has begun then. */
void vm_run_adopt_end(struct vm *vm, uint64_t started_at);

/* Which units are known by: the VM's name as it is now, or as the record of an earlier daemon has
 * it. */
void vm_run_set_name(struct vm *vm, const char *name);

/* No sign of life of the guest from here on. */
void vm_run_note_quiet(struct vm *vm);

/* What the worker says; text: untrusted, of so many bytes, or NULL. */
void vm_run_set_engine(struct vm *vm, const char *text, size_t size);
void vm_run_set_heartbeat(struct vm *vm, const char *text);
void vm_run_set_vmbus_version(struct vm *vm, const char *text);

/* A word that is not known is no problem. Return: its sentence; NULL: there is none. */
const char *vm_run_set_firmware(struct vm *vm, const char *word);
const char *vm_run_firmware_problem(const struct vm *vm);

void vm_run_set_end(struct vm *vm, const char *reason, const char *message);
void vm_run_set_resets(struct vm *vm, unsigned resets);

/*
 * The guest has told of a crash. parameters: NULL, or at most VM_CRASH_PARAMETERS_MAX texts, which
 * are hexadecimal numbers.
 */
void vm_run_crashed(struct vm *vm, struct json_object *parameters, const char *text);

/* The worker has ended, and all has been told of that. */
void vm_run_forget_guest(struct vm *vm);
void vm_run_end(struct vm *vm);

/*
 * The time of day when it was started, microseconds, 0: it was not. By the clock as it is set now,
 * so that how long ago that is stays true when somebody sets the clock.
 */
uint64_t vm_started_at(const struct vm *vm);

/* Microseconds since the guest began to run; 0: it does not. */
uint64_t vm_run_time(const struct vm *vm);
