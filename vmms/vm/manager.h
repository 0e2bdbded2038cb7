/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All VMs of the daemon, and what they share: the event loop, the settings, the store.
 *
 * Whoever shows the VMs to the world observes the manager. Thread: the event loop's.
 */
#pragma once

#include "common/base/cc.h"
#include "common/base/cleanup.h"
#include "common/base/guid.h"
#include "common/base/list.h"
#include "vmms/base/failure.h"
#include "vmms/base/helper.h"
#include "vmms/base/watch.h"
#include "vmms/carrier/carrier.h"
#include "vmms/image/image.h"
#include "vmms/network/network.h"
#include "vmms/vm/adapter.h"
#include "vmms/vm/guest_life.h"
#include "vmms/vm/job.h"
#include "vmms/vm/quota_check.h"
#include "vmms/vm/statistics.h"
#include "vmms/vm/store.h"
#include "vmms/vm/vm.h"
#include "vmms/vm/vm_departure.h"
#include "vmms/vm/vm_disk_health.h"
#include "vmms/vm/vm_dump.h"
#include "vmms/vm/vm_guest.h"
#include "vmms/vm/vm_images.h"
#include "vmms/vm/vm_log.h"
#include "vmms/vm/vm_screen.h"
#include "vmms/vm/vm_sockets.h"
#include "vmms/vm/vm_unit.h"
#include "vmms/vm/vm_variables.h"
#include "vmms/vm/vm_viewers.h"
#include "vmms/worker/worker.h"

#include <stddef.h>
#include <systemd/sd-event.h>

struct folder;
struct units;
struct vm_log_entry;

struct manager_settings {
	const char
		*state_directory; /* the definitions are in its folders vms, switches, cpu-groups */
	const char *runtime_directory; /* working directory of workers */
	const char *saved_directory;   /* memory of saved VMs; "": in state_directory */
	const char *worker;            /* path of vmwp */
	const char *hypervisor;        /* /dev/kvm */
	const char *passt;             /* path of passt(1) */
	const char *image_server;      /* path of qemu-storage-daemon(1) */
	const char *image_guard;       /* path of the library that it is started with */
	const char *carrier;           /* path of move-carrier */
	const char *migration_address; /* where VMs are waited for; NULL: where it was called */
	struct carrier_ports migration_ports;
	const char *screen;          /* path of vmms-screen */
	enum apparmor_mode apparmor; /* whether VMs are confined by it */
	const char *apparmor_parser; /* path of apparmor_parser(8) */
	struct worker_users users;   /* that workers become */
	struct quota quota;          /* of each user */
	struct units *units;         /* that workers are put into; borrowed */
	unsigned answer_timeout;     /* seconds that workers get for most requests; 0: for ever */
	unsigned open_timeout;       /* seconds that the opening of files may take; likewise */
	unsigned shutdown_timeout;   /* seconds that guests get, unless their definitions say */
	unsigned moves;              /* VMs that are sent to others at a time; above 0 */
};

/* A file in the store that holds no definition. */
struct broken_definition {
	struct list link;
	char *file;        /* its name in the store, which may be any bytes */
	char *name, *path; /* the same and its path, as UTF-8 */
	struct json_error error;
};

/* All required. The VM is there during each. */
struct manager_observer {
	void (*vm_added)(void *data, struct vm *vm);
	void (*vm_removed)(void *data, struct vm *vm);

	/* Names of properties as in docs/dbus/, closed by NULL. */
	void (*vm_changed)(void *data, struct vm *vm, const char *const *properties);

	/* Something has happened to it: vmms/vm/vm_log.h. The entry is borrowed. */
	void (*vm_logged)(void *data, struct vm *vm, const struct vm_log_entry *entry);

	/* The list of broken definitions is another one. */
	void (*broken_changed)(void *data);

	/* All VMs are at rest after manager_stop(). */
	void (*stopped)(void *data);
};

#define MANAGER_UUID_LISTS 256 /* few VMs in each, where there are a thousand */

struct manager {
	sd_event *loop;
	struct watches *watches; /* of workers and their consoles */
	struct manager_settings settings;
	struct store *store;
	struct folder *records;     /* vmms/vm/vm_record.h */
	struct folder *saved;       /* vmms/vm/vm_saved_state.h */
	struct folder *checkpoints; /* vmms/vm/vm_checkpoint.h */
	struct folder *meters;      /* vmms/vm/vm_meter.h */
	struct vswitches *switches;
	struct cpu_groups *cpu_groups;
	struct run_record *record;
	struct jobs *jobs;
	struct helpers *helpers;
	struct rate_limit socket_calls;          /* of the guests of all VMs */
	struct automatic_start *start;           /* NULL: not begun, or over */
	struct list vms;                         /* of struct vm, by name */
	struct list by_uuid[MANAGER_UUID_LISTS]; /* the same, by a hash of their uuids */
	struct list broken;                      /* of struct broken_definition */
	unsigned reading;                        /* counts how often the store was read */
	struct list queries;                     /* of struct statistics_query */
	struct list moves_waiting;               /* of struct vm, moving.turn; the first is next */
	unsigned statistics_awaited;             /* workers that have been asked for theirs */
	const struct manager_observer *observer;
	void *observer_data;
	sd_event_source *memory_timer; /* vmms/vm/vm_memory.h; NULL: never needed */
	bool stopping;
	bool cluster_stays; /* then: what is a cluster's is not concerned */
	sd_event_source *stop_timer;
};

/*
 * Opens the store and reads it; workers that an earlier daemon left are taken over. settings:
 * borrowed. Return: 0; -EBUSY: another daemon has one of the directories; -errno.
 */
int manager_new(sd_event *loop, const struct manager_settings *settings,
		struct manager **ret_manager) MUST_CHECK;

/* Workers that still run are killed. */
void manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free)

/* One observer at a time; NULL: none. */
void manager_observe(struct manager *manager, const struct manager_observer *observer, void *data);

struct vm *manager_find_name(const struct manager *manager, const char *name);
struct vm *manager_find_uuid(const struct manager *manager, const struct guid *uuid);

/*
 * The VM of that name, or of that uuid. NULL also where the text is the name of one VM and the uuid
 * of another: nobody knows which of them is meant.
 */
struct vm *manager_find(const struct manager *manager, const char *text);
struct broken_definition *manager_find_broken(const struct manager *manager, const char *name);

/*
 * Makes a VM of a definition, which is taken over, also on failure. One without a uuid gets one.
 */
int manager_create_vm(struct manager *manager, struct definition *definition, struct vm **ret_vm,
		      struct failure *failure) MUST_CHECK;

/*
 * Every adapter of the definition has a MAC address, one of the project's own that no other has
 * where it had none. vm: the one that the definition is for; NULL: a new one. Return: 0; negative
 * with *failure filled: an address that was given is another adapter's.
 */
int manager_complete_adapters(struct manager *manager, struct definition *definition,
			      const struct vm *vm, struct failure *failure) MUST_CHECK;

/*
 * No VM that runs has a MAC address of this one's adapters, as it can be where a file was copied.
 * Return: 0; negative with *failure filled.
 */
int manager_check_macs(const struct vm *vm, struct failure *failure) MUST_CHECK;

/* Gives it another name, also while it runs. Return: 0; negative with *failure filled. */
int manager_rename_vm(struct manager *manager, struct vm *vm, const char *name,
		      struct failure *failure) MUST_CHECK;

/* Frees the VM. Its disks stay. */
int manager_delete_vm(struct manager *manager, struct vm *vm, struct failure *failure) MUST_CHECK;

/* Removes the file of a broken definition. */
int manager_delete_broken(struct manager *manager, struct broken_definition *broken,
			  struct failure *failure) MUST_CHECK;

/*
 * Reads the store again: what is new or changed there is taken over, by VMs that run as far as that
 * can be, the rest at their next start.
 */
int manager_reload(struct manager *manager, struct failure *failure) MUST_CHECK;

/* Starts VMs as their definitions say, when all is ready. */
void manager_start_automatically(struct manager *manager);

/* How long manager_stop() takes at most: seconds. */
unsigned manager_stop_time(const struct manager *manager, unsigned timeout);

/*
 * Brings every VM to rest, for the host's end or the daemon's, as their definitions say: guests are
 * asked to shut down, and get `timeout` seconds or what the definition has; the rest is turned off.
 * With a timeout of 0, also after an earlier call, all that is left is turned off at once. The
 * observer learns when it is done, perhaps before this returns. No VM can be started any more.
 */
void manager_stop(struct manager *manager, unsigned timeout);

/*
 * The same for the host's end, in the settings' time: VMs that are a cluster's run on, and can be
 * started, for the cluster stops them.
 */
void manager_stop_guests(struct manager *manager);

/* All that manager_stop() or manager_stop_guests() was to bring to rest is; false without either. */
bool manager_is_stopped(const struct manager *manager);

/*
 * After manager_stop(): VMs can be started again, and those that it stopped are, if they are
 * started automatically at all. Without it nothing happens. Return: 0; negative with *failure
 * filled: not all VMs are at rest.
 */
int manager_start_again(struct manager *manager, struct failure *failure) MUST_CHECK;

/* No VM has a worker. */
bool manager_is_at_rest(const struct manager *manager);

/* Of a VM of that definition. Return: 0; negative with *failure filled: after manager_stop(). */
int manager_check_stopping(const struct manager *manager, const struct definition *definition,
			   struct failure *failure) MUST_CHECK;

/* ---- For VMs ---- */

void manager_vm_changed(struct manager *manager, struct vm *vm, const char *const *properties);
void manager_vm_logged(struct manager *manager, struct vm *vm, const struct vm_log_entry *entry);

/* The VM runs; its worker has ended, or it is not to be started again after all. */
void manager_vm_runs(struct manager *manager, struct vm *vm);
void manager_vm_rests(struct manager *manager, struct vm *vm);

/* The VMs as CPU groups see them (manager_cpu_groups.c). data: the manager. */
struct cpu_groups_vms;
extern const struct cpu_groups_vms manager_cpu_group_vms;

/* The VMs as switches see them (manager_network.c). data: the manager. */
struct vswitches_vms;
extern const struct vswitches_vms manager_switch_vms;

/* One that no other worker is. Return: 0; -EUSERS. */
int manager_take_worker_user(struct manager *manager, uid_t *ret_user) MUST_CHECK;

/*
 * For a struct resources_request: which VM has that image open. data: the VM that wants it; whose
 * owner does not learn the names of other owners' VMs. It looks at files: not for the event loop.
 */
const char *manager_disk_user(void *data, const char *path);

/*
 * A VM that is up and has the same owner as this one uses that image, or may, as its own name
 * others. As above.
 */
bool manager_owner_uses_disk(void *data, const char *path);

/* The same of other VMs than this one. */
bool manager_owner_uses_disk_elsewhere(void *data, const char *path);

/* Another VM that is up writes that image. As above. */
bool manager_disk_is_written(void *data, const char *path);

/* All files that the VM's definition names, with the functions above. It points into the VM. */
struct resources_request manager_files_request(struct vm *vm);
