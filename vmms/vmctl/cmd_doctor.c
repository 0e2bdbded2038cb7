/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl doctor: what is wrong with this host, and what mends it. */
#include "common/base/text.h"
#include "vmms/vmctl/doctor.h"
#include "vmms/vmctl/service.h"
#include "vmms/vmctl/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- Asking the service ---- */

static int doctor_ask(struct invocation *invocation, struct doctor *doctor, sd_bus_error *error)
{
	AUTO_MESSAGE sd_bus_message *call = NULL, *reply = NULL;
	int r;

	r = sd_bus_message_new_method_call(doctor->bus, &call, DBUS_NAME, DBUS_PATH,
					   DBUS_INTERFACE_MANAGER, "CheckHost");
	if (r >= 0)
		r = service_call(invocation, call, SERVICE_LONG_TIMEOUT, error, &reply);
	return r < 0 ? r : service_read_json(reply, &doctor->report);
}

/* error: keeps the text that the doctor points to. */
static void doctor_ask_service(struct invocation *invocation, struct doctor *doctor,
			       sd_bus_error *error)
{
	int r;

	/* Whoever is not permitted gets to know that, rather than a question. */
	service_stop_asking(invocation);
	doctor->hangs = service_hangs(invocation);
	if (doctor->hangs)
		return;
	r = doctor_ask(invocation, doctor, error);
	if (r >= 0)
		return;
	doctor->problem = error->message ? error->message : strerror(-r);
	doctor->too_old = sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_METHOD);
	doctor->not_permitted =
		sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED) ||
		sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED);
}

/* ---- The list ---- */

static void doctor_append_all(struct json_object **array, struct json_object *checks)
{
	for (size_t i = 0; i < json_object_array_length(checks); i++)
		json_append(array, json_object_get(json_object_array_get_idx(checks, i)));
}

/* What the service has found; where it has said nothing, what can be seen from here. */
static struct json_object *doctor_make_list(const struct doctor *doctor)
{
	struct json_object *list = json_object_new_array(), *checks = NULL;

	host_checks_run(doctor_checks, doctor, &list);
	if (doctor->report && json_object_object_get_ex(doctor->report, "checks", &checks) &&
	    json_object_is_type(checks, json_type_array))
		doctor_append_all(&list, checks);
	else
		host_checks_run(host_kernel_checks, &doctor->kernel, &list);
	return list;
}

/* ---- Printing ---- */

static unsigned doctor_count_verdicts(struct json_object *list, enum host_verdict verdict)
{
	unsigned count = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *check = json_object_array_get_idx(list, i);

		count += strcmp(json_member_text(check, "verdict"), host_verdict_names[verdict]) ==
			 0;
	}
	return count;
}

static char *doctor_escape_member(struct json_object *check, const char *key)
{
	const char *text = json_member_text(check, key);

	return text_escape_new(text, strlen(text));
}

static void doctor_print_check(struct json_object *check)
{
	AUTO_FREE char *name = doctor_escape_member(check, "name");
	AUTO_FREE char *verdict = doctor_escape_member(check, "verdict");
	AUTO_FREE char *found = doctor_escape_member(check, "found");
	AUTO_FREE char *mend = doctor_escape_member(check, "mend");

	if (!name || !verdict || !found || !mend)
		return;
	printf("%-13s  %-7s  %s\n", name, verdict, found);
	if (mend[0] != '\0')
		printf("%-13s  %-7s  %s\n", "", "  mend:", mend);
}

static void doctor_print_list(struct json_object *list)
{
	unsigned faults = doctor_count_verdicts(list, HOST_FAULT),
		 warnings = doctor_count_verdicts(list, HOST_WARNING),
		 unknown = doctor_count_verdicts(list, HOST_UNKNOWN);

	printf("%-13s  %-7s  %s\n", "CHECK", "VERDICT", "FOUND");
	for (size_t i = 0; i < json_object_array_length(list); i++)
		doctor_print_check(json_object_array_get_idx(list, i));
	if (faults + warnings + unknown == 0)
		puts("\nAll is well.");
	else
		printf("\nfaults: %u, warnings: %u, unknown: %u\n", faults, warnings, unknown);
}

static enum status doctor_conclude(const struct invocation *invocation, struct json_object *list)
{
	bool fault;

	if (!list)
		return service_failed(-ENOMEM, NULL);
	fault = doctor_count_verdicts(list, HOST_FAULT) > 0;
	if (!invocation->json)
		doctor_print_list(list);
	else if (json_print(json_make("checks", json_object_get(list), NULL)) < 0)
		return service_failed(-ENOMEM, NULL);
	return fault ? STATUS_FAILED : STATUS_OK;
}

enum status command_doctor(struct invocation *invocation)
{
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	char problem[SERVICE_MESSAGE_MAX];
	struct doctor doctor = { .root = "",
				 .is_system_bus = service_is_of_system(invocation),
				 .is_user_bus = invocation_has(invocation, "user"),
				 .bus_problem = problem,
				 .kernel = { .root = "", .hypervisor = "/dev/kvm" } };
	AUTO_JSON struct json_object *list = NULL;
	enum status status;

	status = service_try_connect(invocation, problem);
	if (status == STATUS_USAGE)
		return status;
	if (status == STATUS_OK) {
		doctor.bus = invocation->bus;
		doctor_ask_service(invocation, &doctor, &error);
	}
	list = doctor_make_list(&doctor);
	json_object_put(doctor.report);
	return doctor_conclude(invocation, list);
}
