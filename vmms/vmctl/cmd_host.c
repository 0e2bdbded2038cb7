/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl host, reload, version. */
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include "common/base/cleanup.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- host: what a report leaves out is not printed ---- */

static struct json_object *host_member(struct json_object *object, const char *key,
				       enum json_type type)
{
	struct json_object *value;

	if (!object || !json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, type))
		return NULL;
	return value;
}

static const char *host_text_member(struct json_object *object, const char *key)
{
	struct json_object *value = host_member(object, key, json_type_string);

	return value ? json_object_get_string(value) : "";
}

static bool host_true_member(struct json_object *object, const char *key)
{
	return json_object_get_boolean(host_member(object, key, json_type_boolean));
}

static double host_number_member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (object)
		json_object_object_get_ex(object, key, &value);
	return json_object_get_double(value);
}

static void host_print_row(const char *title, const char *format, ...) PRINTF_LIKE(2, 3);

static void host_print_row(const char *title, const char *format, ...)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *escaped = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	escaped = text ? text_escape_new(text, strlen(text)) : NULL;
	printf("%-22s %s\n", title, escaped ? escaped : "");
}

static void host_print_engines(struct json_object *report)
{
	struct json_object *engines = host_member(report, "engines", json_type_object);

	if (!engines)
		return;
	json_object_object_foreach(engines, name, value)
	{
		bool chosen = strcmp(name, host_text_member(report, "engine")) == 0;

		host_print_row("engine:", "%s, which %s", name,
			       chosen                           ? "VMs use here"
			       : json_object_get_boolean(value) ? "VMs can be set to use"
								: "this kernel cannot do");
	}
}

static void host_print_kernel_mode(struct json_object *report)
{
	struct json_object *mode = host_member(report, "kernel_mode", json_type_object);
	double host = host_number_member(mode, "host_ns"),
	       guest = host_number_member(mode, "guest_ns");

	if (!mode || host <= 0)
		return;
	host_print_row("guest kernel mode:", "%s (%.1f times as long as on the host)",
		       host_true_member(mode, "native") ? "native speed" : "emulated",
		       guest / host);
}

static void host_print_findings(struct json_object *report)
{
	struct json_object *findings = host_member(report, "findings", json_type_array);

	for (size_t i = 0; findings && i < json_object_array_length(findings); i++) {
		struct json_object *finding = json_object_array_get_idx(findings, i);

		putchar('\n');
		host_print_row(host_text_member(finding, "severity"), "%s",
			       host_text_member(finding, "text"));
		if (host_text_member(finding, "advice")[0] != '\0')
			host_print_row("", "%s", host_text_member(finding, "advice"));
	}
}

static void host_print_report(struct json_object *report)
{
	if (host_true_member(report, "kvm"))
		host_print_row("KVM:", "%s, up to %.0f virtual processors",
			       host_text_member(report, "implementation"),
			       host_number_member(report, "max_vps"));
	else
		host_print_row("KVM:", "not usable");
	host_print_engines(report);
	host_print_kernel_mode(report);
	host_print_row("stock guest kernels:", "%s",
		       host_true_member(report, "runs_stock_kernels") ? "run here"
								      : "do not run here");
	host_print_findings(report);
}

enum status command_host(struct invocation *invocation)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	AUTO_JSON struct json_object *report = NULL;
	enum status status;
	int r;

	status = service_call_manager(invocation, "HostReport", SERVICE_LONG_TIMEOUT, &reply, NULL);
	if (status != STATUS_OK)
		return status;
	r = service_read_json(reply, &report);
	if (r < 0)
		return service_failed(r, NULL);
	if (!invocation->json)
		host_print_report(report);
	else if (json_print(json_object_get(report)) < 0)
		return service_failed(-ENOMEM, NULL);
	return STATUS_OK;
}

/* ---- reload ---- */

/* Says on standard error what is wrong with each. *count: grows by how many there are. */
static enum status host_print_broken(struct invocation *invocation, const char *property,
				     unsigned *count)
{
	AUTO_MESSAGE sd_bus_message *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *name, *path, *key, *message;
	char text[JSON_ERROR_TEXT_MAX];
	uint32_t line;
	int r;

	r = sd_bus_get_property(invocation->bus, DBUS_NAME, DBUS_PATH, DBUS_INTERFACE_MANAGER,
				property, &error, &reply, "a(ssuss)");
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(ssuss)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ssuss)", &name, &path, &line, &key,
						  &message)) > 0) {
		AUTO_FREE char *escaped = NULL;

		json_error_describe(path, line, key, message, text, sizeof(text));
		escaped = text_escape_new(text, strlen(text));
		fprintf(stderr, "vmctl: broken: %s\n", escaped ? escaped : "");
		++*count;
	}
	return r < 0 ? service_failed(r, &error) : STATUS_OK;
}

enum status command_reload(struct invocation *invocation)
{
	enum status status;
	unsigned count = 0;

	status = service_call_manager(invocation, "Reload", SERVICE_TIMEOUT, NULL, NULL);
	if (status == STATUS_OK)
		status = host_print_broken(invocation, "BrokenDefinitions", &count);
	if (status == STATUS_OK)
		status = host_print_broken(invocation, "BrokenSwitches", &count);
	return status == STATUS_OK && count > 0 ? STATUS_FAILED : status;
}

/* ---- version ---- */

/* The service's, or NULL if it cannot be asked, which is no failure here: then *ret_why. */
static char *host_service_version(struct invocation *invocation, const char **ret_why)
{
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	char *version = NULL;

	*ret_why = "cannot be reached";
	if (service_connect(invocation) != STATUS_OK)
		return NULL;
	service_stop_asking(invocation);
	if (sd_bus_get_property_string(invocation->bus, DBUS_NAME, DBUS_PATH,
				       DBUS_INTERFACE_MANAGER, "Version", &error, &version) < 0 &&
	    (sd_bus_error_has_name(&error, SD_BUS_ERROR_ACCESS_DENIED) ||
	     sd_bus_error_has_name(&error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED)))
		*ret_why = "runs; its version is told to root, and to members of the group vmms";
	return version;
}

enum status command_version(struct invocation *invocation)
{
	const char *why;
	AUTO_FREE char *version = host_service_version(invocation, &why);

	if (invocation->json) {
		struct json_object *tree =
			json_make("vmctl", json_object_new_string(VMMS_VERSION), NULL);

		if (version)
			json_add(&tree, "vmms", json_object_new_string(version));
		return json_print(tree) < 0 ? service_failed(-ENOMEM, NULL) : STATUS_OK;
	}
	host_print_row("vmctl", "%s", VMMS_VERSION);
	host_print_row("vmms", "%s", version ? version : why);
	return STATUS_OK;
}
