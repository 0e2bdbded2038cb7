/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl drain: all VMs that run go to other hosts, one after another.
 *
 * Of several hosts each VM takes the first that has nothing against it, and begins to look at the
 * one after that which took the VM before it.
 */
#include "vmms/vmctl/crm.h"
#include "vmms/vmctl/job.h"
#include "vmms/vmctl/migrate.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/table.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOSTS_MAX 64

struct drain {
	struct invocation *invocation;
	const char *hosts[HOSTS_MAX];
	size_t host_count, next_host;
	struct json_object *moves, *stay; /* arrays, as they are printed */
	bool stopped;                     /* nothing more is begun */
	enum status status;               /* the first that is not STATUS_OK */
};

/* ---- What was asked for ---- */

static enum status drain_read_hosts(struct drain *drain)
{
	const struct invocation *invocation = drain->invocation;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *host = invocation->options[i].value;
		struct remote_host parsed;

		if (strcmp(invocation->options[i].row->name, "to") != 0)
			continue;
		if (remote_host_parse(host, &parsed) < 0)
			return usage_error(invocation,
					   "'%s' is not [USER@]HOST or [USER@]HOST:PORT", host);
		if (drain->host_count == HOSTS_MAX)
			return usage_error(invocation, "%d hosts are the most", HOSTS_MAX);
		drain->hosts[drain->host_count++] = host;
	}
	return drain->host_count > 0
		       ? STATUS_OK
		       : usage_error(invocation, "--to HOST is missing: where the VMs are to go, "
						 "as this host is no node of a cluster");
}

static bool drain_state_has_guest(const char *state)
{
	return strcmp(state, "off") != 0 && strcmp(state, "saved") != 0 &&
	       strcmp(state, "crashed") != 0;
}

/* *ret_names: of VMs that are up; put by the caller. */
static enum status drain_find_vms(struct invocation *invocation, struct json_object **ret_names)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	struct listed_vm vm;
	enum status status;
	int r;

	status = service_list_vms(invocation, &reply);
	if (status != STATUS_OK)
		return status;
	while ((r = service_next_vm(reply, &vm)) > 0) {
		if (drain_state_has_guest(vm.state))
			json_append(ret_names, json_object_new_string(vm.name));
	}
	if (r >= 0 && !*ret_names)
		r = -ENOMEM;
	return r < 0 ? service_failed(r, NULL) : STATUS_OK;
}

/* ---- One VM ---- */

static void drain_note_status(struct drain *drain, enum status status)
{
	if (drain->status == STATUS_OK)
		drain->status = status;
	drain->stopped = drain->stopped || status == STATUS_USAGE || job_is_interrupted();
}

/* Takes over the reasons: of each host that was asked. */
static void drain_note_stays(struct drain *drain, const char *name, struct json_object *reasons)
{
	json_append(&drain->stay,
		    json_make("vm", json_object_new_string(name), "hosts", reasons, NULL));
}

/* It can be moved there. */
static enum status drain_move(struct drain *drain, struct migration *migration, const char *name,
			      const char *host)
{
	AUTO_JSON struct json_object *result = NULL;
	enum status status;

	if (invocation_has(drain->invocation, "dry-run")) {
		output_say(drain->invocation, "VM '%s' can be moved to %s", name, host);
		status = STATUS_OK;
	} else {
		status = migrate_go(migration, &result);
	}
	if (status != STATUS_OK)
		return status;
	if (!result)
		result = json_make("vm", json_object_new_string(name), "host",
				   json_object_new_string(host), NULL);
	json_append(&drain->moves, TAKE_PTR(result));
	return STATUS_OK;
}

/* A host that cannot be reached is not asked again. */
static void drain_drop_host(struct drain *drain, size_t index)
{
	drain->host_count--;
	memmove(&drain->hosts[index], &drain->hosts[index + 1],
		(drain->host_count - index) * sizeof(*drain->hosts));
}

/*
 * Return: true: its move there was begun, in whichever way it ended, or nothing is to be tried any
 * more; false: what is in the way was added to the reasons.
 */
static bool drain_try_host(struct drain *drain, const char *name, const char *host,
			   struct json_object **reasons, enum status *ret_status)
{
	CLEANUP(migrate_freep)
	struct migration *migration = migrate_new(drain->invocation, name, host);
	struct json_object *findings = NULL;

	*ret_status =
		migration ? migrate_look(migration, &findings) : service_failed(-ENOMEM, NULL);
	if (*ret_status == STATUS_USAGE || *ret_status == STATUS_WRONG_STATE)
		return true;
	if (*ret_status == STATUS_OK && json_object_array_length(findings) == 0) {
		*ret_status = drain_move(drain, migration, name, host);
		return true;
	}
	json_append(reasons,
		    json_make("host", json_object_new_string(host), "findings",
			      findings ? json_object_get(findings) : json_object_new_array(),
			      NULL));
	return false;
}

static void drain_print_reasons(const char *name, struct json_object *reasons)
{
	for (size_t i = 0; i < json_object_array_length(reasons); i++) {
		struct json_object *reason = json_object_array_get_idx(reasons, i);
		struct json_object *findings = json_object_object_get(reason, "findings");

		/* Of a host without an answer it has been said. */
		if (json_object_array_length(findings) > 0)
			migrate_print_findings(
				name,
				json_object_get_string(json_object_object_get(reason, "host")),
				findings);
	}
}

/* Return: STATUS_OK: it has moved, or could be. */
static enum status drain_try_hosts(struct drain *drain, const char *name,
				   struct json_object **reasons)
{
	size_t hosts = drain->host_count;

	for (size_t i = 0; i < hosts && drain->host_count > 0; i++) {
		size_t index = drain->next_host % drain->host_count;
		enum status status;

		drain->next_host = index + 1;
		if (drain_try_host(drain, name, drain->hosts[index], reasons, &status))
			return status;
		if (status == STATUS_NO_SERVICE) {
			drain_drop_host(drain, index);
			drain->next_host = index;
		}
	}
	if (!drain->invocation->json && *reasons)
		drain_print_reasons(name, *reasons);
	return STATUS_FAILED;
}

static void drain_vm(struct drain *drain, const char *name)
{
	struct json_object *reasons = json_object_new_array();
	enum status status = STATUS_FAILED;

	if (!drain->stopped) {
		status = drain_try_hosts(drain, name, &reasons);
		drain_note_status(drain, status);
	}
	if (status != STATUS_OK)
		drain_note_stays(drain, name, reasons);
	else
		json_object_put(reasons);
}

/* ---- All ---- */

static void drain_print_stay(const struct drain *drain)
{
	fputs("vmctl: not moved:", stderr);
	for (size_t i = 0; i < json_object_array_length(drain->stay); i++) {
		struct json_object *vm =
			json_object_object_get(json_object_array_get_idx(drain->stay, i), "vm");
		const char *name = json_object_get_string(vm);
		AUTO_FREE char *escaped = text_escape_new(name, strlen(name));

		fprintf(stderr, "%s '%s'", i > 0 ? "," : "", escaped ? escaped : "");
	}
	fputs("\n", stderr);
}

static enum status drain_conclude(struct drain *drain)
{
	int r;

	if (!drain->moves || !drain->stay)
		return service_failed(-ENOMEM, NULL);
	if (json_object_array_length(drain->stay) > 0 && !drain->invocation->json)
		drain_print_stay(drain);
	if (!drain->invocation->json)
		return drain->status;
	r = json_print(json_make("moves", json_object_get(drain->moves), "stay",
				 json_object_get(drain->stay), NULL));
	return r < 0 ? service_failed(r, NULL) : drain->status;
}

enum status command_drain(struct invocation *invocation)
{
	AUTO_JSON struct json_object *names = json_object_new_array();
	struct drain drain = { .invocation = invocation };
	enum status status;

	if (!invocation_has(invocation, "to") && crm_is_here())
		return cluster_drain(invocation);
	status = drain_read_hosts(&drain);
	if (status == STATUS_OK)
		status = drain_find_vms(invocation, &names);
	if (status != STATUS_OK)
		return status;
	drain.moves = json_object_new_array();
	drain.stay = json_object_new_array();
	for (size_t i = 0; i < json_object_array_length(names); i++)
		drain_vm(&drain, json_object_get_string(json_object_array_get_idx(names, i)));
	status = drain_conclude(&drain);
	json_object_put(drain.moves);
	json_object_put(drain.stay);
	return status;
}
