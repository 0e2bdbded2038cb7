/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What 'vmctl doctor' finds out at the caller's place; what takes a bus is in tests/integration. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vmctl/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct host_finding look(const char *name, const struct doctor *doctor)
{
	struct host_finding finding = { 0 };

	for (const struct host_check *check = doctor_checks; check->name; check++) {
		if (strcmp(check->name, name) == 0)
			check->look(doctor, &finding);
	}
	return finding;
}

static void test_the_bus(void **state)
{
	struct doctor doctor = { .root = "", .bus_problem = "no such bus; do this" };
	struct host_finding finding = look("bus", &doctor);

	assert_int_equal(finding.verdict, HOST_FAULT);
	assert_string_equal(finding.found, "no such bus");
	assert_non_null(strstr(finding.mend, "dbus"));
	doctor.is_user_bus = true;
	assert_non_null(strstr(look("bus", &doctor).mend, "--user"));
}

static void test_the_policy(void **state)
{
	char root[] = "/tmp/vmms-doctor-XXXXXX", command[256];
	struct doctor doctor = { .root = mkdtemp(root), .is_system_bus = true };

	assert_non_null(doctor.root);
	assert_int_equal(look("bus-policy", &doctor).verdict, HOST_FAULT);
	assert_non_null(strstr(look("bus-policy", &doctor).mend, "systemctl reload dbus"));
	snprintf(command, sizeof(command),
		 "mkdir -p %s/etc/dbus-1/system.d && touch %s/etc/dbus-1/system.d/org.vmms1.conf",
		 root, root);
	assert_int_equal(system(command), 0);
	assert_int_equal(look("bus-policy", &doctor).verdict, HOST_OK);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
	assert_int_equal(look("bus-policy", &doctor).verdict, HOST_FAULT);
	/* Whoever answers there has been let. */
	doctor.not_permitted = true;
	assert_int_equal(look("bus-policy", &doctor).verdict, HOST_OK);
	doctor.is_system_bus = false;
	assert_string_equal(look("bus-policy", &doctor).found, "");
}

static void test_the_service(void **state)
{
	struct doctor doctor = { .root = "", .problem = "it sleeps" };

	assert_int_equal(look("service", &doctor).verdict, HOST_FAULT);
	assert_non_null(strstr(look("service", &doctor).found, "it sleeps"));
	assert_non_null(strstr(look("service", &doctor).mend, "systemctl enable --now vmms"));
	doctor.too_old = true;
	assert_int_equal(look("service", &doctor).verdict, HOST_WARNING);
	assert_non_null(strstr(look("service", &doctor).mend, "restart vmms"));
	doctor.not_permitted = true;
	assert_int_equal(look("service", &doctor).verdict, HOST_UNKNOWN);
	assert_string_equal(look("service", &doctor).mend, "sudo vmctl doctor");
}

static void test_versions(void **state)
{
	struct doctor doctor = { .root = "" };

	doctor.report = json_tokener_parse("{\"version\": \"" VMMS_VERSION "\"}");
	assert_int_equal(look("service", &doctor).verdict, HOST_OK);
	json_object_put(doctor.report);
	doctor.report = json_tokener_parse("{\"version\": \"0.0\"}");
	assert_int_equal(look("service", &doctor).verdict, HOST_WARNING);
	assert_non_null(strstr(look("service", &doctor).mend, "restart vmms"));
	json_object_put(doctor.report);
}

static void test_without_a_bus_nobody_on_it_is_looked_for(void **state)
{
	static const char *const names[] = { "unit", "guests-unit", "polkit", "machined" };
	const struct doctor doctor = { .root = "", .is_system_bus = true };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(look(names[i], &doctor).found, "");
	assert_string_not_equal(look("clock", &doctor).found, "");
}

static void test_a_group_that_is_not_there(void **state)
{
	struct doctor doctor = { .root = "" };
	struct host_finding finding;

	doctor.report = json_tokener_parse("{\"group\": \"no-such-group-here\"}");
	finding = look("group", &doctor);
	assert_int_equal(finding.verdict, HOST_WARNING);
	assert_non_null(strstr(finding.mend, "addgroup --system no-such-group-here"));
	json_object_put(doctor.report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_bus),
		cmocka_unit_test(test_the_policy),
		cmocka_unit_test(test_the_service),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_without_a_bus_nobody_on_it_is_looked_for),
		cmocka_unit_test(test_a_group_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
