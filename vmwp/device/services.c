/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The integration services of a machine's guest. */
#include "vmwp/device/services.h"

#include "common/definition/definition.h"
#include "vmwp/device/devices.h"
#include "vsp/ic/ic.h"

/* ---- What all have ---- */

static void service_quiesce(struct ic_service *service, void (*done)(void *data), void *data)
{
	ic_service_quiesce(service);
	done(data);
}

/* ---- Shutdown ---- */

static int shutdown_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	return config->definition->services.shutdown
		       ? ic_shutdown_new(config->bus, (struct ic_shutdown **)ret_device)
		       : 0;
}

static void shutdown_free(void *device)
{
	ic_shutdown_free(device);
}

static void shutdown_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "shutdown", ic_shutdown_inspect(device));
}

static void shutdown_quiesce(void *device, void (*done)(void *data), void *data)
{
	service_quiesce(ic_shutdown_service(device), done, data);
}

static void shutdown_resume(void *device)
{
	ic_service_resume(ic_shutdown_service(device));
}

static int shutdown_save(void *device, struct state_writer *writer)
{
	ic_service_save(ic_shutdown_service(device), service_shutdown_ops.name, writer);
	return 0;
}

static int shutdown_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = service_shutdown_ops.name;

	return device_restore_result(ic_service_restore(ic_shutdown_service(device), name, reader),
				     name, failure);
}

const struct device_ops service_shutdown_ops = {
	.name = "shutdown",
	.kind = DEVICE_SERVICE,
	.make = shutdown_make,
	.free = shutdown_free,
	.quiesce = shutdown_quiesce,
	.resume = shutdown_resume,
	.save = shutdown_save,
	.restore = shutdown_restore,
	.inspect = shutdown_inspect,
};

/* ---- Heartbeat ---- */

static void heartbeat_changed(void *data, enum ic_heartbeat_status status,
			      enum ic_application_state application)
{
	const struct device_config *config = data;

	config->callbacks->heartbeat(config->data, ic_heartbeat_status_name(status));
}

static const struct ic_heartbeat_callbacks heartbeat_callbacks = { .changed = heartbeat_changed };

static int heartbeat_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	return config->definition->services.heartbeat
		       ? ic_heartbeat_new(config->bus, 0, &heartbeat_callbacks, config,
					  (struct ic_heartbeat **)ret_device)
		       : 0;
}

static void heartbeat_free(void *device)
{
	ic_heartbeat_free(device);
}

/* While the vps do not run by our own doing, no beat is missed. */
static void heartbeat_pause(void *device)
{
	ic_heartbeat_pause(device);
}

static void heartbeat_resume(void *device)
{
	ic_service_resume(ic_heartbeat_service(device));
	ic_heartbeat_resume(device);
}

static void heartbeat_quiesce(void *device, void (*done)(void *data), void *data)
{
	service_quiesce(ic_heartbeat_service(device), done, data);
}

static int heartbeat_save(void *device, struct state_writer *writer)
{
	ic_service_save(ic_heartbeat_service(device), service_heartbeat_ops.name, writer);
	return 0;
}

static int heartbeat_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = service_heartbeat_ops.name;

	return device_restore_result(ic_service_restore(ic_heartbeat_service(device), name, reader),
				     name, failure);
}

static void heartbeat_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "heartbeat", ic_heartbeat_inspect(device));
}

const struct device_ops service_heartbeat_ops = {
	.name = "heartbeat",
	.kind = DEVICE_SERVICE,
	.make = heartbeat_make,
	.free = heartbeat_free,
	.pause = heartbeat_pause,
	.resume = heartbeat_resume,
	.quiesce = heartbeat_quiesce,
	.save = heartbeat_save,
	.restore = heartbeat_restore,
	.inspect = heartbeat_inspect,
};

/* ---- Time ---- */

static int time_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	return config->definition->services.time
		       ? ic_time_new(config->bus, 0, (struct ic_time **)ret_device)
		       : 0;
}

static void time_free(void *device)
{
	ic_time_free(device);
}

static void time_pause(void *device)
{
	ic_time_pause(device);
}

static void time_resume(void *device)
{
	ic_service_resume(ic_time_service(device));
	ic_time_resume(device);
}

static void time_quiesce(void *device, void (*done)(void *data), void *data)
{
	service_quiesce(ic_time_service(device), done, data);
}

static int time_save(void *device, struct state_writer *writer)
{
	ic_service_save(ic_time_service(device), service_time_ops.name, writer);
	return 0;
}

static int time_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = service_time_ops.name;

	return device_restore_result(ic_service_restore(ic_time_service(device), name, reader),
				     name, failure);
}

static void time_status(void *device, struct json_object **tree)
{
	json_add(tree, "time", json_object_new_boolean(device && ic_time_is_connected(device)));
}

static void time_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "time", ic_time_inspect(device));
}

const struct device_ops service_time_ops = {
	.name = "time",
	.kind = DEVICE_SERVICE,
	.make = time_make,
	.free = time_free,
	.pause = time_pause,
	.resume = time_resume,
	.quiesce = time_quiesce,
	.save = time_save,
	.restore = time_restore,
	.status = time_status,
	.inspect = time_inspect,
};

/* ---- Key-value pairs ---- */

static void kvp_guest(void *data, const struct ic_kvp_guest *guest)
{
	const struct device_config *config = data;

	config->callbacks->guest(config->data, guest);
}

static void kvp_refreshed(void *data)
{
	const struct device_config *config = data;

	config->callbacks->guest_refreshed(config->data);
}

static const struct ic_kvp_callbacks kvp_callbacks = { .guest = kvp_guest,
						       .refreshed = kvp_refreshed };

static int kvp_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	return config->definition->services.kvp ? ic_kvp_new(config->bus, NULL, &kvp_callbacks,
							     config, (struct ic_kvp **)ret_device)
						: 0;
}

static void kvp_free(void *device)
{
	ic_kvp_free(device);
}

static void kvp_quiesce(void *device, void (*done)(void *data), void *data)
{
	service_quiesce(ic_kvp_service(device), done, data);
}

static void kvp_resume(void *device)
{
	ic_service_resume(ic_kvp_service(device));
	/* The guest may have been somewhere else: what it tells of itself may have changed. */
	ic_kvp_refresh_soon(device);
}

static int kvp_save(void *device, struct state_writer *writer)
{
	ic_service_save(ic_kvp_service(device), service_kvp_ops.name, writer);
	return 0;
}

static int kvp_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = service_kvp_ops.name;

	return device_restore_result(ic_service_restore(ic_kvp_service(device), name, reader), name,
				     failure);
}

static void kvp_status(void *device, struct json_object **tree)
{
	json_add(tree, "kvp", json_object_new_boolean(device && ic_kvp_is_connected(device)));
}

static void kvp_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "kvp", ic_kvp_inspect(device));
}

const struct device_ops service_kvp_ops = {
	.name = "kvp",
	.kind = DEVICE_SERVICE,
	.make = kvp_make,
	.free = kvp_free,
	.quiesce = kvp_quiesce,
	.resume = kvp_resume,
	.save = kvp_save,
	.restore = kvp_restore,
	.status = kvp_status,
	.inspect = kvp_inspect,
};

/* ---- Snapshots ---- */

static void vss_thawed(void *data, int result)
{
	const struct device_config *config = data;

	config->callbacks->thawed(config->data, result == 0           ? "limit"
						: result == IC_E_GONE ? "gone"
								      : "unknown");
}

static const struct ic_vss_callbacks vss_callbacks = { .thawed = vss_thawed };

static int vss_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	return config->definition->services.vss ? ic_vss_new(config->bus, NULL, &vss_callbacks,
							     config, (struct ic_vss **)ret_device)
						: 0;
}

static void vss_free(void *device)
{
	ic_vss_free(device);
}

static void vss_quiesce(void *device, void (*done)(void *data), void *data)
{
	service_quiesce(ic_vss_service(device), done, data);
}

static void vss_resume(void *device)
{
	ic_service_resume(ic_vss_service(device));
}

static int vss_save(void *device, struct state_writer *writer)
{
	ic_service_save(ic_vss_service(device), service_vss_ops.name, writer);
	return 0;
}

static int vss_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = service_vss_ops.name;

	return device_restore_result(ic_service_restore(ic_vss_service(device), name, reader), name,
				     failure);
}

static void vss_status(void *device, struct json_object **tree)
{
	const char *state = ic_vss_state_name(device ? ic_vss_state(device) : IC_VSS_RUNNING);

	json_add(tree, "vss", json_object_new_boolean(device && ic_vss_is_connected(device)));
	json_add(tree, "file_systems", json_object_new_string(state));
}

static void vss_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "vss", ic_vss_inspect(device));
}

const struct device_ops service_vss_ops = {
	.name = "vss",
	.kind = DEVICE_SERVICE,
	.make = vss_make,
	.free = vss_free,
	.quiesce = vss_quiesce,
	.resume = vss_resume,
	.save = vss_save,
	.restore = vss_restore,
	.status = vss_status,
	.inspect = vss_inspect,
};

/* ---- File copy ---- */

static int file_copy_make(struct device_config *config, void **ret_device, struct failure *failure)
{
	return config->definition->services.file_copy
		       ? ic_file_copy_new(config->bus, 0, (struct ic_file_copy **)ret_device)
		       : 0;
}

static void file_copy_free(void *device)
{
	ic_file_copy_free(device);
}

static void file_copy_quiesce(void *device, void (*done)(void *data), void *data)
{
	ic_file_copy_quiesce(device, done, data);
}

static void file_copy_resume(void *device)
{
	ic_file_copy_resume(device);
}

static int file_copy_save(void *device, struct state_writer *writer)
{
	ic_service_save(ic_file_copy_service(device), service_file_copy_ops.name, writer);
	return 0;
}

static int file_copy_restore(void *device, struct state_reader *reader, struct failure *failure)
{
	const char *name = service_file_copy_ops.name;

	return device_restore_result(ic_service_restore(ic_file_copy_service(device), name, reader),
				     name, failure);
}

static void file_copy_status(void *device, struct json_object **tree)
{
	json_add(tree, "file_copy",
		 json_object_new_boolean(device && ic_file_copy_is_connected(device)));
}

static void file_copy_inspect(void *device, struct json_object **tree)
{
	json_add(tree, "file_copy", ic_file_copy_inspect(device));
}

const struct device_ops service_file_copy_ops = {
	.name = "file_copy",
	.kind = DEVICE_SERVICE,
	.make = file_copy_make,
	.free = file_copy_free,
	.quiesce = file_copy_quiesce,
	.resume = file_copy_resume,
	.save = file_copy_save,
	.restore = file_copy_restore,
	.status = file_copy_status,
	.inspect = file_copy_inspect,
};
