/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.vmms1.VM: docs/dbus/org.vmms1.VM.md. */
#include "vmms/bus/dbus_guest.h"
#include "vmms/bus/dbus_internal.h"
#include "vmms/vm/manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Paths ---- */

void dbus_vm_path(const struct vm *vm, char path[DBUS_VM_PATH_SIZE])
{
	dbus_object_path(DBUS_VM_PREFIX, &vm->definition->uuid, path);
}

int dbus_find_vm(sd_bus *bus, const char *path, const char *interface, void *data, void **ret_found,
		 sd_bus_error *error)
{
	struct dbus_service *service = data;
	struct guid uuid;

	if (dbus_object_path_parse(path, DBUS_VM_PREFIX, &uuid) < 0)
		return 0;
	*ret_found = manager_find_uuid(service->manager, &uuid);
	return *ret_found != NULL;
}

static const struct guid *dbus_vm_link_uuid(const struct list *link)
{
	return &container_of(link, struct vm, link)->definition->uuid;
}

static bool dbus_vm_is_seen(const struct dbus_service *service, const struct list *link)
{
	return dbus_caller_sees(service, container_of(link, struct vm, link));
}

static int dbus_vm_list_paths(sd_bus *bus, const char *prefix, void *data, char ***ret_nodes,
			      sd_bus_error *error)
{
	const struct dbus_service *service = data;
	const struct dbus_object_list objects = { DBUS_VM_PREFIX, &service->manager->vms,
						  dbus_vm_link_uuid, dbus_vm_is_seen };

	return dbus_list_paths(service, &objects, ret_nodes);
}

/* ---- Methods ---- */

typedef int (*simple_fn)(struct vm *vm, vm_done_fn done, void *data, struct failure *failure);

int dbus_conclude(sd_bus_message *call, int r, const struct failure *failure)
{
	if (r >= 0)
		return 1;
	r = dbus_reply_failure(call, failure);
	sd_bus_message_unref(call); /* the operation's reference */
	return r;
}

static int dbus_vm_call_simple(sd_bus_message *call, struct vm *vm, simple_fn function)
{
	struct failure failure;
	int r;

	r = function(vm, dbus_done, sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

static int dbus_vm_rename_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;
	struct failure failure;
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	if (manager_rename_vm(vm->manager, vm, name, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

static int dbus_vm_start(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;

	if (dbus_caller(call) && quota_check_start(data, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return dbus_vm_call_simple(call, data, vm_start);
}

static int dbus_vm_start_from(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct failure failure;
	unsigned drive = 0;
	const char *name;
	int r;

	r = sd_bus_message_read(call, "s", &name);
	if (r < 0)
		return r;
	while (drive < DEFINITION_DRIVES && strcmp(name, definition_drive_names[drive]) != 0)
		drive++;
	if (drive == DEFINITION_DRIVES && strcmp(name, "setup") != 0)
		return sd_bus_reply_method_errorf(
			call, DBUS_ERROR_INVALID_ARGUMENT,
			"a VM boots from \"disk\" or \"dvd\", or into \"setup\"");
	if (dbus_caller(call) && quota_check_start(data, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	if (drive == DEFINITION_DRIVES)
		r = vm_start_setup(data, dbus_done, sd_bus_message_ref(call), &failure);
	else
		r = vm_start_from(data, (enum definition_drive)drive, dbus_done,
				  sd_bus_message_ref(call), &failure);
	return dbus_conclude(call, r, &failure);
}

static int dbus_vm_turn_off(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_turn_off);
}

static int dbus_vm_reset(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_reset);
}

static int dbus_vm_cancel_detach(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_cancel_detach);
}

static int dbus_vm_inject_nmi(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_nmi);
}

static int dbus_vm_pause_vm(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_pause);
}

static int dbus_vm_save(sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct job *job = NULL;
	struct failure failure = { 0 };
	int r = dbus_caller(call) ? quota_check_save(data, &failure) : 0;

	if (r >= 0)
		r = vm_save_state_as_job(data, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}

static int dbus_vm_renew(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_renew);
}

static int dbus_vm_discard(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_discard);
}

static int dbus_vm_resume(sd_bus_message *call, void *data, sd_bus_error *error)
{
	return dbus_vm_call_simple(call, data, vm_resume);
}

#define SHUTDOWN_TIMEOUT_MAX (24 * 3600) /* seconds */

static int dbus_vm_shut_down(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int force = false, reboot = false, hibernate = false;
	uint32_t timeout = 120;
	const struct dbus_option options[] = { { "force", 'b', &force },
					       { "reboot", 'b', &reboot },
					       { "hibernate", 'b', &hibernate },
					       { "timeout", 'u', &timeout } };
	struct vm_shutdown_options shutdown;
	struct job *job = NULL;
	struct failure failure = { 0 };
	int r;

	r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r >= 0 && timeout > SHUTDOWN_TIMEOUT_MAX)
		r = failure_set(&failure, DBUS_ERROR_INVALID_ARGUMENT,
				"a timeout is at most %d seconds; 0 is none", SHUTDOWN_TIMEOUT_MAX);
	if (r >= 0 && reboot && hibernate)
		r = failure_set(&failure, DBUS_ERROR_INVALID_ARGUMENT,
				"a guest can either reboot or hibernate");
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	shutdown = (struct vm_shutdown_options){
		.force = force, .reboot = reboot, .hibernate = hibernate, .timeout = timeout
	};
	r = vm_shut_down_as_job(data, &shutdown, &job, &failure);
	return dbus_reply_job(call, r, job, &failure);
}

static int delete (sd_bus_message *call, void *data, sd_bus_error *error)
{
	struct vm *vm = data;
	struct failure failure;

	if (manager_delete_vm(vm->manager, vm, &failure) < 0)
		return dbus_reply_failure(call, &failure);
	return sd_bus_reply_method_return(call, "");
}

int dbus_open_console(sd_bus_message *call, void *data, sd_bus_error *error)
{
	int watch = false, take = false, log = false, until_off = false;
	const struct dbus_option options[] = { { "watch", 'b', &watch },
					       { "take", 'b', &take },
					       { "log", 'b', &log },
					       { "until-off", 'b', &until_off } };
	struct console_client_options client;
	struct vm *vm = data;
	struct failure failure = { 0 };
	AUTO_CLOSE int fd = -1;
	bool typing;
	int r;

	r = dbus_read_options(call, options, ARRAY_SIZE(options), &failure);
	if (r < 0)
		return failure.name ? dbus_reply_failure(call, &failure) : r;
	client = (struct console_client_options){
		.watch = watch, .take = take, .log = log, .until_off = until_off
	};
	r = console_open(vm->console, &client, &fd, &typing);
	if (r == -EUSERS)
		return sd_bus_reply_method_errorf(call, DBUS_ERROR_BUSY,
						  "%d clients have the console of VM '%s' open; "
						  "close one of them first",
						  CONSOLE_CLIENTS_MAX, vm->definition->name);
	if (r == -EBUSY)
		return sd_bus_reply_method_errorf(
			call, DBUS_ERROR_BUSY,
			"%u processes still wait for files that were "
			"sent to consoles of VMs of '%s', on a file "
			"system that does not answer; see to that first",
			helpers_count_stuck(vm->manager->helpers, vm_owner(vm)), vm_owner(vm));
	if (r < 0)
		return r;
	return sd_bus_reply_method_return(call, "hb", fd, typing);
}

/* ---- Properties ---- */

#define PROPERTY(name, signature, ...)                                                 \
	static int get_##name(sd_bus *bus, const char *path, const char *interface,    \
			      const char *property, sd_bus_message *reply, void *data, \
			      sd_bus_error *error)                                     \
	{                                                                              \
		const struct vm *vm = data;                                            \
                                                                                       \
		return sd_bus_message_append(reply, signature, __VA_ARGS__);           \
	}

PROPERTY(name, "s", vm->definition->name)
PROPERTY(owner, "s", vm_owner(vm))
PROPERTY(notes, "s", vm->definition->notes)
PROPERTY(cluster, "b", (int)vm->definition->cluster)
PROPERTY(state, "s", vm_state_name(vm->state))
PROPERTY(state_reason, "s", vm->reason)
PROPERTY(engine, "s", vm_engine(vm))
PROPERTY(heartbeat, "s", vm->run.heartbeat)
PROPERTY(vmbus_version, "s", vm->run.vmbus_version)
PROPERTY(processors, "u", (uint32_t)vm->definition->processors.count)
PROPERTY(topology, "(uuu)", (uint32_t)vm->definition->processors.sockets,
	 (uint32_t)vm->definition->processors.cores, (uint32_t)vm->definition->processors.threads)
PROPERTY(processor_model, "s", definition_model_names[vm->definition->processors.model])
PROPERTY(memory, "t", vm->definition->memory.size)
PROPERTY(memory_state, "s", vm->memory.state)
PROPERTY(memory_target, "t", vm->memory.target)
PROPERTY(memory_assigned, "t", vm_memory_assigned(vm))
PROPERTY(memory_demand, "t", vm->memory.demand)
PROPERTY(worker_pid, "u", vm->run.worker ? (uint32_t)worker_pid(vm->run.worker) : 0)
PROPERTY(started_at, "t", vm_started_at(vm))
PROPERTY(checkpoints, "u", (uint32_t)vm_checkpoint_count(vm))
PROPERTY(saved_at, "t", vm->saved.exists ? vm->saved.saved_at : 0)
PROPERTY(resets, "u", (uint32_t)vm->run.resets)
PROPERTY(crash_text, "s", vm->crash.text)
PROPERTY(guest_os, "s", vm->guest.os)
PROPERTY(guest_host_name, "s", vm->guest.host_name)
PROPERTY(unit, "s", vm_unit_name(vm))
PROPERTY(profile, "s", vm->run.worker ? vm->confinement.profile : "")
PROPERTY(limits_problem, "s", vm_limits_problem(vm))
PROPERTY(file_systems, "s", vm->guest.frozen ? "frozen" : "running")

static int dbus_vm_get_uuid(sd_bus *bus, const char *path, const char *interface,
			    const char *property, sd_bus_message *reply, void *data,
			    sd_bus_error *error)
{
	const struct vm *vm = data;
	char uuid[GUID_TEXT_SIZE];

	guid_format(&vm->definition->uuid, uuid);
	return sd_bus_message_append(reply, "s", uuid);
}

static int dbus_vm_get_socket_folder(sd_bus *bus, const char *path, const char *interface,
				     const char *property, sd_bus_message *reply, void *data,
				     sd_bus_error *error)
{
	char folder[PATH_MAX];

	vm_sockets_path(data, folder);
	return sd_bus_message_append(reply, "s", folder);
}

static int dbus_vm_get_guest_problem(sd_bus *bus, const char *path, const char *interface,
				     const char *property, sd_bus_message *reply, void *data,
				     sd_bus_error *error)
{
	char text[GUEST_LIFE_TEXT];

	vm_describe_guest(data, text);
	return sd_bus_message_append(reply, "s", text);
}

static int dbus_vm_get_crash_parameters(sd_bus *bus, const char *path, const char *interface,
					const char *property, sd_bus_message *reply, void *data,
					sd_bus_error *error)
{
	const struct vm *vm = data;

	return sd_bus_message_append_array(reply, 't', vm->crash.parameters,
					   vm->crash.happened ? sizeof(vm->crash.parameters) : 0);
}

#define METHOD(name, arguments, result, handler)                                    \
	SD_BUS_METHOD_WITH_ARGS(name, SD_BUS_##arguments, SD_BUS_##result, handler, \
				SD_BUS_VTABLE_UNPRIVILEGED)
#define VALUE(name, signature, getter) \
	SD_BUS_PROPERTY(name, signature, getter, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

static const sd_bus_vtable vm_vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("Start", NO_ARGS, NO_RESULT, dbus_vm_start),
	METHOD("StartFrom", ARGS("s", drive), NO_RESULT, dbus_vm_start_from),
	METHOD("Shutdown", ARGS("a{sv}", options), RESULT("o", job), dbus_vm_shut_down),
	METHOD("TurnOff", NO_ARGS, NO_RESULT, dbus_vm_turn_off),
	METHOD("Reset", NO_ARGS, NO_RESULT, dbus_vm_reset),
	METHOD("InjectNMI", NO_ARGS, NO_RESULT, dbus_vm_inject_nmi),
	METHOD("Pause", NO_ARGS, NO_RESULT, dbus_vm_pause_vm),
	METHOD("Resume", NO_ARGS, NO_RESULT, dbus_vm_resume),
	METHOD("Save", NO_ARGS, RESULT("o", job), dbus_vm_save),
	METHOD("Move", ARGS("s", address, "u", port, "ay", key, "a{sv}", options), RESULT("o", job),
	       dbus_move_vm),
	METHOD("Renew", NO_ARGS, NO_RESULT, dbus_vm_renew),
	METHOD("DiscardSavedState", NO_ARGS, NO_RESULT, dbus_vm_discard),
	METHOD("Delete", NO_ARGS, NO_RESULT, delete),
	METHOD("Rename", ARGS("s", name), NO_RESULT, dbus_vm_rename_vm),
	METHOD("Change", ARGS("s", definition, "a{sv}", options), RESULT("as", pending),
	       dbus_change_definition),
	METHOD("AttachDisk", ARGS("s", disk), RESULT("u", controller, "u", lun), dbus_attach_disk),
	METHOD("DetachDisk", ARGS("u", controller, "u", lun), NO_RESULT, dbus_detach_disk),
	METHOD("CancelDetach", NO_ARGS, NO_RESULT, dbus_vm_cancel_detach),
	METHOD("InsertMedium", ARGS("u", controller, "u", lun, "s", path), NO_RESULT,
	       dbus_insert_medium),
	METHOD("EjectMedium", ARGS("u", controller, "u", lun, "a{sv}", options), NO_RESULT,
	       dbus_eject_medium),
	METHOD("AddAdapter", ARGS("s", adapter), RESULT("s", name), dbus_add_adapter),
	METHOD("RemoveAdapter", ARGS("s", name), NO_RESULT, dbus_remove_adapter),
	METHOD("ChangeAdapter", ARGS("s", name, "s", adapter), NO_RESULT, dbus_change_adapter),
	METHOD("ListGuestValues", ARGS("s", pool), RESULT("a(ss)", values, "b", truncated),
	       dbus_list_guest_values),
	METHOD("GetGuestValue", ARGS("s", pool, "s", key), RESULT("s", value),
	       dbus_get_guest_value),
	METHOD("SetGuestValue", ARGS("s", pool, "s", key, "s", value), NO_RESULT,
	       dbus_set_guest_value),
	METHOD("DeleteGuestValue", ARGS("s", pool, "s", key), NO_RESULT, dbus_delete_guest_value),
	METHOD("PressKeys", ARGS("au", keys), NO_RESULT, dbus_press_keys),
	METHOD("Freeze", ARGS("u", limit), RESULT("o", job), dbus_freeze),
	METHOD("Thaw", NO_ARGS, RESULT("o", job), dbus_thaw),
	METHOD("EndBackUp", NO_ARGS, NO_RESULT, dbus_end_backup),
	METHOD("CreateCheckpoint", ARGS("s", name, "s", notes, "a{sv}", options), RESULT("u", id),
	       dbus_create_checkpoint),
	METHOD("ApplyCheckpoint", ARGS("u", id), NO_RESULT, dbus_apply_checkpoint),
	METHOD("DeleteCheckpoint", ARGS("u", id, "a{sv}", options), NO_RESULT,
	       dbus_delete_checkpoint),
	METHOD("ChangeCheckpoint", ARGS("u", id, "s", name, "s", notes), NO_RESULT,
	       dbus_change_checkpoint),
	METHOD("ListCheckpoints", NO_ARGS, RESULT("s", checkpoints), dbus_list_checkpoints),
	METHOD("GetDisks", NO_ARGS, RESULT("s", disks), dbus_get_disks),
	METHOD("GetFirmware", NO_ARGS, RESULT("s", firmware), dbus_get_firmware),
	METHOD("ReadVariables", NO_ARGS, RESULT("ay", variables), dbus_read_variables),
	METHOD("ResetVariables", NO_ARGS, NO_RESULT, dbus_reset_variables),
	METHOD("GetProcessors", NO_ARGS, RESULT("s", processors), dbus_get_processors),
	METHOD("GetStatistics", NO_ARGS, RESULT("s", statistics), dbus_get_vm_statistics),
	METHOD("GetMeter", NO_ARGS, RESULT("s", meter), dbus_get_vm_meter),
	METHOD("SwitchMeter", ARGS("b", on), NO_RESULT, dbus_switch_meter),
	METHOD("ResetMeter", NO_ARGS, NO_RESULT, dbus_reset_meter),
	METHOD("Inspect", ARGS("s", part, "u", first), RESULT("s", inspection), dbus_inspect),
	METHOD("GetLog", ARGS("u", count), RESULT("a(ttyss)", events), dbus_get_log),
	SD_BUS_SIGNAL_WITH_ARGS(
		"Logged",
		SD_BUS_ARGS("t", sequence, "t", time, "y", priority, "s", event, "s", message), 0),
	VALUE("Name", "s", get_name),
	SD_BUS_PROPERTY("UUID", "s", dbus_vm_get_uuid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("SocketFolder", "s", dbus_vm_get_socket_folder, 0,
			SD_BUS_VTABLE_PROPERTY_CONST),
	VALUE("Owner", "s", get_owner),
	VALUE("Notes", "s", get_notes),
	VALUE("Tags", "as", dbus_get_tags),
	VALUE("Cluster", "b", get_cluster),
	VALUE("PendingChanges", "as", dbus_get_pending_changes),
	VALUE("State", "s", get_state),
	VALUE("StateReason", "s", get_state_reason),
	VALUE("Engine", "s", get_engine),
	VALUE("Heartbeat", "s", get_heartbeat),
	VALUE("VMBusVersion", "s", get_vmbus_version),
	SD_BUS_PROPERTY("GuestProblem", "s", dbus_vm_get_guest_problem, 0, 0),
	VALUE("Processors", "u", get_processors),
	VALUE("Topology", "(uuu)", get_topology),
	VALUE("ProcessorModel", "s", get_processor_model),
	VALUE("Memory", "t", get_memory),
	VALUE("MemoryState", "s", get_memory_state),
	VALUE("MemoryTarget", "t", get_memory_target),
	VALUE("MemoryAssigned", "t", get_memory_assigned),
	SD_BUS_PROPERTY("MemoryDemand", "t", get_memory_demand, 0, 0),
	VALUE("WorkerPID", "u", get_worker_pid),
	VALUE("StartedAt", "t", get_started_at),
	VALUE("SavedAt", "t", get_saved_at),
	VALUE("Checkpoints", "u", get_checkpoints),
	VALUE("Resets", "u", get_resets),
	VALUE("CrashText", "s", get_crash_text),
	VALUE("CrashParameters", "at", dbus_vm_get_crash_parameters),
	VALUE("Adapters", "a(ssssss)", dbus_get_adapters),
	VALUE("Addresses", "a(ss)", dbus_get_addresses),
	VALUE("GuestOS", "s", get_guest_os),
	VALUE("GuestHostName", "s", get_guest_host_name),
	VALUE("GuestAddresses", "as", dbus_get_guest_addresses),
	VALUE("DiskProblems", "a(uuss)", dbus_get_disk_problems),
	VALUE("FileSystems", "s", get_file_systems),
	VALUE("Unit", "s", get_unit),
	VALUE("Profile", "s", get_profile),
	VALUE("LimitsProblem", "s", get_limits_problem),
	SD_BUS_PROPERTY("Definition", "s", dbus_get_definition, 0,
			SD_BUS_VTABLE_PROPERTY_EXPLICIT |
				SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
	SD_BUS_PROPERTY("RunningDefinition", "s", dbus_get_running_definition, 0,
			SD_BUS_VTABLE_PROPERTY_EXPLICIT |
				SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
	SD_BUS_VTABLE_END,
};

int dbus_vm_register(struct dbus_service *service)
{
	return dbus_register_objects(service, DBUS_VM_PREFIX, DBUS_INTERFACE_VM, vm_vtable,
				     dbus_find_vm, dbus_vm_list_paths);
}

/* ---- Signals ---- */

struct vm_object {
	struct dbus_object object;
	char path[DBUS_VM_PATH_SIZE];
};

static const struct dbus_object *dbus_vm_object(struct vm_object *object, struct vm *vm)
{
	dbus_vm_path(vm, object->path);
	object->object = (struct dbus_object){ object->path, DBUS_INTERFACE_VM, vm_vtable, vm };
	return &object->object;
}

void dbus_vm_added(struct dbus_service *service, struct vm *vm)
{
	struct vm_object object;

	dbus_object_added(service, (struct dbus_audience){ .vm = vm }, dbus_vm_object(&object, vm));
}

void dbus_vm_removed(struct dbus_service *service, struct vm *vm)
{
	struct vm_object object;

	dbus_object_removed(service, (struct dbus_audience){ .vm = vm },
			    dbus_vm_object(&object, vm));
}

void dbus_vm_changed(struct dbus_service *service, struct vm *vm, const char *const *properties)
{
	struct vm_object object;
	const char *const *property = properties;

	(void)dbus_vm_object(&object, vm);
	while (*property && strcmp(*property, "Owner") != 0)
		property++;
	if (*property)
		dbus_signal_check_owner(service, vm, &object.object);
	dbus_object_changed(service, (struct dbus_audience){ .vm = vm }, &object.object,
			    properties);
}
