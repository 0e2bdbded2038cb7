/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One VM: its definition, its state, and its worker while it has one.
 *
 * What is asked of a VM is a verb (vmms/vm/vm_state.h). A verb that cannot be obeyed is refused at
 * once: the function returns a negative number with *failure filled, and nothing has changed. One
 * that can be is an operation: `done` is called once, perhaps before the function returns, with
 * NULL or with why it failed after all. A VM has one operation under way at a time, beside which
 * only a turning off is accepted; that one ends the other.
 *
 * Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/list.h"
#include "common/definition/definition.h"
#include "vmms/base/failure.h"
#include "vmms/base/folder.h"
#include "vmms/vm/guest_life.h"
#include "vmms/vm/statistics.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_memory.h"
#include "vmms/vm/vm_sockets.h"
#include "vmms/vm/vm_state.h"
#include "vmms/worker/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct adapter;
struct job;
struct manager;
struct opener;
struct resources;
struct unit;
struct vm_log;

typedef void (*vm_done_fn)(void *data, const struct failure *failure);

/* Whoever asked, and waits. */
struct vm_operation {
	vm_done_fn done; /* NULL: no operation is under way */
	void *data;
	enum vm_verb verb;
};

#define VM_REASON_MAX           1024
#define VM_CRASH_PARAMETERS_MAX 5
#define VM_CRASH_TEXT_MAX       4096
#define VM_LIMITS_PROBLEM_MAX   512

/* Read by the D-Bus side; changed by vmms/vm*.c alone. */
struct vm {
	struct list link, uuid_link; /* in the manager's lists */
	struct manager *manager;
	unsigned reading;              /* when its file was last read (manager->reading) */
	struct definition *definition; /* by which it runs, or will */
	struct definition *pending;    /* that of its file, where it differs; only while it runs */
	struct folder_stamp stamp;     /* of its file, as it was read or written last */
	enum vm_state state;
	char reason[VM_REASON_MAX]; /* of the state; may quote the guest */
	struct console *console;
	struct vm_log *log; /* NULL: not yet */

	struct vm_operation operation, turning_off;
	struct definition *next_definition; /* what the operation will make of them; or NULL */
	struct definition *next_pending;
	uint32_t next_request;          /* by which the worker is asked for that; 0: not yet */
	struct json_object *unfinished; /* as the record had it; NULL: nothing, or settled */
	bool unsaved;                   /* the definition's file is older than it */
	struct adapter *next_adapter;   /* the back end that the operation will connect */
	const char *old_adapter;        /* name of the one that it will take away; or NULL */
	struct opener *opener;          /* of files that the operation takes; NULL: none now */
	struct file_holder *files;      /* that are open, and not the worker's yet; or NULL */
	unsigned steps;                 /* of a start, which the worker has not answered yet */
	const char *opening_method;     /* of the worker, which then gets what was opened */
	struct json_object *opening_arguments;
	struct failure start_failure;   /* name NULL: none yet */
	sd_event_source *timer;         /* bounds a shutdown, or the end of the worker */
	sd_event_source *restart_timer; /* NULL: it is not to be started again by itself */
	unsigned restarts;              /* in a row, after failures of the worker */

	/* While there is a worker; what it told of its guest. */
	struct worker *worker;
	uid_t worker_user;                      /* that it has become; 0: none */
	char run_name[DEFINITION_NAME_MAX + 1]; /* at its start: by which its units are known */
	struct unit *unit;                      /* that it is in, or was; NULL: none is used */
	bool pinned; /* its vps are, as far as the worker was asked; or perhaps are */
	char pinning_problem[VM_LIMITS_PROBLEM_MAX];
	uint64_t quiet_since;  /* CLOCK_MONOTONIC, microseconds; until it finds VMBus */
	bool registered;       /* with systemd-machined, as far as that was asked */
	uint64_t started_at;   /* CLOCK_REALTIME, microseconds; 0: not started */
	uint64_t started_boot; /* the same moment by CLOCK_BOOTTIME; 0: not known */
	uint64_t up_since;     /* the same moment, CLOCK_MONOTONIC */
	char engine[32], heartbeat[32], vmbus_version[32];
	unsigned resets;
	struct list adapters;            /* of struct adapter */
	struct list images;              /* of struct vm_image */
	struct list disk_healths;        /* of struct vm_disk_health */
	struct list image_restarts;      /* vmms/vm/vm_image_restart.c */
	struct worker_exit *worker_exit; /* it waits for the end of those; NULL: it does not */
	struct vm_guest guest;
	struct vm_memory memory;
	struct job *dump; /* the core file that is being written, or NULL */
	struct file_holder *dump_file;
	struct vm_sockets sockets;
	struct vm_statistics statistics;
	uint64_t file_limit;                             /* bytes; vmms/vm/vm_file_limit.h */
	char end_reason[32], end_message[VM_REASON_MAX]; /* its last words as an event */

	/* The last crash of the guest, also when it is over. */
	uint64_t crash_parameters[VM_CRASH_PARAMETERS_MAX];
	char crash_text[VM_CRASH_TEXT_MAX];
	bool crashed;
};

/* Takes over the definition, also on failure. */
int vm_new(struct manager *manager, struct definition *definition, struct vm **ret_vm) MUST_CHECK;

/*
 * If an earlier daemon left a worker of this VM, it is taken over, or its end is noticed. For a VM
 * that is new here.
 */
void vm_adopt(struct vm *vm);

/* A worker that still runs is killed. Operations under way are forgotten. */
void vm_free(struct vm *vm);
DEFINE_CLEANUP(struct vm *, vm_free)

/*
 * The time of day when it was started, microseconds, 0: it was not. By the clock as it is set now,
 * so that how long ago that is stays true when somebody sets the clock.
 */
uint64_t vm_started_at(const struct vm *vm);

/* The user whose VM it is: where the definition names none, "root", or "" without root. */
const char *vm_owner(const struct vm *vm);

/* "in-kernel" or "user-space" while running; else what the definition says. */
const char *vm_engine(const struct vm *vm);

/* What is to be said of a guest that shows no sign of life (vmms/vm/guest_life.h), or "". */
void vm_describe_guest(const struct vm *vm, char text[GUEST_LIFE_TEXT]);

/* Return: 0, or a negative number with *failure filled if the verb cannot be obeyed now. */
int vm_check(struct vm *vm, enum vm_verb verb, struct failure *failure) MUST_CHECK;

/* The answer of a worker that refused. Return: as failure_set(). */
int vm_failure(const struct vm *vm, const char *code, const char *text, struct failure *failure);

/* It has a worker, or is just getting one. */
bool vm_is_up(const struct vm *vm);

int vm_start(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;

/*
 * The same, for this run with descriptors that somebody has passed, instead of what is at the paths
 * of the definition: "kernel", "initrd", or as resources_disk_name(). They are borrowed.
 */
int vm_start_with_files(struct vm *vm, const struct resources *passed, vm_done_fn done, void *data,
			struct failure *failure) MUST_CHECK;

struct vm_shutdown_options {
	bool force;       /* the guest is to end programs that hold it up */
	bool reboot;      /* the guest is to start again; done when it has agreed */
	bool hibernate;   /* the guest is to put its memory on a disk of its own, and turn off */
	unsigned timeout; /* seconds until the VM counts as running again; 0: none */
};

int vm_shut_down(struct vm *vm, const struct vm_shutdown_options *options, vm_done_fn done,
		 void *data, struct failure *failure) MUST_CHECK;

/* The same as a job, which *ret_job is if 0 is returned: published, and perhaps over already. */
int vm_shut_down_as_job(struct vm *vm, const struct vm_shutdown_options *options,
			struct job **ret_job, struct failure *failure) MUST_CHECK;
/* Nobody waits any more for the guest that is shutting down; the VM counts as running again. */
int vm_cancel_shutdown(struct vm *vm, struct failure *failure) MUST_CHECK;

/* Of a VM that is to be started again after a failure: it is not. */
int vm_turn_off(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
int vm_reset(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
int vm_nmi(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
int vm_pause(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
int vm_resume(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;

/*
 * The VM has this definition from now on: at once what can be changed so, the rest from its next
 * start (vm_pending_keys()). definition: taken over, also on failure; without a uuid it gets the
 * VM's, and adapters without a MAC address what those of their names have.
 */
int vm_change_definition(struct vm *vm, struct definition *definition, vm_done_fn done, void *data,
			 struct failure *failure) MUST_CHECK;

/* What is in its file: what its next start takes. */
const struct definition *vm_stored_definition(const struct vm *vm);

/* What waits for the next start: an array of keys, such as "memory.size". NULL without memory. */
struct json_object *vm_pending_keys(const struct vm *vm);

bool vm_definitions_are_equal(const struct definition *a, const struct definition *b);

/*
 * Changes to the disks, at once and for good: the running guest sees them, and the definition is
 * saved. disk: as in the definition; taken over, also on failure. fd: of what is to be at the path
 * while the VM runs, which it has to; borrowed; -1: the path counts.
 */
int vm_attach_disk(struct vm *vm, struct definition_disk *disk, int fd, vm_done_fn done, void *data,
		   struct failure *failure) MUST_CHECK;
int vm_detach_disk(struct vm *vm, unsigned controller, unsigned lun, vm_done_fn done, void *data,
		   struct failure *failure) MUST_CHECK;

/*
 * Nobody waits any more for a disk or medium that leaves: it has left the guest, and its image
 * stays in use for as long as the host's storage does not answer. Whoever waited is told so.
 */
int vm_cancel_detach(struct vm *vm, vm_done_fn done, void *data,
		     struct failure *failure) MUST_CHECK;
int vm_insert_medium(struct vm *vm, unsigned controller, unsigned lun, const char *path, int fd,
		     vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
int vm_eject_medium(struct vm *vm, unsigned controller, unsigned lun, bool force, vm_done_fn done,
		    void *data, struct failure *failure) MUST_CHECK;

/*
 * Changes to the network adapters, in the same way. adapter: as in the definition; taken over, also
 * on failure; without a MAC address it gets one. Of a running VM an adapter's name, MAC address,
 * MTU and queues stay.
 */
int vm_add_adapter(struct vm *vm, struct definition_adapter *adapter, vm_done_fn done, void *data,
		   struct failure *failure) MUST_CHECK;
int vm_remove_adapter(struct vm *vm, const char *name, vm_done_fn done, void *data,
		      struct failure *failure) MUST_CHECK;
int vm_change_adapter(struct vm *vm, const char *name, struct definition_adapter *adapter,
		      vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;

/* A definition that is too large for the control socket would never start. */
int vm_check_definition(const struct definition *definition, struct failure *failure) MUST_CHECK;
