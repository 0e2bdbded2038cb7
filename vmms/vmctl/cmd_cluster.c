/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl cluster add, cluster remove, undrain, and drain without hosts: words for what Pacemaker's own
 * tools do, each of which --dry-run prints.
 *
 * A VM comes with all its constraints in one change of the CIB, so that the cluster never places it
 * by half of them.
 */
#include "vmms/vmctl/crm.h"
#include "vmms/vmctl/output.h"
#include "vmms/vmctl/service.h"

#include "common/base/cleanup.h"
#include "common/definition/definition.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODES_MAX    64 /* bytes of a name, too */
#define RESTARTS_MAX 1000
#define ID_SIZE      (DEFINITION_NAME_MAX + 8)

/* Of a preference for a node, and for being together or apart: each is outdone by what must be. */
#define PREFERENCE 5000

/* Of staying where it is: a move for the sake of balance alone is not worth its while. */
#define STICKINESS "100"

struct addition {
	struct invocation *invocation;
	const char *name;
	char id[ID_SIZE];          /* of the resource */
	char home[CRM_ANSWER_MAX]; /* the one node that it may be on; "": all, or --hosts */
	const char *priority;      /* a number */
	unsigned restarts;         /* on a node before another is tried */
	char *xml;
};

/* An id of XML begins with a letter. */
static void cluster_id(const char *name, char id[ID_SIZE])
{
	snprintf(id, ID_SIZE, "%s%s", isalpha((unsigned char)name[0]) ? "" : "vm-", name);
}

/* ---- What was asked for ---- */

static const struct {
	const char *word, *value;
} priorities[] = { { "high", "3000" }, { "medium", "2000" }, { "low", "1000" }, { "none", "0" } };

static bool cluster_word_is_safe(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)word[i]) && !strchr("-_.", word[i]))
			return false;
	}
	return length > 0 && length <= NODES_MAX;
}

/* What goes into XML as it is. */
static enum status cluster_check_words(const struct invocation *invocation)
{
	static const char *const options[] = { "prefer", "hosts", "together-with", "apart-from" };

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *value = invocation->options[i].value;

		for (size_t j = 0; j < ARRAY_SIZE(options); j++) {
			if (strcmp(invocation->options[i].row->name, options[j]) == 0 &&
			    !cluster_word_is_safe(value))
				return usage_error(invocation, "--%s: '%s' is no name", options[j],
						   value);
		}
	}
	return STATUS_OK;
}

static enum status cluster_check_definition(const struct invocation *invocation)
{
	const char *path = invocation_value(invocation, "definition");

	if (path && path[0] == '/' && strcspn(path, "<>&\"'\n") == strlen(path))
		return STATUS_OK;
	return usage_error(invocation,
			   path ? "--definition takes an absolute path without <, >, & and quotes"
				: "--definition PATH is missing: where all nodes find it");
}

/* The node of a VM that has none but one: the first that it prefers, or this. */
static enum status cluster_find_home(struct addition *addition)
{
	const struct invocation *invocation = addition->invocation;

	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].row->name, "prefer") != 0)
			continue;
		snprintf(addition->home, sizeof(addition->home), "%s",
			 invocation->options[i].value);
		return STATUS_OK;
	}
	return crm_node_name(addition->home);
}

static enum status cluster_read_priority(struct addition *addition)
{
	const char *word = invocation_value(addition->invocation, "priority") ?: "medium";

	for (size_t i = 0; i < ARRAY_SIZE(priorities); i++) {
		if (strcmp(priorities[i].word, word) == 0)
			addition->priority = priorities[i].value;
	}
	if (!addition->priority)
		return usage_error(addition->invocation,
				   "--priority must be high, medium, low or none, not '%s'", word);
	if (strcmp(word, "none") != 0)
		return STATUS_OK;
	if (invocation_has(addition->invocation, "hosts"))
		return usage_error(addition->invocation,
				   "a VM of priority none has one node; either that or --hosts");
	return cluster_find_home(addition);
}

static enum status cluster_read(struct addition *addition)
{
	const struct invocation *invocation = addition->invocation;
	enum status status;

	addition->name = invocation->arguments[0];
	addition->restarts = 3;
	if (!definition_name_is_valid(addition->name))
		return usage_error(invocation, "'%s' is no name of a VM", addition->name);
	cluster_id(addition->name, addition->id);
	if (!invocation_number(invocation, "restarts", RESTARTS_MAX, &addition->restarts))
		return STATUS_USAGE;
	status = cluster_check_words(invocation);
	if (status == STATUS_OK)
		status = cluster_check_definition(invocation);
	return status == STATUS_OK ? cluster_read_priority(addition) : status;
}

/* ---- The CIB's words ---- */

static void cluster_print_pair(FILE *xml, const char *id, const char *name, const char *value)
{
	if (value)
		fprintf(xml, "<nvpair id=\"%s-%s\" name=\"%s\" value=\"%s\"/>", id, name, name,
			value);
}

static void cluster_print_operations(FILE *xml, const char *id)
{
	static const struct {
		const char *name, *interval, *timeout;
	} rows[] = { { "start", "0", "120s" },
		     { "stop", "0", "180s" },
		     { "monitor", "10s", "30s" },
		     { "migrate_to", "0", "600s" },
		     { "migrate_from", "0", "60s" } };

	fputs("<operations>", xml);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(xml, "<op id=\"%s-%s\" name=\"%s\" interval=\"%s\" timeout=\"%s\"/>", id,
			rows[i].name, rows[i].name, rows[i].interval, rows[i].timeout);
	fputs("</operations>", xml);
}

static void cluster_print_resource(FILE *xml, const struct addition *addition)
{
	const struct invocation *invocation = addition->invocation;
	const char *id = addition->id;
	char restarts[16];

	snprintf(restarts, sizeof(restarts), "%u", addition->restarts);
	fprintf(xml,
		"<resources><primitive id=\"%s\" class=\"ocf\" provider=\"vmms\" type=\"VM\">"
		"<instance_attributes id=\"%s-parameters\">",
		id, id);
	cluster_print_pair(xml, id, "vm", addition->name);
	cluster_print_pair(xml, id, "definition", invocation_value(invocation, "definition"));
	cluster_print_pair(xml, id, "offline", invocation_value(invocation, "offline"));
	fprintf(xml, "</instance_attributes><meta_attributes id=\"%s-meta\">", id);
	cluster_print_pair(xml, id, "allow-migrate", "true");
	cluster_print_pair(xml, id, "priority", addition->priority);
	cluster_print_pair(xml, id, "migration-threshold",
			   addition->restarts > 0 ? restarts : NULL);
	cluster_print_pair(xml, id, "failure-timeout", "1h");
	cluster_print_pair(xml, id, "resource-stickiness", STICKINESS);
	fputs("</meta_attributes>", xml);
	cluster_print_operations(xml, id);
	fputs("</primitive></resources>", xml);
}

/* Nowhere but there. */
static void cluster_print_hosts(FILE *xml, const struct addition *addition)
{
	const struct invocation *invocation = addition->invocation;
	const char *id = addition->id;

	if (addition->home[0] == '\0' && !invocation_has(invocation, "hosts"))
		return;
	fprintf(xml,
		"<rsc_location id=\"%s-hosts\" rsc=\"%s\"><rule id=\"%s-hosts-rule\" "
		"score=\"-INFINITY\" boolean-op=\"and\">",
		id, id, id);
	if (addition->home[0] != '\0')
		fprintf(xml,
			"<expression id=\"%s-host\" attribute=\"#uname\" operation=\"ne\" "
			"value=\"%s\"/>",
			id, addition->home);
	for (size_t i = 0; i < invocation->option_count; i++) {
		if (strcmp(invocation->options[i].row->name, "hosts") == 0)
			fprintf(xml,
				"<expression id=\"%s-host-%s\" attribute=\"#uname\" "
				"operation=\"ne\" value=\"%s\"/>",
				id, invocation->options[i].value, invocation->options[i].value);
	}
	fputs("</rule></rsc_location>", xml);
}

/* The first that is named more than those after it. */
static void cluster_print_preferences(FILE *xml, const struct addition *addition)
{
	const struct invocation *invocation = addition->invocation;
	int score = PREFERENCE;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *node = invocation->options[i].value;

		if (strcmp(invocation->options[i].row->name, "prefer") != 0)
			continue;
		fprintf(xml,
			"<rsc_location id=\"%s-prefers-%s\" rsc=\"%s\" node=\"%s\" score=\"%d\"/>",
			addition->id, node, addition->id, node, score);
		score = score > 100 ? score - 100 : 100;
	}
}

static void cluster_print_companies(FILE *xml, const struct addition *addition)
{
	const struct invocation *invocation = addition->invocation;

	for (size_t i = 0; i < invocation->option_count; i++) {
		const char *option = invocation->options[i].row->name;
		bool apart = strcmp(option, "apart-from") == 0;
		char other[ID_SIZE];

		if (!apart && strcmp(option, "together-with") != 0)
			continue;
		cluster_id(invocation->options[i].value, other);
		fprintf(xml,
			"<rsc_colocation id=\"%s-%s-%s\" rsc=\"%s\" with-rsc=\"%s\" "
			"score=\"%d\"/>",
			addition->id, apart ? "apart" : "with", other, addition->id, other,
			apart ? -PREFERENCE : PREFERENCE);
	}
}

static enum status cluster_make_xml(struct addition *addition)
{
	size_t size;
	FILE *xml = open_memstream(&addition->xml, &size);

	if (!xml)
		return service_failed(-ENOMEM, NULL);
	fputs("<configuration>", xml);
	cluster_print_resource(xml, addition);
	fputs("<constraints>", xml);
	cluster_print_hosts(xml, addition);
	cluster_print_preferences(xml, addition);
	cluster_print_companies(xml, addition);
	fputs("</constraints></configuration>", xml);
	return fclose(xml) == 0 ? STATUS_OK : service_failed(-ENOMEM, NULL);
}

/* ---- add ---- */

/* A file that is there is taken as it is. What this host has is written to one that is not. */
static enum status cluster_share_definition(struct addition *addition)
{
	const char *file = invocation_value(addition->invocation, "definition");
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_FREE char *path = NULL, *text = NULL;
	enum status status;
	size_t length;
	int r;

	if (access(file, F_OK) == 0 || invocation_has(addition->invocation, "dry-run"))
		return STATUS_OK;
	status = service_find_vm(addition->invocation, addition->name, &path);
	if (status != STATUS_OK)
		return status;
	r = sd_bus_get_property_string(addition->invocation->bus, DBUS_NAME, path,
				       DBUS_INTERFACE_VM, "Definition", &error, &text);
	if (r < 0)
		return service_failed(r, &error);
	AUTO_CLOSE int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	length = strlen(text);
	if (fd < 0 || write(fd, text, length) != (ssize_t)length || fsync(fd) < 0)
		return usage_error(addition->invocation, "%s cannot be written: %s", file,
				   strerror(errno));
	output_say(addition->invocation, "%s: definition of VM '%s'", file, addition->name);
	return STATUS_OK;
}

static bool cluster_has(const char *id)
{
	char xpath[ID_SIZE + 32], answer[CRM_ANSWER_MAX];

	snprintf(xpath, sizeof(xpath), "//primitive[@id='%s']", id);
	return crm_ask((const char *const[]){ "cibadmin", "--query", "--xpath", xpath, NULL },
		       answer);
}

enum status command_cluster_add(struct invocation *invocation)
{
	struct addition addition = { .invocation = invocation };
	enum status status = cluster_read(&addition);

	if (status == STATUS_OK && cluster_has(addition.id)) {
		fprintf(stderr,
			"vmctl: the cluster has '%s' already; 'vmctl cluster remove' first, or "
			"'crm_resource' to change it\n",
			addition.id);
		return STATUS_WRONG_STATE;
	}
	if (status == STATUS_OK)
		status = cluster_share_definition(&addition);
	if (status == STATUS_OK)
		status = cluster_make_xml(&addition);
	if (status == STATUS_OK)
		status = crm_run(invocation,
				 (const char *const[]){ "cibadmin", "--modify", "--allow-create",
							"--scope", "configuration", "--xml-text",
							addition.xml, NULL });
	free(addition.xml);
	if (status == STATUS_OK && !invocation_has(invocation, "dry-run"))
		output_say(invocation, "VM '%s' is the cluster's", addition.name);
	return status;
}

/* ---- remove ---- */

/* Without a resource, what runs of it would be stopped: the option keeps the cluster from that. */
static enum status cluster_keep_orphans(const struct invocation *invocation, bool keep)
{
	const char *words[] = { "crm_attribute",
				"--type",
				"crm_config",
				"--name",
				"stop-orphan-resources",
				keep ? "--update" : "--delete",
				keep ? "false" : NULL,
				NULL };

	return crm_run(invocation, words);
}

static enum status cluster_delete(const struct invocation *invocation, const char *id)
{
	char constraints[2 * ID_SIZE + 64], resource[ID_SIZE + 64];
	enum status status;

	snprintf(constraints, sizeof(constraints), "//constraints/*[@rsc='%s' or @with-rsc='%s']",
		 id, id);
	snprintf(resource, sizeof(resource), "//resources//primitive[@id='%s']", id);
	status = crm_run(invocation, (const char *const[]){ "cibadmin", "--delete-all", "--force",
							    "--xpath", constraints, NULL });
	if (status == STATUS_OK)
		status = crm_run(invocation, (const char *const[]){ "cibadmin", "--delete",
								    "--xpath", resource, NULL });
	return status;
}

/* What the cluster remembers of it, by which it would be an orphan still. */
static enum status cluster_forget(const struct invocation *invocation, const char *id)
{
	enum status status;

	/* On files (CIB_file) and before Pacemaker runs there is nobody who remembers. */
	if (!crm_is_here() && !invocation_has(invocation, "dry-run"))
		return STATUS_OK;
	status = crm_run(invocation, (const char *const[]){ "crm_resource", "--wait", NULL });
	if (status == STATUS_OK)
		status = crm_run(invocation,
				 (const char *const[]){ "crm_resource", "--refresh", "--resource",
							id, "--force", NULL });
	return status;
}

enum status command_cluster_remove(struct invocation *invocation)
{
	const char *name = invocation->arguments[0];
	enum status status;
	char id[ID_SIZE], kept[CRM_ANSWER_MAX];
	bool keeps;

	if (!definition_name_is_valid(name))
		return usage_error(invocation, "'%s' is no name of a VM", name);
	cluster_id(name, id);
	if (!cluster_has(id)) {
		fprintf(stderr, "vmctl: the cluster has no '%s'\n", id);
		return STATUS_NO_SUCH_VM;
	}
	keeps = crm_ask((const char *const[]){ "crm_attribute", "--type", "crm_config", "--name",
					       "stop-orphan-resources", "--query", "--quiet",
					       NULL },
			kept) &&
		strcmp(kept, "false") == 0;
	status = keeps ? STATUS_OK : cluster_keep_orphans(invocation, true);
	if (status == STATUS_OK)
		status = cluster_delete(invocation, id);
	if (status == STATUS_OK)
		status = cluster_forget(invocation, id);
	/* After a failure it may be an orphan still, and is not to be stopped as one. */
	if (status == STATUS_OK && !keeps)
		status = cluster_keep_orphans(invocation, false);
	if (status == STATUS_OK && !invocation_has(invocation, "dry-run"))
		output_say(invocation,
			   "VM '%s' is not the cluster's any more; 'vmctl set %s cluster=false' "
			   "tells vmms where it is",
			   name, name);
	return status;
}

/* ---- drain, undrain ---- */

static enum status cluster_set_standby(const struct invocation *invocation, bool standby)
{
	char node[CRM_ANSWER_MAX];
	const char *words[] = { "crm_attribute",
				"--node",
				node,
				"--name",
				"standby",
				standby ? "--update" : "--delete",
				standby ? "on" : NULL,
				NULL };
	enum status status = crm_node_name(node);

	if (status == STATUS_OK)
		status = crm_run(invocation, words);
	if (status == STATUS_OK)
		status = crm_run(invocation,
				 (const char *const[]){ "crm_resource", "--wait", NULL });
	if (status == STATUS_OK && !invocation_has(invocation, "dry-run"))
		output_say(invocation, standby ? "the cluster has taken from this node what it can"
					       : "the cluster may place VMs on this node again");
	return status;
}

enum status cluster_drain(const struct invocation *invocation)
{
	return cluster_set_standby(invocation, true);
}

enum status command_undrain(struct invocation *invocation)
{
	return cluster_set_standby(invocation, false);
}
