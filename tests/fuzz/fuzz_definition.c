/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any text as a VM definition: it is refused with a message, or what was read can be written and
 * is read back as the same.
 */
#include "common/definition/definition.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(definition_freep) struct definition *definition = NULL;
	CLEANUP(definition_freep) struct definition *again = NULL;
	AUTO_JSON struct json_object *tree = NULL, *tree_again = NULL;
	struct json_error error = { 0 };
	const char *text;

	if (definition_parse((const char *)data, size, &definition, &error) < 0) {
		require(!definition && error.message[0] != '\0');
		return 0;
	}
	tree = definition_to_json(definition);
	require(tree);
	text = json_object_to_json_string(tree);
	require(definition_parse(text, strlen(text), &again, &error) == 0);
	tree_again = definition_to_json(again);
	require(strcmp(json_object_to_json_string(tree), json_object_to_json_string(tree_again)) ==
		0);
	return 0;
}
