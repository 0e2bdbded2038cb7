/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's side of the bus. */
#include "vmms/vmctl/service.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"
#include "vmms/vmctl/agent.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/remote.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Errors ---- */

static const char not_running[] =
	"vmms does not run on that bus; start it (systemctl enable --now vmms), or name its bus "
	"with --user or --address";

static const char too_old[] =
	"vmms does not know what this vmctl asks for: 'vmctl version' shows which is older";

/* Whose VMs all is about (--host); NULL: this host's. */
static const char *far_host;

static const struct {
	const char *name;
	enum status status;
	const char *message; /* instead of the error's own; NULL: that */
} errors[] = {
	{ DBUS_ERROR_NO_SUCH_VM, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_DISK, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_JOB, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_CHECKPOINT, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_SWITCH, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_CPU_GROUP, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_ADAPTER, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_NO_SUCH_VALUE, STATUS_NO_SUCH_VM, NULL },
	{ DBUS_ERROR_INVALID_STATE, STATUS_WRONG_STATE, NULL },
	{ DBUS_ERROR_ALREADY_IN_STATE, STATUS_WRONG_STATE, NULL },
	{ DBUS_ERROR_NOT_CONNECTED, STATUS_WRONG_STATE, NULL },
	{ DBUS_ERROR_BUSY, STATUS_WRONG_STATE, NULL },
	{ DBUS_ERROR_INVALID_DEFINITION, STATUS_USAGE, NULL },
	{ DBUS_ERROR_INVALID_ARGUMENT, STATUS_USAGE, NULL },
	{ DBUS_ERROR_TIMEOUT, STATUS_TIMEOUT, NULL },
	{ SD_BUS_ERROR_SERVICE_UNKNOWN, STATUS_NO_SERVICE, not_running },
	{ SD_BUS_ERROR_NAME_HAS_NO_OWNER, STATUS_NO_SERVICE, not_running },
	/* What comes of activation where the unit is not enabled, masked, or fails. */
	{ "org.freedesktop.systemd1.NoSuchUnit", STATUS_NO_SERVICE, not_running },
	{ "org.freedesktop.systemd1.UnitMasked", STATUS_NO_SERVICE, NULL },
	{ "org.freedesktop.DBus.Error.Spawn.ChildExited", STATUS_NO_SERVICE, not_running },
	{ SD_BUS_ERROR_ACCESS_DENIED, STATUS_NOT_PERMITTED, NULL },
	{ SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, STATUS_NOT_PERMITTED, NULL },
	{ SD_BUS_ERROR_UNKNOWN_OBJECT, STATUS_NO_SUCH_VM, "the VM has been deleted meanwhile" },
	/* One that is older than vmctl. */
	{ SD_BUS_ERROR_UNKNOWN_METHOD, STATUS_FAILED, too_old },
	{ SD_BUS_ERROR_UNKNOWN_INTERFACE, STATUS_FAILED, too_old },
	{ SD_BUS_ERROR_UNKNOWN_PROPERTY, STATUS_FAILED, too_old },
	{ SERVICE_ERROR_HANGS, STATUS_TIMEOUT, NULL },
	{ SD_BUS_ERROR_NO_REPLY, STATUS_TIMEOUT, "vmms did not answer in time; see its log" },
	{ SD_BUS_ERROR_TIMEOUT, STATUS_TIMEOUT, "vmms did not answer in time; see its log" },
};

static void service_say(const char *message)
{
	AUTO_FREE char *escaped = text_escape_new(message, strlen(message));

	fprintf(stderr, "vmctl: %s\n", escaped ? escaped : "out of memory");
}

/* The bus's own answer for one that has left it: of dbus-daemon and of dbus-broker. */
static bool service_has_gone(const sd_bus_error *error)
{
	return sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) && error->message &&
	       strstr(error->message, "disconnected");
}

static void service_say_who_may(void)
{
	if (far_host)
		fprintf(stderr, "vmctl: log in there as somebody who may, such as --host root@%s\n",
			strrchr(far_host, '@') ? strrchr(far_host, '@') + 1 : far_host);
	else
		service_say("run vmctl as root, for instance with sudo");
}

enum status service_failed(int r, sd_bus_error *error)
{
	const char *message = error && error->message ? error->message : strerror(-r);
	enum status status = STATUS_FAILED;

	for (size_t i = 0; error && error->name && i < ARRAY_SIZE(errors); i++) {
		if (strcmp(errors[i].name, error->name) != 0)
			continue;
		status = errors[i].status;
		if (errors[i].message)
			message = errors[i].message;
	}
	if (service_has_gone(error)) {
		status = STATUS_NO_SERVICE;
		message = "vmms ended before it had answered; 'journalctl -u vmms' says why";
	}
	if (r == -ENOTCONN || r == -ECONNRESET) {
		status = STATUS_NO_SERVICE;
		message = far_host ? "the connection to the other host has ended"
				   : "the message bus has closed the connection";
	}
	/* What the bus takes is text; there is little else that it finds invalid by itself. */
	if (r == -EINVAL && !(error && error->message)) {
		status = STATUS_USAGE;
		message = "what is not UTF-8 cannot be told to vmms: see to names, paths and files "
			  "that were given";
	}
	if (r == -ETIMEDOUT && status == STATUS_FAILED)
		status = STATUS_TIMEOUT;
	service_say(message);
	if (status == STATUS_NOT_PERMITTED)
		service_say_who_may();
	sd_bus_error_free(error);
	return status;
}

/* ---- The connection ---- */

static int service_connect_address(const char *address, sd_bus **ret_bus)
{
	sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_set_bus_client(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0) {
		sd_bus_unref(bus);
		return r;
	}
	*ret_bus = bus;
	return 0;
}

/* Of options that do not exclude each other. */
static const char *service_named_address(const struct invocation *invocation)
{
	const char *address = invocation_value(invocation, "address");

	if (address || invocation_has(invocation, "user") || invocation_has(invocation, "system"))
		return address;
	return getenv("VMMS_BUS_ADDRESS");
}

bool service_is_of_system(const struct invocation *invocation)
{
	return !invocation_has(invocation, "user") && !service_named_address(invocation);
}

static enum status service_open_bus(struct invocation *invocation,
				    char message[SERVICE_MESSAGE_MAX])
{
	const char *address = service_named_address(invocation);
	bool user = invocation_has(invocation, "user");
	int r;

	r = address ? service_connect_address(address, &invocation->bus)
	    : user  ? sd_bus_open_user(&invocation->bus)
		    : sd_bus_open_system(&invocation->bus);
	if (r >= 0)
		return STATUS_OK;
	snprintf(message, SERVICE_MESSAGE_MAX,
		 "cannot connect to the %s%s: %s; see that it runs, or name another with --user or "
		 "--address",
		 address ? "bus at "
		 : user  ? "bus of the user"
			 : "system bus",
		 address ? address : "", strerror(-r));
	return STATUS_NO_SERVICE;
}

enum status service_try_connect(struct invocation *invocation, char message[SERVICE_MESSAGE_MAX])
{
	bool remote = remote_is_named(invocation);
	enum status status;
	int r;

	if (invocation_has(invocation, "user") + invocation_has(invocation, "system") +
		    invocation_has(invocation, "address") >
	    1)
		return usage_error(invocation, "--system, --user and --address exclude each other");
	far_host = remote ? invocation->host.destination : NULL;
	status = remote ? remote_open_bus(invocation, message, SERVICE_MESSAGE_MAX)
			: service_open_bus(invocation, message);
	if (status != STATUS_OK)
		return status;
	/* An agent is for a process that asks, which there is the bridge. */
	invocation->may_ask =
		!remote && agent_is_of_use() && !invocation_has(invocation, "no-ask-password");
	/* Of calls that wait for a worker without a timeout of their own. */
	r = sd_bus_set_method_call_timeout(invocation->bus,
					   SERVICE_LONG_TIMEOUT * UINT64_C(1000000));
	if (r >= 0)
		r = sd_bus_set_allow_interactive_authorization(invocation->bus,
							       invocation->may_ask);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static int service_new_ping(struct invocation *invocation, sd_bus_message **ret_call)
{
	int r;

	r = sd_bus_message_new_method_call(invocation->bus, ret_call, DBUS_NAME, DBUS_PATH,
					   "org.freedesktop.DBus.Peer", "Ping");
	return r < 0 ? r : sd_bus_message_set_auto_start(*ret_call, false);
}

enum status service_say_hangs(void)
{
	service_say(SERVICE_HANGS);
	return STATUS_TIMEOUT;
}

static int service_pinged(sd_bus_message *answer, void *data, sd_bus_error *error)
{
	struct service_pinger *pinger = data;

	pinger->slot = sd_bus_slot_unref(pinger->slot);
	pinger->pinged = clock_boot();
	pinger->hangs = sd_bus_message_is_method_error(answer, SD_BUS_ERROR_NO_REPLY) &&
			!service_has_gone(sd_bus_message_get_error(answer));
	return 1;
}

int service_pinger_ask(struct service_pinger *pinger, struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	if (pinger->slot || clock_boot() - pinger->pinged < SERVICE_PING_TIMEOUT)
		return 0;
	r = service_new_ping(invocation, &call);
	return r < 0 ? r
		     : sd_bus_call_async(invocation->bus, &pinger->slot, call, service_pinged,
					 pinger, SERVICE_PING_TIMEOUT * UINT64_C(1000000));
}

void service_pinger_deinit(struct service_pinger *pinger)
{
	pinger->slot = sd_bus_slot_unref(pinger->slot);
}

/* One that does not run is not started for that; the call that follows does so. */
bool service_hangs(struct invocation *invocation)
{
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_MESSAGE sd_bus_message *call = NULL;
	int r;

	r = service_new_ping(invocation, &call);
	if (r >= 0)
		r = sd_bus_call(invocation->bus, call, SERVICE_PING_TIMEOUT * UINT64_C(1000000),
				&error, NULL);
	return r == -ETIMEDOUT && !service_has_gone(&error);
}

enum status service_connect(struct invocation *invocation)
{
	char message[SERVICE_MESSAGE_MAX];
	enum status status = service_try_connect(invocation, message);

	if (status == STATUS_OK && service_hangs(invocation))
		return service_say_hangs();
	if (status == STATUS_NO_SERVICE)
		service_say(message);
	return status;
}

void service_stop_asking(struct invocation *invocation)
{
	invocation->may_ask = false;
	(void)sd_bus_set_allow_interactive_authorization(invocation->bus, false);
	agent_end(&invocation->agent);
}

/* ---- Calls ---- */

enum status service_send(struct invocation *invocation, sd_bus_message *call, unsigned timeout,
			 sd_bus_message **ret_reply)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = service_call(invocation, call, timeout, &error, ret_reply);
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

/* It takes or returns descriptors, and so has a name of its own on the bus. */
static bool service_is_about_files(const char *method)
{
	static const char *const methods[] = {
		"StartWithFiles",
		"AttachDiskWithFile",
		"InsertMediumWithFile",
		"CopyFile",
		"DumpMemory",
		"OpenConsole",
		"OpenSocket",
		"OpenCapture",
		"Send",
		"Receive",
		"TakePicture",
		"OpenScreen",
		"WatchScreen",
		"BackUp",
	};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (strcmp(methods[i], method) == 0)
			return true;
	}
	return false;
}

enum status service_new_call(struct invocation *invocation, const char *path, const char *method,
			     sd_bus_message **ret_call)
{
	bool files = service_is_about_files(method);
	int r;

	r = sd_bus_message_new_method_call(
		invocation->bus, ret_call, files ? DBUS_NAME_FILES : DBUS_NAME, path,
		files ? DBUS_INTERFACE_FILES : DBUS_INTERFACE_VM, method);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status service_new_start(struct invocation *invocation, const char *path,
			      sd_bus_message **ret_call)
{
	const char *drive = invocation_value(invocation, "boot");
	enum status status =
		service_new_call(invocation, path, drive ? "StartFrom" : "Start", ret_call);
	int r;

	if (status != STATUS_OK || !drive)
		return status;
	r = sd_bus_message_append(*ret_call, "s", drive);
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

enum status service_call_vm(struct invocation *invocation, const char *path, const char *method)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;

	status = service_new_call(invocation, path, method, &call);
	if (status != STATUS_OK)
		return status;
	return service_send(invocation, call, SERVICE_LONG_TIMEOUT, NULL);
}

enum status service_send_to_reach(struct invocation *invocation, sd_bus_message *call,
				  sd_bus_message **ret_reply, char **ret_message)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	if (ret_message)
		*ret_message = NULL;
	r = service_call(invocation, call, SERVICE_LONG_TIMEOUT, &error, ret_reply);
	if (r >= 0)
		return STATUS_OK;
	if (!sd_bus_error_has_name(&error, DBUS_ERROR_ALREADY_IN_STATE))
		return service_failed(r, &error);
	if (ret_message)
		*ret_message = strdup(error.message);
	sd_bus_error_free(&error);
	return STATUS_OK;
}

enum status service_reach_state(struct invocation *invocation, const char *path, const char *method,
				char **ret_message)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	enum status status;

	status = service_new_call(invocation, path, method, &call);
	return status == STATUS_OK ? service_send_to_reach(invocation, call, NULL, ret_message)
				   : status;
}

enum status service_call_manager(struct invocation *invocation, const char *method,
				 unsigned timeout, sd_bus_message **ret_reply, const char *types,
				 ...)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	va_list arguments;
	int r;

	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, DBUS_PATH,
					   DBUS_INTERFACE_MANAGER, method);
	if (r >= 0 && types) {
		va_start(arguments, types);
		r = sd_bus_message_appendv(call, types, arguments);
		va_end(arguments);
	}
	if (r < 0)
		return service_failed(r, NULL);
	return service_send(invocation, call, timeout, ret_reply);
}

enum status service_list_vms(struct invocation *invocation, sd_bus_message **ret_reply)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;
	int r;

	status = service_call_manager(invocation, "ListVMs", SERVICE_TIMEOUT, &reply, NULL);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_enter_container(reply, 'a', "(ssso)");
	if (r < 0)
		return service_failed(r, NULL);
	*ret_reply = TAKE_PTR(reply);
	return STATUS_OK;
}

int service_next_vm(sd_bus_message *reply, struct listed_vm *ret_vm)
{
	return sd_bus_message_read(reply, "(ssso)", &ret_vm->name, &ret_vm->uuid, &ret_vm->state,
				   &ret_vm->path);
}

enum status service_call_manager_for_each(struct invocation *invocation, const char *method,
					  const char *kind, const char *done)
{
	enum status first = STATUS_OK, status;

	for (size_t i = 0; i < invocation->argument_count; i++) {
		status = service_call_manager(invocation, method, SERVICE_TIMEOUT, NULL, "s",
					      invocation->arguments[i]);
		if (status == STATUS_OK)
			output_say(invocation, "%s '%s' %s", kind, invocation->arguments[i], done);
		if (first == STATUS_OK)
			first = status;
	}
	return first;
}

static enum status service_find(struct invocation *invocation, const char *method, const char *name,
				char **ret_path)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	enum status status;
	const char *path;
	int r;

	status = service_call_manager(invocation, method, SERVICE_TIMEOUT, &reply, "s", name);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return service_failed(r, NULL);
	*ret_path = strdup(path);
	return *ret_path ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

enum status service_find_vm(struct invocation *invocation, const char *name, char **ret_path)
{
	return service_find(invocation, "GetVM", name, ret_path);
}

enum status service_find_switch(struct invocation *invocation, const char *name, char **ret_path)
{
	return service_find(invocation, "GetSwitch", name, ret_path);
}

/* The service tells of all VMs at once, and is trusted; a message of the bus has 128M at most. */
int service_read_json(sd_bus_message *reply, struct json_object **ret_tree)
{
	const struct json_bounds bounds = { .size = 128 << 20, .values = 16 << 20 };
	struct json_error why;
	const char *text;
	int r;

	r = sd_bus_message_read(reply, "s", &text);
	return r < 0 ? r : json_parse_bounded(text, strlen(text), &bounds, ret_tree, &why);
}

enum status service_ask_vm(struct invocation *invocation, const char *method, unsigned timeout,
			   char **ret_path, sd_bus_message **ret_reply)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	AUTO_FREE char *path = NULL;
	enum status status = service_find_vm(invocation, invocation->arguments[0], &path);

	if (status == STATUS_OK)
		status = service_new_call(invocation, path, method, &call);
	if (status == STATUS_OK)
		status = service_send(invocation, call, timeout, ret_reply);
	if (status == STATUS_OK && ret_path)
		*ret_path = TAKE_PTR(path);
	return status;
}
