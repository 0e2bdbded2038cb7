/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the D-Bus service share.
 */
#pragma once

#include "common/base/json.h"
#include "vmms/bus/dbus.h"
#include "vmms/bus/dbus_access.h"
#include "vmms/bus/dbus_signal.h"
#include "vmms/host/host.h"

struct dbus_service {
	struct manager *manager;
	struct host_report *report;
	struct dbus_settings settings;
	sd_bus *bus; /* NULL: not connected */
	bool has_name;
	sd_event_source *reconnect;
	struct list stop_calls; /* that wait for all VMs to be at rest */
	struct list forwarders; /* of calls with descriptors (dbus_files.c) */
	sd_event_source *next_forwarder;
	struct list subscribers; /* whom signals are sent to (vmms/bus/dbus_signal.h) */
	struct dbus_access access;
};

/* The object of that uuid below a prefix. */
#define DBUS_OBJECT_PATH_SIZE (sizeof(DBUS_SWITCH_PREFIX "/") + GUID_TEXT_SIZE)

void dbus_object_path(const char *prefix, const struct guid *uuid,
		      char path[DBUS_OBJECT_PATH_SIZE]);

/* Return: 0; -EINVAL: not the path of such an object. */
int dbus_object_path_parse(const char *path, const char *prefix, struct guid *ret_uuid) MUST_CHECK;

struct dbus_object_list {
	const char *prefix;
	struct list *list;
	const struct guid *(*uuid)(const struct list *link);
	bool (*is_seen)(const struct dbus_service *service, const struct list *link);
};

/* The paths of all objects of a list that the caller sees, for an enumerator of nodes. */
int dbus_list_paths(const struct dbus_service *service, const struct dbus_object_list *objects,
		    char ***ret_nodes) MUST_CHECK;

/* Puts the objects below a prefix on the bus. Their `data` is the service. Return: 0, -errno. */
int dbus_register_objects(struct dbus_service *service, const char *prefix, const char *interface,
			  const sd_bus_vtable *vtable, sd_bus_object_find_t find,
			  sd_bus_node_enumerator_t list_paths) MUST_CHECK;

#define DBUS_VM_PATH_SIZE DBUS_OBJECT_PATH_SIZE

void dbus_vm_path(const struct vm *vm, char path[DBUS_VM_PATH_SIZE]);

/* Puts the interfaces on the bus. Return: 0, -errno. */
int dbus_manager_register(struct dbus_service *service) MUST_CHECK;
int dbus_vm_register(struct dbus_service *service) MUST_CHECK;
int dbus_switch_register(struct dbus_service *service) MUST_CHECK;
int dbus_job_register(struct dbus_service *service) MUST_CHECK;

/* The fallback of a VM's path, for any interface of it. data: the service. */
int dbus_find_vm(sd_bus *bus, const char *path, const char *interface, void *data, void **ret_found,
		 sd_bus_error *error);

/*
 * Has another process serve the calls that take or return descriptors (vmms/bus/call_forwarder.h).
 * Return: 0: it does, or will; -errno.
 */
int dbus_files_start(struct dbus_service *service) MUST_CHECK;
void dbus_files_stop(struct dbus_service *service);

/*
 * A new VM's definition, which the caller may have. Return: 0, *ret_definition: the caller's; 1: the call
 * has been answered, or is put aside; -errno.
 */
int dbus_take_definition(struct dbus_service *service, sd_bus_message *call, const char *text,
			 struct definition **ret_definition) MUST_CHECK;

/* Of dbus_move.c. data: the service; the VM. */
int dbus_expect_vm(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_move_vm(sd_bus_message *call, void *data, sd_bus_error *error);

/* Options of a move, which the next argument of the call is. Return: as dbus_read_options(). */
struct vm_send_options;
int dbus_read_move_options(sd_bus_message *call, struct vm_send_options *options,
			   struct failure *failure) MUST_CHECK;

/* Methods and a property of the manager that are about switches. data: the service. */
int dbus_create_switch(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_switch(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_list_switches(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_delete_switch(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_broken_switches(sd_bus *bus, const char *path, const char *interface,
			     const char *property, sd_bus_message *reply, void *data,
			     sd_bus_error *error);

/* Methods of the manager that are about CPU groups. data: the service. */
int dbus_create_cpu_group(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_change_cpu_group(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_delete_cpu_group(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_list_cpu_groups(sd_bus_message *call, void *data, sd_bus_error *error);

/* Methods of the manager that are about all guests. data: the service. */
int dbus_stop_guests(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_start_guests(sd_bus_message *call, void *data, sd_bus_error *error);

/* The job of that path, or NULL. */
struct job *dbus_job_find(const struct dbus_service *service, const char *path);

/* Methods of the manager that are about jobs. data: the service. */
int dbus_get_job(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_list_jobs(sd_bus_message *call, void *data, sd_bus_error *error);

/* The method of the manager that works on the file of a disk. data: the service. */
int dbus_work_on_disk(sd_bus_message *call, void *data, sd_bus_error *error);

/* Answers a call with a job (r: 0), or with why there is none. Return: what a handler returns. */
int dbus_reply_job(sd_bus_message *call, int r, const struct job *job,
		   const struct failure *failure);

/* Answers a call with an error. Return: what a handler returns. */
int dbus_reply_failure(sd_bus_message *call, const struct failure *failure);

/* Answers a call with JSON. tree: borrowed; NULL: there was no memory. Return: >= 0, -errno. */
int dbus_reply_json(sd_bus_message *call, struct json_object *tree);

/* Adds to *tree what the worker says; result: untrusted. */
typedef void (*dbus_description_fn)(struct json_object **tree, struct json_object *result);

/*
 * The same with a tree that is taken over and, while the VM runs, with what its worker adds when it
 * is asked by that method. If it does not answer within seconds, the reply is the tree alone.
 */
int dbus_reply_description(sd_bus_message *call, struct vm *vm, struct json_object *tree,
			   const char *method, dbus_description_fn add);

/*
 * What is wrong with the text of a definition: the line too, if it has several. Return: a negative
 * number.
 */
int dbus_refuse_definition(struct failure *failure, const char *text, const struct json_error *why);

/* A vm_done_fn; data: a referenced call, which is answered with nothing or the error. */
void dbus_done(void *data, const struct failure *failure);

/* What a handler returns when its operation is under way (r: 0), or was refused. */
int dbus_conclude(sd_bus_message *call, int r, const struct failure *failure);

/* The method of the manager that checks the host. data: the service. */
int dbus_check_host(sd_bus_message *call, void *data, sd_bus_error *error);

/* Statistics. data: the VM; the service. */
int dbus_get_disks(sd_bus_message *call, void *data, sd_bus_error *error);

/* Of dbus_checkpoint.c. */
int dbus_create_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_apply_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_back_up(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_end_backup(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_delete_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_change_checkpoint(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_list_checkpoints(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_disk_problems(sd_bus *bus, const char *path, const char *interface,
			   const char *property, sd_bus_message *reply, void *data,
			   sd_bus_error *error);
int dbus_get_processors(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_vm_statistics(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_statistics(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_vm_meter(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_meters(sd_bus_message *call, void *data, sd_bus_error *error);

/* Methods of a VM that change its meter. data: the VM. */
int dbus_switch_meter(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_reset_meter(sd_bus_message *call, void *data, sd_bus_error *error);

/* What the worker tells of its objects. data: the VM. */
int dbus_inspect(sd_bus_message *call, void *data, sd_bus_error *error);

/* Of dbus_firmware.c. data: the VM. */
int dbus_get_firmware(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_read_variables(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_reset_variables(sd_bus_message *call, void *data, sd_bus_error *error);

/* The method of a VM that is about its event log. data: the VM. */
int dbus_get_log(sd_bus_message *call, void *data, sd_bus_error *error);

/* Methods and properties of a VM that are about its definition. data: the VM. */
int dbus_change_definition(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_pending_changes(sd_bus *bus, const char *path, const char *interface,
			     const char *property, sd_bus_message *reply, void *data,
			     sd_bus_error *error);
int dbus_get_tags(sd_bus *bus, const char *path, const char *interface, const char *property,
		  sd_bus_message *reply, void *data, sd_bus_error *error);
int dbus_get_running_definition(sd_bus *bus, const char *path, const char *interface,
				const char *property, sd_bus_message *reply, void *data,
				sd_bus_error *error);
int dbus_get_definition(sd_bus *bus, const char *path, const char *interface, const char *property,
			sd_bus_message *reply, void *data, sd_bus_error *error);

int dbus_open_console(sd_bus_message *call, void *data, sd_bus_error *error);

/*
 * Methods of a VM that are about its files. data: the VM. A descriptor of theirs is a channel
 * (vmms/bus/call_forwarder.h), from which whoever is started for that receives what was passed.
 */
int dbus_start_with_files(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_attach_disk(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_attach_disk_with_file(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_detach_disk(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_insert_medium(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_insert_medium_with_file(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_eject_medium(sd_bus_message *call, void *data, sd_bus_error *error);

/* Methods and properties of a VM that are about adapters. data: the VM. */
int dbus_add_adapter(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_remove_adapter(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_change_adapter(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_open_capture(sd_bus_message *call, void *data, sd_bus_error *error);
int dbus_get_adapters(sd_bus *bus, const char *path, const char *interface, const char *property,
		      sd_bus_message *reply, void *data, sd_bus_error *error);
int dbus_get_addresses(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *data, sd_bus_error *error);

/* An option that a method takes in its a{sv}. */
struct dbus_option {
	const char *name;
	char type; /* 'b' into int, 'u' into uint32_t, 's' into const char *, borrowed */
	void *value;
};

/*
 * Reads an a{sv}; unknown options and wrong types are refused. Return: 0; -EINVAL with *failure
 * filled; another -errno if the message does not hold one.
 */
int dbus_read_options(sd_bus_message *call, const struct dbus_option *options, size_t count,
		      struct failure *failure) MUST_CHECK;
