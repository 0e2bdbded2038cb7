/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be asked of a VM in each state: the whole table, and what a refusal says. */
#include "common/base/cc.h"
#include "tests/unit/unit.h"
#include "vmms/vm/vm_state.h"

#include <string.h>

/* One letter for each verb that is allowed, in the order of enum vm_verb. */
static const char verb_letters[] = "SDTRNMVGwWPUBXadienmcCHQKbf";
_Static_assert(sizeof(verb_letters) - 1 == _VM_VERB_COUNT, "one letter per verb");

static const char *const allowed[] = {
	[VM_OFF] = "SBXadienmcCHQKf",
	[VM_STARTING] = "T",
	[VM_RUNNING] = "DTRNMVGwPBadienmcCQKb",
	[VM_PAUSED] = "TRMVUBadienmcCQKb",
	[VM_STOPPING] = "T",
	[VM_CRASHED] = "SBXadienmcCHQKf",
	[VM_SAVING] = "T",
	[VM_SAVED] = "SWB",
	[VM_KEPT] = "TRMBC",
};
_Static_assert(ARRAY_SIZE(allowed) == _VM_STATE_COUNT, "one row per state");

static void test_table(void **state)
{
	for (int vm = 0; vm < _VM_STATE_COUNT; vm++) {
		for (int verb = 0; verb < _VM_VERB_COUNT; verb++) {
			bool expected = strchr(allowed[vm], verb_letters[verb]) != NULL;

			if (vm_state_allows((enum vm_state)vm, (enum vm_verb)verb) != expected)
				fail_msg("%s, %c", vm_state_name((enum vm_state)vm),
					 verb_letters[verb]);
		}
	}
}

static void test_names_differ(void **state)
{
	for (int a = 0; a < _VM_STATE_COUNT; a++) {
		for (int b = 0; b < a; b++)
			assert_string_not_equal(vm_state_name((enum vm_state)a),
						vm_state_name((enum vm_state)b));
	}
}

static void test_every_refusal_says_what_to_do(void **state)
{
	char text[256];

	for (int vm = 0; vm < _VM_STATE_COUNT; vm++) {
		for (int verb = 0; verb < _VM_VERB_COUNT; verb++) {
			if (vm_state_allows((enum vm_state)vm, (enum vm_verb)verb))
				continue;
			vm_state_refusal((enum vm_state)vm, (enum vm_verb)verb, "web", text,
					 sizeof(text));
			assert_non_null(strstr(text, "'web'"));
			assert_non_null(strstr(text, vm_state_name((enum vm_state)vm)));
			assert_true(strstr(text, "; ") || strstr(text, "nothing to do"));
		}
	}
}

static void test_refusals(void **state)
{
	char text[256];

	vm_state_refusal(VM_OFF, VM_PAUSE, "web", text, sizeof(text));
	assert_string_equal(text, "cannot pause VM 'web', which is off; start it first");
	vm_state_refusal(VM_RUNNING, VM_START, "web", text, sizeof(text));
	assert_string_equal(text, "VM 'web' is running already: nothing to do");
	vm_state_refusal(VM_RUNNING, VM_DELETE, "web", text, 12);
	assert_int_equal(strlen(text), 11);
}

/* What is under way is not there yet. */
static void test_reached(void **state)
{
	assert_true(vm_state_is_reached(VM_RUNNING, VM_START));
	assert_false(vm_state_is_reached(VM_STARTING, VM_START));
	assert_false(vm_state_is_reached(VM_PAUSED, VM_START));
	assert_true(vm_state_is_reached(VM_OFF, VM_SHUT_DOWN));
	assert_false(vm_state_is_reached(VM_STOPPING, VM_SHUT_DOWN));
	assert_true(vm_state_is_reached(VM_CRASHED, VM_TURN_OFF));
	assert_false(vm_state_is_reached(VM_OFF, VM_RESUME));
}

static void test_active(void **state)
{
	for (int vm = 0; vm < _VM_STATE_COUNT; vm++)
		assert_int_equal(vm_state_is_active((enum vm_state)vm),
				 vm != VM_OFF && vm != VM_CRASHED && vm != VM_SAVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_names_differ),
		cmocka_unit_test(test_every_refusal_says_what_to_do),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_reached),
		cmocka_unit_test(test_active),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
