/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl receive: the other host's side of vmctl migrate (vmms/vmctl/migration.h), with the rights of
 * who has logged in here.
 *
 * sshd gives it pipes, between which and the worker's socket it relays.
 */
#include "vmms/vmctl/byte_relay.h"
#include "vmms/vmctl/migration.h"
#include "vmms/vmctl/missing.h"
#include "vmms/vmctl/service.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ADDRESS_MAX 64 /* bytes; one with a scope, too */

/* ---- What is in the way ---- */

/* Of a name or uuid. Return: STATUS_OK; else vmms cannot be asked, which has been said. */
static enum status receive_look_for_vm(struct invocation *invocation,
				       struct json_object *definition, const char *key,
				       struct json_object **findings)
{
	const char *value = json_member_text(definition, key);
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_call_method(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
			       "GetVM", &error, NULL, "s", value);
	if (r < 0 && !sd_bus_error_has_name(&error, DBUS_ERROR_NO_SUCH_VM))
		return service_failed(r, &error);
	sd_bus_error_free(&error);
	if (r >= 0)
		json_append_format(
			findings,
			"there is a VM of the %s '%s' already; rename or delete the one that "
			"is not wanted",
			key, value);
	return STATUS_OK;
}

static void receive_compare_adapters(struct json_object *definition, struct json_object *other,
				     struct json_object **findings)
{
	struct json_object *ours = json_object_object_get(definition, "network_adapters");
	struct json_object *theirs = json_object_object_get(other, "network_adapters");
	size_t count = json_array_size(ours), others = json_array_size(theirs);

	for (size_t i = 0; i < count; i++) {
		const char *mac = json_member_text(json_object_array_get_idx(ours, i), "mac");

		for (size_t j = 0; mac[0] != '\0' && j < others; j++) {
			if (strcasecmp(mac, json_member_text(json_object_array_get_idx(theirs, j),
							     "mac")) == 0)
				json_append_format(
					findings,
					"an adapter of VM '%s' has the MAC address %s already; "
					"'vmctl edit' gives one of the two another",
					json_member_text(other, "name"), mac);
		}
	}
}

/* VMs that the caller does not see are vmms' matter. */
static enum status receive_look_at_macs(struct invocation *invocation,
					struct json_object *definition,
					struct json_object **findings)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	struct listed_vm vm;
	enum status status;
	int r;

	status = service_list_vms(invocation, &reply);
	if (status != STATUS_OK)
		return status;
	while ((r = service_next_vm(reply, &vm)) > 0) {
		AUTO_JSON struct json_object *other = NULL;
		AUTO_FREE char *text = NULL;
		struct json_error why;

		/* One that is deleted meanwhile is in nobody's way. */
		if (sd_bus_get_property_string(invocation->bus, DBUS_NAME, vm.path,
					       DBUS_INTERFACE_VM, "Definition", NULL, &text) >= 0 &&
		    json_parse(text, strlen(text), &other, &why) == 0)
			receive_compare_adapters(definition, other, findings);
	}
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

static bool receive_flag(struct json_object *object, const char *key)
{
	struct json_object *value = json_object_is_type(object, json_type_object)
					    ? json_object_object_get(object, key)
					    : NULL;

	return value && json_object_get_boolean(value);
}

static void receive_judge_host(struct json_object *report, struct json_object *definition,
			       struct json_object **findings)
{
	struct json_object *processors = json_object_object_get(definition, "processors");
	const char *engine = json_member_text(definition, "engine");
	int64_t count = json_object_is_type(processors, json_type_object)
				? json_object_get_int64(json_object_object_get(processors, "count"))
				: 0;
	int64_t most = json_object_get_int64(json_object_object_get(report, "max_vps"));

	if (!receive_flag(report, "kvm")) {
		json_append_format(
			findings, "no VM can run there; 'vmctl doctor' tells what that host lacks");
		return;
	}
	if (strcmp(engine, "") != 0 && strcmp(engine, "auto") != 0 &&
	    !receive_flag(json_object_object_get(report, "engines"), engine))
		json_append_format(
			findings,
			"that host's KVM has no engine '%s', which the definition asks for; 'auto' "
			"takes what there is, from the next start on ('vmctl edit')",
			engine);
	if (count > most)
		json_append_format(findings,
				   "that host's KVM gives a VM %" PRId64
				   " virtual processors at most, and "
				   "this one has %" PRId64,
				   most, count);
}

/* Callers who may not have the report learn at the start of the VM, of which nothing has moved then. */
static void receive_look_at_host(struct invocation *invocation, struct json_object *definition,
				 struct json_object **findings)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	AUTO_JSON struct json_object *report = NULL;

	if (sd_bus_call_method(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
			       "HostReport", NULL, &reply, NULL) >= 0 &&
	    service_read_json(reply, &report) >= 0)
		receive_judge_host(report, definition, findings);
}

static enum status receive_look(struct invocation *invocation, struct json_object *definition,
				struct json_object **ret_findings)
{
	enum status status;

	*ret_findings = missing_find(invocation, definition);
	status = receive_look_for_vm(invocation, definition, "name", ret_findings);
	if (status == STATUS_OK)
		status = receive_look_for_vm(invocation, definition, "uuid", ret_findings);
	if (status == STATUS_OK)
		status = receive_look_at_macs(invocation, definition, ret_findings);
	if (status == STATUS_OK)
		receive_look_at_host(invocation, definition, ret_findings);
	return status;
}

/* ---- The VM ---- */

/* What vmms refuses is another finding. *ret_path: NULL then. */
static int receive_create(struct invocation *invocation, struct json_object *definition,
			  char **ret_path, struct json_object **findings)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *path;
	int r;

	r = sd_bus_call_method(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
			       "CreateVM", &error, &reply, "s",
			       json_object_to_json_string_ext(definition, JSON_C_TO_STRING_PLAIN));
	if (r < 0) {
		json_append_format(findings, "%s", error.message ? error.message : strerror(-r));
		sd_bus_error_free(&error);
		return 0;
	}
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return r;
	*ret_path = strdup(path);
	return *ret_path ? 0 : -ENOMEM;
}

/* It is the source's still. One that is not off is not deleted. */
static void receive_forget(struct invocation *invocation, struct json_object *definition)
{
	(void)service_call_manager(invocation, "DeleteVM", SERVICE_TIMEOUT, NULL, "s",
				   json_member_text(definition, "name"));
}

/* fd: where the guest comes from; nobody else has it when this returns but vmms and a worker. */
static enum status receive_start(struct invocation *invocation, const char *path, int fd)
{
	AUTO_MESSAGE sd_bus_message *call = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_CLOSE int owned = fd;
	enum status status;
	int r;

	status = service_new_call(invocation, path, "Receive", &call);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_message_append(call, "h", owned);
	if (r < 0)
		return service_failed(r, NULL);
	r = service_call(invocation, call, SERVICE_NO_TIMEOUT, &error, NULL);
	if (r >= 0)
		return STATUS_OK;
	/* What the worker has against it the source is told, which says it. */
	if (!sd_bus_error_has_name(&error, DBUS_ERROR_WORKER_FAILED))
		return service_failed(r, &error);
	sd_bus_error_free(&error);
	return STATUS_FAILED;
}

static enum status receive_guest(struct invocation *invocation, const char *path)
{
	/* Its threads may outlive this function, and nothing but the process. */
	static struct byte_relay relay;
	enum status status;
	int fd, r;

	r = byte_relay_begin(&relay, &fd);
	if (r < 0)
		return service_failed(r, NULL);
	status = receive_start(invocation, path, fd);
	byte_relay_end(&relay);
	return status;
}

/* ---- The command ---- */

static struct json_object *receive_make_answer(struct json_object *findings)
{
	char boot_id[MIGRATION_BOOT_ID_SIZE];

	migration_boot_id(boot_id);
	return json_make("protocol", json_object_new_int64(MIGRATION_PROTOCOL), "boot_id",
			 json_object_new_string(boot_id), "findings", findings, NULL);
}

static int receive_answer(struct json_object *findings)
{
	return migration_write(STDOUT_FILENO, receive_make_answer(findings));
}

enum way { WAY_NONE, WAY_SSH, WAY_TCP, WAY_WHY };

/* Return: how that VM is to come; WAY_NONE: it is not, and nobody waits for more; -errno. */
static int receive_hear_way(void)
{
	AUTO_JSON struct json_object *go = NULL;
	int r = migration_read(STDIN_FILENO, &go);

	if (r < 0)
		return r == -ENODATA || r == -ECONNRESET ? WAY_NONE : r;
	if (strcmp(json_member_text(go, "way"), MIGRATION_WHY) == 0)
		return WAY_WHY;
	return strcmp(json_member_text(go, "way"), MIGRATION_BY_TCP) == 0 ? WAY_TCP : WAY_SSH;
}

/* ---- By TCP ---- */

/* Where this host was reached by ssh is where it is likely to be reached again: "" if nobody says. */
static void receive_own_address(char address[ADDRESS_MAX])
{
	const char *connection = getenv("SSH_CONNECTION");

	address[0] = '\0';
	if (!connection || sscanf(connection, "%*s %*s %63s", address) != 1)
		address[0] = '\0';
}

static int receive_append_expect(sd_bus_message *call, struct json_object *definition)
{
	char address[ADDRESS_MAX];
	int r = sd_bus_message_append(
		call, "s", json_object_to_json_string_ext(definition, JSON_C_TO_STRING_PLAIN));

	receive_own_address(address);
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "{sv}");
	if (r >= 0 && address[0] != '\0')
		r = sd_bus_message_append(call, "{sv}", "address", "s", address);
	return r < 0 ? r : sd_bus_message_close_container(call);
}

static int receive_tell_meeting(sd_bus_message *reply, char **ret_job)
{
	struct json_object *answer = receive_make_answer(json_object_new_array());
	const char *job, *address;
	const void *key;
	uint32_t port;
	size_t size;
	int r = sd_bus_message_read(reply, "oosu", NULL, &job, &address, &port);

	if (r >= 0)
		r = sd_bus_message_read_array(reply, 'y', &key, &size);
	if (r >= 0 && size != MIGRATION_KEY_SIZE)
		r = -EBADMSG;
	if (r < 0) {
		json_object_put(answer);
		return r;
	}
	*ret_job = strdup(job);
	json_add(&answer, "address", json_object_new_string(address));
	json_add(&answer, "port", json_object_new_int64(port));
	json_add(&answer, "key", migration_key_to_json(key));
	return *ret_job ? migration_write(STDOUT_FILENO, answer) : -ENOMEM;
}

/* What vmms refuses is another finding, or a reason to come by ssh. */
static int receive_tell_refusal(const sd_bus_error *error, int r)
{
	const char *text = error->message ? error->message : strerror(-r);
	struct json_object *findings = json_object_new_array(), *answer;

	if (!sd_bus_error_has_name(error, DBUS_ERROR_UNREACHABLE) &&
	    !sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_METHOD))
		json_append_format(&findings, "%s", text);
	answer = receive_make_answer(findings);
	json_add(&answer, "unreachable", json_object_new_string(text));
	return migration_write(STDOUT_FILENO, answer);
}

/* *ret_job: NULL: vmms does not wait for it. */
static int receive_expect(struct invocation *invocation, struct json_object *definition,
			  char **ret_job)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	*ret_job = NULL;
	r = sd_bus_message_new_method_call(invocation->bus, &call, DBUS_NAME, DBUS_PATH,
					   DBUS_INTERFACE_MANAGER, "ExpectVM");
	if (r >= 0)
		r = receive_append_expect(call, definition);
	if (r < 0)
		return r;
	r = service_call(invocation, call, SERVICE_TIMEOUT, &error, &reply);
	r = r < 0 ? receive_tell_refusal(&error, r) : receive_tell_meeting(reply, ret_job);
	sd_bus_error_free(&error);
	return r;
}

/* What the other side has not heard: neither of the worker, nor of the connection. */
static void receive_say_why(struct invocation *invocation, const char *job)
{
	static const char *const known[] = { DBUS_ERROR_WORKER_FAILED, DBUS_ERROR_UNREACHABLE,
					     DBUS_ERROR_CANCELLED };
	sd_bus_error error = SD_BUS_ERROR_NULL;
	bool heard = false;
	int r = sd_bus_call_method(invocation->bus, DBUS_NAME, job, DBUS_INTERFACE_JOB, "Wait",
				   &error, NULL, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		heard = heard || sd_bus_error_has_name(&error, known[i]);
	if (r < 0 && !heard)
		(void)service_failed(r, &error);
	else
		sd_bus_error_free(&error);
}

/* It does not come so; when this returns the VM that was made for it is gone. */
static void receive_cancel(struct invocation *invocation, const char *job)
{
	(void)sd_bus_call_method(invocation->bus, DBUS_NAME, job, DBUS_INTERFACE_JOB, "Cancel",
				 NULL, NULL, NULL);
	(void)sd_bus_call_method(invocation->bus, DBUS_NAME, job, DBUS_INTERFACE_JOB, "Wait", NULL,
				 NULL, NULL);
}

/* Return: WAY_NONE: the daemons have found each other, or nobody wants it any more; WAY_SSH; -errno. */
static int receive_by_tcp(struct invocation *invocation, struct json_object *definition)
{
	AUTO_FREE char *job = NULL;
	int r = receive_expect(invocation, definition, &job);

	if (r >= 0)
		r = receive_hear_way();
	if (r == WAY_TCP)
		r = -EPROTO;
	if (r == WAY_WHY && job)
		receive_say_why(invocation, job);
	if (r == WAY_SSH && job)
		receive_cancel(invocation, job);
	return r == WAY_WHY ? WAY_NONE : r;
}

/* ---- By ssh ---- */

/* The first byte is on its way when the VM's turn has come: until then nothing is to be held for it. */
static int receive_wait_for_turn(void)
{
	struct pollfd polled = { .fd = STDIN_FILENO, .events = POLLIN };
	int size = 0;

	while (poll(&polled, 1, -1) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (ioctl(STDIN_FILENO, FIONREAD, &size) < 0)
		return -errno;
	return size > 0 ? 0 : -ECONNRESET;
}

static enum status receive_by_ssh(struct invocation *invocation, struct json_object *definition)
{
	struct json_object *findings = json_object_new_array();
	AUTO_FREE char *path = NULL;
	enum status status;
	int r = receive_create(invocation, definition, &path, &findings);

	if (r >= 0)
		r = receive_answer(findings);
	else
		json_object_put(findings);
	if (r >= 0 && !path)
		return STATUS_FAILED;
	if (r >= 0)
		r = receive_wait_for_turn();
	/* Who has sent nothing says why. */
	if (r == -ECONNRESET)
		status = STATUS_FAILED;
	else
		status = r < 0 ? service_failed(r, NULL) : receive_guest(invocation, path);
	if (status != STATUS_OK && path)
		receive_forget(invocation, definition);
	return status;
}

static enum status receive_vm(struct invocation *invocation, struct json_object *definition)
{
	struct json_object *findings = NULL;
	enum status status;
	int r;

	status = receive_look(invocation, definition, &findings);
	if (status != STATUS_OK) {
		json_object_put(findings);
		return status;
	}
	r = receive_answer(findings);
	if (r >= 0)
		r = receive_hear_way();
	if (r == WAY_TCP)
		r = receive_by_tcp(invocation, definition);
	if (r <= 0)
		return r < 0 ? service_failed(r, NULL) : STATUS_OK;
	return receive_by_ssh(invocation, definition);
}

enum status command_receive(struct invocation *invocation)
{
	AUTO_JSON struct json_object *request = NULL;
	struct json_object *definition = NULL;
	int r;

	/* Also when the other side has gone: what was made here is to be removed. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	service_stop_asking(invocation);
	r = migration_read(STDIN_FILENO, &request);
	if (r == 0)
		definition = json_object_object_get(request, "definition");
	if (r == -EPROTO || (r == 0 && !json_object_is_type(definition, json_type_object)))
		return usage_error(invocation, "what comes is no request of a 'vmctl migrate' of "
					       "this version");
	return r < 0 ? service_failed(r, NULL) : receive_vm(invocation, definition);
}
