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
#include "vmms/vm/vm_arrival.h"
#include "vmms/vm/vm_backup.h"
#include "vmms/vm/vm_carrier.h"
#include "vmms/vm/vm_change.h"
#include "vmms/vm/vm_checkpoint.h"
#include "vmms/vm/vm_confinement.h"
#include "vmms/vm/vm_dump.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_memory.h"
#include "vmms/vm/vm_meter.h"
#include "vmms/vm/vm_move.h"
#include "vmms/vm/vm_pinning.h"
#include "vmms/vm/vm_removal.h"
#include "vmms/vm/vm_renew.h"
#include "vmms/vm/vm_restart.h"
#include "vmms/vm/vm_run.h"
#include "vmms/vm/vm_save.h"
#include "vmms/vm/vm_saved_state.h"
#include "vmms/vm/vm_screen.h"
#include "vmms/vm/vm_sockets.h"
#include "vmms/vm/vm_state.h"
#include "vmms/vm/vm_unit.h"
#include "vmms/vm/vm_viewers.h"
#include "vmms/worker/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct adapter;
struct job;
struct manager;
struct opened_files;
struct open_helper;
struct resources;
struct unit;
struct vm_log;

/* Whoever asked, and waits. */
struct vm_operation {
	vm_done_fn done; /* NULL: no operation is under way */
	void *data;
	enum vm_verb verb;
};

/* Files that an operation takes, from the request for them until the worker has them. */
struct vm_opening {
	struct open_helper *open_helper; /* NULL: none now */
	struct file_holder *files;       /* that are open, and not the worker's yet; or NULL */
	struct saved_file *saved_file;   /* the saved state is being opened; or NULL */
	struct file_holder *state;       /* that is open, and not the worker's yet; or NULL */
	struct file_holder *moved;       /* from where the VM comes, likewise; or NULL */
	bool carried;                    /* it comes from vm->carrier.stream */
	struct opened_files *opened;     /* the same, while a profile is loaded; or NULL */
	unsigned boot;                   /* 1 + the kind of drive that is tried first, or 0 */
	bool setup;                      /* the firmware shows its menus */
	const char *method;              /* of the worker, which then gets what was opened */
	struct json_object *arguments;
};

/*
 * Read by whoever knows the VM. Each part is changed by the file that its header belongs to, what
 * is not in a part by vm.c, or by the file that is named.
 */
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
	struct vm_log *log; /* NULL: not yet; vm_log.c */
	struct vm_operation operation, turning_off;
	sd_event_source *timer; /* bounds a shutdown, or the end of the worker */
	unsigned start_steps;   /* which the worker has not answered yet; vm_start.c */

	struct vm_change change;
	struct vm_saving saving;
	struct vm_moving moving;
	struct vm_arrival arrival;
	struct vm_carrier carrier; /* of the one or the other */
	struct vm_removal removal;
	struct vm_saved_state saved;
	struct vm_checkpoints checkpoints;
	struct vm_opening opening; /* vm_change.c, vm_start.c */
	struct vm_restart restart;

	/* While there is a worker. */
	struct vm_run run;
	struct vm_confinement confinement;
	struct vm_renewal renewal;
	struct vm_scope scope;
	struct vm_pinning pinning;
	struct vm_images images;
	struct list adapters; /* of struct adapter; vm_adapters.c */
	struct vm_guest guest;
	struct vm_memory memory;
	struct vm_dump dump;
	struct vm_backup backup;
	struct vm_sockets sockets;
	struct vm_statistics statistics;

	struct vm_crash crash; /* vm_run.c */
	struct vm_meter meter;
	struct vm_screen screen;
	struct vm_viewers viewers;
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
 * The same, and firmware tries drives of that kind first, whatever the definition says, until the VM
 * is off; or, of generation 2, shows its menus. Not of a VM that goes on from a saved state, loads a
 * kernel, or has no such drive.
 */
int vm_start_setup(struct vm *vm, vm_done_fn done, void *data, struct failure *failure) MUST_CHECK;
int vm_start_from(struct vm *vm, enum definition_drive drive, vm_done_fn done, void *data,
		  struct failure *failure) MUST_CHECK;

/*
 * The same, for this run with descriptors that somebody has passed, instead of what is at the paths
 * of the definition: "kernel", "initrd", or as resources_disk_name(). They are borrowed.
 */
int vm_start_with_files(struct vm *vm, const struct resources *passed, vm_done_fn done, void *data,
			struct failure *failure) MUST_CHECK;

/*
 * The same with a guest that another worker sends. socket: a stream socket, taken over if 0 is
 * returned. Images of disks are opened without their locks, which the worker takes in the end.
 */
int vm_start_received(struct vm *vm, struct file_holder *socket, vm_done_fn done, void *data,
		      struct failure *failure) MUST_CHECK;

/* The same with a guest that comes from another host: from vm->carrier.stream. */
int vm_start_carried(struct vm *vm, vm_done_fn done, void *data,
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
