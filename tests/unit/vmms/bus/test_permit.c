/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a user may write into a definition: what takes a user that this host does not have. */
#include "tests/unit/unit.h"
#include "vmms/bus/permit.h"

#include <stdio.h>
#include <string.h>

static struct definition *new_definition(const char *owner)
{
	struct definition *definition = NULL;

	assert_int_equal(definition_new(&definition), 0);
	definition->owner = owner ? strdup(owner) : NULL;
	return definition;
}

static void test_names_that_a_definition_cannot_hold(void **state)
{
	static char *const bad[] = { "1000", "DOMAIN\\user",
				     "a b",  "a\n",
				     "-",    "a-name-that-is-longer-than-those-of-useradd" };
	struct failure failure;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(definition_freep) struct definition *wanted = new_definition(NULL);
		struct user_found user = { .uid = 1000 };

		snprintf(user.name, sizeof(user.name), "%s", bad[i]);

		assert_true(permit_definition(&user, NULL, wanted, &failure) < 0);
		assert_string_equal(failure.name, "org.freedesktop.DBus.Error.AccessDenied");
		assert_null(wanted->owner);
	}
}

static void test_a_new_vm_becomes_the_users(void **state)
{
	CLEANUP(definition_freep) struct definition *wanted = new_definition(NULL);
	const struct user_found user = { "somebody", 1000, true };
	struct failure failure;

	assert_int_equal(permit_definition(&user, NULL, wanted, &failure), 0);
	assert_string_equal(wanted->owner, "somebody");
	assert_true(permit_is_owner(&user, wanted));
	wanted->owner_uid = 1000;
	assert_true(permit_is_owner(&user, wanted));
	/* A user of the same name, and one of the same number. */
	wanted->owner_uid = 1001;
	assert_false(permit_is_owner(&user, wanted));
	wanted->owner_uid = 1000;
	strcpy(wanted->owner, "another");
	assert_false(permit_is_owner(&user, wanted));
}

static void test_root_is_asked_nothing(void **state)
{
	CLEANUP(definition_freep) struct definition *wanted = new_definition(NULL);
	struct failure failure;

	wanted->resources.cpu_weight = 10000;
	wanted->memory.size = DEFINITION_MEMORY_MAX;
	assert_int_equal(permit_definition(NULL, NULL, wanted, &failure), 0);
	assert_null(wanted->owner);
}

/* Who may manage a VM of root's may not have its files read, or written, for them. */
static void test_files_of_others(void **state)
{
	CLEANUP(definition_freep) struct definition *stored = new_definition(NULL);
	const struct user_found user = { "somebody", 1000, true };
	struct failure failure;

	stored->name = strdup("vm");
	stored->boot.kernel = strdup("/k");
	for (int i = 0; i < 4; i++) {
		CLEANUP(definition_freep) struct definition *wanted = NULL;

		assert_int_equal(definition_copy(stored, &wanted), 0);
		wanted->memory.size *= 2;
		if (i == 1) {
			free(wanted->boot.kernel);
			wanted->boot.kernel = strdup("/etc/shadow");
		} else if (i == 2) {
			wanted->boot.initrd = strdup("/etc/shadow");
		} else if (i == 3) {
			wanted->owner = strdup("somebody");
		}
		assert_int_equal(permit_definition(&user, stored, wanted, &failure) == 0, i == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_that_a_definition_cannot_hold),
		cmocka_unit_test(test_a_new_vm_becomes_the_users),
		cmocka_unit_test(test_root_is_asked_nothing),
		cmocka_unit_test(test_files_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
